"""Publication of a version: first what may be published at all, then one asset per kind of destination.

`publishable` stands before everything that leaves the house: its checks are blocking. The publishing assets decide by
the rules of each destination, write what is to be sent to the outbox in the same transaction, send it, and show the
receiver's answer. What could not be sent yet waits in the outbox; `publish_outbox` reports it here when it is through.
"""

# No postponed annotations here: Dagster reads the real types of an asset function's parameters.
from collections.abc import Iterator
from typing import Any

import dagster as dg

from mma_pipeline.adapters.publishing.config import GWTM, HOPSKOTCH, WEBHOOK
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.product_asset import OWNERS, PERMANENT
from mma_pipeline.defs.products import PRODUCTS
from mma_pipeline.defs.publication import (
    ASSETS,
    GROUP,
    PUBLISHABLE,
    failed_checks,
    missing_files,
    publish_version,
    services,
)
from mma_pipeline.defs.resources import ArchiveResource, StoreResource
from mma_pipeline.defs.source import Source

_ABOUT = {
    GWTM: "The Treasure Map site: alert rows, galaxy lists, neutrino notices; numbered as our files are.",
    HOPSKOTCH: "Derived alerts on Hopskotch topics, and their withdrawal when the event is retracted.",
    WEBHOOK: "Messages to people: new versions and publications that failed.",
}


@dg.asset(
    name=PUBLISHABLE,
    group_name=GROUP,
    kinds={"python"},
    owners=OWNERS,
    partitions_def=alert_versions,
    deps=[product.name for product in PRODUCTS],
    description="Whether a version may leave the house: its files are in the store as written, its checks passed.",
    check_specs=[
        dg.AssetCheckSpec(
            "product_checks_passed",
            asset=PUBLISHABLE,
            blocking=True,
            description="No product of the version fails one of its checks.",
        ),
        dg.AssetCheckSpec(
            "files_are_in_the_store",
            asset=PUBLISHABLE,
            blocking=True,
            description="Every file noted for the version is in the store with its digest.",
        ),
    ],
)
def publishable(
    context: dg.AssetExecutionContext, archive: ArchiveResource, store: StoreResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """Look at a version's products before anything of it is published."""
    source = Source(archive.open(), store.open(), context.partition_key)
    failed, missing = failed_checks(source), missing_files(source)
    products = source.archive.products(context.partition_key)
    if failed or missing:
        # Looking again at once would find the same.
        context.instance.add_run_tags(context.run_id, PERMANENT)
    yield dg.MaterializeResult(
        metadata={"files": len(products), "failed checks": ", ".join(failed) or "none"},
        check_results=[
            dg.AssetCheckResult(
                passed=not failed, check_name="product_checks_passed", metadata={"failed": ", ".join(failed) or "none"}
            ),
            dg.AssetCheckResult(
                passed=not missing,
                check_name="files_are_in_the_store",
                metadata={"missing": ", ".join(missing) or "none"},
            ),
        ],
    )


def _publication(kind: str) -> dg.AssetsDefinition:
    # A multi-asset of one: only there may an asset yield nothing, as it must where nothing was published.
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
        context: dg.AssetExecutionContext, archive: ArchiveResource, store: StoreResource
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetObservation]:
        published = services(archive, store)
        source = Source(archive.open(), store.open(), context.partition_key)
        yield from publish_version(context, published, source, kind)

    return _asset


gwtm_publication = _publication(GWTM)
hopskotch_publication = _publication(HOPSKOTCH)
webhook_publication = _publication(WEBHOOK)
