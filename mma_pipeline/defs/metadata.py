"""Pictures and figures as the Dagster UI shows them."""

from __future__ import annotations

import base64
import io
from typing import Any

import dagster as dg

from mma_pipeline.adapters.store import Store

#: Width of the window in which the UI shows a picture, pixels.
PICTURE_WIDTH = 1120


def picture(store: Store, key: str) -> dg.MarkdownMetadataValue:
    """A PNG of the store as the UI shows it, inside the metadata, no wider than the UI's window for it."""
    encoded = base64.b64encode(_fitted(store.get(key))).decode()
    return dg.MetadataValue.md(f"![{key.rpartition('/')[2]}](data:image/png;base64,{encoded})")


def _fitted(png: bytes) -> bytes:
    from PIL import Image

    image = Image.open(io.BytesIO(png))
    if image.width <= PICTURE_WIDTH:
        return png
    size = (PICTURE_WIDTH, round(image.height * PICTURE_WIDTH / image.width))
    small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    small = small.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, format="PNG")
    return buffer.getvalue()


def metadata_value(value: Any) -> Any:
    """A figure as the UI shows it best: objects and lists as JSON, texts of several lines as Markdown."""
    if isinstance(value, dict | list):
        return dg.MetadataValue.json(value)
    if isinstance(value, str) and "\n" in value:
        return dg.MetadataValue.md(value)
    return value
