"""Places of a stream on a real broker: by time, by its ends (librdkafka's embedded broker does not answer for times)."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import typer

from mma_pipeline.adapters.kafka.stream import StreamConfig
from mma_pipeline.adapters.kafka.watch import BrokerWatch
from mma_pipeline.cli.stream import _target
from tests.services.kafka import KafkaBroker


def test_places_of_a_stream(kafka: KafkaBroker) -> None:
    """A time gives the first message at or after it in every partition; after the last one, the end; ends are the broker's."""
    topic = f"places-{uuid.uuid4().hex}"
    kafka.create_topic(topic, 2)
    begun = datetime.now(UTC) - timedelta(seconds=5)
    for n in range(3):
        kafka.produce(topic, b"early %d" % n, partition=0)
    time.sleep(1.1)
    between = datetime.now(UTC)
    time.sleep(1.1)
    for partition in (0, 0, 1):
        kafka.produce(topic, b"late", partition=partition)
    watch = BrokerWatch(StreamConfig(topic, (topic,), kafka.client()))
    try:
        assert watch.ends() == {topic: {0: (0, 5), 1: (0, 1)}}
        assert watch.at_time(begun) == {topic: {0: 0, 1: 0}}
        assert watch.at_time(between) == {topic: {0: 3, 1: 0}}
        assert watch.at_time(datetime.now(UTC) + timedelta(days=1)) == {topic: {0: 5, 1: 1}}
        kafka.expire(topic, 2)

        def target(
            when: datetime | None = None, offset: int | None = None, partition: int | None = None, *, beginning: bool
        ) -> dict[str, dict[int, int]]:
            return _target(watch, when, offset, None, partition, beginning=beginning)

        assert target(beginning=True) == {topic: {0: 2, 1: 0}}
        assert target(beginning=False) == {topic: {0: 5, 1: 1}}
        assert target(between, partition=0, beginning=False) == {topic: {0: 3}}
        assert target(offset=4, partition=0, beginning=False) == {topic: {0: 4}}
        for offset, partition in ((1, 0), (6, 0), (1, None), (0, 7)):
            with pytest.raises(typer.Exit):
                target(offset=offset, partition=partition, beginning=False)
    finally:
        watch.close()
