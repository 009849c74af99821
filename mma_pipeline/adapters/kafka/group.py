"""One member of a consumer group: Kafka gives each member partitions, and keeps how far the group came.

For streams that are too much for one process. What was taken is committed by the caller, and only after it is durable:
whatever happens before is read again, by this member or another. Not here: streams whose cursor the caller keeps
(`reader`).

Sources: librdkafka's CONFIGURATION.md and INTRODUCTION.md (consumer groups, cooperative rebalancing).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, Message, TopicPartition

from mma_pipeline.adapters.errors import PermanentError, TransientError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.kafka.questions import offset_range, reason
from mma_pipeline.adapters.kafka.reader import MAX_MESSAGE_BYTES, headers_of
from mma_pipeline.adapters.kafka.stream import StreamConfig

_log = logging.getLogger(__name__)

#: Seconds without a sign of life after which a member's partitions go to others.
SESSION_S = 10.0
#: Seconds that a member may work on one batch.
MOST_S = 300.0
#: Seconds that a question to the broker or a commit may take.
REQUEST_S = 10.0
#: Most that librdkafka fetches ahead, kB: it would take 64 MB of every partition.
_AHEAD_KB = 65_536
#: A commit that failed for one of these was another member's turn: it reads again what was not committed.
_NOT_OURS = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.FENCED_INSTANCE_ID,
}

#: Topic and partition.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Taken:
    """What one look at the broker gave."""

    messages: tuple[StreamMessage, ...]
    problems: tuple[str, ...] = ()
    """What brokers complained about, without secrets; the client goes on trying by itself."""


class GroupReader:
    """A member of a group, for one thread."""

    def __init__(self, config: StreamConfig) -> None:
        """Join the group at the first look. Raises PermanentError where librdkafka refuses the configuration."""
        self.config = config
        self._problems: list[str] = []
        self._positions: dict[Place, int] = {}
        self._gone: set[Place] = set()
        self._came: set[Place] = set()
        settings = {
            "group.id": f"mma-{config.name}",
            "socket.keepalive.enable": True,
            "fetch.wait.max.ms": 100,
            "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
            "fetch.max.bytes": MAX_MESSAGE_BYTES,
            "receive.message.max.bytes": MAX_MESSAGE_BYTES + 1024 * 1024,
            "queued.max.messages.kbytes": _AHEAD_KB,
            "reconnect.backoff.max.ms": 5000,
            "auto.offset.reset": config.start,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": int(SESSION_S * 1000),
            "heartbeat.interval.ms": int(SESSION_S * 1000 / 3),
            "max.poll.interval.ms": int(MOST_S * 1000),
            **config.client,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "error_cb": self._note_error,
        }
        try:
            self._consumer = Consumer(settings, logger=_log)
            self._consumer.subscribe(
                list(config.topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
            )
        except KafkaException as error:
            raise PermanentError(f"stream {config.name}: Kafka refuses the settings: {reason(error)}") from error

    def take(self, most: int, wait_s: float) -> Taken:
        """Up to `most` messages, as many as come within `wait_s` seconds; partitions may come and go meanwhile."""
        self._problems.clear()
        try:
            found = self._consumer.consume(most, wait_s)
        except KafkaException as error:
            raise TransientError(f"stream {self.config.name}: {reason(error)}") from error
        now = datetime.now(UTC)
        messages = []
        for message in found:
            problem = message.error()
            if problem is None:
                messages.append(self._received(message, now))
            elif problem.code() != KafkaError._PARTITION_EOF:
                self._problems.append(problem.str())
        return Taken(tuple(messages), tuple(dict.fromkeys(self._problems)))

    def changes(self) -> tuple[set[Place], set[Place]]:
        """Partitions that came and that went since the last call."""
        came, gone = self._came, self._gone
        self._came, self._gone = set(), set()
        return came, gone

    @property
    def places(self) -> set[Place]:
        """The partitions that are this member's now."""
        return {(p.topic, p.partition) for p in self._consumer.assignment()}

    def commit(self, offsets: Mapping[Place, int]) -> bool:
        """Tell the group that everything before these offsets is durable; returns whether it took it.

        Where it did not, another member or a later commit takes its place, and nothing is lost.
        """
        done = [TopicPartition(t, p, o) for (t, p), o in sorted(offsets.items())]
        if not done:
            return True
        try:
            answer = self._consumer.commit(offsets=done, asynchronous=False)
        except KafkaException as error:
            code = error.args[0].code() if error.args and isinstance(error.args[0], KafkaError) else None
            level = logging.INFO if code in _NOT_OURS else logging.WARNING
            _log.log(level, "stream %s: offsets not committed: %s", self.config.name, reason(error))
            return False
        return all(each.error is None for each in answer or [])

    def waiting(self) -> dict[Place, int]:
        """Messages that were not taken yet by partition, as the last fetch knew; partitions never fetched from are absent."""
        found = {}
        for place in self.places:
            known = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            position = self._positions.get(place)
            if known is not None and known[1] >= 0 and position is not None:
                found[place] = max(0, int(known[1]) - position)
        return found

    def end_of(self, place: Place) -> int:
        """Offset of the next message to come; raises TransientError."""
        return offset_range(self._consumer, self.config.name, *place, REQUEST_S)[1]

    def close(self) -> None:
        """Leave the group: others get the partitions at once."""
        self._consumer.close()

    def _assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._came |= {(p.topic, p.partition) for p in partitions}

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {(p.topic, p.partition) for p in partitions}
        self._gone |= gone
        for place in gone:
            self._positions.pop(place, None)

    def _received(self, message: Message, now: datetime) -> StreamMessage:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if topic is None or partition is None or offset is None:
            raise PermanentError(f"stream {self.config.name}: a message came without topic, partition or offset")
        kind, stamp = message.timestamp()
        key, value = message.key(), message.value()
        self._positions[topic, partition] = offset + 1
        return StreamMessage(
            stream=self.config.name,
            topic=topic,
            partition=partition,
            offset=offset,
            body=_bytes(value) or b"",
            key=_bytes(key),
            headers=headers_of(message.headers()),
            broker_time=None if kind == TIMESTAMP_NOT_AVAILABLE else datetime.fromtimestamp(stamp / 1000, UTC),
            received=now,
        )

    def _note_error(self, error: KafkaError) -> None:
        # The client complains several times a second while brokers are away: once per look is enough.
        if error.str() not in self._problems:
            self._problems.append(error.str())
            _log.warning("stream %s: %s", self.config.name, error.str())


def _bytes(value: Any) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
