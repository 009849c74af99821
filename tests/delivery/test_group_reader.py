"""A member of a consumer group on a real Kafka says what brokers dropped before it was read, and where a group begins."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from mma_pipeline.adapters.archive.surveys import PartitionCounts, SurveyArchive
from mma_pipeline.adapters.kafka.group import GroupReader, Place
from mma_pipeline.adapters.kafka.stream import Gap, StreamConfig
from mma_pipeline.adapters.store import Store
from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.adapters.surveys.packets import Formats
from mma_pipeline.products.surveys.reading import SurveyReader
from mma_pipeline.science.surveys.regions import RegionIndex
from mma_pipeline.science.surveys.vetting import Thresholds
from tests.homes import new_archive

PATIENCE_S = 60.0


@pytest.fixture
def topic(kafka: Any) -> str:
    """A topic of one partition with a name of its own."""
    name = f"night_{uuid.uuid4().hex[:8]}"
    kafka.create_topic(name, partitions=1)
    return name


def send(kafka: Any, topic: str, count: int) -> None:
    """Messages without meaning."""
    producer = Producer(kafka.client())
    for number in range(count):
        producer.produce(topic, b"%d" % number)
    assert producer.flush(30) == 0


def drop(kafka: Any, topic: str, before: int) -> None:
    """What a broker's retention does."""
    admin = AdminClient(kafka.client())
    for done in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        done.result(30)


def reader_of(
    kafka: Any, topics: str, group: str, start: str = "latest", known: Mapping[Place, int] | None = None
) -> GroupReader:
    """A member of a group; new topics are seen within a second."""
    client = kafka.client(**{"group.id": group, "topic.metadata.refresh.interval.ms": 1000})
    return GroupReader(StreamConfig("survey", (topics,), client, start), lambda: known or {})


def taken(reader: GroupReader, count: int) -> tuple[list[int], list[Gap]]:
    """Offsets of the next messages, and the gaps reported meanwhile."""
    offsets: list[int] = []
    gaps: list[Gap] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(offsets) < count:
        assert time.monotonic() < deadline, (offsets, gaps)
        found = reader.take(1000, 0.2)
        offsets += [message.offset for message in found.messages]
        gaps += found.gaps
    return offsets, gaps


def step_until(reader: SurveyReader, archive: SurveyArchive, offset: int) -> PartitionCounts:
    """Rounds until everything before an offset is counted; returns the counts of the one partition."""
    deadline = time.monotonic() + PATIENCE_S
    while not (counts := archive.partitions()) or counts[0].next_offset < offset:
        assert time.monotonic() < deadline, counts
        reader.step()
    return counts[0]


def committed(kafka: Any, group: str, topic: str, offset: int) -> None:
    """A group that was here before."""
    consumer = Consumer(kafka.client(**{"group.id": group}))
    consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    consumer.close()


def test_what_the_broker_dropped_is_a_gap(kafka: Any, topic: str):
    """Messages between the group's offset and the first that is left are a gap, and reading goes on with that one."""
    send(kafka, topic, 100)
    committed(kafka, topic, topic, 10)
    drop(kafka, topic, 60)
    reader = reader_of(kafka, topic, topic)
    assert taken(reader, 40) == (list(range(60, 100)), [Gap(topic, 0, 10, 60)])
    # Retention overtakes a reader that is far behind.
    send(kafka, topic, 50)
    taken(reader, 50)
    drop(kafka, topic, 130)
    reader._positions[topic, 0] = 110
    reader._consumer.seek(TopicPartition(topic, 0, 110))
    assert taken(reader, 20) == (list(range(130, 150)), [Gap(topic, 0, 110, 130)])
    reader.close()


def test_a_group_that_kafka_forgot_goes_on(kafka: Any, topic: str):
    """Where the group has no offset any more, what the archive knows counts, and what is lost since is a gap."""
    send(kafka, topic, 100)
    drop(kafka, topic, 60)
    reader = reader_of(kafka, topic, topic, known={(topic, 0): 50})
    assert taken(reader, 40) == (list(range(60, 100)), [Gap(topic, 0, 50, 60)])
    reader.close()


def test_a_new_group_begins_at_the_end_and_stays_there(kafka: Any, topic: str):
    """A new group takes what comes from now on, also where its first member dies before it could commit anything."""
    send(kafka, topic, 100)
    reader = reader_of(kafka, topic, topic)
    deadline = time.monotonic() + PATIENCE_S
    while not reader.places and time.monotonic() < deadline:
        reader.take(1, 0.2)
    reader.take(1, 0.2)
    send(kafka, topic, 10)
    reader.close()
    other = reader_of(kafka, topic, topic)
    assert taken(other, 10) == (list(range(100, 110)), [])
    other.close()


def test_a_topic_that_comes_later_is_read_whole(kafka: Any, topic: str):
    """ZTF has a topic for each night: what is in it when the group first sees it is not skipped."""
    send(kafka, topic, 5)
    reader = reader_of(kafka, f"^{topic}.*", topic)
    deadline = time.monotonic() + PATIENCE_S
    while not reader.places and time.monotonic() < deadline:
        reader.take(1, 0.2)
    reader.take(1, 0.2)
    kafka.create_topic(f"{topic}_b", partitions=1)
    send(kafka, f"{topic}_b", 7)
    assert taken(reader, 7) == (list(range(7)), [])
    reader.close()


def test_every_message_is_counted_or_lost(kafka: Any, topic: str, tmp_path: Path):
    """Messages that were taken just before the broker dropped what follows are counted and quarantined; the others are lost."""
    send(kafka, topic, 5)
    archive = SurveyArchive(new_archive(f"sqlite:///{tmp_path / 'archive.db'}"))
    # The client holds one message and fetches no further until it was taken.
    few = {"queued.min.messages": 1, "fetch.message.max.bytes": 1, "group.id": topic}
    source = GroupReader(StreamConfig("survey", (topic,), kafka.client(**few), "earliest"))
    reader = SurveyReader(
        source,
        archive,
        RecentNights(Store.open((tmp_path / "store").as_uri())),
        RegionIndex,
        formats=Formats(),
        limits=Thresholds(),
        member="test",
    )
    step_until(reader, archive, 5)
    producer = Producer(kafka.client())
    for number in range(15):
        producer.produce(topic, b"%d: no packet" % number)
        assert producer.flush(30) == 0  # each is a batch, the least that a broker gives
    drop(kafka, topic, 15)
    counts = step_until(reader, archive, 20)
    reader.close()
    assert counts.lost > 0
    assert counts.seen == counts.quarantined == 20 - counts.lost
