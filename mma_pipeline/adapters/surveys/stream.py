"""Which broker a survey's alerts are read from: its own or a broker service's, GCN, Hopskotch, or one without authentication."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.hopskotch.stream import HopBroker, hop_stream
from mma_pipeline.adapters.kafka.gcn import GcnBroker, gcn_stream
from mma_pipeline.adapters.kafka.stream import StreamConfig

#: How the names of GCN's topics begin.
_GCN = "gcn."


@dataclass(frozen=True, slots=True)
class SurveyBroker:
    """Where to read a survey's alerts, and as whom."""

    bootstrap: str | None = None
    """`host:port`, commas between; None: Hopskotch with its credential, else `local`."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    protocol: str | None = None
    """By default SASL_SSL with a user and PLAINTEXT without."""
    mechanism: str = "SCRAM-SHA-512"
    group: str = "mma-survey"
    """Consumer group."""
    start: str = "latest"
    """Where a new group begins: `earliest` or `latest`."""
    local: str | None = None
    """A broker without authentication (the demonstration's, a test's)."""


def survey_stream(
    broker: SurveyBroker, hop: HopBroker, gcn: GcnBroker, name: str, topics: Sequence[str]
) -> StreamConfig | None:
    """How to read a survey's topics; None where none are named, or there is nothing to read them from.

    Without a broker of its own, topics of GCN (`gcn.notices.boom.alert`) are read there, others from Hopskotch.

    Raises ConfigurationError where half of a credential is set, or topics of GCN stand beside others.
    """
    if not topics:
        return None
    if broker.bootstrap is None and any(topic.startswith(_GCN) for topic in topics):
        if not all(topic.startswith(_GCN) for topic in topics):
            raise ConfigurationError("MMA_SURVEY_TOPICS names topics of GCN and others: a reader reads from one broker")
        return gcn_stream(replace(gcn, group_id=broker.group, start=broker.start), name, *topics)
    if broker.bootstrap is None:
        found = hop_stream(hop, name, *topics)
        if found is not None:
            return StreamConfig(name, tuple(topics), found.client, broker.start)
        if broker.local is None:
            return None
    client: dict[str, Any] = {"bootstrap.servers": broker.bootstrap or broker.local, "group.id": broker.group}
    if broker.bootstrap is not None and (broker.username or broker.password):
        if not (broker.username and broker.password):
            raise ConfigurationError("set both MMA_SURVEY_USERNAME and MMA_SURVEY_PASSWORD")
        client |= {
            "security.protocol": broker.protocol or "SASL_SSL",
            "sasl.mechanism": broker.mechanism,
            "sasl.username": broker.username,
            "sasl.password": broker.password,
        }
    elif broker.protocol is not None:
        client["security.protocol"] = broker.protocol
    return StreamConfig(name, tuple(topics), client, broker.start)
