"""librdkafka's mock cluster as a broker for demos and tests; it keeps nothing when it ends."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Producer

from .event import Sent

_TIMEOUT_S = 10.0


class EmbeddedKafka:
    """A broker inside this process that other processes can reach; use as a context manager."""

    def __init__(self) -> None:
        """Start it."""
        self._producer = Producer({"bootstrap.servers": "embedded", "test.mock.num.brokers": 1, "linger.ms": 0})
        brokers = self._producer.list_topics(timeout=_TIMEOUT_S).brokers.values()
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def __enter__(self) -> EmbeddedKafka:
        """Already running."""
        return self

    def __exit__(self, *_: object) -> None:
        """The broker ends with its producer."""
        self._producer.flush(_TIMEOUT_S)
        del self._producer

    def send(self, topic: str, messages: Iterable[Sent]) -> None:
        """Publish messages as `publish` does."""
        publish(self._producer, topic, messages)


def publish(producer: Producer, topic: str, messages: Iterable[Sent]) -> None:
    """Publish messages in their order, in one partition, and wait for the broker.

    Raises TimeoutError if it does not take them within ten seconds.
    """
    for message in messages:
        headers: list[tuple[str, str | bytes | None]] = [*message.headers.items()]
        producer.produce(topic, message.body, key=b"demo", headers=headers)
    if producer.flush(_TIMEOUT_S):
        raise TimeoutError("the broker did not take the messages")
