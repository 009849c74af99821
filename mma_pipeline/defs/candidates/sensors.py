"""The sensor that archives photometry and requests a run for each candidate and night.

The cursor holds the Kafka offsets, as for alerts. A message is archived before a run is requested, and a message that is
read again after a crash leads to the same run keys. A run key names the night, the newest measurement and the event's
version, and the redshift and extinction where they are known. So a new measurement, a new map or a late redshift causes a new
score, and a repetition does not.
"""

# No postponed annotations here: Dagster reads the real types of the sensor's parameters.
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.photometry import ArchivedMeasurement, PhotometryArchive
from mma_pipeline.adapters.archive.surveys import SurveyArchive
from mma_pipeline.adapters.deadline import within
from mma_pipeline.adapters.errors import ConfigurationError, MissingTopicError
from mma_pipeline.adapters.kafka.cursor import Offsets, decode_offsets, encode_offsets
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.kafka.reader import StreamReader
from mma_pipeline.adapters.photometry.messages import read_photometry_message
from mma_pipeline.defs.alerts.sensors import MAX_MESSAGES, POLL_S, TICK_S, quarantine_event, report_gaps
from mma_pipeline.defs.candidates.scoring import (
    WATCHED_DAYS,
    AdmittedNight,
    current_versions,
    nights_of,
    watched_events,
)
from mma_pipeline.defs.jobs import EVENT_TAG, MOST_S, Lane, lane_tags
from mma_pipeline.defs.resources import ArchiveResource, PhotometryResource
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.model import Role, role_of
from mma_pipeline.notices.photometry.candidate_key import CandidateNight
from mma_pipeline.notices.photometry.measurement import Candidate
from mma_pipeline.notices.photometry.same_object import Nearness
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.products.ingest import Quarantined, quarantine_message
from mma_pipeline.science.kilonova.measured import LOOK_BACK_DAYS
from mma_pipeline.settings import Settings

#: Every night of every candidate of every event.
candidate_nights = dg.DynamicPartitionsDefinition(name="candidate_night")

#: How long each tick considers measurements taken from quarantine: longer than any restart of the sensor.
READ_AGAIN = timedelta(hours=1)

PHOTOMETRY_NOT_CONNECTED = (
    "not connected: set MMA_PHOTOMETRY_TOPICS with HOP_USERNAME and HOP_PASSWORD, or MMA_HOP_STREAMS=true (Hopskotch), or "
    "MMA_KAFKA_BOOTSTRAP for a broker without authentication"
)

candidate_products = dg.define_asset_job(
    "candidate_products",
    selection=dg.AssetSelection.groups("candidate"),
    executor_def=dg.in_process_executor,
    description="Light curve, kilonova probability and ranking of one night of one candidate.",
)


@dataclass(frozen=True)
class NightRequest:
    """A candidate night to score."""

    partition_key: str
    event_id: str
    candidate: str
    reason: str
    """Newest measurement, version, redshift and extinction; the run key consists of this and the partition."""


def ingest_photometry(
    archive: Archive, message: StreamMessage, nearness: Nearness | None = None
) -> list[ArchivedMeasurement] | Quarantined:
    """Archive one photometry message, or quarantine it with the reason; idempotent.

    `nearness` says which candidates are one object; by default the published rule.
    """
    try:
        notice = read_photometry_message(message.body, dict(message.headers))
        return PhotometryArchive(archive, nearness).record(message, notice)
    except NoticeError as error:
        return quarantine_message(archive, message, str(error))


def wanted_nights(
    archive: Archive, brought: Iterable[ArchivedMeasurement], look_back_days: float = LOOK_BACK_DAYS
) -> list[NightRequest]:
    """Nights to score because of new measurements, by key; `look_back_days` as for `nights_of`."""
    photometry = PhotometryArchive(archive)
    by_name: dict[str, list[ArchivedMeasurement]] = {}
    for one in brought:
        by_name.setdefault(one.measurement.candidate.name, []).append(one)
    if not by_name:
        return []
    times = [one.measurement.mjd for some in by_name.values() for one in some]
    events = watched_events(archive, min(times), max(times))
    measured = [(found, by_name[found.candidate.name]) for found in photometry.candidates_named(by_name)]
    newest = {name: max(one.id for one in some) for name, some in by_name.items()}
    nights = nights_of(archive, events, measured, look_back_days)
    return sorted(_requests(nights, newest), key=lambda w: w.partition_key)


def nights_for_new_maps(
    archive: Archive, events: Sequence[str], now_mjd: float, look_back_days: float = LOOK_BACK_DAYS
) -> list[NightRequest]:
    """The latest night of every recently measured candidate that is compatible with these events' new maps."""
    versions = current_versions(archive, events).values()
    if not versions:
        return []
    photometry = PhotometryArchive(archive)
    # What surveys brought is scored by event and night (`defs.surveys`), thousands at a time.
    of_surveys = SurveyArchive(archive).known()
    recent = [f for f in photometry.candidates(since_mjd=now_mjd - WATCHED_DAYS) if f.candidate.name not in of_surveys]
    everything = photometry.measurements_of(found.candidate.name for found in recent)
    last = {name: measured[-1] for name, measured in everything.items()}
    newest = [(found, [last[found.candidate.name]]) for found in recent]
    nights = nights_of(archive, versions, newest, look_back_days)
    return _requests(nights, {name: one.id for name, one in last.items()})


def _requests(nights: Iterable[AdmittedNight], newest: Mapping[str, int]) -> list[NightRequest]:
    """Requests for nights; `newest` gives each candidate's newest measurement by name."""
    return [
        NightRequest(
            found.night.partition_key,
            found.night.event_id,
            name := found.candidate.candidate.name,
            f"{newest[name]}:{found.version.partition_key}{_facts(found.candidate.candidate)}",
        )
        for found in nights
    ]


