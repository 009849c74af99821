"""Selects the stream of photometry: Hopskotch's, or that of a broker without authentication."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mma_pipeline.adapters.hopskotch.stream import HopBroker, hop_stream
from mma_pipeline.adapters.kafka.gcn import GcnBroker, gcn_stream
from mma_pipeline.adapters.kafka.stream import StreamConfig

STREAM = "photometry"
DEFAULT_TOPIC = "mma.photometry"


def photometry_stream(
    topics: Sequence[str], hop: HopBroker, local: GcnBroker, start: str | None = None
) -> StreamConfig | None:
    """How to read photometry; None if there is nothing to read from.

    With a credential, the configured topics are read from Hopskotch; without configured topics nothing is read there,
    because the credential may be for publication only. Otherwise the topics, by default `mma.photometry`, are those of a
    broker without authentication.

    Args:
        topics: as configured; may be empty.
        hop: Hopskotch and its credential.
        local: the broker that replaces GCN; only its `bootstrap` is used.
        start: position at which a new group begins; by default as for alerts.

    Raises ConfigurationError if half of the credential is set.
    """
    config = hop_stream(replace(hop, start=start or hop.start), STREAM, *topics)
    if config is not None and topics:
        return config
    if not local.bootstrap:
        return None
    found = gcn_stream(replace(local, start=start or local.start, group_id=None), STREAM, DEFAULT_TOPIC)
    return None if found is None else replace(found, topics=tuple(topics) or (DEFAULT_TOPIC,))
