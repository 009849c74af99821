"""Asks the Treasure Map for the pointings of live events, and has coverage made again where pointings have changed.

Politely: an event of the last day every `MMA_POINTINGS_MINUTES`, older ones less, a few in a tick, and after a failure
later each time. Mock and test events are not asked for. Pointings that `mma pointings import` brought count the same.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive import Archive, VersionRecord, outbox, reading, writing
from mma_pipeline.adapters.archive.event_history import newest_map, retraction_of
from mma_pipeline.adapters.archive.pointings import PointingArchive
from mma_pipeline.adapters.archive.recent import recent_versions
from mma_pipeline.adapters.deadline import within
from mma_pipeline.adapters.errors import AdapterError, ConfigurationError, OutOfTimeError
from mma_pipeline.adapters.pointings.poll import poll
from mma_pipeline.adapters.pointings.treasure_map import TreasureMap
from mma_pipeline.adapters.publishing.gwtm_pointings import CANCELLATION, POINTING, cancellations
from mma_pipeline.defs.jobs import Lane, lane_tags
from mma_pipeline.defs.observing.coverage_ledger import coverage_ledger
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource
from mma_pipeline.notices.model import Role
from mma_pipeline.settings import current

#: Events asked for in one tick, and seconds that this may take of the tick's 60.
MOST_ASKED, ASK_S = 5, 25.0
#: Longest pause between two looks at an event, and after failures.
LONGEST = timedelta(hours=6)
#: Problems with single rows that a tick's log names.
_SHOWN = 5

coverage_products = dg.define_asset_job(
    "coverage_products",
    selection=dg.AssetSelection.assets(coverage_ledger.name),
    executor_def=dg.in_process_executor,
    description="What is covered of one version's map, again.",
)


@dataclass
class _Cursor:
    """What the sensor remembers."""

    change: int = 0
    """Last change of a pointing that it has looked at."""
    asked: dict[str, str] = field(default_factory=dict)
    """When each live event was asked for."""
    failures: int = 0
    """In a row."""
    not_before: str | None = None

    @classmethod
    def read(cls, text: str | None) -> "_Cursor":
        return cls(**json.loads(text)) if text else cls()


@dg.sensor(
    name="pointings_sensor",
    job=coverage_products,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reads pointings of live events from the Treasure Map; makes coverage again where pointings changed.",
)
def pointings_sensor(context: dg.SensorEvaluationContext, archive: ArchiveResource) -> dg.SensorResult:
    """One tick: ask for what is due, then request the coverage of events whose pointings changed."""
    now, opened = datetime.now(UTC), archive.open()
    cursor = _Cursor.read(context.cursor)
    for problem in _ask(opened, cursor, now):
        context.log.warning(problem)
    withdrawn = _withdraw(opened, now)
    if withdrawn:
        context.log.info(f"{withdrawn} planned pointings of retracted events are to be cancelled on the Treasure Map")
    changed = PointingArchive(opened).changed_since(cursor.change)
    requests = list(_requests(opened, changed))
    cursor.change = max([cursor.change, *changed.values()])
    keys = [str(request.partition_key) for request in requests]
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[alert_versions.build_add_request(keys)] if keys else [],
        cursor=json.dumps(vars(cursor)),
        skip_reason=None if requests else dg.SkipReason(f"{len(cursor.asked)} live events; no pointing has changed"),
    )


def _ask(archive: Archive, cursor: _Cursor, now: datetime) -> list[str]:
    """Ask for the pointings of the events that are due; returns what went wrong, in sentences."""
    try:
        wanted = current().coverage
        url = current().pointings_url
        site = None if url is None else TreasureMap(url)
    except ConfigurationError as error:
        return [f"pointings are not read: {error}"]
    if site is None:
        return []
    live = _live(archive, now, timedelta(days=wanted.days))
    cursor.asked = {event: asked for event, asked in cursor.asked.items() if event in live}
    if cursor.not_before is not None and now < datetime.fromisoformat(cursor.not_before):
        return []
    problems: list[str] = []
    interval = timedelta(minutes=wanted.minutes)
    try:
        with within(ASK_S):
            for event in _due(live, cursor.asked, interval, now)[:MOST_ASKED]:
                polled = poll(archive, site, event, now)
                cursor.asked[event] = now.isoformat()
                problems += [f"{event}: {text}" for text in polled.problems[:_SHOWN]]
        cursor.failures, cursor.not_before = 0, None
    except OutOfTimeError:
        problems.append("the Treasure Map is slow: the other events are asked for in the next tick")
    except AdapterError as error:
        cursor.failures += 1
        pause = min(interval * 2 ** min(cursor.failures, 10), LONGEST)
        cursor.not_before = (now + pause).isoformat()
        problems.append(f"{error}; asked again in {pause.total_seconds() / 60:.0f} minutes")
    return problems


def _withdraw(archive: Archive, now: datetime) -> int:
    """Write cancellations of what we posted as planned for events that are retracted to the outbox; returns how many are new.

    `publication_sensor` has them sent.
    """
    with reading(archive.engine) as connection:
        posted = outbox.publications(connection, kinds=[POINTING, CANCELLATION])
    by_event: dict[tuple[str, str], list[tuple[str, str, Mapping[str, Any]]]] = {}
    for item in posted:
        by_event.setdefault((item.destination, item.event_id), []).append((item.kind, item.dedupe_key, item.payload))
    histories = archive.versions_of({event for _, event in by_event})
    drafts = [
        draft
        for (destination, event), known in by_event.items()
        if retraction_of(histories.get(event, ())) is not None
        for draft in cancellations(destination, event, known)
    ]
    if not drafts:
        return 0
    with writing(archive.engine) as connection:
        return sum(outbox.enqueue(connection, draft, now) for draft in drafts)


def _live(archive: Archive, now: datetime, look_back: timedelta) -> dict[str, datetime]:
    """Real events that stand and have had a notice with a map lately, with the time of the first of these notices."""
    found: dict[str, datetime] = {}
    for recent in recent_versions(archive, now - look_back, now):
        version = recent.record.version
        # The Treasure Map knows superevents only.
        if version.role is Role.OBSERVATION and version.alert_type is not None and version.is_gravitational_wave:
            found.setdefault(version.event_id, recent.received)
    histories = archive.versions_of(found)
    return {
        event: first
        for event, first in found.items()
        if retraction_of(histories[event]) is None and newest_map(histories[event], combined=True) is not None
    }


def _due(live: Mapping[str, datetime], asked: Mapping[str, str], interval: timedelta, now: datetime) -> list[str]:
    """Events to be asked for, those that waited longest first."""
    waits: list[tuple[Any, ...]] = []
    for event, first in live.items():
        age = max((now - first) / timedelta(days=1), 1.0)
        last = datetime.fromisoformat(asked[event]) if event in asked else datetime.min.replace(tzinfo=UTC)
        if now - last >= min(interval * age, max(LONGEST, interval)):
            waits.append((last, event))
    return [event for _, event in sorted(waits)]


def _requests(archive: Archive, changed: Mapping[str, int]) -> Iterable[dg.RunRequest]:
    """Runs for the newest maps of events whose pointings changed."""
    histories = archive.versions_of(changed)
    for event, number in changed.items():
        for record in newest_maps(histories.get(event, [])):
            # A version whose map is not made yet gets its coverage in its own run.
            if archive.product(record.partition_key, "skymap") is not None:
                yield dg.RunRequest(
                    run_key=f"coverage:{record.partition_key}:{number}",
                    partition_key=record.partition_key,
                    tags={**lane_tags(Lane.BACKFILL), "mma/event": event},
                )


def newest_maps(records: Iterable[VersionRecord]) -> list[VersionRecord]:
    """The versions with the newest own and the newest combined map of one event."""
    known = list(records)
    own = newest_map(known, combined=False)
    external = newest_map([r for r in known if r.version.is_external], combined=True)
    return [record for record in (own, external) if record is not None]
