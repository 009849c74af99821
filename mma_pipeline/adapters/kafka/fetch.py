"""Fetches messages by topic, partition and offset, where the broker still keeps them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaException, TopicPartition

from mma_pipeline.adapters.errors import PermanentError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.kafka.questions import reason
from mma_pipeline.adapters.kafka.reader import MAX_MESSAGE_BYTES, headers_of
from mma_pipeline.adapters.kafka.stream import StreamConfig

#: Messages between two wanted ones that are read and thrown away: less work than a new look at the broker.
_READ_OVER = 20
#: Seconds that one message may take.
_ONE_S = 5.0

Place = tuple[str, int]


def fetch_messages(
    config: StreamConfig, wanted: Mapping[Place, Iterable[int]], *, seconds: float
) -> dict[tuple[str, int, int], StreamMessage]:
    """Messages by topic, partition and offset; those that the broker does not keep, or does not give in time, are absent.

    Nothing is committed, and no group is joined. Raises PermanentError where librdkafka refuses the configuration.
    """
    settings: dict[str, Any] = {
        "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
        "queued.max.messages.kbytes": 16_384,
        **config.client,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
    }
    settings.setdefault("group.id", "mma-fetch")
    try:
        consumer = Consumer(settings)
    except KafkaException as error:
        raise PermanentError(f"stream {config.name}: Kafka refuses the settings: {reason(error)}") from error
    deadline = time.monotonic() + seconds
    found: dict[tuple[str, int, int], StreamMessage] = {}
    try:
        for place, offsets in sorted(wanted.items()):
            _from_partition(consumer, config.name, place, sorted(set(offsets)), deadline, found)
    finally:
        consumer.close()
    return found


def _from_partition(
    consumer: Consumer,
    stream: str,
    place: Place,
    offsets: list[int],
    deadline: float,
    found: dict[tuple[str, int, int], StreamMessage],
) -> None:
    position: int | None = None
    for offset in offsets:
        if time.monotonic() > deadline:
            return
        if position is None or not 0 <= offset - position <= _READ_OVER:
            consumer.assign([TopicPartition(*place, offset)])
            position = offset
        while position is not None and position <= offset:
            message = consumer.poll(min(_ONE_S, max(0.0, deadline - time.monotonic())))
            if message is None or message.error() is not None or message.offset() is None:
                position = None  # dropped by the broker, or not in time: the next one may be there
                break
            position = int(message.offset() or 0) + 1
            if message.offset() == offset:
                found[*place, offset] = _received(message, stream, place, offset)
    consumer.unassign()


def _received(message: Any, stream: str, place: Place, offset: int) -> StreamMessage:
    kind, stamp = message.timestamp()
    key = message.key()
    return StreamMessage(
        stream=stream,
        topic=place[0],
        partition=place[1],
        offset=offset,
        body=bytes(message.value() or b""),
        key=key.encode() if isinstance(key, str) else key,
        headers=headers_of(message.headers()),
        broker_time=None if kind == TIMESTAMP_NOT_AVAILABLE else datetime.fromtimestamp(stamp / 1000, UTC),
        received=datetime.now(UTC),
    )
