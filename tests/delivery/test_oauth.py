"""GCN's way to log in, on a real broker: client credentials, tokens that expire, a provider that is away."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mma_pipeline.adapters.errors import TransientError
from mma_pipeline.adapters.kafka.gcn import GcnBroker, gcn_stream
from mma_pipeline.adapters.kafka.reader import StreamReader
from mma_pipeline.adapters.kafka.stream import StreamConfig
from tests.delivery.test_stream_faults import bodies, poll_until
from tests.services.fixtures import needs
from tests.services.kafka import KafkaBroker
from tests.services.oidc import CLIENT, SECRET, OidcProvider


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    """A provider whose tokens last five seconds."""
    with OidcProvider(lifetime_s=5.0) as found:
        yield found


@pytest.fixture
def broker(provider: OidcProvider) -> Iterator[KafkaBroker]:
    """A broker that takes the provider's tokens and wants a new one before the old has expired."""
    with needs("Apache Kafka"), KafkaBroker.running(oidc_jwks_url=provider.jwks_url, max_reauth_ms=60_000) as found:
        yield found


def config(broker: KafkaBroker, provider: OidcProvider, topic: str, secret: str = SECRET) -> StreamConfig:
    """GCN's own settings, with this broker and provider in place of GCN's."""
    found = gcn_stream(GcnBroker(CLIENT, secret), topic, topic)
    assert found is not None
    here = {
        "bootstrap.servers": broker.sasl_bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.oauthbearer.token.endpoint.url": provider.token_url,
    }
    return replace(found, client={**found.client, **here})


@pytest.mark.timeout(240)
def test_expired_token_and_lost_provider(
    broker: KafkaBroker, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading goes on by itself after the token has expired, and after a time in which no new one could be had."""
    monkeypatch.setattr("mma_pipeline.adapters.kafka.reader.REQUEST_TIMEOUT_S", 4.0)
    topic = f"oauth-{uuid.uuid4().hex}"
    broker.create_topic(topic)
    refused = StreamReader(config(broker, provider, topic, secret="wrong-secret"))
    problems: list[str] = []
    deadline = time.monotonic() + 30
    while not problems and time.monotonic() < deadline:
        try:
            problems += refused.poll({}, max_messages=1, timeout_s=1).problems
        except TransientError as error:
            problems.append(str(error))
    refused.close()
    assert problems
    assert "wrong-secret" not in " ".join(problems)

    reader = StreamReader(config(broker, provider, topic))
    broker.produce(topic, b"with the first token")
    first = poll_until(reader, {}, 1)
    assert bodies(first) == [b"with the first token"]
    cursor = first[-1].offsets
    began = len(provider.issued)
    wait_for_tokens(provider, reader, cursor, began + 1)
    broker.produce(topic, b"with a later token")
    later = poll_until(reader, cursor, 1)
    assert bodies(later) == [b"with a later token"]
    cursor = later[-1].offsets

    provider.broken = True
    expired = provider.issued[-1] + provider.lifetime_s + 1
    problems = []
    while time.time() < expired:
        problems += reader.poll(cursor, max_messages=1, timeout_s=1).problems
    broker.restart()  # no connection is left from the days of the old token
    broker.produce(topic, b"while no token could be had")
    assert not bodies(poll_until(reader, cursor, 1, patience_s=3))
    provider.broken = False
    last = poll_until(reader, cursor, 1, patience_s=60)
    assert bodies(last) == [b"while no token could be had"]
    assert SECRET not in " ".join([*problems, *(problem for batch in last for problem in batch.problems)])
    reader.close()


def wait_for_tokens(
    provider: OidcProvider, reader: StreamReader, cursor: dict[str, dict[int, int]], count: int
) -> None:
    """Poll, as the sensor does, until the client has fetched so many tokens."""
    deadline = time.monotonic() + 60
    while len(provider.issued) < count and time.monotonic() < deadline:
        reader.poll(cursor, max_messages=1, timeout_s=0.5)
    assert len(provider.issued) >= count
