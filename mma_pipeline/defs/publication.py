"""Publication in the graph: what may be published, the publishing assets, the sensor that starts them.

A version is published by a run of its own, once its products are there: a retraction has no map, and an asset that
depends on a product that was skipped would be skipped as well.
"""

# No postponed annotations here: Dagster reads the real types of an asset function's parameters.
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from mma_pipeline.adapters import settings
from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.errors import AdapterError
from mma_pipeline.adapters.publishing.compose import COINCIDENCE, GALAXIES
from mma_pipeline.adapters.publishing.config import GWTM, HOPSKOTCH, WEBHOOK
from mma_pipeline.adapters.publishing.decision import Decision, Extras
from mma_pipeline.adapters.publishing.model import Publication, State
from mma_pipeline.adapters.publishing.service import Publications

from .jobs import LANE_TAG, Lane, alert_products
from .partitions import alert_versions
from .products import PRODUCTS, expected_files
from .resources import ArchiveResource, StoreResource
from .source import Source

GROUP = "publication"
PUBLISHABLE = "publishable"
#: Asset of each kind of destination.
ASSETS = {GWTM: "gwtm_publication", HOPSKOTCH: "hopskotch_publication", WEBHOOK: "webhook_publication"}


_services: dict[tuple[Any, ...], Publications] = {}


def services(archive: ArchiveResource, store: StoreResource) -> Publications:
    """Publication as the environment configures it; one per process, so that its connections live on."""
    opened, target, env = archive.open(), store.open(), dict(os.environ)
    path = Path(env.get("MMA_PUBLICATION_CONFIG") or os.devnull)
    written = path.stat().st_mtime_ns if path.is_file() else None
    key = (id(opened), target.url(), written, tuple(sorted(env.items())))
    if key not in _services:
        _services.clear()
        _services[key] = Publications(opened, settings.public_address(env), env)
    return _services[key]


def failed_checks(source: Source) -> list[str]:
    """Checks of a version's products that its archived figures do not pass; those that only warn do not count."""
    failed = []
    for product in PRODUCTS:
        names = {spec.name for spec in product.files}
        figures = next(
            (p.figures for p in source.archive.products(source.record.partition_key) if p.name in names), None
        )
        if figures is None:
            continue
        for check in product.checks:
            if check.severity is dg.AssetCheckSeverity.ERROR and check.test(figures) is False:
                failed.append(f"{product.name}.{check.name}")
    return failed


def missing_files(source: Source) -> list[str]:
    """Files noted for a version that the store does not hold with the noted digest."""
    missing = []
    for product in source.archive.products(source.record.partition_key):
        found = source.store.stat(product.store_key)
        if found is None or found.size != product.size or found.sha256 not in {None, product.sha256}:
            missing.append(product.store_key)
    return missing


def extras_of(source: Source) -> Extras:
    """What a version brings beyond its alert: ranked galaxies. A version without map says nothing about galaxies."""
    found = source.archive.product(source.record.partition_key, GALAXIES)
    if found is None or not found.content_type.endswith("json"):
        return Extras()
    listed = json.loads(source.store.get(found.store_key))
    entries = listed.get("galaxies", ()) if isinstance(listed, dict) else listed
    return Extras(galaxies=tuple(entry for entry in entries if isinstance(entry, dict)))


def ready(record: VersionRecord, published: Publications) -> bool:
    """Whether every file that applies to a version is there; of a neutrino notice also the map that it is compared with."""
    products = {product.name: product for product in published.archive.products(record.partition_key)}
    if COINCIDENCE in products and products[COINCIDENCE].figures.get("map_version") is None:
        return False
    return expected_files(record) <= products.keys()


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
    context: dg.AssetExecutionContext, published: Publications, source: Source, kind: str
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetObservation]:
    """Decide, write to the outbox, send, and report what the receivers said.

    Raises dg.Failure with the receiver's words where a publication was given up.
    """
    configs, key, asset = published.of_kind(kind), source.record.partition_key, ASSETS[kind]
    if not configs:
        context.log.info(f"no {kind} destination is configured")
        return
    decisions = published.decide(source.record, configs, extras_of(source))
    why = {"decision": reasons_markdown(decisions)}
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


