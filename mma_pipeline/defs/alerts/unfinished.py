"""Requests another run for a version that is archived but lacks products.

The sensors and Dagster's own retries finish nearly all; what slips through (retries used up in a long outage, a cursor
that was moved by hand, a Dagster database restored from a backup) is found here from the archive alone. Nothing is asked
for that they are still about to start: a run key guards the runs of one sensor, not those of two.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from mma_pipeline.adapters.archive.recent import RecentVersion, recent_versions
from mma_pipeline.defs.alerts.streams import STREAMS
from mma_pipeline.defs.all_products import expected_files
from mma_pipeline.defs.jobs import Lane, alert_products, lane_tags
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.product_asset import PERMANENT
from mma_pipeline.defs.resources import ArchiveResource
from mma_pipeline.notices.model import Role
from mma_pipeline.settings import current

#: How far back to look: what is older needs a person (`mma status` shows it).
LOOK_BACK = timedelta(days=3)
#: Runs that a version may have had; more would not help either.
MOST_RUNS = 30
#: Runs that ended with a failure which repeating does not mend, after which a version's products count as failed for
#: good: the second was asked for when the first had had its time.
HOPELESS_RUNS = 2
#: Failed runs looked at to find versions that may have been given up.
MOST_FAILED = 2000
#: How long a failed run is left to Dagster, which has said that it will retry it.
RETRY_S = 3600.0
#: Ticks of a stream's sensor among which a good one is looked for.
TICKS = 20
#: Runs asked for in one tick.
MOST_REQUESTS = 50


def patience() -> timedelta:
    """How long a version may take, `MMA_UNFINISHED_AFTER_S`; raises ConfigurationError."""
    return timedelta(seconds=current().lanes.unfinished_after_s)


def lacking(found: RecentVersion) -> set[str]:
    """Names of the files that a version should have and has not."""
    return expected_files(found.record) - found.files


@dg.sensor(
    name="unfinished_versions_sensor",
    job=alert_products,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts another run for a version that is archived but lacks products and has no run under way.",
)
def unfinished_versions_sensor(
    context: dg.SensorEvaluationContext, archive: ArchiveResource
) -> dg.SensorResult | dg.SkipReason:
    """Ask for what is missing."""
    now = datetime.now(UTC)
    wait = patience()
    looked = last_looks(context.instance)
    requests = []
    for found in recent_versions(archive.open(), now - LOOK_BACK, now):
        if found.received >= now - wait and not found.retried:
            continue
        missing = lacking(found)
        if not missing or not was_requested(found, looked):
            continue
        request = request_for(context.instance, found, missing, now - wait)
        if request is not None:
            context.log.error(
                f"{found.record.partition_key} lacks {', '.join(sorted(missing))}: asking for another run"
            )
            requests.append(request)
        if len(requests) == MOST_REQUESTS:
            break
    if not requests:
        return dg.SkipReason("every version has its products or a run under way")
    keys = [str(request.partition_key) for request in requests]
    return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=[alert_versions.build_add_request(keys)])


@dataclass(frozen=True, slots=True)
class SensorTick:
    """What is known of a stream's sensor."""

    running: bool
    began: float | None
    """Unix time at which its last tick began that ended well; None where none did."""


def last_looks(instance: dg.DagsterInstance) -> dict[str, SensorTick]:
    """Stream name to its sensor's last good tick; streams whose sensor never ran are absent."""
    names = {stream.sensor_name: stream.name for stream in STREAMS}
    found: dict[str, SensorTick] = {}
    for state in instance.all_instigator_state():
        if state.instigator_name in names:
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=TICKS)
            good = (tick.timestamp for tick in ticks if tick.status.value in {"SUCCESS", "SKIPPED"})
            look = SensorTick(state.is_running, next(good, None))
            name = names[state.instigator_name]
            # A code location that was renamed leaves the old one's state behind.
            found[name] = max(found.get(name, look), look, key=lambda one: (one.running, one.began or 0.0))
    return found


def was_requested(found: RecentVersion, looked: Mapping[str, SensorTick]) -> bool:
    """Whether the sensor of the version's stream has asked for what it ever will.

    A tick that died repeats its messages or submits the rest of its runs, however late: only a tick that began after
    the message came, and ended well, leaves nothing behind. What came out of quarantine by a person's word is no sensor's.
    """
    if found.retried:
        return True
    look = looked.get(found.stream)
    if look is None or not look.running:
        return True
    return look.began is not None and look.began > found.received.timestamp()


def failing(instance: dg.DagsterInstance, now: datetime) -> frozenset[str]:
    """Partition keys of which more than one run failed or was ended of late: only of those may `given_up` be true."""
    wanted = dg.RunsFilter(
        job_name=alert_products.name,
        statuses=[dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED],
        updated_after=now - LOOK_BACK,
    )
    count = Counter(run.tags.get("dagster/partition", "") for run in instance.get_runs(wanted, limit=MOST_FAILED))
    return frozenset(key for key, runs in count.items() if runs >= HOPELESS_RUNS)


def given_up(instance: dg.DagsterInstance, partition_key: str, now: datetime) -> bool:
    """Whether a version's products have failed for good, so that only a person or new code will make them.

    True where all runs that it may have were used, or two failed in a way that repeating does not mend; False as long
    as a run is under way or announced, and where none has run yet.
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
    """Whether Dagster has said that it will start a failed run again, and has not done so yet."""
    tags = record.dagster_run.tags
    announced = tags.get("dagster/will_retry") == "true" and "dagster/auto_retry_run_id" not in tags
    return announced and record.end_time is not None and now.timestamp() - record.end_time < RETRY_S


def request_for(
    instance: dg.DagsterInstance, found: RecentVersion, missing: set[str], idle_since: datetime
) -> dg.RunRequest | None:
    """A run for the version, unless one is under way, has just ended, or too many had no success."""
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
            **lane_tags(Lane.LIVE if real else Lane.MOCK, priority=10 if real else 0),
            "mma/event": found.record.version.event_id,
            "mma/lacking": ",".join(sorted(missing))[:200],
        },
    )
