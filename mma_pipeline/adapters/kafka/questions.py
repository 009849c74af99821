"""Requests of a consumer to its broker, each with a time limit and a clear error if no answer comes."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from mma_pipeline.adapters.errors import MissingTopicError, TransientError

#: A broker says so of a topic that does not exist, and of one that the credential may not read.
_NOT_OURS = frozenset((KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED))


def partitions_of(consumer: Consumer, stream: str, topic: str, timeout_s: float) -> list[int]:
    """The topic's partitions; raises MissingTopicError if there is none for us, TransientError for other failures."""
    try:
        found = consumer.list_topics(topic, timeout=timeout_s).topics[topic]
    except KafkaException as error:
        raise TransientError(f"stream {stream}: no broker answers: {reason(error)}") from error
    if found.error is not None:
        kind = MissingTopicError if found.error.code() in _NOT_OURS else TransientError
        raise kind(f"stream {stream}: topic {topic}: {found.error.str()}")
    return sorted(found.partitions)


def topics_there(consumer: Consumer, stream: str, topics: Iterable[str], timeout_s: float) -> dict[str, list[int]]:
    """The partitions of those topics that the broker has and lets us see, in one request; raises TransientError."""
    try:
        found = consumer.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise TransientError(f"stream {stream}: no broker answers: {reason(error)}") from error
    return {t: sorted(found[t].partitions) for t in topics if t in found and found[t].error is None}


def offset_range(consumer: Consumer, stream: str, topic: str, partition: int, timeout_s: float) -> tuple[int, int]:
    """Offset of the first message that the broker keeps, and that of the next new one; raises TransientError."""
    try:
        answer = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout_s, cached=False)
    except KafkaException as error:
        raise TransientError(f"stream {stream}: no broker answers: {reason(error)}") from error
    if answer is None:
        raise TransientError(f"stream {stream}: no broker reports the offsets of {topic}/{partition}")
    return int(answer[0]), int(answer[1])


def reason(error: KafkaException) -> str:
    """librdkafka's text for an error."""
    first = error.args[0] if error.args else error
    return first.str() if isinstance(first, KafkaError) else str(first)
