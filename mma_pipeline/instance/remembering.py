"""Storages that do not ask their database again what it has just told them.

A run of all products makes 1,200 statements on PostgreSQL. 360 of them ask whether a table or a column of Dagster's is there, because
an instance may not have been migrated, and 130 whether the run's partition is. A daemon with nothing to do asks whether tables
are there at each tick of each sensor, for two fifths of its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.schedules import SqlScheduleStorage

#: How long a partition that was there counts as there, seconds: for the steps of a run, not for what another process removes.
PARTITION_S = 1.0


class _Found:
    """What was there once, for good. What is missing is asked for again: a migration may bring it."""

    def __init__(self) -> None:
        self._there: set[tuple[str, ...]] = set()

    def __call__(self, *what: str, ask: Callable[[], bool]) -> bool:
        """Whether it was there, or is."""
        if what not in self._there and ask():
            self._there.add(what)
        return what in self._there


class RememberingRunStorage(SqlRunStorage):
    """Remembers which columns and indices are there. Copies share what they know."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Pass on what the stock storage takes."""
        self._found = _Found()
        super().__init__(*arguments, **named)  # type: ignore[no-untyped-call]

    def has_built_index(self, migration_name: str) -> bool:
        """Whether a migration of data has been made."""
        return self._found("index", migration_name, ask=partial(super().has_built_index, migration_name))

    def has_run_stats_index_cols(self) -> bool:
        """Whether the table of runs has their times."""
        return self._found("times", ask=super().has_run_stats_index_cols)

    def has_backfill_id_column(self) -> bool:
        """Whether the table of runs has the backfill."""
        return self._found("backfill", ask=super().has_backfill_id_column)


class RememberingScheduleStorage(SqlScheduleStorage):
    """Remembers which tables and indices are there. Copies share what they know."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Pass on what the stock storage takes."""
        self._found = _Found()
        super().__init__(*arguments, **named)  # type: ignore[no-untyped-call]

    def has_built_index(self, migration_name: str) -> bool:
        """Whether a migration of data has been made."""
        return self._found("index", migration_name, ask=partial(super().has_built_index, migration_name))

    def has_secondary_index_table(self) -> bool:
        """Whether there is a table of migrations of data."""
        return self._found("indices", ask=super().has_secondary_index_table)

    def has_instigators_table(self) -> bool:
        """Whether there is a table of sensors and schedules."""
        return self._found("instigators", ask=super().has_instigators_table)


class RememberingEventLogStorage(SqlEventLogStorage):
    """Remembers which tables and columns are there, for good, and which partitions are, for a moment.

    What is missing is asked again: a migration may bring it.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Pass on what the stock storage takes."""
        self._found = _Found()
        self._partitions: dict[tuple[str, str], float] = {}
        super().__init__(*arguments, **named)  # type: ignore[no-untyped-call]

    def has_table(self, table_name: str) -> bool:
        """Whether a table is there."""
        # The storage behind this class in the order of inheritance has the method.
        return self._found("table", table_name, ask=partial(super().has_table, table_name))  # type: ignore[safe-super]

    def has_asset_key_col(self, column_name: str) -> bool:
        """Whether the table of assets has a column."""
        return self._found("column", column_name, ask=partial(super().has_asset_key_col, column_name))

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Whether a partition is there, or was a moment ago."""
        asked, now = (partitions_def_name, partition_key), time.monotonic()
        if now - self._partitions.get(asked, -PARTITION_S) < PARTITION_S:
            return True
        found = super().has_dynamic_partition(partitions_def_name, partition_key)
        self._partitions = {asked: now} if found else {}
        return found

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        """Remove a partition."""
        super().delete_dynamic_partition(partitions_def_name, partition_key)
        self._partitions = {}
