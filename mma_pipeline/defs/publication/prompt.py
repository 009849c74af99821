"""Publication of an alert by its own run, at its end.

A run of `publish_version` would wait for a look of the daemon at its sensors, for the queue and for a worker. So the run that a
sensor requested for an alert decides and sends when the products are there, and reports on the assets of `publish_version`. It
decides on what `publication_sensor` would request at that moment, once no check stands in the way, and leaves everything else
to it: versions that are held back or lack products, a dry run. What is not sent in time waits in the outbox. Nothing that goes
wrong here fails the run, whose products are there, or repeats it.
"""

# No postponed annotations here: Dagster reads the real types of an asset function's parameters.
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive.publications import Publication, State
from mma_pipeline.adapters.deadline import within
from mma_pipeline.adapters.errors import AdapterError
from mma_pipeline.adapters.publishing.decision import Decision
from mma_pipeline.adapters.publishing.service import Publications
from mma_pipeline.defs.jobs import LANE_TAG, OWN_LANES, PROMPT_PUBLICATION, alert_products, keys_of
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.product_asset import BATCH, OWNERS
from mma_pipeline.defs.publication.readiness import (
    CHECKS,
    Finding,
    failed_checks,
    may_be_published,
    missing_files,
    readiness,
)
from mma_pipeline.defs.publication.shown import (
    all_received,
    answer_metadata,
    findings_markdown,
    report_others,
    states,
    why_of,
)
from mma_pipeline.defs.publication.version import ASSETS, GROUP, PUBLISHABLE, extras_of
from mma_pipeline.defs.resources import ArchiveResource, PublicationResource, SettingsResource, StoreResource
from mma_pipeline.products.inputs import ProductInput

#: Seconds from the decision after which no further publication is begun, and after which no wait for a receiver lasts. With the
#: making of the products this is well below what an alert's run may take.
BEGIN_S, END_S = 15.0, 30.0


@dg.multi_asset(
    name=PROMPT_PUBLICATION,
    specs=[
        dg.AssetSpec(
            PROMPT_PUBLICATION,
            description=__doc__,
            # Like the event's page it has no dependency on all products: Dagster skips what is behind a skipped one.
            deps=["raw_alert"],
            group_name=GROUP,
            kinds={"python"},
            owners=OWNERS,
            skippable=True,
        )
    ],
    partitions_def=alert_versions,
    # Behind all products, before the page.
    op_tags={"dagster/priority": "-90"},
    backfill_policy=dg.BackfillPolicy.multi_run(BATCH),
)
def prompt_publication(
    context: dg.AssetExecutionContext,
    archive: ArchiveResource,
    store: StoreResource,
    publication: PublicationResource,
    settings: SettingsResource,
) -> Iterator[dg.MaterializeResult[Any]]:
    """Publish the version if this is its alert's own run; never fails."""
    sent = None
    if not is_own_run(context):
        context.log.info("not the run of an alert: publication_sensor publishes what is to be published")
        return
    try:
        published = publication.open(archive.open(), store.open())
        source = ProductInput(archive.open(), store.open(), context.partition_key, settings.get())
        sent = _publish(context, published, source)
    except Exception:
        # The run that `publication_sensor` requests meets the same, fails, and is reported. The products need no repetition.
        context.log.exception("not published by this run")
    if sent is not None:
        yield dg.MaterializeResult(asset_key=PROMPT_PUBLICATION, metadata=sent)


def is_own_run(context: dg.AssetExecutionContext) -> bool:
    """Whether a sensor requested the run for one alert; runs of backfills and of people are not."""
    own = context.run.job_name == alert_products.name and context.run.tags.get(LANE_TAG) in OWN_LANES
    return own and len(keys_of(context)) == 1


def _publish(context: dg.AssetExecutionContext, published: Publications, source: ProductInput) -> dict[str, Any] | None:
    """Decide, send and report; what became of it for each destination, None if nothing was decided.

    Raises AdapterError where archive, store or the configuration of publication cannot be used.
    """
    key, now = source.record.partition_key, datetime.now(UTC)
    if not published.configs or published.dry_run:
        return None
    offers = published.undecided(
        lambda record, products: readiness(record, products, context.instance, now, source.settings),
        partition_key=key,
    )
    written = source.archive.products(key)
    findings = failed_checks(written)
    held = [str(finding) for finding in findings if finding.blocks] + missing_files(
        source.archive, source.store, source.record
    )
    if not offers or offers[0].bare or held or published.block(key) is not None:
        context.log.info(f"left to publication_sensor: {'; '.join(held) or 'decided on, held back, or not complete'}")
        return None
    fit = may_be_published(published, context.instance, now, source.settings)
    decisions = published.decide(source.record, published.configs, extras_of(source, findings), fit)
    tried = _send(context, published, source.record.version.event_id)
    _report_checks(context, key, len(written), findings)
    return _report(context, published, key, decisions, findings, tried)


def _send(context: dg.AssetExecutionContext, published: Publications, event_id: str) -> list[Publication]:
    """Send what is due of an event, in the time that there is; returns what was tried."""
    tried: list[Publication] = []
    end = time.monotonic() + BEGIN_S
    with within(END_S):
        for config in published.configs:
            if published.is_away(config.name):
                # Other alerts wait for this run's worker, and one attempt at a time is enough to see that it is back.
                context.log.info(f"{config.name} did not take what was sent last: the outbox waits for it")
                continue
            try:
                tried += published.publisher.run(
                    config.name, event_id=event_id, seconds=max(0.0, end - time.monotonic())
                )
            except AdapterError as error:
                context.log.warning(f"{config.name}: {error}")
    return tried


def _report_checks(context: dg.AssetExecutionContext, key: str, files: int, findings: Sequence[Finding]) -> None:
    """Report on `publishable` that the version passed, as a run of `publish_version` does."""
    metadata: dict[str, Any] = {"files": files, "failed checks": findings_markdown(findings)}
    context.log_event(dg.AssetMaterialization(PUBLISHABLE, partition=key, metadata=metadata))
    for name, shown in CHECKS.items():
        passed = dg.AssetCheckEvaluation(
            dg.AssetKey(PUBLISHABLE), name, passed=True, metadata={shown: "none"}, blocking=True
        )
        context.log_event(passed)


def _report(
    context: dg.AssetExecutionContext,
    published: Publications,
    key: str,
    decisions: Sequence[Decision],
    findings: Sequence[Finding],
    tried: Sequence[Publication],
) -> dict[str, Any]:
    """Report on the publishing assets what was decided, and what the receivers answered; the same in short."""
    sent: dict[str, Any] = {}
    for kind, asset in ASSETS.items():
        names = [config.name for config in published.of_kind(kind)]
        if not names:
            continue
        report_others(context, asset, key, [item for item in tried if item.destination in names])
        why = why_of([decision for decision in decisions if decision.destination in names], findings)
        items = published.of_version(key, names)
        metadata = {**why, **states(items)}
        if all_received(items):
            metadata = {**answer_metadata(items[0]), **metadata}
            context.log_event(dg.AssetMaterialization(asset, partition=key, metadata=metadata))
        else:
            context.log_event(dg.AssetObservation(asset, partition=key, metadata=metadata))
        for item in items:
            if item.state is State.FAILED:
                words = f"{item.destination} {item.kind}: {item.error}; retry with: mma publication retry {item.id}"
                context.log.error(words)
        for name in names:
            mine = [item for item in items if item.destination == name]
            done = sum(item.state is State.DONE for item in mine)
            sent[name] = f"{done} of {len(mine)} publications received" if mine else "nothing to be sent"
    return sent
