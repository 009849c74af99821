"""Asks the Treasure Map and the TOM for the pointings of live events, and has coverage made again where they have changed.

Politely: an event of the last day every `MMA_POINTINGS_MINUTES`, older ones less, a few in a tick, and after a failure
later each time; each source for itself. Mock and test events are not asked for. Pointings that `mma pointings import`
brought count the same.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive import Archive, VersionRecord, outbox, reading, writing
from mma_pipeline.adapters.archive.event_history import newest_map, retraction_of
from mma_pipeline.adapters.archive.pointings import PointingArchive
from mma_pipeline.adapters.archive.recent import recent_versions
from mma_pipeline.adapters.deadline import within
from mma_pipeline.adapters.errors import AdapterError, ConfigurationError, OutOfTimeError
from mma_pipeline.adapters.pointings.poll import Polled, poll, poll_tom
from mma_pipeline.adapters.pointings.tom import TomRequests
from mma_pipeline.adapters.pointings.treasure_map import TreasureMap
from mma_pipeline.adapters.publishing.gwtm_pointings import CANCELLATION, POINTING, cancellations
from mma_pipeline.defs.jobs import EVENT_TAG, Lane, lane_tags
from mma_pipeline.defs.observing.coverage_ledger import coverage_ledger
from mma_pipeline.defs.observing.pointings_memory import SENSOR, Looks, Memory
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource
from mma_pipeline.defs.ticks import every
from mma_pipeline.notices.model import Role
from mma_pipeline.settings import Settings

#: Events that a source is asked for in one tick, and seconds that this may take of the tick's 60.
MOST_ASKED, ASK_S = 5, 20.0
#: Longest pause between two looks at an event, and after failures.
LONGEST = timedelta(hours=6)
#: Asks a source for an event's pointings at a time, and archives them.
_Look = Callable[[str, datetime], Polled]
#: Problems with single rows that a tick's log names.
_SHOWN = 5

coverage_products = dg.define_asset_job(
    "coverage_products",
    selection=dg.AssetSelection.assets(coverage_ledger.name),
    executor_def=dg.in_process_executor,
    description="What is covered of one version's map, again.",
)


@dg.sensor(
    name=SENSOR,
    job=coverage_products,
    minimum_interval_seconds=every(60),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reads pointings of live events from the Treasure Map and the TOM; makes coverage again where they changed.",
)
def pointings_sensor(
    context: dg.SensorEvaluationContext, archive: ArchiveResource, settings: SettingsResource
) -> dg.SensorResult:
    """One tick: ask for what is due, then request the coverage of events whose pointings changed."""
    now, opened = datetime.now(UTC), archive.open()
    cursor = Memory.read(context.cursor)
    for problem in _ask(opened, cursor, now, settings.get()):
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
        cursor=cursor.to_json(),
        skip_reason=None if requests else dg.SkipReason("no pointing of a live event has changed"),
    )


def _ask(archive: Archive, cursor: Memory, now: datetime, settings: Settings) -> list[str]:
    """Ask for the pointings of the events that are due; returns what went wrong, in sentences."""
    try:
        wanted = settings.coverage
    except ConfigurationError as error:
        return [f"pointings are not read: {error}"]
    interval, problems = timedelta(minutes=wanted.minutes), []
    live: dict[str, datetime] | None = None
    sources: tuple[tuple[str, Looks, Callable[[Archive, Settings], _Look | None]], ...] = (
        ("the Treasure Map", cursor, _treasure_map),
        ("the TOM", cursor.tom, _tom),
    )
    for name, looks, source in sources:
        try:
            look = source(archive, settings)
        except ConfigurationError as error:
            problems.append(f"pointings of {name} are not read: {error}")
            continue
        if look is None:
            continue
        if live is None:
            live = _live(archive, now, timedelta(days=wanted.days))
        problems += _ask_one(name, look, looks, live, interval, now)
    return problems


def _treasure_map(archive: Archive, settings: Settings) -> _Look | None:
    url = settings.pointings_url
    if url is None:
        return None
    site = TreasureMap(url)
    return lambda event, now: poll(archive, site, event, now)


def _tom(archive: Archive, settings: Settings) -> _Look | None:
    named = settings.pointings_tom
    if named is None:
        return None
    requests = TomRequests(*named)
    return lambda event, now: poll_tom(archive, requests, event, now)


def _ask_one(
    name: str,
    look: _Look,
    looks: Looks,
    live: Mapping[str, datetime],
    interval: timedelta,
    now: datetime,
) -> list[str]:
    """Ask one source; what goes wrong with it is remembered for it alone."""
    looks.asked = {event: asked for event, asked in looks.asked.items() if event in live}
    if looks.not_before is not None and now < datetime.fromisoformat(looks.not_before):
        return []
    problems: list[str] = []
    try:
        with within(ASK_S):
            for event in _due(live, looks.asked, interval, now)[:MOST_ASKED]:
                polled = look(event, now)
                looks.asked[event] = now.isoformat()
                problems += [f"{event}: {text}" for text in polled.problems[:_SHOWN]]
        looks.succeeded()
    except OutOfTimeError:
        problems.append(f"{name} is slow: the other events are asked for in the next tick")
    except AdapterError as error:
        pause = looks.failed(str(error), now, interval, LONGEST)
        problems.append(f"{name}: {error}; asked again in {pause.total_seconds() / 60:.0f} minutes")
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
    mapped = [record for event in changed for record in newest_maps(histories.get(event, []))]
    products = archive.products_of(record.partition_key for record in mapped)
    for record in mapped:
        key, event = record.partition_key, record.version.event_id
        # A version whose map is not made yet gets its coverage in its own run.
        if any(product.name == "skymap" for product in products[key]):
            yield dg.RunRequest(
                run_key=f"coverage:{key}:{changed[event]}",
                partition_key=key,
                tags={**lane_tags(Lane.BACKFILL), EVENT_TAG: event},
            )


def newest_maps(records: Iterable[VersionRecord]) -> list[VersionRecord]:
    """The versions with the newest own and the newest combined map of one event."""
    known = list(records)
    own = newest_map(known, combined=False)
    external = newest_map([r for r in known if r.version.is_external], combined=True)
    return [record for record in (own, external) if record is not None]
