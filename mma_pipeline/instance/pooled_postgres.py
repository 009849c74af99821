"""Dagster's PostgreSQL storage with pooled connections, for the warm lane.

The stock storage opens a connection for each statement, because a process may have many instances. A run of all products
makes some 700, and opening them takes most of its time. Dagster's web server keeps its connections by the same setting.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg2
import sqlalchemy as sa
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config

from mma_pipeline.instance.remembering import RememberingEventLogStorage

#: Longest time that one statement may take, ms: purging old ticks is slow, an alert's events are not.
STATEMENT_MS = 600_000
#: A connection older than this is replaced, seconds.
RECYCLE_S = 600
#: Further connections that a burst may open at once, per kind of storage and process.
OVERFLOW = 20
#: A connection that was idle longer is tested before use, seconds: the database may have been restarted.
IDLE_S = 1.0
_IDLE_SINCE = "mma_idle_since"


class _PostgresEventLog(RememberingEventLogStorage, PostgresEventLogStorage):
    pass


class PooledPostgresStorage(DagsterPostgresStorage):
    """`DagsterPostgresStorage` that keeps one connection per kind of storage, with the same configuration."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: Any = None,
        token_provider: Any = None,
    ) -> None:
        """Build the stock storages, with pooled connections, and an event log that remembers."""
        super().__init__(postgres_url, should_autocreate_tables, inst_data, token_provider)
        self._event_log_storage = _PostgresEventLog(
            postgres_url, should_autocreate_tables, token_provider=token_provider
        )
        for part in (self._event_log_storage, self._run_storage, self._schedule_storage):
            part.optimize_for_webserver(statement_timeout=STATEMENT_MS, pool_recycle=RECYCLE_S, max_overflow=OVERFLOW)

    @classmethod
    def from_config_value(  # the stock class returns itself, whatever `cls` is
        cls, inst_data: Any, config_value: Any
    ) -> PooledPostgresStorage:
        """Build the storage from dagster.yaml."""
        return cls(
            pg_url_from_config(config_value),
            config_value.get("should_autocreate_tables", True),
            inst_data,
            get_token_provider_from_config(config_value),
        )


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
