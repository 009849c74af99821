"""librdkafka's own mock cluster inside this process: a Kafka for demonstrations, never for production.

It keeps some 5 MB per partition, only while the process lives, and has no authentication
(librdkafka, INTRODUCTION.md and rdkafka_mock.h).
"""

from __future__ import annotations

from types import TracebackType

from confluent_kafka import Producer

from mma_pipeline.adapters.errors import TransientError

START_TIMEOUT_S = 10.0


class EmbeddedKafka:
    """A mock broker on a free loopback port, reachable from other processes while this object lives."""

    def __init__(self) -> None:
        """Start the broker; raises TransientError if it does not answer."""
        # Level 4, warnings: the mock cluster announces itself on the terminal.
        self._cluster = Producer({"bootstrap.servers": "embedded", "test.mock.num.brokers": 1, "log_level": 4})
        brokers = self._cluster.list_topics(timeout=START_TIMEOUT_S).brokers.values()
        if not brokers:
            raise TransientError("the embedded Kafka did not start")
        broker = next(iter(brokers))
        self.bootstrap = f"{broker.host}:{broker.port}"

    def create_topic(self, topic: str) -> None:
        """Create a topic: the mock cluster creates topics on request."""
        self._cluster.list_topics(topic, timeout=START_TIMEOUT_S)

    def __enter__(self) -> EmbeddedKafka:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.flush(1)
