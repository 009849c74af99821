"""How to read a topic of NASA GCN's Kafka, or of a broker without authentication in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.kafka.stream import StreamConfig


@dataclass(frozen=True, slots=True)
class GcnBroker:
    """Address of the broker and credential."""

    client_id: str | None = None
    """GCN client credentials."""
    client_secret: str | None = field(default=None, repr=False)
    group_id: str | None = None
    """Consumer group; by default `mma-` and the client id."""
    start: str = "earliest"
    """Position at which a new group begins: `earliest` or `latest`."""
    domain: str = "gcn.nasa.gov"
    bootstrap: str | None = None
    """A broker without authentication (of the demonstration or a test) in place of GCN."""


def gcn_stream(
    broker: GcnBroker, name: str, *topics: str, names: Mapping[str, str] | None = None
) -> StreamConfig | None:
    """How to read a topic, or several; None if neither credentials nor a broker are set.

    With `names`, the messages of each topic count as a stream of their own, and the broker need not have every topic.

    Raises ConfigurationError if only one half of the credentials is set.
    """
    client: dict[str, Any] = {"group.id": broker.group_id} if broker.group_id else {}
    if broker.bootstrap:
        return StreamConfig(name, topics, client | {"bootstrap.servers": broker.bootstrap}, broker.start, names or {})
    if not broker.client_id and not broker.client_secret:
        return None
    if not broker.client_id or not broker.client_secret:
        raise ConfigurationError("set both KAFKA_CLIENT_ID and KAFKA_CLIENT_SECRET, the GCN client credentials")
    from gcn_kafka.core import get_config

    client.setdefault("group.id", f"mma-{broker.client_id}")
    settings: dict[str, Any] = get_config(  # type: ignore[no-untyped-call]
        "consumer", client, client_id=broker.client_id, client_secret=broker.client_secret, domain=broker.domain
    )
    return StreamConfig(name, topics, settings, broker.start, names or {})
