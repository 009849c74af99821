"""Where photometry arrives, by environment variable: Hopskotch, or another broker without authentication."""

from __future__ import annotations

from collections.abc import Mapping

from mma_pipeline.adapters.hopskotch.stream import hop_client
from mma_pipeline.adapters.kafka.stream import StreamConfig

STREAM = "photometry"
DEFAULT_TOPIC = "mma.photometry"


def photometry_stream(env: Mapping[str, str]) -> StreamConfig | None:
    """How to read photometry; None where neither credentials nor a broker are set.

    `MMA_PHOTOMETRY_TOPICS` lists the topics (commas). With a Hopskotch credential they are Hopskotch's, with the same
    settings as its alerts (`hop_stream.hop_client`), else those of `MMA_KAFKA_BOOTSTRAP`, by default `mma.photometry`.
    `MMA_PHOTOMETRY_OFFSET_RESET`, else `KAFKA_OFFSET_RESET`, is where a new group begins. Raises ConfigurationError as
    `hop_client` does.
    """
    named = env.get("MMA_PHOTOMETRY_TOPICS")
    topics = tuple(t.strip() for t in (named or DEFAULT_TOPIC).split(",") if t.strip())
    start = env.get("MMA_PHOTOMETRY_OFFSET_RESET") or env.get("KAFKA_OFFSET_RESET") or "earliest"
    # The same credential serves publication: only named topics are read with it. Half of one is an error all the same.
    if named or env.get("HOP_USERNAME") or env.get("HOP_PASSWORD"):
        client = hop_client(env, STREAM)
        if client is not None and named:
            return StreamConfig(STREAM, topics, client, start)
    bootstrap = env.get("MMA_KAFKA_BOOTSTRAP")
    return StreamConfig(STREAM, topics, {"bootstrap.servers": bootstrap}, start) if bootstrap else None
