"""The sensor of a stream, on an embedded Kafka: what one tick asks Dagster for, and what repeats and gaps change."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from mma_pipeline.adapters.archive.gaps import lost_messages
from mma_pipeline.adapters.errors import PermanentError, TransientError
from mma_pipeline.adapters.kafka.cursor import decode_offsets
from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from mma_pipeline.defs.alerts.sensors import stream_sensor
from mma_pipeline.defs.operations.finders import Situation, find
from mma_pipeline.defs.operations.problems import Kind, Problem
from mma_pipeline.defs.resources import ArchiveResource, KafkaResource
from mma_pipeline.settings import current
from tests.alerts import alert, avro, body
from tests.defs.malformed import tiny_map
from tests.defs.streaming import STREAM, TOPIC, Streaming, keys_of
from tests.homes import Home
from tests.services.process import free_ports


def small(superevent: str = "MS240301a", kind: str = "PRELIMINARY", **options: object) -> bytes:
    """A small valid alert."""
    return body(superevent, kind, skymap=tiny_map(), **options)


@pytest.fixture
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick waits a moment only for messages that will not come."""
    monkeypatch.setattr("mma_pipeline.defs.alerts.sensors.POLL_S", 0.3)
    monkeypatch.setattr("mma_pipeline.adapters.kafka.reader.REQUEST_TIMEOUT_S", 1.0)


def test_one_tick(streaming: Streaming) -> None:
    """A tick gives runs, their partitions and the cursor in one answer; real alerts go before mock ones."""
    (offset,) = streaming.send(small("S240301a"))
    streaming.send(small("MS240301a", "RETRACTION"), b"not an alert")
    answers = streaming.ticks(3)
    real, mock = (request for answer in answers for request in answer.run_requests)
    assert real.partition_key.startswith("S240301a-P120000-")
    assert mock.partition_key.startswith("MS240301a-R120000-")
    for request in (real, mock):
        assert request.run_key == request.partition_key
    assert (real.tags["mma/lane"], mock.tags["mma/lane"]) == ("live", "mock")
    assert int(real.tags["dagster/priority"]) > int(mock.tags["dagster/priority"])
    assert (real.tags["dagster/max_runtime"], mock.tags["dagster/max_runtime"]) == ("120", "120")
    assert real.tags["mma/message"].endswith(f"/{offset}")
    added = [key for a in answers for wish in a.dynamic_partitions_requests for key in wish.partition_keys]
    assert added == [real.partition_key, mock.partition_key]
    assert sum(sum(parts.values()) for parts in decode_offsets(streaming.cursor).values()) == 3
    assert [event.asset_key for a in answers for event in a.asset_events] == [dg.AssetKey("quarantine")]


def test_duplicate_is_archived_and_starts_nothing(streaming: Streaming) -> None:
    """The same alert at another offset is archived as a message and asks for no run."""
    streaming.send(small())
    first = keys_of(streaming.ticks(1))
    streaming.send(small(), small())
    assert keys_of(streaming.ticks(2)) == []
    assert len(first) == 1
    counts = streaming.home.archive.counts()
    assert (counts["messages"], counts["versions"]) == (3, 1)


def test_json_and_avro_twins_are_one_run(streaming: Streaming) -> None:
    """An alert that comes as JSON and as Avro has one run."""
    record = alert("MS240301b", skymap=tiny_map())
    streaming.send(avro(record), json.dumps(record).encode())
    assert len(keys_of(streaming.ticks(2))) == 1


def test_crash_before_the_cursor_is_kept(streaming: Streaming) -> None:
    """A tick whose answer was lost, asked again with the old cursor, asks for the same runs with the same run keys."""
    streaming.send(small("MS240301a"), small("MS240301a", "INITIAL", external=tiny_map()), b"{}")
    before = streaming.cursor
    lost = streaming.ticks(3)
    archived = streaming.home.archive.counts()
    streaming.cursor = before
    again = streaming.ticks(3)
    assert keys_of(again) == keys_of(lost)
    assert len(keys_of(again)) == 3
    assert [r.run_key for a in again for r in a.run_requests] == [r.run_key for a in lost for r in a.run_requests]
    assert streaming.home.archive.counts() == archived


def test_external_coincidence_is_two_runs(streaming: Streaming) -> None:
    """An alert with a combined map asks for a run of its own map and one of the combined map."""
    streaming.send(small("MS240301a", "UPDATE", external=tiny_map()))
    assert [key[:17] for key in keys_of(streaming.ticks(1))] == ["MS240301a-U120000", "MS240301a-X120000"]


def test_dropped_messages_are_reported(streaming: Streaming, caplog: pytest.LogCaptureFixture) -> None:
    """Where the broker dropped messages before they were read, the gap is told with its size and reading goes on."""
    filler = b"x" * 1_000_000  # the embedded Kafka keeps some 5 MB of a partition
    streaming.send(small("MS240301a"))
    streaming.ticks(1)
    # The process ends: a consumer that stayed would fetch the messages ahead, before the broker drops them.
    streaming.process_ends()
    streaming.send(*[filler] * 8, small("MS240301b"))
    with caplog.at_level(logging.ERROR):
        keys: list[str] = []
        while not keys:
            keys = keys_of([streaming.tick()])
    assert keys[0].startswith("MS240301b")
    assert "dropped by the broker before they were read" in caplog.text
    (problem,) = lost(streaming)
    assert problem.subject.startswith("gcn-gwalert:igwn.gwalert/")
    (known,) = lost_messages(streaming.home.archive, datetime.now(UTC) - timedelta(hours=1))
    assert known.lost is not None
    assert known.lost == known.resumed - known.first > 0
    text = f"messages of gcn-gwalert were lost, {known.lost} from offset {known.first} to {known.resumed - 1} of igwn.gwalert/"
    assert problem.text.startswith(text)
    assert lost(streaming, after=timedelta(days=1, minutes=1)) == []


