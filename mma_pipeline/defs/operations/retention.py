"""The retention job: removes old mock and test versions with files, rows, runs and partitions; real ones stay.

Each version is removed in an order that can be repeated after a crash: files, runs, partition, and last the rows by which
the next pass finds it. The nights of an event's candidates are removed with its last version, in the same order.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.retention import (
    expired,
    files_of,
    forget,
    forget_quarantine,
    scored_nights,
)
from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.adapters.store import Store
from mma_pipeline.adapters.store.paths import event_key, event_night_keys, night_keys, version_key
from mma_pipeline.defs.candidates.sensors import candidate_nights
from mma_pipeline.defs.events.page.write import page_key, write_event_page
from mma_pipeline.defs.jobs import Lane, lane_tags
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource, StoreResource
from mma_pipeline.defs.surveys.assets import event_nights
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.key import EventVersion
from mma_pipeline.notices.photometry.candidate_key import CandidateNight
from mma_pipeline.notices.photometry.event_night import EventNight

#: Number of versions removed together: bounds memory and the length of a transaction.
BATCH = 200


def remove_expired(instance: dg.DagsterInstance, archive: Archive, store: Store, before: datetime) -> tuple[int, int]:
    """Remove mock and test versions that were received before a time; returns the number of versions and of files."""
    versions = files = 0
    while keys := expired(archive.engine, before, limit=BATCH):
        events = sorted({EventVersion.from_partition_key(key).event_id for key in keys})
        known = archive.versions_of(events)
        kept = [e for e in events if any(r.partition_key not in keys for r in known[e])]
        gone = [e for e in events if e not in kept]
        nights = _nights_of(instance, archive, gone)
        of_nights = sorted(set[str]().union(*map(night_keys, nights)))
        together = _event_nights(instance, gone)
        of_nights += sorted(set[str]().union(*map(event_night_keys, together)))
        files += _remove_files(store, sorted({*files_of(archive.engine, keys), *of_nights, *_own_files(store, keys)}))
        _remove_partitions(instance, alert_versions, keys)
        _remove_partitions(
            instance, candidate_nights, [key for night in nights for key in (night.partition_key, night.score_key)]
        )
        _remove_partitions(instance, event_nights, [night.partition_key for night in together])
        _remove_files(store, map(page_key, gone))
        forget(archive.engine, keys)
        for event_id in kept:
            write_event_page(archive, store, event_id)
        versions += len(keys)
    forget_quarantine(archive.engine, before)
    return versions, files


def _own_files(store: Store, keys: Sequence[str]) -> set[str]:
    """Files in the folders of some versions: also those that a product made once, and that no record names any more."""
    versions = [EventVersion.from_partition_key(key) for key in keys]
    folders = {version_key(version, "") for version in versions}
    events = sorted({version.event_id for version in versions})
    found = (entry.key for event_id in events for entry in store.ls(event_key(event_id, "")))
    return {key for key in found if f"{key.rpartition('/')[0]}/" in folders}


def _nights_of(instance: dg.DagsterInstance, archive: Archive, events: Sequence[str]) -> list[CandidateNight]:
    """Candidate nights of some events: those with a partition, scored or not, and those with a score."""
    if not events:
        return []
    found = set()
    for key in {*instance.get_dynamic_partitions(candidate_nights.name or ""), *scored_nights(archive.engine, events)}:
        try:
            night = CandidateNight.from_partition_key(key)
        except NoticeError:  # added by hand: no asset can be made for it
            continue
        if night.event_id in events:
            found.add(night)
    return sorted(found)


def _event_nights(instance: dg.DagsterInstance, events: Sequence[str]) -> list[EventNight]:
    """Nights of some events in which surveys' candidates were scored."""
    found = set()
    for key in instance.get_dynamic_partitions(event_nights.name or "") if events else ():
        try:
            night = EventNight.from_partition_key(key)
        except NoticeError:  # added by hand, as above
            continue
        if night.event_id in events:
            found.add(night)
    return sorted(found)


def _remove_files(store: Store, names: Iterable[str]) -> int:
    """Remove files; returns how many existed, because an interrupted pass may have removed some."""
    removed = 0
    for name in names:
        try:
            store.delete(name)
        except NotFoundError:
            continue
        removed += 1
    return removed


def _remove_partitions(
    instance: dg.DagsterInstance, definition: dg.DynamicPartitionsDefinition, keys: Iterable[str]
) -> None:
    for key in keys:
        for run in instance.get_runs(dg.RunsFilter(tags={"dagster/partition": key})):
            instance.delete_run(run.run_id)
        instance.delete_dynamic_partition(definition.name or "", key)


@dg.op(description="Removes mock and test versions older than MMA_MOCK_DAYS days.")
def remove_mock_versions(context: dg.OpExecutionContext, archive: ArchiveResource, store: StoreResource) -> None:
    """Remove versions that are too old, and report how many."""
    days = archive.mock_days()
    before = datetime.now(UTC) - timedelta(days=days)
    versions, files = remove_expired(context.instance, archive.open(), store.open(), before)
    context.log.info(f"removed {versions} mock versions with {files} files received before {before:%Y-%m-%d %H:%M}")


@dg.job(
    tags=lane_tags(Lane.BACKFILL, priority=-10),
    executor_def=dg.in_process_executor,
    description="Mock and test versions are removed after MMA_MOCK_DAYS days; real ones are kept.",
)
def retention() -> None:
    """Keep the number of partitions bounded."""
    remove_mock_versions()


retention_schedule = dg.ScheduleDefinition(
    job=retention, cron_schedule="17 9 * * *", default_status=dg.DefaultScheduleStatus.RUNNING
)
