"""An event log storage that does not ask its database again what it has just been told.

A run of all products makes 1,200 statements on PostgreSQL. 360 of them ask whether a table or a column of Dagster's is there, because
an instance may not have been migrated, and 130 whether the run's partition is.
"""

from __future__ import annotations

import time
from typing import Any

from dagster._core.storage.event_log import SqlEventLogStorage

#: How long a partition that was there counts as there, seconds: for the steps of a run, not for what another process removes.
PARTITION_S = 1.0


class RememberingEventLogStorage(SqlEventLogStorage):
    """Remembers which tables and columns are there, for good, and which partitions are, for a moment.

    What is missing is asked again: a migration may bring it.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Pass on what the stock storage takes."""
        self._there: set[tuple[str, str]] = set()
        self._partitions: dict[tuple[str, str], float] = {}
        super().__init__(*arguments, **named)  # type: ignore[no-untyped-call]

    def has_table(self, table_name: str) -> bool:
        """Whether a table is there."""
        # The storage behind this class in the order of inheritance has the method.
        if ("table", table_name) not in self._there and super().has_table(table_name):  # type: ignore[safe-super]
            self._there.add(("table", table_name))
        return ("table", table_name) in self._there

    def has_asset_key_col(self, column_name: str) -> bool:
        """Whether the table of assets has a column."""
        if ("column", column_name) not in self._there and super().has_asset_key_col(column_name):
            self._there.add(("column", column_name))
        return ("column", column_name) in self._there

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
