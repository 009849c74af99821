"""Dagster's PostgreSQL storage with pooled connections, for the warm lane.

The stock storage opens a connection for each statement, because a process may have many instances. A run of all products
makes some 700, and opening them takes most of its time. Dagster's web server keeps its connections by the same setting.
The code server makes an instance for each tick of a sensor, and a worker one for each run: all of a process share the same pools.
"""

from __future__ import annotations

import copy
import os
import threading
import time
from typing import Any

import psycopg2
import sqlalchemy as sa
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config

from mma_pipeline.instance.remembering import (
    RememberingEventLogStorage,
    RememberingRunStorage,
    RememberingScheduleStorage,
)

#: Longest time that one statement may take, ms: purging old ticks is slow, an alert's events are not.
STATEMENT_MS = 600_000
#: A connection older than this is replaced, seconds.
RECYCLE_S = 600
#: Connections that are kept, per kind of storage and process: sensors tick side by side.
KEPT = 4
#: Further connections that a burst may open at once, per kind of storage and process.
OVERFLOW = 20
#: A connection that was idle longer is tested before use, seconds: the database may have been restarted.
IDLE_S = 1.0
_IDLE_SINCE = "mma_idle_since"
_PLUGIN = "mma_kept"
_making = threading.Lock()
_of_process: dict[tuple[int, str, Any], PooledPostgresStorage] = {}


class _PostgresEventLog(RememberingEventLogStorage, PostgresEventLogStorage):
    pass


class _PostgresRuns(RememberingRunStorage, PostgresRunStorage):
    pass


class _PostgresSchedules(RememberingScheduleStorage, PostgresScheduleStorage):
    pass


class KeptConnections(sa.engine.CreateEnginePlugin):
    """Makes a pool as large as sensors need. Dagster's setting has a fixed size of one, and closes what is returned beyond it."""

    def update_url(self, url: sa.URL) -> sa.URL:
        """The address without this plugin's name."""
        return url.difference_update_query(["plugin"])

    def handle_pool_kwargs(self, pool_cls: type[sa.Pool], pool_args: dict[str, Any]) -> None:  # noqa: ARG002
        """Set the size of a pool that has one."""
        if "pool_size" in pool_args:
            pool_args["pool_size"] = KEPT


sa.dialects.plugins.register(_PLUGIN, __name__, KeptConnections.__name__)


class PooledPostgresStorage(DagsterPostgresStorage):
    """`DagsterPostgresStorage` that keeps a few connections per kind of storage and process, with the same configuration."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: Any = None,
        token_provider: Any = None,
    ) -> None:
        """Build the stock storages, with pooled connections, and parts that remember."""
        url = sa.make_url(postgres_url).update_query_pairs([("plugin", _PLUGIN)], append=True)
        address = url.render_as_string(hide_password=False)
        super().__init__(address, should_autocreate_tables, inst_data, token_provider)
        self._event_log_storage = _PostgresEventLog(address, should_autocreate_tables, token_provider=token_provider)
        self._run_storage = _PostgresRuns(address, should_autocreate_tables, token_provider=token_provider)
        self._schedule_storage = _PostgresSchedules(address, should_autocreate_tables, token_provider=token_provider)
        for part in (self._event_log_storage, self._run_storage, self._schedule_storage):
            part.optimize_for_webserver(statement_timeout=STATEMENT_MS, pool_recycle=RECYCLE_S, max_overflow=OVERFLOW)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> PooledPostgresStorage:
        """Build the storage from dagster.yaml, with the pools that this process has for it already."""
        url = pg_url_from_config(config_value)
        # A process that was forked must not use its parent's connections.
        asked = os.getpid(), url, inst_data
        with _making:
            if asked not in _of_process:
                token = get_token_provider_from_config(config_value)
                made = cls(url, config_value.get("should_autocreate_tables", True), inst_data, token)
                _of_process.clear()  # a process has one configuration
                _of_process[asked] = made
            return _of_process[asked].for_another_instance()

    def for_another_instance(self) -> PooledPostgresStorage:
        """The same storages with the same pools, which another instance may take as its own."""
        found = copy.copy(self)
        found._run_storage = copy.copy(self._run_storage)
        found._event_log_storage = copy.copy(self._event_log_storage)
        found._schedule_storage = copy.copy(self._schedule_storage)
        return found


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
