"""The sensor and jobs of publication.

The run of an alert publishes at its end (`prompt`). The sensor requests what no such run does: `publish_version` where that
died, where products came late or failed for good, a check held the version back, or a person made its products; and
`publish_outbox` for what waits in the outbox.
"""

# No postponed annotations here: Dagster reads the real types of an asset function's parameters.
import hashlib
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from mma_pipeline.adapters.archive.publications import Publication, State
from mma_pipeline.adapters.errors import AdapterError
from mma_pipeline.adapters.publishing.service import Offer, Publications
from mma_pipeline.defs.jobs import (
    EVENT_TAG,
    MOCK_RETRACTION,
    PROMPT_PUBLICATION,
    PUBLICATION_S,
    PUBLISH_VERSION,
    RETRACTION,
    Lane,
    lane_tags,
)
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.publication.in_progress import due_now, offers_now
from mma_pipeline.defs.publication.shown import answer_metadata
from mma_pipeline.defs.publication.version import ASSETS, GROUP
from mma_pipeline.defs.resources import ArchiveResource, PublicationResource, SettingsResource, StoreResource
from mma_pipeline.defs.ticks import every
from mma_pipeline.notices.model import Role
from mma_pipeline.settings import Settings

publication_job = dg.define_asset_job(
    PUBLISH_VERSION,
    selection=dg.AssetSelection.groups(GROUP) - dg.AssetSelection.key_substring(PROMPT_PUBLICATION),
    executor_def=dg.in_process_executor,
    description="Checks one version and publishes it to every destination whose rule accepts it.",
)


@dg.op(description="Sends publications that wait in the outbox: retries, and those of crashed runs.")
def send_outbox(
    context: dg.OpExecutionContext, archive: ArchiveResource, store: StoreResource, publication: PublicationResource
) -> None:
    """Send everything that is due, and report each publication on its asset."""
    published = publication.open(archive.open(), store.open())
    if published.dry_run:
        context.log.info("DRY_RUN is set: nothing is sent")
        return
    wrong = []
    for config in published.configs:
        try:
            items = published.publisher.run(config.name)
        except AdapterError as error:
            wrong.append(f"{config.name}: {error}")
            continue
        for item in items:
            _report(context, item, ASSETS[config.kind])
    if wrong:
        raise dg.Failure("; ".join(wrong), allow_retries=False)


def _report(context: dg.OpExecutionContext, item: Publication, asset: str) -> None:
    """Show a publication that was tried on its asset: a materialisation when the receiver has it."""
    words = f"{item.destination} {item.kind} of {item.event_id}: {item.state}"
    if item.state is State.DONE:
        context.log.info(f"{words} {item.answer.get('reference')}")
        event: type[dg.AssetMaterialization | dg.AssetObservation] = dg.AssetMaterialization
    else:
        context.log.warning(f"{words}: {item.error}")
        event = dg.AssetObservation
    context.log_event(event(asset, partition=item.partition_key, metadata=answer_metadata(item)))


@dg.job(executor_def=dg.in_process_executor, description="Sends publications that wait in the outbox.")
def publish_outbox() -> None:
    """The job of `send_outbox`."""
    send_outbox()


#: Pause after a version's first publication run that left something undecided; doubled from run to run.
PAUSE_S = 60.0


def _publish_request(instance: dg.DagsterInstance, offer: Offer, now: datetime) -> dg.RunRequest | None:
    """A run that publishes a version; None while one is in progress, or if one has just ended and nothing is new since."""
    key, real = offer.record.partition_key, offer.record.version.role is Role.OBSERVATION
    records = instance.get_run_records(dg.RunsFilter(job_name=publication_job.name, tags={"dagster/partition": key}))
    if any(not record.dagster_run.is_finished for record in records):
        return None
    if records:
        last = max(records, key=lambda record: record.create_timestamp)
        ended = last.end_time or last.create_timestamp.timestamp()
        idle = now.timestamp() - ended
        if idle < PAUSE_S * 2.0 ** (len(records) - 1) and offer.changed <= last.create_timestamp:
            return None
    return dg.RunRequest(
        # Each key is used once: if a run died before it decided, the next key requests another.
        run_key=f"publish:{key}:{len(records)}",
        job_name=publication_job.name,
        partition_key=key,
        tags={
            **_tags(real=real, bare=offer.bare, retraction=offer.record.version.is_retraction),
            EVENT_TAG: offer.record.version.event_id,
        },
    )


def _tags(*, real: bool, bare: bool = False, retraction: bool = False) -> dict[str, str]:
    """Lane and priority of a publication.

    Publications go before the making of products (priority 10, for mock events 0), bare ones after it, retractions before
    all others; mock events wait for all real ones.
    """
    priority = (8 if bare else 12) if real else (-1 if bare else 1)
    priority += retraction * (RETRACTION if real else MOCK_RETRACTION)
    return lane_tags(Lane.LIVE if real else Lane.MOCK, priority=priority, most_s=PUBLICATION_S)


def _outbox_request(instance: dg.DagsterInstance, due: Sequence[Publication], now_s: float) -> dg.RunRequest | None:
    """A run that empties the outbox; None while one is queued, which will find everything that is due.

    The key changes when something else is due or the same is due again. It also changes every ten minutes in case nothing
    could be claimed, so that wrong settings of a destination do not stop retries.
    """
    waiting = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING]
    if instance.get_runs_count(dg.RunsFilter(job_name=publish_outbox.name, statuses=waiting)):
        return None
    rows = [(item.id, item.attempts, item.next_attempt.isoformat()) for item in due]
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    key = f"outbox:{int(now_s // 600)}:{digest[:16]}"
    return dg.RunRequest(run_key=key, job_name=publish_outbox.name, tags=_tags(real=True))


#: How long a tick waits for something to publish, and how often it looks, seconds. The daemon starts due sensors every 5 s, so
#: this tick ends shortly before the next one can start; a look takes some hundredths of a second.
WAIT_S, LOOK_S = 4.0, 1.0


@dg.sensor(
    jobs=[publication_job, publish_outbox],
    minimum_interval_seconds=every(5),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Publishes versions whose products exist, and sends again publications that wait in the outbox.",
)
def publication_sensor(
    context: dg.SensorEvaluationContext,
    archive: ArchiveResource,
    store: StoreResource,
    publication: PublicationResource,
    settings: SettingsResource,
) -> dg.SensorResult | dg.SkipReason:
    """Request a run for each version to decide on, and one that empties the outbox, as soon as there is one."""
    ends = time.monotonic() + WAIT_S
    try:
        published = publication.open(archive.open(), store.open())
        if not published.configs:
            return dg.SkipReason("no destination is configured: see docs/publication.md")
        while not (requests := _requests(context.instance, published, settings.get())):
            if time.monotonic() + LOOK_S > ends:
                return dg.SkipReason("nothing to publish")
            time.sleep(LOOK_S)
    except AdapterError as error:
        return dg.SkipReason(str(error))
    keys = [request.partition_key for request in requests if request.partition_key is not None]
    add = [alert_versions.build_add_request(keys)] if keys else []
    return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=add)


def _requests(instance: dg.DagsterInstance, published: Publications, wanted: Settings) -> list[dg.RunRequest]:
    """The runs that are wanted now."""
    now = datetime.now(UTC)
    offers = offers_now(instance, published, wanted, now)
    due = [] if published.dry_run else due_now(instance, published, now)
    requests = [r for offer in offers if (r := _publish_request(instance, offer, now)) is not None]
    if due and (emptying := _outbox_request(instance, due, now.timestamp())) is not None:
        requests.append(emptying)
    return requests