def _facts(one: Candidate) -> str:
    """What else is known of a candidate, for run keys; empty where nothing is."""
    known = (("z", one.redshift), ("e", one.ebv))
    return "".join(f":{name}{value:g}" for name, value in known if value is not None)


def run_request(wanted: NightRequest) -> dg.RunRequest:
    """The run that scores a night."""
    real = role_of(wanted.event_id) is Role.OBSERVATION
    return dg.RunRequest(
        run_key=f"{wanted.partition_key}:{wanted.reason}",
        partition_key=wanted.partition_key,
        tags={
            **lane_tags(Lane.KILONOVA if real else Lane.MOCK, priority=5 if real else 0, most_s=MOST_S[Lane.KILONOVA]),
            EVENT_TAG: wanted.event_id,
            "mma/candidate": wanted.candidate.replace(" ", "_").replace(":", "_").replace("+", "_"),
        },
    )


def as_partitioned(instance: dg.DagsterInstance, wanted: Iterable[NightRequest]) -> list[NightRequest]:
    """The requests under the keys that their nights have: a night whose partition an earlier release made keeps it."""
    name, found = candidate_nights.name or "", []
    for one in wanted:
        former = CandidateNight.from_partition_key(one.partition_key).score_key
        kept = instance.has_dynamic_partition(name, former)
        found.append(replace(one, partition_key=former) if kept else one)
    return found


def tick_result(wanted: Sequence[NightRequest], quarantined: Sequence[Quarantined], cursor: str) -> dg.SensorResult:
    """Result of a tick: partitions, run requests, quarantine reports and the cursor."""
    keys = sorted({w.partition_key for w in wanted})
    latest = {w.partition_key: w for w in wanted}
    return dg.SensorResult(
        run_requests=[run_request(latest[key]) for key in keys],
        dynamic_partitions_requests=[candidate_nights.build_add_request(keys)] if keys else [],
        asset_events=[quarantine_event(entry) for entry in quarantined],
        cursor=cursor,
    )


def encode_cursor(offsets: Offsets, last_message: int) -> str:
    """Cursor text: offsets, and the newest message whose versions were considered."""
    return json.dumps({"offsets": json.loads(encode_offsets(offsets)), "message": last_message}, sort_keys=True)


def decode_cursor(text: str | None) -> tuple[Offsets, int]:
    """Offsets and newest message of a cursor text; no offsets and 0 for None.

    A cursor of an earlier release counted versions instead: then every version is considered once more, and run keys
    prevent duplicate runs.
    """
    if not text:
        return {}, 0
    record: dict[str, Any] = json.loads(text)
    return decode_offsets(json.dumps(record["offsets"])), int(record.get("message", 0))


@dg.sensor(
    name="photometry_sensor",
    job=candidate_products,
    minimum_interval_seconds=2,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Photometry of transients: SCiMMA source messages, messages in this project's format, and Hermes messages.",
)
def photometry_sensor(
    context: dg.SensorEvaluationContext, archive: ArchiveResource, photometry: PhotometryResource
) -> dg.SensorResult | dg.SkipReason:
    """Archive new photometry and request a run for each candidate night."""
    with within(TICK_S):
        try:
            reader = photometry.reader()
        except ConfigurationError as error:
            return dg.SkipReason(str(error))
        if reader is None:
            return dg.SkipReason(PHOTOMETRY_NOT_CONNECTED)
        return _tick(context, archive, reader, photometry.settings())


def _tick(
    context: dg.SensorEvaluationContext, archive: ArchiveResource, reader: StreamReader, settings: Settings
) -> dg.SensorResult | dg.SkipReason:
    """Poll, archive, answer."""
    before, last_message = decode_cursor(context.cursor)
    try:
        batch = reader.poll(before, max_messages=MAX_MESSAGES, timeout_s=POLL_S)
    except MissingTopicError as error:
        if before or not settings.kafka.bootstrap:
            raise
        return dg.SkipReason(f"nothing to read: {error}")
    reader.commit(before)
    for problem in batch.problems:
        context.log.warning(f"broker: {problem}")
    opened, wanted_by = archive.open(), settings.kilonova
    report_gaps(context, opened, reader, batch)
    outcomes = list(map(partial(ingest_photometry, opened, nearness=wanted_by.nearness), batch.messages))
    quarantined = [entry for entry in outcomes if isinstance(entry, Quarantined)]
    for entry in quarantined:
        context.log.warning(f"{entry.message.coordinates} put in quarantine: {entry.reason}")
    measured = [m for entry in outcomes if not isinstance(entry, Quarantined) for m in entry]
    # Messages that a person retried count as if they had just arrived; run keys prevent duplicate runs.
    measured += PhotometryArchive(opened).measured_since_retry(datetime.now(UTC) - READ_AGAIN)
    wanted = wanted_nights(opened, measured, wanted_by.look_back_days)
    brought = opened.brought_after(last_message)
    if brought:
        now = mjd_of_datetime(datetime.now(UTC))
        events = sorted({v.version.event_id for v in brought})
        wanted = [*nights_for_new_maps(opened, events, now, wanted_by.look_back_days), *wanted]
    if batch.offsets == before and not wanted and not batch.gaps and not brought:
        return dg.SkipReason("no new photometry")
    newest = brought[-1].message_id if brought else last_message
    return tick_result(as_partitioned(context.instance, wanted), quarantined, encode_cursor(batch.offsets, newest))
