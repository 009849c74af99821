"""One member of a consumer group: Kafka gives each member partitions, and keeps how far the group came.

For streams that are too much for one process. What was taken is committed by the caller, and only after it is durable:
whatever happens before is read again, by this member or another. What a broker drops before it was read is reported as
a gap. Not here: streams whose cursor the caller keeps (`reader`).

Sources: librdkafka's CONFIGURATION.md and INTRODUCTION.md (consumer groups, cooperative rebalancing).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, Message, TopicPartition

from mma_pipeline.adapters.deadline import left, within
from mma_pipeline.adapters.errors import PermanentError, TransientError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.kafka.questions import offset_range, reason
from mma_pipeline.adapters.kafka.reader import consumer_settings, headers_of
from mma_pipeline.adapters.kafka.stream import Gap, StreamConfig

_log = logging.getLogger(__name__)

#: What is fetched ahead, kB: a few batches of surveys' packets, so that a backlog does not fill the memory.
AHEAD_KB = 24_576
#: Seconds without a sign of life after which a member's partitions go to others.
SESSION_S = 10.0
#: Seconds that a member may work on one batch.
MOST_S = 300.0
#: Seconds that a question to the broker or a commit may take.
REQUEST_S = 10.0
#: Seconds that finding out where to begin may take, all partitions together.
BEGIN_S = 60.0
#: A commit that failed for one of these was another member's turn: it reads again what was not committed.
_NOT_OURS = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.FENCED_INSTANCE_ID,
}
#: What the client says where no message is at an offset.
_NOTHING_THERE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}

#: Topic and partition.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Taken:
    """What one look at the broker gave."""

    messages: tuple[StreamMessage, ...]
    problems: tuple[str, ...] = ()
    """What brokers complained about, without secrets; the client goes on trying by itself."""
    gaps: tuple[Gap, ...] = ()
    """Messages that brokers dropped before they were read."""


class GroupReader:
    """A member of a group, for one thread."""

    def __init__(self, config: StreamConfig, known: Callable[[], Mapping[Place, int]] = dict) -> None:
        """Join the group at the first look. Raises PermanentError where librdkafka refuses the configuration.

        `known`: offsets to go on from where the group has none, because Kafka forgets those of a group that was away for a
        week; may raise TransientError.
        """
        self.config = config
        self._known = known
        self._gaps: list[Gap] = []
        self._pins: dict[Place, int] = {}
        self._astray: set[Place] = set()
        self._problems: list[str] = []
        self._positions: dict[Place, int] = {}
        self._gone: set[Place] = set()
        self._came: set[Place] = set()
        own = {
            "partition.assignment.strategy": "cooperative-sticky",
            "queued.max.messages.kbytes": AHEAD_KB,
            "session.timeout.ms": int(SESSION_S * 1000),
            "heartbeat.interval.ms": int(SESSION_S * 1000 / 3),
            "max.poll.interval.ms": int(MOST_S * 1000),
        }
        # Where there is nothing at an offset, `_begin` says where to go on, and what was lost.
        settings = {**consumer_settings(config, own), "error_cb": self._note_error}
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
            elif problem.code() in _NOTHING_THERE and message.topic() is not None and message.partition() is not None:
                self._astray.add((str(message.topic()), int(message.partition() or 0)))
            elif problem.code() != KafkaError._PARTITION_EOF:
                self._problems.append(problem.str())
        self._find_astray()
        if self._pins and self.commit(self._pins):
            self._pins = {}
        gaps, self._gaps = tuple(self._gaps), []
        return Taken(tuple(messages), tuple(dict.fromkeys(self._problems)), gaps)

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

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        places = {(p.topic, p.partition) for p in partitions}
        self._came |= places
        try:
            consumer.incremental_assign(self._begin(places))
        except TransientError as error:
            # The client then begins where the group was; if nothing is there, it says so.
            self._problems.append(str(error))

    def _find_astray(self) -> None:
        """Let partitions go on whose next message is not there; again at the next look where the broker does not answer."""
        lost = self._astray & self.places
        self._astray = set()
        if not lost:
            return
        try:
            starts = self._begin(lost)
            self._consumer.incremental_unassign([TopicPartition(*place) for place in sorted(lost)])
            self._consumer.incremental_assign(starts)
        except (TransientError, KafkaException) as error:
            self._astray = lost
            self._problems.append(str(error))

    def _begin(self, places: Iterable[Place]) -> list[TopicPartition]:
        """Where to go on in some partitions, and notes what was lost there; raises TransientError."""
        asked = [TopicPartition(*place) for place in sorted(places)]
        with within(BEGIN_S):
            committed = self._committed(asked)
            missing = any(each.offset < 0 for each in committed)
            known = self._known() if missing else {}
            later = self._later_topics(known) if missing and self.config.start == "latest" else set()
            starts, gaps, pins = [], [], {}
            for each in committed:
                place = each.topic, each.partition
                wanted = self._positions.get(place, each.offset if each.offset >= 0 else known.get(place))
                low, high = offset_range(self._consumer, self.config.name, *place, left(REQUEST_S))
                if wanted is None:
                    begin = high if self.config.start == "latest" and each.topic not in later else low
                    pins[place] = begin
                elif low <= wanted <= high:
                    begin = wanted
                else:
                    gaps.append(Gap(*place, wanted, low))
                    begin = low
                starts.append(TopicPartition(*place, begin))
        # Whoever gets a partition next must not begin at another place.
        self._pins |= pins
        self._gaps += gaps
        for gap in gaps:
            _log.error("stream %s: %s", self.config.name, gap)
        return starts

    def _later_topics(self, known: Mapping[Place, int]) -> set[str]:
        """Topics of which the group read nothing, while it read others: they came later, as ZTF's do night by night, and are read whole."""
        try:
            found = self._consumer.list_topics(timeout=left(REQUEST_S)).topics
        except KafkaException as error:
            raise TransientError(f"stream {self.config.name}: {reason(error)}") from error
        wanted = {
            name: [TopicPartition(name, number) for number in sorted(about.partitions)]
            for name, about in found.items()
            if any(re.match(t, name) if t.startswith("^") else t == name for t in self.config.topics)
        }
        places = [place for some in wanted.values() for place in some]
        read = {each.topic for each in self._committed(places) if each.offset >= 0} | {topic for topic, _ in known}
        return set(wanted) - read if read else set()

    def _committed(self, places: list[TopicPartition]) -> list[TopicPartition]:
        try:
            return self._consumer.committed(places, timeout=left(REQUEST_S)) if places else []
        except KafkaException as error:
            raise TransientError(f"stream {self.config.name}: no group offsets: {reason(error)}") from error

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
