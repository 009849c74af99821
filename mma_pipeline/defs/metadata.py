"""The metadata of a materialisation in the Dagster UI: plots, statistics, files, and the message that it came from."""

from __future__ import annotations

import base64
import html
import io
import re
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive.event_history import withdrawn_by
from mma_pipeline.adapters.store import Store
from mma_pipeline.products.declaration import Product
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.products.materialize import MaterializedProduct, materialize
from mma_pipeline.settings import Settings

#: Width of the window in which the UI shows a picture, pixels.
PLOT_WIDTH = 1120


def plot(store: Store, key: str) -> dg.MarkdownMetadataValue:
    """A PNG from the store, embedded in the metadata, no wider than the UI's window for it."""
    encoded = base64.b64encode(_fitted(store.get(key))).decode()
    return dg.MetadataValue.md(f"![{key.rpartition('/')[2]}](data:image/png;base64,{encoded})")


def address(settings: Settings, store: Store, key: str) -> str:
    """Where people find a file of the store: on the portal, else at the store's own address, which the UI cannot open."""
    return settings.portal.file_address(key) or store.url(key)


def _fitted(png: bytes) -> bytes:
    from PIL import Image

    image = Image.open(io.BytesIO(png))
    if image.width <= PLOT_WIDTH:
        return png
    size = (PLOT_WIDTH, round(image.height * PLOT_WIDTH / image.width))
    small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    small = small.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, format="PNG")
    return buffer.getvalue()


def in_table(text: str) -> str:
    """Text of others as a cell of a Markdown table in the UI: one line, and nothing in it is markup."""
    plain = html.escape(re.sub(r"\s+", " ", text), quote=False)
    return re.sub(r"([\\`*_\[\]|~!#])", r"\\\1", plain)


def metadata_value(value: Any) -> Any:
    """A statistic in the form that suits the UI: objects and lists as JSON, texts of several lines as Markdown."""
    if isinstance(value, dict | list):
        return dg.MetadataValue.json(value)
    if isinstance(value, str) and "\n" in value:
        return dg.MetadataValue.md(value)
    return value


def materialize_directly(product: Product, source: ProductInput) -> dict[str, Any]:
    """Make a product of a version outside its own asset's run; returns the metadata of its materialisation."""
    return materialization_metadata(product, source, materialize(product, source))


def materialization_metadata(product: Product, source: ProductInput, produced: MaterializedProduct) -> dict[str, Any]:
    """Metadata of a materialisation."""
    origin = source.origin
    plots = {
        record.name: plot(source.store, record.store_key)
        for record in produced.records
        if any(spec.plot and spec.name == record.name for spec in product.all_files(source.settings))
    }
    links = "\n".join(
        f"- [{record.store_key}]({address(source.settings, source.store, record.store_key)}) ({record.size} bytes)"
        for record in produced.records
    )
    return {
        **plots,
        **_withdrawal(source),
        **{name: metadata_value(value) for name, value in produced.statistics.items() if value is not None},
        "files": dg.MetadataValue.md(links),
        "stream": origin.stream,
        "topic": origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
        "created": source.record.version.created.isoformat(),
        "received": origin.received.isoformat(timespec="milliseconds"),
        "message sha256": origin.sha256,
        "content sha256": ", ".join(record.sha256 for record in produced.records),
        "code version": product.code_version,
        "made before, copied": produced.reused,
        "seconds": round(produced.seconds, 4),
    }


def _withdrawal(source: ProductInput) -> dict[str, Any]:
    """Metadata for an event that was retracted before the product was made."""
    retraction = withdrawn_by(source.archive, source.record)
    if retraction is None or retraction.version.alert_type is source.record.version.alert_type:
        return {}
    return {"retracted": True, "retracted by": retraction.partition_key}
