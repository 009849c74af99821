"""A stream for tests: an embedded Kafka, and the real sensor asked tick by tick as the daemon asks it."""

from __future__ import annotations

from typing import Any

import dagster as dg

from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from mma_pipeline.adapters.kafka.producer import ConfirmedProducer
from mma_pipeline.defs import resources
from mma_pipeline.defs.alerts.sensors import stream_sensor
from mma_pipeline.defs.alerts.streams import STREAMS, Stream
from mma_pipeline.defs.resources import ArchiveResource, KafkaResource
from tests.homes import Home

TOPIC = "igwn.gwalert"
#: With the shortest waits some ten seconds.
MOST_EMPTY_TICKS = 30
STREAM = next(stream for stream in STREAMS if stream.topic == TOPIC)


class Streaming:
    """A broker, a home, and the cursor that Dagster would keep."""

    def __init__(self, home: Home, kafka: EmbeddedKafka, cursor: str | None = None, stream: Stream = STREAM) -> None:
        """Begin without cursor, as a new sensor does."""
        self.home, self.kafka, self.cursor, self.stream = home, kafka, cursor, stream
        kafka.create_topic(stream.topic)
        self._producer = ConfirmedProducer({"bootstrap.servers": kafka.bootstrap})

    def send(self, *bodies: bytes) -> list[int]:
        """Write messages, all to the partition of one key so that their order holds; returns their offsets."""
        return [self._producer.send(self.stream.topic, body, key="alerts")[1] for body in bodies]

    def process_ends(self) -> None:
        """The resident consumers go, as they do with their process; the next tick makes new ones."""
        while resources._readers:
            resources._readers.popitem()[1][1].close()

    def context(self, cursor: str | None) -> dg.SensorEvaluationContext:
        """What the daemon hands to the sensor."""
        return dg.build_sensor_context(
            instance=self.home.instance,
            cursor=cursor,
            resources={
                "archive": ArchiveResource(url=self.home.env["MMA_ARCHIVE_URL"]),
                "kafka": KafkaResource(bootstrap=self.kafka.bootstrap),
            },
        )

    def tick(self) -> Any:
        """One tick; the cursor is kept as Dagster keeps it, after success only."""
        answer = stream_sensor(self.stream)(self.context(self.cursor))
        if isinstance(answer, dg.SensorResult):
            self.cursor = answer.cursor
        return answer

    def ticks(self, messages: int) -> list[dg.SensorResult]:
        """As many ticks as it takes to read that many messages; one that waits a moment only may end before they come."""
        from mma_pipeline.adapters.kafka.cursor import decode_offsets

        before, answers, empty = _total(decode_offsets(self.cursor)), [], 0
        while _total(decode_offsets(self.cursor)) - before < messages:
            answer = self.tick()
            if isinstance(answer, dg.SensorResult):
                answers.append(answer)
                continue
            empty += 1
            assert empty < MOST_EMPTY_TICKS, answer
        return answers


def _total(offsets: dict[str, dict[int, int]]) -> int:
    return sum(offset for partitions in offsets.values() for offset in partitions.values())


def keys_of(answers: list[dg.SensorResult]) -> list[str]:
    """Partition keys of the runs that ticks asked for."""
    return [str(request.partition_key) for answer in answers for request in answer.run_requests or []]
