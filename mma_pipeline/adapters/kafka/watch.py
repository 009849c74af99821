"""Asks a stream's broker how many messages wait and how old the newest one is, without the stream's reader.

The reader uses its consumer for most of each minute, so the watch has its own, which is as resident as the
reader's. It joins no group and commits nothing.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaException, TopicPartition

from mma_pipeline.adapters.deadline import left, within
from mma_pipeline.adapters.errors import MissingTopicError, PermanentError, TransientError
from mma_pipeline.adapters.kafka.cursor import Offsets
from mma_pipeline.adapters.kafka.questions import offset_range, partitions_of, reason, topics_there
from mma_pipeline.adapters.kafka.stream import StreamConfig

#: Seconds that one request may take: a tick of the health sensor makes three or four per stream.
TIMEOUT_S = 5.0
#: Seconds that all requests of one check of a stream may take together: a tick checks each stream.
LOOK_S = 8.0
_IDENTITY = ("sasl.oauthbearer.client.id", "sasl.username")
_SECRETS = ("sasl.oauthbearer.client.secret", "sasl.password")


def fingerprint(config: StreamConfig) -> str | None:
    """Twelve digits that change with a stream's credential and do not reveal it; None if it has none."""
    identity = next((str(config.client[name]) for name in _IDENTITY if config.client.get(name)), None)
    secret = next((str(config.client[name]) for name in _SECRETS if config.client.get(name)), None)
    if identity is None or secret is None:
        return None
    return hashlib.pbkdf2_hmac("sha256", secret.encode(), identity.encode(), 100_000, 6).hex()


class BrokerWatch:
    """One resident consumer that reads no stream."""

    def __init__(self, config: StreamConfig) -> None:
        """Create the client; raises PermanentError if librdkafka refuses the configuration."""
        self.config = config
        self._lock = threading.Lock()
        settings = {
            "group.id": f"mma-watch-{config.name}",
            "reconnect.backoff.max.ms": 5000,
            **config.client,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "latest",
            "log_level": 0,
        }
        try:
            self._consumer = Consumer(settings)
        except KafkaException as error:
            raise PermanentError(f"stream {config.name}: Kafka refuses the settings: {reason(error)}") from error

    def lag(self, offsets: Offsets) -> int:
        """Number of messages of the stream's topics at or after the offsets; all of a partition that they do not name.

        Raises MissingTopicError if the broker does not have the topic, TransientError if it does not answer in time.
        """
        waiting, missing = self.lags(offsets)
        if missing:
            raise next(iter(missing.values()))
        return sum(waiting.values())

    def lags(self, offsets: Offsets) -> tuple[dict[str, int], dict[str, MissingTopicError]]:
        """The same by topic, and the topics that the broker does not have; raises TransientError as `lag` does."""
        waiting: dict[str, int] = {}
        missing: dict[str, MissingTopicError] = {}
        with self._exclusive():
            many = bool(self.config.names)
            there = topics_there(self._consumer, self.config.name, self.config.topics, left(TIMEOUT_S)) if many else {}
            for topic in self.config.topics:
                try:
                    partitions = there.get(topic, []) if many else self._partitions(topic)
                except MissingTopicError as error:
                    missing[topic] = error
                    continue
                if many and topic not in there:
                    continue
                waiting[topic] = 0
                for partition in partitions:
                    low, high = self._ends(topic, partition)
                    waiting[topic] += max(0, high - max(low, offsets.get(topic, {}).get(partition, low)))
        return waiting, missing

    def newest(self) -> datetime | None:
        """The broker's time of the newest message, UTC; None if there is none. Raises as `lag` does."""
        with self._exclusive():
            times = [
                self._time_of(topic, partition, high - 1)
                for topic in self.config.topics
                for partition in self._partitions(topic)
                for low, high in (self._ends(topic, partition),)
                if high > low
            ]
        return max((time for time in times if time is not None), default=None)

    def ends(self) -> dict[str, dict[int, tuple[int, int]]]:
        """By topic and partition: offset of the first message kept, and of the next new one. Raises as `lag` does."""
        with self._exclusive():
            return {
                topic: {partition: self._ends(topic, partition) for partition in self._partitions(topic)}
                for topic in self.config.topics
            }

    def at_time(self, when: datetime) -> Offsets:
        """Offsets of the first messages at or after a time, or the end if there is none. Raises as `lag` does."""
        with self._exclusive():
            stamp = int(when.timestamp() * 1000)
            asked = [TopicPartition(t, p, stamp) for t in self.config.topics for p in self._partitions(t)]
            try:
                answer = self._consumer.offsets_for_times(asked, timeout=left(TIMEOUT_S))
            except KafkaException as error:
                raise TransientError(f"stream {self.config.name}: no offsets for a time: {reason(error)}") from error
            found: Offsets = {topic: {} for topic in self.config.topics}
            for each in answer:
                if each.error is not None:
                    raise TransientError(f"stream {self.config.name}: no offset for a time: {each.error.str()}")
                # Negative: no message is that recent.
                known = each.offset >= 0
                found[each.topic][each.partition] = each.offset if known else self._ends(each.topic, each.partition)[1]
            return found

    def close(self) -> None:
        """Leave the brokers."""
        with self._lock:
            self._consumer.close()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with within(LOOK_S):
            if not self._lock.acquire(timeout=left(LOOK_S)):
                raise TransientError(f"stream {self.config.name}: an earlier request to the broker has not ended yet")
            try:
                yield
            finally:
                self._lock.release()

    def _partitions(self, topic: str) -> list[int]:
        return partitions_of(self._consumer, self.config.name, topic, left(TIMEOUT_S))

    def _ends(self, topic: str, partition: int) -> tuple[int, int]:
        return offset_range(self._consumer, self.config.name, topic, partition, left(TIMEOUT_S))

    def _time_of(self, topic: str, partition: int, offset: int) -> datetime | None:
        self._consumer.assign([TopicPartition(topic, partition, offset)])
        try:
            message = self._consumer.poll(left(TIMEOUT_S))
        finally:
            self._consumer.unassign()  # do not fetch a heartbeat each second without need
        if message is None or message.error() is not None:
            return None
        kind, stamp = message.timestamp()
        return None if kind == TIMESTAMP_NOT_AVAILABLE else datetime.fromtimestamp(stamp / 1000, UTC)
