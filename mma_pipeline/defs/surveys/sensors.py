"""Asks for runs of the nights whose candidates changed, looks back when maps come, and reports the survey's stream.

What changed stands in the archive, so that nothing is lost with a cursor: a candidate is to be scored where it was not
scored with its newest message and the event's current version. A run key names both, so a repetition starts nothing.
"""

# No postponed annotations here: Dagster reads the real types of the sensor's parameters.
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.live_events import LiveEvent, live_events
from mma_pipeline.adapters.archive.surveys import PartitionCounts, SurveyArchive
from mma_pipeline.adapters.deadline import left, within
from mma_pipeline.adapters.kafka.fetch import fetch_messages
from mma_pipeline.adapters.store import Store
from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.adapters.surveys.packets import Formats
from mma_pipeline.adapters.surveys.stream import survey_stream
from mma_pipeline.defs.alerts.sensors import TICK_S
from mma_pipeline.defs.jobs import EVENT_TAG, MOST_S, Lane, lane_tags
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource, StoreResource
from mma_pipeline.defs.surveys.assets import event_nights
from mma_pipeline.notices.model import Role, role_of
from mma_pipeline.notices.photometry.event_night import EventNight
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.products.survey_regions import LiveRegions
from mma_pipeline.products.surveys.looking_back import look_back
from mma_pipeline.settings import Settings

#: Seconds between two runs of one night: what changes meanwhile is scored together. The first is asked for at once.
DEBOUNCE_S = 60.0
#: Seconds after which a night that is still to be scored is asked for again: its run was lost for good.
AGAIN_S = 1800.0
#: Seconds of a tick after which no further map is looked up, and for fetching the packets that one finds.
LOOKS_S = 20.0
FETCH_S = 20.0
#: Seconds after which a new map is looked up in the kept nights once more: what a reader had in hand when it came.
SECOND_LOOK_S = 90.0
#: Seconds between two reports of the stream.
REPORT_S = 300.0

survey_scoring = dg.define_asset_job(
    "survey_scoring",
    selection=dg.AssetSelection.assets("survey_candidates"),
    executor_def=dg.in_process_executor,
    # Of a run that a person starts; the sensor's says for itself.
    tags=lane_tags(Lane.KILONOVA),
    description="Scores what surveys brought to an event in a night.",
)


@dataclass
class State:
    """What the sensor remembers."""

    asked: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By partition: the run key that was asked for last, and when (Unix s)."""
    looked: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By version: how many times the kept nights were looked through for it, and when first."""
    reported: float = 0.0

    @classmethod
    def of(cls, cursor: str | None) -> "State":
        """From the cursor's text."""
        if not cursor:
            return cls()
        record: dict[str, Any] = json.loads(cursor)
        return cls(
            {k: (str(key), float(at)) for k, (key, at) in record["asked"].items()},
            {k: (int(n), float(at)) for k, (n, at) in record["looked"].items()},
            float(record["reported"]),
        )

    def text(self) -> str:
        """As the cursor keeps it."""
        return json.dumps(asdict(self), sort_keys=True)


@dg.sensor(
    name="survey_sensor",
    job=survey_scoring,
    minimum_interval_seconds=2,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Runs of the nights whose candidates of surveys changed; new maps against the kept nights; the stream's statistics.",
)
def survey_sensor(
    context: dg.SensorEvaluationContext, archive: ArchiveResource, store: StoreResource, settings: SettingsResource
) -> dg.SensorResult | dg.SkipReason:
    """Look at the archive, answer."""
    opened = archive.open()
    surveys = SurveyArchive(opened)
    counts = surveys.partitions()
    if not counts:
        return dg.SkipReason("no survey's alerts were read yet: see mma survey read")
    now = datetime.now(UTC)
    state = State.of(context.cursor)
    with within(TICK_S):
        found = settings.get()
        wanted, today = found.surveys, mjd_of_datetime(now)
        live = live_events(opened, today, today, days=wanted.days, mocks=wanted.mocks)
        _look_back(context, opened, store.open(), live, state, now, found)
        requests = list(_requests(surveys, live, state, now))
    keys = sorted({str(request.partition_key) for request in requests})
    events = []
    if now.timestamp() - state.reported >= REPORT_S:
        state.reported = now.timestamp()
        events.append(report(counts, now))
    if not requests and not events and state.text() == context.cursor:
        return dg.SkipReason("no candidate changed")
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[event_nights.build_add_request(keys)] if keys else [],
        asset_events=events,
        cursor=state.text(),
    )


