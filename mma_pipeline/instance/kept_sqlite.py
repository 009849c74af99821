"""Dagster's SQLite storage with kept connections, for one machine without a database server.

The stock storage opens each file anew for each statement, some 700 times for a run of all products: each time SQLite parses
the tables of the file, and SQLAlchemy compiles the statement. The files are the same: `storage: sqlite` in dagster.yaml reads what
this storage wrote, and the other way round. Not for processes that fork: resident workers have PostgreSQL.

Source: "Internals" of Dagster's API documentation, which names the classes and what of them may be replaced.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

from mma_pipeline.instance.remembering import (
    RememberingEventLogStorage,
    RememberingRunStorage,
    RememberingScheduleStorage,
)

#: As the stock storage waits for another process that writes, seconds.
BUSY_S = 30
#: Files that are kept open: those that all runs share, and those of the newest runs.
KEPT = 16


@lru_cache(maxsize=KEPT)
def _engine(url: str) -> sa.Engine:
    return sa.create_engine(url, pool_size=2, connect_args={"timeout": BUSY_S})


class _SqliteEventLog(RememberingEventLogStorage, SqliteEventLogStorage):
    def __init__(self, base_dir: str) -> None:
        self._made: set[str] = set()
        # One connection at a time, as in the stock storage: two threads that read and then write would lock each other out.
        self._gate = threading.Lock()
        super().__init__(base_dir)

    def run_connection(self, run_id: str | None = None) -> AbstractContextManager[sa.Connection]:
        return self._of(run_id or "")

    def index_connection(self) -> AbstractContextManager[sa.Connection]:
        return self._of("index")

    def wipe(self) -> None:
        super().wipe()  # removes the files of runs
        self._made.clear()
        _engine.cache_clear()

    def _of(self, shard: str) -> AbstractContextManager[sa.Connection]:
        if shard not in self._made:
            with super().run_connection(shard):  # makes the file and its tables
                self._made.add(shard)
        return self._begun(self.conn_string_for_shard(shard))

    @contextmanager
    def _begun(self, url: str) -> Iterator[sa.Connection]:
        with self._gate, _engine(url).begin() as connection:
            yield connection


class _SqliteRuns(RememberingRunStorage, SqliteRunStorage):
    def __init__(self, conn_string: str, inst_data: Any = None) -> None:
        self.url = conn_string
        super().__init__(conn_string, inst_data)

    def connect(self) -> AbstractContextManager[sa.Connection]:  # type: ignore[override]
        return _engine(self.url).begin()


class _SqliteSchedules(RememberingScheduleStorage, SqliteScheduleStorage):
    def __init__(self, conn_string: str, inst_data: Any = None) -> None:
        self.url = conn_string
        super().__init__(conn_string, inst_data)

    def connect(self) -> AbstractContextManager[sa.Connection]:  # type: ignore[override]
        return _engine(self.url).begin()


class KeptSqliteStorage(DagsterSqliteStorage):
    """`DagsterSqliteStorage` with kept connections: same configuration (`base_dir`), same files below it."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        """Open the files of an instance, or make them."""
        # Not the stock storage's own beginning: it would open the same files by its own classes.
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]
        folder = Path(base_dir)
        self.base_dir, self._inst_data = base_dir, inst_data
        self._run_storage = _SqliteRuns.from_local(str(folder / "history"))
        self._event_log_storage = _SqliteEventLog(str(folder / "history" / "runs"))
        self._schedule_storage = _SqliteSchedules.from_local(str(folder / "schedules"))

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> KeptSqliteStorage:
        """Build the storage from dagster.yaml."""
        return cls.from_local(inst_data=inst_data, **config_value)
