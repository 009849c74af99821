"""Publication of a version: first what may be published at all, then one asset per kind of destination.

A run of `publish_version` makes these assets; the run of an alert reports on them what it published itself (`prompt`). Nothing is sent before `publishable` has passed: its checks are blocking. The publishing assets decide by the rules of each
destination, write publications to the outbox in the same transaction, send them, and show the receiver's answer. Those that
could not be sent yet wait in the outbox; `publish_outbox` reports them here once they are sent.
"""

# No postponed annotations here: Dagster reads the real types of an asset function's parameters.
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive import blocks, writing
from mma_pipeline.adapters.publishing.compose import is_bare
from mma_pipeline.adapters.publishing.config import GWTM, HOPSKOTCH, WEBHOOK
from mma_pipeline.adapters.publishing.service import Readiness
from mma_pipeline.defs.all_products import PRODUCTS, expected_files
from mma_pipeline.defs.jobs import REPORTED, tag_event
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.product_asset import OWNERS, PERMANENT
from mma_pipeline.defs.publication.readiness import (
    CHECKS,
    FILES,
    PASSED,
    THERE,
    Finding,
    failed_checks,
    missing_files,
    readiness,
)
from mma_pipeline.defs.publication.shown import findings_markdown, release_metadata
from mma_pipeline.defs.publication.version import ASSETS, GROUP, PUBLISHABLE, publish_version
from mma_pipeline.defs.resources import ArchiveResource, PublicationResource, SettingsResource, StoreResource
from mma_pipeline.products.inputs import ProductInput

_ABOUT = {
    GWTM: "Alert rows, galaxy lists and neutrino notices for the Gravitational Wave Treasure Map (GWTM).",
    HOPSKOTCH: "Derived alerts on Hopskotch topics, and retractions of them when the event is retracted.",
    WEBHOOK: "Messages to people about new versions and failed publications.",
}


@dg.asset(
    name=PUBLISHABLE,
    group_name=GROUP,
    kinds={"python"},
    owners=OWNERS,
    partitions_def=alert_versions,
    deps=[product.name for product in PRODUCTS],
    description="Whether a version may be published: its files are in the store as written, and its checks passed.",
    check_specs=[
        dg.AssetCheckSpec(
            PASSED,
            asset=PUBLISHABLE,
            blocking=True,
            description="No product of the version fails a check that blocks publication; other failed checks are shown.",
        ),
        dg.AssetCheckSpec(
            FILES,
            asset=PUBLISHABLE,
            blocking=True,
            description="Every file recorded for the version is in the store with its digest.",
        ),
        dg.AssetCheckSpec(
            THERE,
            asset=PUBLISHABLE,
            blocking=True,
            description="The products with the map's values exist, or have failed for good.",
        ),
    ],
)
def publishable(
    context: dg.AssetExecutionContext,
    archive: ArchiveResource,
    store: StoreResource,
    publication: PublicationResource,
    settings: SettingsResource,
) -> Iterator[dg.MaterializeResult[Any]]:
    """Check a version's products before it is published; what blocks it is recorded, and reported to people."""
    tag_event(context)
    published = publication.open(archive.open(), store.open())
    source = ProductInput(archive.open(), store.open(), context.partition_key, settings.get())
    record = source.record
    written = source.archive.products(record.partition_key)
    checks = failed_checks(written)
    blocking = [finding for finding in checks if finding.blocks]
    missing = missing_files(source.archive, source.store, record)
    if missing:
        blocking.append(Finding(FILES, "the store holds every file as it was written", {"missing": missing}))
    lacking = _lacking(context.instance, source)
    with writing(source.archive.engine) as connection:
        if blocking:
            plain = [finding.to_json() for finding in blocking]
            blocks.note_block(connection, record.partition_key, record.version.event_id, plain, datetime.now(UTC))
        else:
            blocks.clear_block(connection, record.partition_key)
    released = release_metadata(published.block(record.partition_key))
    if (blocking or lacking) and not released:
        # An immediate retry would find the same, and the health sensor reports it to people.
        context.instance.add_run_tags(context.run_id, {**PERMANENT, **REPORTED})
    severity = dg.AssetCheckSeverity.WARN if released else dg.AssetCheckSeverity.ERROR

    def result(name: str, failed: Sequence[object]) -> dg.AssetCheckResult:
        metadata = {CHECKS[name]: ", ".join(map(str, failed)) or "none", **released}
        return dg.AssetCheckResult(passed=not failed, check_name=name, severity=severity, metadata=metadata)

    yield dg.MaterializeResult(
        metadata={
            "files": len(written),
            "failed checks": findings_markdown(checks),
            **released,
        },
        check_results=[
            result(PASSED, [finding for finding in checks if finding.blocks]),
            result(FILES, missing),
            result(THERE, lacking),
        ],
    )


def _lacking(instance: dg.DagsterInstance, source: ProductInput) -> list[str]:
    """Products not made yet without which the version would go out bare; none if they have failed for good."""
    there = {product.name: product for product in source.archive.products(source.record.partition_key)}
    if not is_bare(source.record, there):
        return []
    if readiness(source.record, there, instance, datetime.now(UTC), source.settings) is not Readiness.WAITING:
        return []
    return sorted(expected_files(source.record, source.settings) - there.keys())


def _publication(kind: str) -> dg.AssetsDefinition:
    # A multi-asset of one, because only there an asset may yield nothing, as it must if nothing was published.
    @dg.multi_asset(
        name=ASSETS[kind],
        specs=[
            dg.AssetSpec(
                ASSETS[kind],
                description=_ABOUT[kind],
                deps=[PUBLISHABLE],
                group_name=GROUP,
                kinds={"python", kind},
                owners=OWNERS,
                skippable=True,
            )
        ],
        partitions_def=alert_versions,
    )
    def _asset(
        context: dg.AssetExecutionContext,
        archive: ArchiveResource,
        store: StoreResource,
        publication: PublicationResource,
        settings: SettingsResource,
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetObservation]:
        tag_event(context)
        published = publication.open(archive.open(), store.open())
        source = ProductInput(archive.open(), store.open(), context.partition_key, settings.get())
        yield from publish_version(context, published, source, kind)

    return _asset


gwtm_publication = _publication(GWTM)
hopskotch_publication = _publication(HOPSKOTCH)
webhook_publication = _publication(WEBHOOK)
