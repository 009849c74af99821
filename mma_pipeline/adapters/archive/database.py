"""Opens the archive's database, SQLite or PostgreSQL, with settings that are safe for several processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from mma_pipeline.adapters.errors import PermanentError, TransientError
from mma_pipeline.adapters.redact import redact

__all__ = ["Connection", "Engine", "batched", "lock_event", "open_engine", "reading", "writing"]

_T = TypeVar("_T")
#: Seconds to wait for a locked SQLite file.
TIMEOUT_S = 30
#: How long the machine of a PostgreSQL server may leave a connection attempt, or sent data, unacknowledged: a sensor's
#: tick, which has 60 s, must survive both.
_SILENCE = {
    "connect_timeout": 5,  # seconds
    "tcp_user_timeout": 6000,  # ms
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}


@lru_cache(maxsize=8)
def open_engine(url: str) -> sa.Engine:
    """Engine for a database URL, one per process and URL.

    A bare `postgresql://` means psycopg2, the driver that dagster-postgres brings. Raises PermanentError for a URL
    that is invalid; its text never repeats the URL, which may contain a password.
    """
    try:
        parsed = sa.make_url(url)
    except ArgumentError as error:
        raise PermanentError(
            "the archive's database URL cannot be read: use sqlite:///path or postgresql://user@host/database"
        ) from error
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg2")
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    return sa.create_engine(
        parsed,
        pool_pre_ping=True,
        pool_size=5,
        pool_recycle=1800,
        connect_args={**_SILENCE, "options": "-c statement_timeout=60000"},
    )


#: Values in one IN list: below what every SQLite allows in a statement.
IN_LIST = 500


def batched(values: Iterable[_T]) -> Iterator[list[_T]]:
    """Values in lists short enough for one statement."""
    rest = list(values)
    for start in range(0, len(rest), IN_LIST):
        yield rest[start : start + IN_LIST]


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Connection for reads; failures of the database raise TransientError."""
    with _translated(), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One transaction that holds the write lock from its start; failures of the database raise TransientError."""
    with _translated(), engine.connect().execution_options(mma_write=True) as connection, connection.begin():
        yield connection


def lock_event(connection: sa.Connection, event_id: str) -> None:
    """Let one process at a time number, or decide about, an event's versions, until the caller's transaction ends.

    SQLite's write lock does so already.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:event))"), {"event": event_id})


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, sa.exc.InterfaceError) as error:
        said = " ".join(redact(str(error.orig)).split())[:200] or type(error.orig).__name__
        raise TransientError(f"the archive's database did not answer: {said}") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise TransientError("the connection to the archive's database was lost") from error
        raise


def _sqlite(url: sa.URL) -> sa.Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # The driver must not issue BEGIN: it starts transactions late, and two late writers deadlock.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        write = connection.get_execution_options().get("mma_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine
