"""Requests another run for a version that is archived but lacks products.

The sensors and Dagster's own retries finish nearly all versions. This sensor finds the others from the archive alone:
retries used up in a long outage, a cursor moved by hand, a Dagster database restored from a backup. It requests no run
that the others are still about to start, because run keys prevent duplicates of one sensor only.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from mma_pipeline.adapters.archive.recent import RecentVersion, recent_versions
from mma_pipeline.defs.alerts.streams import READ_BY, STREAMS
from mma_pipeline.defs.all_products import expected_files
from mma_pipeline.defs.jobs import EVENT_TAG, Lane, alert_products, lane_tags, urgency
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.product_asset import PERMANENT
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource
from mma_pipeline.defs.ticks import every
from mma_pipeline.notices.model import Role
from mma_pipeline.settings import Settings

#: How far back to look: older versions need a person (`mma status` shows them).
LOOK_BACK = timedelta(days=3)
#: Greatest number of runs for a version; more would not help.
MOST_RUNS = 30
#: Number of runs with a permanent failure after which a version's products count as failed for good. The second run is
#: requested after the time allowed for the first.
HOPELESS_RUNS = 2
#: Greatest number of failed runs searched for versions that failed for good.
MOST_FAILED = 2000
#: How long a failed run is left to Dagster after Dagster announced a retry.
RETRY_S = 3600.0
#: Number of a stream sensor's last ticks searched for a successful one.
TICKS = 20
#: Greatest number of runs requested in one tick.
MOST_REQUESTS = 50


def patience(settings: Settings) -> timedelta:
    """How long a version may take, `MMA_UNFINISHED_AFTER_S`; raises ConfigurationError."""
    return timedelta(seconds=settings.lanes.unfinished_after_s)


def lacking(found: RecentVersion, settings: Settings) -> set[str]:
    """Names of the files that a version should have but does not have."""
    return expected_files(found.record, settings) - found.files


@dg.sensor(
    name="unfinished_versions_sensor",
    job=alert_products,
    minimum_interval_seconds=every(30),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts another run for an archived version that lacks products and has no run in progress.",
)
def unfinished_versions_sensor(
    context: dg.SensorEvaluationContext, archive: ArchiveResource, settings: SettingsResource
) -> dg.SensorResult | dg.SkipReason:
    """Request runs for what is missing."""
    now, wanted = datetime.now(UTC), settings.get()
    wait = patience(wanted)
    looked = last_good_ticks(context.instance)
    requests = []
    for found in recent_versions(archive.open(), now - LOOK_BACK, now):
        if found.received >= now - wait and not found.retried:
            continue
        missing = lacking(found, wanted)
        if not missing or not was_requested(found, looked):
            continue
        request = request_for(context.instance, found, missing, now - wait)
        if request is not None:
            context.log.error(
                f"{found.record.partition_key} lacks {', '.join(sorted(missing))}: requesting another run"
            )
            requests.append(request)
        if len(requests) == MOST_REQUESTS:
            break
    if not requests:
        return dg.SkipReason("every version has its products or a run in progress")
    keys = [str(request.partition_key) for request in requests]
    return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=[alert_versions.build_add_request(keys)])


@dataclass(frozen=True, slots=True)
class SensorTick:
    """State of a stream's sensor."""

    running: bool
    began: float | None
    """Unix time at which its last successful tick began; None if none succeeded."""


def last_good_ticks(instance: dg.DagsterInstance) -> dict[str, SensorTick]:
    """The last successful tick of each stream's sensor, by stream; streams whose sensor never ran are absent."""
    names = {stream.sensor_name: stream.name for stream in STREAMS}
    found: dict[str, SensorTick] = {}
    for state in instance.all_instigator_state():
        if state.instigator_name in names:
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=TICKS)
            good = (tick.timestamp for tick in ticks if tick.status.value in {"SUCCESS", "SKIPPED"})
            look = SensorTick(state.is_running, next(good, None))
            name = names[state.instigator_name]
            # A renamed code location leaves the old sensor's state behind.
            found[name] = max(found.get(name, look), look, key=lambda one: (one.running, one.began or 0.0))
    return found | {name: found[stream.name] for name, stream in READ_BY.items() if stream.name in found}


def was_requested(found: RecentVersion, looked: Mapping[str, SensorTick]) -> bool:
    """Whether the sensor of the version's stream will request no more runs for it.

    A tick that died repeats its messages or submits the rest of its runs, however late. Only a tick that began after the
    message arrived, and succeeded, leaves nothing behind. No sensor handles messages that a person took from quarantine.
    """
    if found.retried:
        return True
    look = looked.get(found.stream)
    if look is None or not look.running:
        return True
    return look.began is not None and look.began > found.received.timestamp()


def failing(instance: dg.DagsterInstance, now: datetime) -> frozenset[str]:
    """Partition keys with more than one recently failed or canceled run: `given_up` can be true only for these."""
    wanted = dg.RunsFilter(
        job_name=alert_products.name,
        statuses=[dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED],
        updated_after=now - LOOK_BACK,
    )
    count = Counter(run.tags.get("dagster/partition", "") for run in instance.get_runs(wanted, limit=MOST_FAILED))
    return frozenset(key for key, runs in count.items() if runs >= HOPELESS_RUNS)


def given_up(instance: dg.DagsterInstance, partition_key: str, now: datetime) -> bool:
    """Whether a version's products have failed for good, so that only a person or new code can make them.

    True if all allowed runs were used, or if two failed permanently. False while a run is in progress or announced, and
    if none has run yet.
    """
    records = instance.get_run_records(
        dg.RunsFilter(job_name=alert_products.name, tags={"dagster/partition": partition_key})
    )
    if any(not record.dagster_run.is_finished or will_be_retried(record, now) for record in records):
        return False
    failed = [r.dagster_run for r in records if r.dagster_run.status is dg.DagsterRunStatus.FAILURE]
    hopeless = [run for run in failed if PERMANENT.items() <= run.tags.items()]
    return len(hopeless) >= HOPELESS_RUNS or len(records) >= MOST_RUNS


def will_be_retried(record: dg.RunRecord, now: datetime) -> bool:
    """Whether Dagster has announced a retry of a failed run and has not started it yet."""
    tags = record.dagster_run.tags
    announced = tags.get("dagster/will_retry") == "true" and "dagster/auto_retry_run_id" not in tags
    return announced and record.end_time is not None and now.timestamp() - record.end_time < RETRY_S


def request_for(
    instance: dg.DagsterInstance, found: RecentVersion, missing: set[str], idle_since: datetime
) -> dg.RunRequest | None:
    """A run for the version, unless one is in progress or has just ended, or too many have failed."""
    key = found.record.partition_key
    records = instance.get_run_records(dg.RunsFilter(job_name=alert_products.name, tags={"dagster/partition": key}))
    if len(records) >= MOST_RUNS or any(not record.dagster_run.is_finished for record in records):
        return None
    if any(record.end_time is not None and record.end_time > idle_since.timestamp() for record in records):
        return None
    if any(will_be_retried(record, datetime.now(UTC)) for record in records):
        return None
    real = found.record.version.role is Role.OBSERVATION
    return dg.RunRequest(
        run_key=f"{key}/unfinished/{len(records)}",
        partition_key=key,
        tags={
            **lane_tags(Lane.LIVE if real else Lane.MOCK, priority=urgency(found.record.version)),
            EVENT_TAG: found.record.version.event_id,
            "mma/lacking": ",".join(sorted(missing))[:200],
        },
    )
