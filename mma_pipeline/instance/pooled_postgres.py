"""Dagster's PostgreSQL storage with pooled connections, for the warm lane.

The stock storage opens a connection for each statement, because a process may have many instances. A run of all products
makes some 500, and opening them takes most of its time. Dagster's web server keeps its connections by the same setting.
"""

import time
from typing import Any

import psycopg2
import sqlalchemy as sa
from dagster_postgres import DagsterPostgresStorage

#: Longest time that one statement may take, ms: purging old ticks is slow, an alert's events are not.
STATEMENT_MS = 600_000
#: A connection older than this is replaced, seconds.
RECYCLE_S = 600
#: Further connections that a burst may open at once, per kind of storage and process.
OVERFLOW = 20
#: A connection that was idle longer is tested before use, seconds: the database may have been restarted.
IDLE_S = 1.0
_IDLE_SINCE = "mma_idle_since"


class PooledPostgresStorage(DagsterPostgresStorage):
    """`DagsterPostgresStorage` that keeps one connection per kind of storage, with the same configuration."""

    @classmethod
    def from_config_value(  # type: ignore[override]  # the stock class, too, returns itself whatever `cls` is
        cls, inst_data: Any, config_value: Any
    ) -> DagsterPostgresStorage:
        """Build the stock storage, with pooled connections."""
        storage = DagsterPostgresStorage.from_config_value(inst_data, config_value)
        for part in (storage.event_log_storage, storage.run_storage, storage.schedule_storage):
            part.optimize_for_webserver(statement_timeout=STATEMENT_MS, pool_recycle=RECYCLE_S, max_overflow=OVERFLOW)
        return storage


@sa.event.listens_for(sa.QueuePool, "checkin")
def _note_idle(_connection: Any, record: Any) -> None:
    record.info[_IDLE_SINCE] = time.monotonic()


@sa.event.listens_for(sa.QueuePool, "checkout")
def _try_idle(connection: Any, record: Any, _proxy: Any) -> None:
    since = record.info.get(_IDLE_SINCE)
    if since is None or time.monotonic() - since < IDLE_S:
        return
    try:
        cursor = connection.cursor()
        try:
            cursor.execute("SELECT 1")
        finally:
            cursor.close()
    except psycopg2.Error as error:
        # SQLAlchemy then takes a new connection.
        raise sa.exc.DisconnectionError from error
