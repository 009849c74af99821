"""One resident Kafka consumer per stream, read in bounded polls from offsets that the caller keeps.

Only the caller's cursor decides the position: the consumer is assigned to it, never subscribed, and rewinds when the cursor
does. Offsets are also committed to the consumer group, for lag monitors and for a hand-over from or to another consumer of
the group, but they are only read if there is no cursor.

Sources: librdkafka's CONFIGURATION.md and INTRODUCTION.md; the GCN Kafka client guide (no short-lived consumers).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from mma_pipeline.adapters.deadline import left, within
from mma_pipeline.adapters.errors import MissingTopicError, PermanentError, TransientError
from mma_pipeline.adapters.kafka.cursor import Offsets, TopicIds
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.kafka.questions import offset_range, partitions_of, reason, topics_there
from mma_pipeline.adapters.kafka.stream import Batch, Gap, StreamConfig
from mma_pipeline.adapters.kafka.topics import TopicDirectory

_log = logging.getLogger(__name__)

#: Seconds that a metadata or watermark request may take, and all requests of one poll unless its timeout is longer.
REQUEST_TIMEOUT_S = 10.0
#: Seconds of silence after which a burst counts as over.
QUIET_S = 0.05
#: How often the topic is checked for new partitions, seconds; and where a consumer has many, which takes seconds.
REFRESH_S = 60.0
REFRESH_MANY_S = 300.0
#: Largest message accepted, bytes: GCN allows 4 MiB, with room for more.
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
#: Most that librdkafka fetches ahead, kB: by default it takes 64 MB of every partition.
_AHEAD_KB = 65_536


def consumer_settings(config: StreamConfig, own: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """librdkafka's settings for a consumer of a stream; `own` are those of one kind of consumer, which the stream's override."""
    return {
        "group.id": f"mma-{config.name}",
        "socket.keepalive.enable": True,
        "fetch.wait.max.ms": 100,
        "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
        "fetch.max.bytes": MAX_MESSAGE_BYTES,
        "receive.message.max.bytes": MAX_MESSAGE_BYTES + 1024 * 1024,
        "queued.max.messages.kbytes": _AHEAD_KB,
        # By default the client waits a second once that much is there, and whoever reads a backlog waits with it.
        "fetch.queue.backoff.ms": 10,
        "reconnect.backoff.max.ms": 5000,
        # A message that the broker dropped must be reported, not skipped.
        "auto.offset.reset": "error",
        **(own or {}),
        **config.client,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }


class StreamReader:
    """A consumer that lives as long as the process. Several threads may call it; only one is served at a time."""

    def __init__(self, config: StreamConfig) -> None:
        """Create the client; brokers are contacted on the first poll.

        Raises PermanentError if librdkafka refuses the configuration.
        """
        self.config = config
        self._lock = threading.Lock()
        self._position: Offsets = {}
        self._committed: Offsets = {}
        self._refreshed = 0.0
        self._directory = TopicDirectory(config.name, config.client)
        self._topic_ids: TopicIds = {}
        self._problems: list[str] = []
        settings = {**consumer_settings(config), "error_cb": self._note_error}
        try:
            self._consumer = Consumer(settings, logger=_log)
        except KafkaException as error:
            raise PermanentError(f"stream {config.name}: Kafka refuses the settings: {reason(error)}") from error

    def poll(
        self, offsets: Offsets, *, max_messages: int, timeout_s: float, topic_ids: TopicIds | None = None
    ) -> Batch:
        """Read on from `offsets`, waiting up to `timeout_s` seconds for the first message.

        `topic_ids` belong to the offsets: a topic with a different id now is read from its beginning.

        Returns as soon as a burst ends or `max_messages` are there. Raises TransientError if no broker answers
        the first requests, which together take `REQUEST_TIMEOUT_S` or `timeout_s`; later silence gives an empty batch
        with the broker's complaints.
        """
        with within(max(timeout_s, REQUEST_TIMEOUT_S)), self._turn():
            deadline = time.monotonic() + timeout_s
            self._problems.clear()
            gaps = self._seek(offsets, topic_ids or {})
            found: list[StreamMessage] = []
            while len(found) < max_messages:
                wait = QUIET_S if found else max(0.0, deadline - time.monotonic())
                message = self._consumer.poll(wait)
                if message is None:
                    break
                error = message.error()
                if error is not None:
                    gaps.extend(self._handle(message, error))
                    if time.monotonic() >= deadline:
                        break
                    continue
                found.append(self._received(message))
            problems = tuple(dict.fromkeys(self._problems))
            return Batch(tuple(found), _copy(self._position), tuple(gaps), problems, dict(self._topic_ids))

    def commit(self, offsets: Offsets) -> None:
        """Commit the caller's durable offsets to the consumer group; best effort, without waiting."""
        done = [TopicPartition(t, p, o) for t, parts in offsets.items() for p, o in parts.items() if o >= 0]
        with self._turn():
            # Commits that wait for a broker would accumulate and keep the client from closing.
            if not done or offsets == self._committed:
                return
            self._committed = _copy(offsets)
            try:
                self._consumer.commit(offsets=done, asynchronous=True)
            except KafkaException as error:
                _log.info("stream %s: offsets not committed to the group: %s", self.config.name, reason(error))

    def lag(self) -> dict[str, int]:
        """Number of unread messages at the broker, by `topic/partition`; raises TransientError."""
        with self._turn():
            return {
                f"{topic}/{partition}": max(0, self._watermarks(topic, partition)[1] - position)
                for topic, partitions in self._position.items()
                for partition, position in partitions.items()
            }

    def close(self) -> None:
        """Leave the brokers."""
        with self._lock:
            self._consumer.close()
            self._directory.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One thread at a time; raises TransientError if another uses the consumer for longer than a poll may take."""
        if not self._lock.acquire(timeout=left(REQUEST_TIMEOUT_S)):
            raise TransientError(f"stream {self.config.name}: an earlier request to the broker has not ended yet")
        try:
            yield
        finally:
            self._lock.release()

    def _seek(self, offsets: Offsets, topic_ids: TopicIds) -> list[Gap]:
        stale = time.monotonic() - self._refreshed > (REFRESH_MANY_S if self.config.names else REFRESH_S)
        if self._position and not stale and self._position == offsets:
            return []
        there = self._there()
        wanted = {topic: dict(offsets.get(topic, {})) for topic in there}
        gaps = []
        self._topic_ids = dict(topic_ids)
        for topic, partitions in wanted.items():
            fresh = not offsets.get(topic)
            found = there[topic]
            identity = self._directory.id_of(topic)
            anew = identity is not None and topic_ids.get(topic, identity) != identity
            if identity is not None:
                self._topic_ids[topic] = identity
            for partition in found:
                if anew and partition in partitions:
                    low, _ = self._watermarks(topic, partition)
                    gaps.append(Gap(topic, partition, partitions[partition], low, another_topic=True))
                    partitions[partition] = low
                elif partition not in partitions:
                    partitions[partition] = self._first_offset(topic, partition, new_topic=fresh)
                else:
                    gap = self._gap(topic, partition, partitions[partition])
                    if gap is not None:
                        gaps.append(gap)
                        partitions[partition] = gap.resumed
        self._refreshed = time.monotonic()
        if wanted != self._position:
            self._position = wanted
            self._assign()
        for gap in gaps:
            _log.error("stream %s: %s", self.config.name, gap)
        return gaps

    def _there(self) -> dict[str, list[int]]:
        """The partitions of each topic. Of many topics some may be missing, but not all: raises MissingTopicError."""
        if not self.config.names:
            return {topic: self._partitions(topic) for topic in self.config.topics}
        found = topics_there(self._consumer, self.config.name, self.config.topics, left(REQUEST_TIMEOUT_S))
        if not found:
            raise MissingTopicError(f"stream {self.config.name}: the broker has none of its topics")
        return found

    def _assign(self) -> None:
        parts = [TopicPartition(t, p, o) for t, found in self._position.items() for p, o in found.items()]
        self._consumer.assign(parts)

    def _partitions(self, topic: str) -> list[int]:
        return partitions_of(self._consumer, self.config.name, topic, left(REQUEST_TIMEOUT_S))

    def _first_offset(self, topic: str, partition: int, *, new_topic: bool) -> int:
        """Where to begin a partition that the cursor does not know."""
        low, high = self._watermarks(topic, partition)
        if not new_topic:
            # Added while we were reading: everything in it is new.
            return low
        try:
            wait = left(REQUEST_TIMEOUT_S)
            known = self._consumer.committed([TopicPartition(topic, partition)], timeout=wait)[0].offset
        except KafkaException as error:
            raise TransientError(f"stream {self.config.name}: no group offsets: {reason(error)}") from error
        if known not in {OFFSET_INVALID, OFFSET_BEGINNING, OFFSET_END} and low <= known <= high:
            return int(known)
        return low if self.config.start == "earliest" else high

    def _watermarks(self, topic: str, partition: int) -> tuple[int, int]:
        return offset_range(self._consumer, self.config.name, topic, partition, left(REQUEST_TIMEOUT_S))

    def _gap(self, topic: str, partition: int, position: int) -> Gap | None:
        low, high = self._watermarks(topic, partition)
        return None if low <= position <= high else Gap(topic, partition, position, low)

    def _handle(self, message: Message, error: KafkaError) -> list[Gap]:
        """Handle an error that arrived instead of a message."""
        topic, partition = message.topic(), message.partition()
        code = error.code()
        if code in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE} and topic and partition is not None:
            position = self._position[topic][partition]
            gap = self._gap(topic, partition, position)
            resumed = position if gap is None else gap.resumed
            self._position[topic][partition] = resumed
            # Not seek, which fails while the partition is looked up again, for example after its topic was recreated.
            self._assign()
            if gap is None:
                return []
            _log.error("stream %s: %s", self.config.name, gap)
            return [gap]
        if code != KafkaError._PARTITION_EOF:
            self._problems.append(error.str())
            if code in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION}:
                # Removed or created again: check at the next poll.
                self._refreshed = 0.0
        return []

    def _received(self, message: Message) -> StreamMessage:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if topic is None or partition is None or offset is None:
            raise PermanentError(f"stream {self.config.name}: a message came without topic, partition or offset")
        kind, stamp = message.timestamp()
        key = message.key()
        self._position[topic][partition] = offset + 1
        return StreamMessage(
            stream=self.config.names.get(topic, self.config.name),
            topic=topic,
            partition=partition,
            offset=offset,
            body=_bytes(message.value()),
            key=None if key is None else _bytes(key),
            headers=headers_of(message.headers()),
            broker_time=None if kind == TIMESTAMP_NOT_AVAILABLE else datetime.fromtimestamp(stamp / 1000, UTC),
            received=datetime.now(UTC),
        )

    def _note_error(self, error: KafkaError) -> None:
        # The client reports several errors a second while brokers are away: one per poll is enough.
        if error.str() not in self._problems:
            self._problems.append(error.str())
            _log.warning("stream %s: %s", self.config.name, error.str())


def _copy(offsets: Offsets) -> Offsets:
    return {topic: dict(parts) for topic, parts in offsets.items()}


def headers_of(headers: Any) -> tuple[tuple[str, bytes], ...]:
    """Headers as librdkafka gives them: a list of pairs, or None."""
    return tuple((str(name), _bytes(value)) for name, value in headers or ())


def _bytes(value: bytes | str | None) -> bytes:
    return b"" if value is None else value.encode() if isinstance(value, str) else bytes(value)