def lost(streaming: Streaming, *, after: timedelta = timedelta()) -> list[Problem]:
    """What health finds of lost messages."""
    home, now = streaming.home, datetime.now(UTC) + after
    found = find(Situation(home.instance, home.archive, now, None, (), current()))
    return [problem for problem in found if problem.kind is Kind.MESSAGES_LOST]


def test_gap_of_a_tick_that_failed_is_noted_once(streaming: Streaming) -> None:
    """A gap is durable before the cursor moves, and a tick that is repeated with the old cursor notes it no second time."""
    streaming.send(small("MS240301a"))
    streaming.ticks(1)
    streaming.process_ends()
    streaming.send(*[b"x" * 1_000_000] * 8, small("MS240301b"))
    before = streaming.cursor
    streaming.tick()
    once = lost_messages(streaming.home.archive, datetime.now(UTC) - timedelta(hours=1))
    streaming.cursor = before
    streaming.tick()
    assert len(once) == 1
    assert lost_messages(streaming.home.archive, datetime.now(UTC) - timedelta(hours=1)) == once


def test_topic_created_anew(streaming: Streaming, caplog: pytest.LogCaptureFixture) -> None:
    """A cursor beyond the end of the topic means a new topic: it is told, and read from its start."""
    (offset,) = streaming.send(small("MS240301a"))
    streaming.ticks(1)
    partition = next(p for p, o in decode_offsets(streaming.cursor)[TOPIC].items() if o == offset + 1)
    with EmbeddedKafka() as other:
        anew = Streaming(streaming.home, other, cursor=json.dumps({TOPIC: {str(partition): 500}}))
        anew.send(small("MS240301c"))
        with caplog.at_level(logging.ERROR):
            keys = []
            while not keys:
                keys = keys_of([anew.tick()])
    assert keys[0].startswith("MS240301c")
    assert "the topic was created again" in caplog.text
    (problem,) = lost(streaming)
    assert "an unknown number from offset 500 of igwn.gwalert/" in problem.text


@pytest.mark.usefixtures("_short_waits")
def test_no_broker_is_an_error_and_then_forgotten(streaming: Streaming) -> None:
    """A tick without broker fails with a clear error and leaves the cursor; the next one with a broker goes on."""
    streaming.send(small("MS240301a"))
    streaming.ticks(1)
    cursor = streaming.cursor
    (nobody,) = free_ports(1)
    away = dg.build_sensor_context(
        instance=streaming.home.instance,
        cursor=cursor,
        resources={"archive": ArchiveResource(), "kafka": KafkaResource(bootstrap=f"127.0.0.1:{nobody}")},
    )
    with pytest.raises(TransientError, match="no broker answers"):
        stream_sensor(STREAM)(away)
    streaming.send(small("MS240301b"))
    assert [key.partition("-")[0] for key in keys_of(streaming.ticks(1))] == ["MS240301b"]


@pytest.mark.usefixtures("_short_waits")
def test_quiet_stream(streaming: Streaming) -> None:
    """A tick without news says so and asks for nothing."""
    streaming.send(small())
    streaming.ticks(1)
    answer = streaming.tick()
    assert isinstance(answer, dg.SkipReason)
    assert "nothing new on igwn.gwalert" in str(answer.skip_message)


def test_ticks_are_bounded(streaming: Streaming, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick takes no more messages than it may, and the next ones take the rest: none lost, none twice."""
    monkeypatch.setattr("mma_pipeline.defs.alerts.sensors.MAX_MESSAGES", 3)
    streaming.send(*(small(f"MS240301{letter}") for letter in "abcdefg"))
    answers = streaming.ticks(7)
    assert all(len(answer.run_requests) <= 3 for answer in answers)
    assert [key.partition("-")[0][-1] for key in keys_of(answers)] == list("abcdefg")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "set KAFKA_CLIENT_ID and KAFKA_CLIENT_SECRET"),
        ({"KAFKA_CLIENT_ID": "me"}, "set both KAFKA_CLIENT_ID and KAFKA_CLIENT_SECRET"),
    ],
)
def test_not_connected(home: Home, monkeypatch: pytest.MonkeyPatch, env: dict[str, str], said: str) -> None:
    """Without credentials, or with one half of them, the sensor skips and says what to set."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    context = dg.build_sensor_context(
        instance=home.instance, resources={"archive": ArchiveResource(), "kafka": KafkaResource()}
    )
    answer = stream_sensor(STREAM)(context)
    assert isinstance(answer, dg.SkipReason)
    assert said in str(answer.skip_message)


def test_foreign_cursor_is_refused(streaming: Streaming) -> None:
    """A cursor that somebody typed in is refused with what to do, before anything is read."""
    streaming.send(small())
    streaming.cursor = "latest"
    with pytest.raises(PermanentError, match="reset it in the UI"):
        streaming.tick()
