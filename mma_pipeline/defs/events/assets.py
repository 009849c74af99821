"""The page of the event: one static HTML file with all its versions, `mma/{event}/index.html` in the store.

It shows sky maps, areas, classification, differences between versions, fields of view, galaxies, neutrinos and kilonova
candidates, with links to every product; the same is shown here as Markdown. Each version's run rewrites it at its end from
the whole archive, and `event_page_sensor` requests it when it is out of date. A retraction is shown at the top of the page
and on every product.
"""

# No postponed annotations here: Dagster reads the real types of an asset function's parameters.
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.event_history import map_before, retraction_of, version_before
from mma_pipeline.adapters.store import Store
from mma_pipeline.defs.events.page.write import WrittenPage, write_event_page
from mma_pipeline.defs.jobs import keys_of, tag_event
from mma_pipeline.defs.metadata import address, materialize_directly
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.product_asset import BATCH, OWNERS, RETRY
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource, StoreResource
from mma_pipeline.defs.skymaps.version_difference import version_difference
from mma_pipeline.notices.key import EventVersion
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.settings import Settings

#: Name of the asset below.
PAGE_ASSET = "event_page"


@dg.asset(
    name=PAGE_ASSET,
    group_name="event",
    kinds={"html"},
    owners=OWNERS,
    partitions_def=alert_versions,
    # The page shows all products, but has no dependency on them: a retraction or neutrino notice lacks some products, and
    # Dagster skips assets behind a skipped one.
    deps=["gwalert_stream", "icecube_stream"],
    # The lowest priority makes this the last step, so that the page shows all that the run made.
    op_tags={"dagster/priority": "-100"},
    retry_policy=RETRY,
    backfill_policy=dg.BackfillPolicy.multi_run(BATCH),
    code_version="1",
    description=__doc__,
)
def event_page(
    context: dg.AssetExecutionContext, archive: ArchiveResource, store: StoreResource, settings: SettingsResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """Update what depends on other versions of the event, and write its page."""
    opened, target, wanted = archive.open(), store.open(), settings.get()
    started, written = time.perf_counter(), None
    tag_event(context)
    by_event: dict[str, list[str]] = {}
    for key in keys_of(context):
        by_event.setdefault(EventVersion.from_partition_key(key).event_id, []).append(key)
    for event_id, keys in by_event.items():
        for key, metadata in overtaken_differences(opened, target, event_id, wanted):
            context.log.info(f"{key} is compared with a different version now, because an earlier notice arrived late")
            context.log_event(dg.AssetMaterialization(version_difference.name, partition=key, metadata=metadata))
        for event in withdrawals(opened, event_id, keys):
            context.log_event(event)
        written = write_event_page(opened, target, event_id)
        for key in keys:
            metadata = page_metadata(wanted, target, written, time.perf_counter() - started)
            context.add_asset_metadata(metadata, partition_key=key)
    if written is not None:
        yield dg.MaterializeResult(data_version=dg.DataVersion(written.sha256[:16]))


def overtaken_differences(
    archive: Archive, store: Store, event_id: str, settings: Settings
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Make differences again that no longer compare with the previous version.

    Yields the partition key and the metadata of each. The run of the notice that arrived late does this for its successor.
    A successor whose run is still in progress does it for itself, because this step comes last.
    """
    records = archive.versions(event_id)
    name = version_difference.files[0].name
    products = archive.products_of(record.partition_key for record in records)
    for record in records:
        made = next((product for product in products[record.partition_key] if product.name == name), None)
        if made is None:
            continue
        now = [
            None if r is None else r.partition_key
            for r in (version_before(records, record), map_before(records, record))
        ]
        if now != [made.statistics["before"], made.statistics.get("map_before")]:
            source = ProductInput(archive, store, record.partition_key, settings)
            yield record.partition_key, materialize_directly(version_difference, source)


def withdrawals(archive: Archive, event_id: str, keys: list[str]) -> Iterator[dg.AssetObservation]:
    """Mark products of a retracted event as retracted: those of all versions with the retraction, else those of `keys`."""
    records = archive.versions(event_id)
    retraction = retraction_of(records)
    if retraction is None:
        return
    everywhere = retraction.partition_key in keys
    said: dict[str, bool | str] = {
        "retracted": True,
        "by": retraction.partition_key,
        "at": retraction.version.created.isoformat(),
    }
    products = archive.products_of(record.partition_key for record in records)
    for record in records:
        if record.version.is_retraction:
            continue
        if everywhere or record.partition_key in keys:
            for asset in sorted({PAGE_ASSET, *(product.asset for product in products[record.partition_key])}):
                words = f"{event_id} was retracted: this product describes no astrophysical event"
                yield dg.AssetObservation(asset, partition=record.partition_key, description=words, metadata=said)


def page_metadata(settings: Settings, store: Store, written: WrittenPage, seconds: float) -> dict[str, Any]:
    """What the UI shows of a page: the same as Markdown, and where the page is."""
    state = written.state
    return {
        "event": dg.MetadataValue.md(written.markdown),
        "page": dg.MetadataValue.md(f"[{written.key}]({address(settings, store, written.key)}) ({written.size} bytes)"),
        "versions": len(state.versions),
        "retracted": state.retraction is not None,
        "content sha256": written.sha256,
        "writes": written.writes,
        "seconds": round(seconds, 4),
    }