def _json(item: Publication) -> dict[str, Any]:
    """A publication as JSON values."""
    plain = {"state": str(item.state), "attempts": item.attempts, "error": item.error, **item.answer}
    return {k: v for k, v in plain.items() if v is not None} | {"enqueued": item.created.isoformat()}


publication_job = dg.define_asset_job(
    "publish_version",
    selection=dg.AssetSelection.groups(GROUP),
    executor_def=dg.in_process_executor,
    description="Checks one version and publishes it wherever it is wanted.",
)


@dg.op(description="Sends what waits in the outbox: retries, and what a crashed run left.")
def send_outbox(context: dg.OpExecutionContext, archive: ArchiveResource, store: StoreResource) -> None:
    """Send everything that is due, and report each publication on its asset."""
    published = services(archive, store)
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


@dg.job(executor_def=dg.in_process_executor, description="Sends what waits in the outbox.")
def publish_outbox() -> None:
    """The job of `send_outbox`."""
    send_outbox()


def _under_way(instance: dg.DagsterInstance) -> set[str]:
    """Versions whose publication has a run that waits or works."""
    statuses = [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
    ]
    runs = instance.get_runs(dg.RunsFilter(job_name=publication_job.name, statuses=statuses))
    return {run.tags.get("dagster/partition", "") for run in runs}


def _tags(*, real: bool) -> dict[str, str]:
    """Lane and priority of a publication: what is made goes out before more is made, and mock waits for all that is real."""
    return {LANE_TAG: (Lane.LIVE if real else Lane.MOCK).value, "dagster/priority": "12" if real else "1"}


def _outbox_key(due: Sequence[Publication], now_s: float) -> str:
    """Run key for emptying the outbox: new when something else is due, and every ten minutes where nothing could be
    claimed (a destination whose settings are wrong must not be the end of it)."""
    rows = [(item.id, item.attempts, item.next_attempt.isoformat()) for item in due]
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    return f"outbox:{int(now_s // 600)}:{digest[:16]}"


@dg.sensor(
    jobs=[publication_job, publish_outbox],
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Publishes versions whose products are there, and sends again what waits in the outbox.",
)
def publication_sensor(
    context: dg.SensorEvaluationContext, archive: ArchiveResource, store: StoreResource
) -> dg.SensorResult | dg.SkipReason:
    """Ask for a run per version that is to be decided upon, and for one that empties the outbox."""
    try:
        published = services(archive, store)
        if not published.configs:
            return dg.SkipReason("no destination is configured: see docs/publication.md")
        records = published.undecided(lambda record: ready(record, published))
        due = [] if published.dry_run else published.due()
    except AdapterError as error:
        return dg.SkipReason(str(error))
    busy = _under_way(context.instance)
    records = [(record, count) for record, count in records if record.partition_key not in busy]
    requests = [
        dg.RunRequest(
            # A key is used once: a run that died before it decided is asked for again under the next.
            run_key=f"publish:{record.partition_key}:{count}",
            job_name=publication_job.name,
            partition_key=record.partition_key,
            tags=_tags(real=record.version.role == "observation"),
        )
        for record, count in records
    ]
    if due:
        requests.append(
            dg.RunRequest(run_key=_outbox_key(due, time.time()), job_name="publish_outbox", tags=_tags(real=True))
        )
    if not requests:
        return dg.SkipReason("nothing to publish")
    keys = [record.partition_key for record, _ in records]
    add = [alert_versions.build_add_request(keys)] if keys else []
    return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=add)


@dg.run_failure_sensor(
    name="failed_runs_sensor",
    monitored_jobs=[alert_products],
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells people, by the webhooks that want failures, when the products of a version could not be made.",
)
def failed_runs_sensor(
    context: dg.RunFailureSensorContext, archive: ArchiveResource, store: StoreResource
) -> dg.SkipReason | None:
    """Write one message per failed run to the outbox."""
    published = services(archive, store)
    if published.dry_run:
        return dg.SkipReason("DRY_RUN is set")
    run = context.dagster_run
    key = run.tags.get("dagster/partition")
    event_id = run.tags.get("mma/event") or (key or "").partition("-")[0] or "no event"
    told = published.tell_failure(f"run-{run.run_id}", run.job_name, event_id, context.failure_event.message or "", key)
    return None if told else dg.SkipReason("no webhook wants failures")
