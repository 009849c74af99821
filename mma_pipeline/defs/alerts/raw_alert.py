"""The alert as it was sent, byte for byte: the JSON of `igwn.gwalert`, or of another observatory's notice.

An alert in Avro (from SCiMMA) is written as the JSON that GCN would have sent, and a VOEvent as the JSON notice; the archive
keeps their own bytes, as it does for every message. Alerts of gravitational waves are checked against the published schema
(igwn-gwalert-schema): drift is reported here and never stops an alert. Parts that are wrong are named, and no product uses them.
"""

from __future__ import annotations

import json
from typing import Any

from mma_pipeline.adapters.kafka.avro import MAGIC
from mma_pipeline.adapters.notice_schemas import LVK, schema_drift
from mma_pipeline.notices import lvk
from mma_pipeline.notices.fields import decode_notice
from mma_pipeline.notices.gcn.streams import stream_named
from mma_pipeline.notices.source_words import source_words
from mma_pipeline.products.declaration import (
    NEEDS_ALERT,
    Product,
    ProductFiles,
    degraded_check,
    schema_check,
    treasure_map_file,
)
from mma_pipeline.products.inputs import ProductInput


def _make(source: ProductInput) -> ProductFiles:
    if not source.record.version.is_gravitational_wave:
        return _of_another_observatory(source)
    body = source.message.body
    if body.startswith(MAGIC):
        body = json.dumps(lvk.to_record(source.notice), sort_keys=True, separators=(",", ":")).encode()
    statistics: dict[str, Any] = {name: value for name, value in source.facts.items() if name != "urls"}
    statistics["source"] = "; ".join(source_words(source.facts)) or None
    statistics["gracedb"] = source.facts.get("urls", {}).get("gracedb")
    statistics["schema_drift"] = schema_drift(decode_notice(body), LVK)
    return ProductFiles({"alert": body}, statistics)


def _inputs(source: ProductInput) -> list[str]:
    named = source.facts.get("fetched_for")
    return [source.origin.sha256, source.record.version.label, *([] if named is None else [str(named)])]


def _of_another_observatory(source: ProductInput) -> ProductFiles:
    body = source.alert_bytes
    stream = stream_named(str(source.facts.get("stream")))
    if stream is not None and stream.decode is not None:
        body = json.dumps(stream.decode(body), sort_keys=True, separators=(",", ":")).encode()
    statistics = {name: value for name, value in source.facts.items() if name != "urls"}
    statistics["source"] = "; ".join(source_words(source.facts)) or None
    statistics["schema_drift"] = None
    return ProductFiles({"alert": body}, statistics)


raw_alert = Product(
    name="raw_alert",
    about=__doc__ or "",
    code_version="2",
    priority=40,
    group="alert",
    kinds=frozenset({"kafka", "json"}),
    deps=("gwalert_stream", "notice_streams"),
    files=(treasure_map_file("alert", "_alert.json", "application/json"),),
    inputs=_inputs,
    make=_make,
    need=NEEDS_ALERT,
    checks=(
        schema_check("follows_published_schema", "The notice follows igwn-gwalert-schema"),
        degraded_check("alert_is_whole"),
    ),
)
