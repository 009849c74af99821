"""The sensor and jobs of publication, and what its assets share: decide, send, report.

Each version is published by its own run, once its products exist: a retraction has no map, and Dagster skips an asset that
depends on a skipped product.
"""

# No postponed annotations here: Dagster reads the real types of an asset function's parameters.
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive.blocks import Block
from mma_pipeline.adapters.archive.publications import Publication, State
from mma_pipeline.adapters.errors import AdapterError
from mma_pipeline.adapters.publishing.compose import GALAXIES
from mma_pipeline.adapters.publishing.config import GWTM, HOPSKOTCH, WEBHOOK
from mma_pipeline.adapters.publishing.decision import Decision, Extras
from mma_pipeline.adapters.publishing.service import Offer, Publications
from mma_pipeline.defs.alerts.unfinished import failing
from mma_pipeline.defs.all_products import expected_files
from mma_pipeline.defs.jobs import EVENT_TAG, MOCK_RETRACTION, PUBLICATION_S, RETRACTION, Lane, lane_tags
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.publication.readiness import Finding, failed_checks, may_be_published, readiness
from mma_pipeline.defs.resources import ArchiveResource, PublicationResource, SettingsResource, StoreResource
from mma_pipeline.notices.model import Role
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.settings import Settings

GROUP = "publication"
PUBLISHABLE = "publishable"
#: Asset of each kind of destination.
ASSETS = {GWTM: "gwtm_publication", HOPSKOTCH: "hopskotch_publication", WEBHOOK: "webhook_publication"}


def extras_of(source: ProductInput, findings: Sequence[Finding] = ()) -> Extras:
    """What a version has beyond its alert: ranked galaxies, unless the list fails its own check.

    A version without a map says nothing about galaxies.
    """
    found = source.archive.product(source.record.partition_key, GALAXIES)
    if found is None or not found.content_type.endswith("json"):
        return Extras()
    if any(finding.check.startswith(f"{GALAXIES}.") for finding in findings):
        return Extras()
    listed = json.loads(source.store.get(found.store_key))
    entries = listed.get("galaxies", ()) if isinstance(listed, dict) else listed
    return Extras(galaxies=tuple(entry for entry in entries if isinstance(entry, dict)))


def answer_metadata(item: Publication) -> dict[str, Any]:
    """A publication for the UI: the receiver's answer, when, after how many attempts."""
    shown = {"destination": item.destination, "kind": item.kind, "state": str(item.state), "attempts": item.attempts}
    if item.finished is not None:
        shown["published"] = item.finished.isoformat(timespec="milliseconds")
    if item.error:
        shown["error"] = item.error
    answer = {name: _value(value) for name, value in item.answer.items() if value not in (None, [], {})}
    return {**shown, **answer}


def _value(value: Any) -> Any:
    return dg.MetadataValue.json(value) if isinstance(value, dict | list) else value


def reasons_markdown(decisions: Sequence[Decision]) -> dg.MarkdownMetadataValue:
    """Why something is or is not sent, as a table."""
    lines = ["| destination | criterion | found | |", "|---|---|---|---|"]
    for decision in decisions:
        for reason in decision.reasons:
            mark = "yes" if reason.passed else "**no**"
            lines.append(f"| {decision.destination} | {reason.criterion} | {reason.found} | {mark} |")
    return dg.MetadataValue.md("\n".join(lines))


def publish_version(
    context: dg.AssetExecutionContext, published: Publications, source: ProductInput, kind: str
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetObservation]:
    """Decide, write to the outbox, send, and report the receivers' answers.

    Raises dg.Failure with the receiver's answer if a publication failed for good.
    """
    configs, key, asset = published.of_kind(kind), source.record.partition_key, ASSETS[kind]
    if not configs:
        context.log.info(f"no {kind} destination is configured")
        return
    now, findings = datetime.now(UTC), failed_checks(source.archive.products(key))
    fit = may_be_published(published, context.instance, now, source.settings)
    decisions = published.decide(source.record, configs, extras_of(source, findings), fit)
    why: dict[str, Any] = {"decision": reasons_markdown(decisions), **release_metadata(published.block(key))}
    if findings:
        why["checks not passed"] = dg.MetadataValue.md("\n".join(f"- {finding}" for finding in findings))
    if any(decision.bare for decision in decisions) and not published.dry_run:
        why["bare"] = _bare(source, [d.destination for d in decisions if d.bare and d.drafts])
    if published.dry_run:
        would = [dict(published.preview(draft)) for decision in decisions for draft in decision.drafts]
        shown: dict[str, Any] = {**why, "dry run": True, "would send": dg.MetadataValue.json(would)}
        yield dg.AssetObservation(asset, partition=key, metadata=shown)
        return
    names = [config.name for config in configs]
    tried = [item for name in names for item in published.publisher.run(name, event_id=source.record.version.event_id)]
    for item in tried:
        # Earlier versions of the event may have waited for their turn.
        if item.partition_key not in {None, key} and item.state is State.DONE:
            context.log_event(
                dg.AssetMaterialization(asset, partition=item.partition_key, metadata=answer_metadata(item))
            )
    items = published.of_version(key, names)
    if not items or any(item.state not in {State.DONE, State.FAILED} for item in items):
        waiting = {f"{i.destination} {i.kind}": dg.MetadataValue.json(_json(i)) for i in items}
        yield dg.AssetObservation(asset, partition=key, metadata={**why, **waiting})
    given_up = [item for item in items if item.state is State.FAILED]
    if given_up:
        words = "; ".join(f"{item.destination} {item.kind}: {item.error}" for item in given_up)
        raise dg.Failure(
            words, metadata={**why, "retry with": f"mma publication retry {given_up[0].id}"}, allow_retries=False
        )
    done = [item for item in items if item.state is State.DONE]
    if done and len(done) == len(items):
        answers = {f"{i.destination} {i.kind}": dg.MetadataValue.json(_json(i)) for i in done}
        yield dg.MaterializeResult(asset_key=asset, metadata={**answer_metadata(done[0]), **why, **answers})


def release_metadata(block: Block | None) -> dict[str, Any]:
    """When and why a person released a version despite its checks, for the UI."""
    if block is None or block.released is None:
        return {}
    return {"released": f"{block.released.isoformat(timespec='seconds')}: {block.reason}"}


def _bare(source: ProductInput, names: Sequence[str]) -> str:
    """Text about a version that is published without its map's values."""
    key = source.record.partition_key
    lacking = expected_files(source.record, source.settings) - {
        product.name for product in source.archive.products(key)
    }
    where = f"sent to {', '.join(names)} without its map's values" if names else "not sent"
    return f"{where}: {', '.join(sorted(lacking))} failed for good; completed when they are made (mma backfill {key})"


def _json(item: Publication) -> dict[str, Any]:
    """A publication as JSON values."""
    plain = {"state": str(item.state), "attempts": item.attempts, "error": item.error, **item.answer}
    return {k: v for k, v in plain.items() if v is not None} | {"enqueued": item.created.isoformat()}


publication_job = dg.define_asset_job(
    "publish_version",
    selection=dg.AssetSelection.groups(GROUP),
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
    minimum_interval_seconds=5,
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
    doubtful = failing(instance, now)
    offers = published.undecided(lambda record, products: readiness(record, products, instance, now, wanted, doubtful))
    due = [] if published.dry_run else published.due()
    requests = [r for offer in offers if (r := _publish_request(instance, offer, now)) is not None]
    if due and (emptying := _outbox_request(instance, due, now.timestamp())) is not None:
        requests.append(emptying)
    return requests
