"""Definitions with few products, of which one cannot be made for one event: what `test_batches.py` has the daemon run."""

from __future__ import annotations

import dagster as dg

from mma_pipeline.defs.alerts.raw_alert import raw_alert
from mma_pipeline.defs.alerts.stream_assets import gwalert_stream
from mma_pipeline.defs.jobs import alert_products
from mma_pipeline.defs.operations.batches import failed_batches_sensor
from mma_pipeline.defs.product_asset import product_asset
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource, StoreResource
from mma_pipeline.products.declaration import NEEDS_NOTHING, Product, ProductFiles, own_file
from mma_pipeline.products.inputs import ProductInput

#: The event whose product cannot be made.
BAD = "S240301c"
NAMES = ("fragile", "behind", "beside")


def _make(name: str, source: ProductInput) -> ProductFiles:
    if name == "fragile" and source.record.version.event_id == BAD:
        raise ValueError("no such luck")
    return ProductFiles({name: b"made"})


def _product(name: str, *deps: str) -> Product:
    return Product(
        name=name,
        about="A product for a test.",
        code_version="1",
        files=(own_file(name, f"{name}.txt", "text/plain"),),
        inputs=lambda source: [source.origin.sha256, source.record.partition_key, name],
        make=lambda source: _make(name, source),
        need=NEEDS_NOTHING,
        deps=deps,
    )


products = [raw_alert, _product("fragile", "raw_alert"), _product("behind", "fragile"), _product("beside", "raw_alert")]
defs = dg.Definitions(
    assets=[gwalert_stream, *(product_asset(product) for product in products)],
    jobs=[alert_products],
    sensors=[failed_batches_sensor],
    resources={"archive": ArchiveResource(), "store": StoreResource(), "settings": SettingsResource()},
)
