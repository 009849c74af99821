"""The retention job: mock and test versions go after a while, with files, rows, runs and partition; real ones stay.

Each version is removed in an order that a crash anywhere leaves repeatable: files, runs, partition, and last the rows
by which the next pass finds it.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.retention import expired, files_of, forget
from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.store import Store
from mma_pipeline.notices.key import EventVersion

from .jobs import LANE_TAG, Lane
from .page.write import page_key, write_event_page
from .partitions import alert_versions
from .resources import ArchiveResource, StoreResource

DAYS = 30
#: Versions removed together: bounds memory and the length of a transaction.
BATCH = 200


def days_kept(env: Mapping[str, str]) -> int:
    """`MMA_MOCK_DAYS`, or 30; raises ConfigurationError for what is no whole number of days from 1."""
    text = env.get("MMA_MOCK_DAYS") or str(DAYS)
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(f"MMA_MOCK_DAYS is {text!r}: give a whole number of days, such as {DAYS}")
    return int(text)


def remove_expired(instance: dg.DagsterInstance, archive: Archive, store: Store, before: datetime) -> tuple[int, int]:
    """Remove mock and test versions that were received before a time; returns how many versions and files went."""
    versions = files = 0
    while keys := expired(archive.engine, before, limit=BATCH):
        stored = files_of(archive.engine, keys)
        for name in stored:
            store.delete(name)
        for key in keys:
            for run in instance.get_runs(dg.RunsFilter(tags={"dagster/partition": key})):
                instance.delete_run(run.run_id)
            instance.delete_dynamic_partition(alert_versions.name or "", key)
        events = sorted({EventVersion.from_partition_key(key).event_id for key in keys})
        kept = [e for e in events if any(r.partition_key not in keys for r in archive.versions(e))]
        for name in sorted(page_key(event_id) for event_id in set(events) - set(kept)):
            if store.exists(name):
                store.delete(name)
        forget(archive.engine, keys)
        for event_id in kept:
            write_event_page(archive, store, event_id)
        versions, files = versions + len(keys), files + len(stored)
    return versions, files


@dg.op(description="Removes mock and test versions older than MMA_MOCK_DAYS days.")
def remove_mock_versions(context: dg.OpExecutionContext, archive: ArchiveResource, store: StoreResource) -> None:
    """Remove what is too old and say how much it was."""
    days = days_kept(os.environ)
    before = datetime.now(UTC) - timedelta(days=days)
    versions, files = remove_expired(context.instance, archive.open(), store.open(), before)
    context.log.info(f"removed {versions} mock versions with {files} files received before {before:%Y-%m-%d %H:%M}")


@dg.job(
    tags={LANE_TAG: Lane.BACKFILL.value, "dagster/priority": "-10"},
    executor_def=dg.in_process_executor,
    description="Mock and test versions are removed after MMA_MOCK_DAYS days; real ones stay for ever.",
)
def retention() -> None:
    """Keep the number of partitions bounded."""
    remove_mock_versions()


retention_schedule = dg.ScheduleDefinition(
    job=retention, cron_schedule="17 9 * * *", default_status=dg.DefaultScheduleStatus.RUNNING
)