def _look_back(
    context: dg.SensorEvaluationContext,
    archive: Archive,
    store: Store,
    live: list[LiveEvent],
    state: State,
    now: datetime,
    settings: Settings,
) -> None:
    """Look new maps up in the kept nights: at once, and once more when every reader has written what it had in hand."""
    stamp = now.timestamp()
    keys = [event.record.partition_key for event in live]
    state.looked = {key: state.looked[key] for key in keys if key in state.looked}
    due = [
        key
        for key in keys
        if (seen := state.looked.get(key, (0, stamp)))[0] == 0 or (seen[0] == 1 and stamp - seen[1] >= SECOND_LOOK_S)
    ]
    if not due:
        return
    wanted, today = settings.surveys, mjd_of_datetime(now)
    index = LiveRegions(archive, days=wanted.days, level=wanted.level, mocks=wanted.mocks).index(today)
    stream = settings.survey_stream
    config = survey_stream(settings.survey_broker, settings.hop_broker, settings.gcn_broker, stream.name, stream.topics)
    regions = {region.version: region for region in index.regions}
    started = time.monotonic()
    for key in due:
        if time.monotonic() - started > LOOKS_S:
            break  # the rest at the next tick
        region = regions.get(key)
        if region is not None:  # its map can be read
            found = look_back(
                SurveyArchive(archive, settings.kilonova.nearness),
                RecentNights(store),
                region,
                wanted.thresholds,
                stream=stream.name,
                formats=Formats(settings.survey_schemas),
                fetch=lambda places: {} if config is None else fetch_messages(config, places, seconds=left(FETCH_S)),
            )
            context.log.info(f"{key}: {found}")
        times, first = state.looked.get(key, (0, stamp))
        state.looked[key] = (times + 1, first)


def _requests(surveys: SurveyArchive, live: list[LiveEvent], state: State, now: datetime) -> Iterator[dg.RunRequest]:
    """Runs of the nights that changed; the state notes them."""
    versions = {event.event_id: event.record.partition_key for event in live}
    stamp = now.timestamp()
    found = surveys.to_score(versions)
    nights = {EventNight(event, night).partition_key for event, night in found}
    state.asked = {key: value for key, value in state.asked.items() if key in nights}
    for (event, night), (newest, changed) in sorted(found.items()):
        partition = EventNight(event, night).partition_key
        key = f"{partition}:{newest}:{changed}:{versions[event]}"
        before, at = state.asked.get(partition, ("", 0.0))
        if stamp - at < (AGAIN_S if key == before else DEBOUNCE_S):
            continue
        again = f":{int(stamp // AGAIN_S)}" if key == before else ""
        state.asked[partition] = (key, stamp)
        real = role_of(event) is Role.OBSERVATION
        yield dg.RunRequest(
            run_key=key + again,
            partition_key=partition,
            tags={
                **lane_tags(
                    Lane.KILONOVA if real else Lane.MOCK, priority=6 if real else 0, most_s=MOST_S[Lane.KILONOVA]
                ),
                EVENT_TAG: event,
            },
        )


def report(counts: list[PartitionCounts], now: datetime) -> dg.AssetMaterialization:
    """The stream's statistics, all partitions together."""
    dropped: dict[str, int] = {}
    for one in counts:
        for reason, number in one.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + number
    lags = [one.lag for one in counts if one.lag is not None]
    # A rate is the reader's, which may have several partitions.
    rates = {
        one.member: one.rate for one in counts if one.rate is not None and (now - one.alive).total_seconds() < REPORT_S
    }
    shown: dict[str, Any] = {
        "seen": sum(one.seen for one in counts),
        "inside": sum(one.inside for one in counts),
        "kept": sum(one.kept for one in counts),
        "in quarantine": sum(one.quarantined for one in counts),
        "lost unread": sum(one.lost for one in counts),
        **{f"dropped: {reason}": number for reason, number in sorted(dropped.items())},
        "readers": len({one.member for one in counts}),
        "partitions": len(counts),
        "last sign of life (s ago)": round(min((now - one.alive).total_seconds() for one in counts)),
    }
    if lags:
        shown["waiting at the broker"] = sum(lags)
    if rates:
        shown["per second"] = round(sum(rates.values()), 1)
    # Always the same data version: reading a stream makes nothing out of date that was made from its messages.
    return dg.AssetMaterialization(asset_key="survey_stream", metadata=shown, tags={"dagster/data_version": "read"})


@dg.op(description="Compacts the kept nights of surveys, and removes those older than MMA_SURVEY_NIGHTS.")
def keep_recent_nights(context: dg.OpExecutionContext, store: StoreResource, settings: SettingsResource) -> None:
    """Make files few, and old ones go."""
    nights, today = RecentNights(store.open()), int(mjd_of_datetime(datetime.now(UTC)))
    removed = nights.remove_before(today - settings.get().surveys.nights)
    replaced = sum(nights.compact(kept.night, whole=kept.night < today - 1) for kept in nights.nights())
    context.log.info(f"{removed} files removed, {replaced} taken together")


@dg.job(
    tags=lane_tags(Lane.BACKFILL, priority=-5),
    executor_def=dg.in_process_executor,
    description="Kept nights of surveys: few files, and none older than MMA_SURVEY_NIGHTS.",
)
def survey_nights() -> None:
    """Keep the number of files and nights bounded."""
    keep_recent_nights()


survey_nights_schedule = dg.ScheduleDefinition(
    job=survey_nights, cron_schedule="*/30 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING
)
