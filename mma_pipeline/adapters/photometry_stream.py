"""Where photometry arrives, by environment variable: Hopskotch, or another broker without authentication."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import ConfigurationError
from .kafka_stream import StreamConfig

STREAM = "photometry"
DEFAULT_TOPIC = "mma.photometry"
HOPSKOTCH = "kafka.scimma.org:9092"


def photometry_stream(env: Mapping[str, str]) -> StreamConfig | None:
    """How to read photometry; None where neither credentials nor a broker are set.

    `MMA_PHOTOMETRY_TOPICS` lists the topics (commas). With `HOP_USERNAME` and `HOP_PASSWORD` they are Hopskotch's
    (SCRAM-SHA-512; a group id there must begin with the user name), else those of `MMA_KAFKA_BOOTSTRAP`, by default
    `mma.photometry`. `MMA_PHOTOMETRY_OFFSET_RESET` is where a new group begins. Raises ConfigurationError where
    only half of the credentials is set.
    """
    named = env.get("MMA_PHOTOMETRY_TOPICS")
    topics = tuple(t.strip() for t in (named or DEFAULT_TOPIC).split(",") if t.strip())
    start = env.get("MMA_PHOTOMETRY_OFFSET_RESET") or "earliest"
    user, password = env.get("HOP_USERNAME"), env.get("HOP_PASSWORD")
    if bool(user) != bool(password):
        raise ConfigurationError("set both HOP_USERNAME and HOP_PASSWORD, the Hopskotch credential (`hop auth`)")
    # The same credential serves publication: only named topics are read with it.
    if user and password and named:
        client: dict[str, Any] = {
            "bootstrap.servers": env.get("MMA_HOP_BOOTSTRAP") or HOPSKOTCH,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password,
            "group.id": f"{user}-mma-photometry",
        }
        return StreamConfig(STREAM, topics, client, start)
    bootstrap = env.get("MMA_KAFKA_BOOTSTRAP")
    return StreamConfig(STREAM, topics, {"bootstrap.servers": bootstrap}, start) if bootstrap else None
