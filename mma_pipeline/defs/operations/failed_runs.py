"""Notifies people of failed runs of every job, once an hour for each job, event and cause."""

# No postponed annotations here: Dagster reads the real types of the sensor's parameters.
import hashlib
from collections.abc import Mapping

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from mma_pipeline.defs.jobs import REPORTED
from mma_pipeline.defs.operations.finders import event_of, who
from mma_pipeline.defs.operations.notifying import NO_EVENT
from mma_pipeline.defs.resources import ArchiveResource, PublicationResource
from mma_pipeline.defs.ticks import every
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.key import EventVersion

#: Seconds in which the same job fails for the same event and cause without a second message.
QUIET_S = 3600


@dg.run_failure_sensor(
    name="failed_runs_sensor",
    minimum_interval_seconds=every(30),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Notifies people through the webhooks with failures = true when a run of any job has failed for good.",
)
def failed_runs_sensor(
    context: dg.RunFailureSensorContext, archive: ArchiveResource, publication: PublicationResource
) -> dg.SkipReason | None:
    """Write one message per job, event and cause to the outbox; mock events count as one."""
    run = context.dagster_run
    if run.tags.get("dagster/will_retry") == "true":
        return dg.SkipReason("Dagster retries the run: only the last attempt is reported")
    if REPORTED.items() <= run.tags.items():
        return dg.SkipReason("the run's finding is reported separately")
    published = publication.telling(archive.open())
    if not published.failure_webhooks:
        return dg.SkipReason("no webhook is configured for failures")
    record = context.instance.get_run_record_by_id(run.run_id)
    ended = 0.0 if record is None or record.end_time is None else record.end_time
    event_id, cause = event_of(run.tags), cause_of(context)
    digest = hashlib.sha256("".join(c for c in cause if not c.isdigit()).encode()).hexdigest()[:12]
    key = f"run-{run.job_name}-{who(event_id)}-{digest}-{ended // QUIET_S:.0f}"
    text = f"{cause} (run {run.run_id[:8]})"
    told = published.notify_failure(key, run.job_name, event_id or NO_EVENT, text, _version(run.tags))
    return None if told else dg.SkipReason("the same was reported within the last hour")


def cause_of(context: dg.RunFailureSensorContext) -> str:
    """Why a run failed: its steps' errors at their root, else what Dagster says of the run."""
    causes = [
        f"{event.step_key}: {_root(event.step_failure_data.error)}"
        for event in context.get_step_failure_events()
        if event.step_failure_data.error is not None
    ]
    return "; ".join(causes) or context.failure_event.message or "no reason is known"


def _root(error: SerializableErrorInfo) -> str:
    while error.cause is not None:
        error = error.cause
    # Drop the class name with its module, which tells people nothing.
    head, colon, rest = error.message.strip().partition(": ")
    return rest if colon and "." in head and " " not in head else error.message.strip()


def _version(tags: Mapping[str, str]) -> str | None:
    """The partition of a run if it is that of a version."""
    key = tags.get("dagster/partition")
    try:
        return None if key is None else EventVersion.from_partition_key(key).partition_key
    except NoticeError:
        return None
