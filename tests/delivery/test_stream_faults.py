"""What a stream lives through on a real broker: retention, recreation, growth, absence, changed passwords."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from mma_pipeline.adapters.errors import TransientError
from mma_pipeline.adapters.kafka.cursor import Offsets, decode_offsets, decode_topic_ids, encode_offsets
from mma_pipeline.adapters.kafka.reader import StreamReader
from mma_pipeline.adapters.kafka.stream import Batch, StreamConfig
from tests.services.kafka import KafkaBroker

MakeReader = Callable[..., StreamReader]


@pytest.fixture
def topic(kafka: KafkaBroker) -> str:
    """A topic of the test's own."""
    name = f"faults-{uuid.uuid4().hex}"
    kafka.create_topic(name)
    return name


@pytest.fixture
def reader(kafka: KafkaBroker, topic: str) -> Iterator[MakeReader]:
    """Make readers of the topic; each is closed at the end."""
    made: list[StreamReader] = []

    def make(client: dict[str, object] | None = None, **more: object) -> StreamReader:
        settings = {**(client or kafka.client()), "group.id": uuid.uuid4().hex, **more}
        made.append(StreamReader(StreamConfig(topic, (topic,), settings)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def poll_until(reader: StreamReader, offsets: Offsets, count: int, patience_s: float = 40) -> list[Batch]:
    """Poll as the sensor does, from the cursor, through outages, until `count` messages came."""
    batches: list[Batch] = []
    deadline = time.monotonic() + patience_s
    while sum(len(batch.messages) for batch in batches) < count and time.monotonic() < deadline:
        try:
            batch = reader.poll(offsets, max_messages=50, timeout_s=1)
        except TransientError:
            time.sleep(0.5)  # what the sensor's next tick amounts to
            continue
        offsets = batch.offsets
        batches.append(batch)
    return batches


def bodies(batches: list[Batch]) -> list[bytes]:
    """Bodies in order of arrival."""
    return [message.body for batch in batches for message in batch.messages]


def test_message_comes_with_all_that_the_broker_says(kafka: KafkaBroker, topic: str, reader: MakeReader) -> None:
    """Bytes, key, binary headers, offset and the broker's time are those that were written."""
    before = time.time()
    kafka.produce(topic, b"\x00body\xff", key=b"\xfekey", headers=[("_id", b"\x00\x80"), ("_test", b"true")])
    batches = poll_until(reader(), {}, 1)
    (message,) = [message for batch in batches for message in batch.messages]
    assert (message.body, message.key, message.offset) == (b"\x00body\xff", b"\xfekey", 0)
    assert message.headers == (("_id", b"\x00\x80"), ("_test", b"true"))
    assert message.broker_time is not None
    assert abs(message.broker_time.timestamp() - before) < 60
    assert batches[-1].offsets == {topic: {0: 1}}


def test_retention_passed_is_reported_with_its_size(kafka: KafkaBroker, topic: str, reader: MakeReader) -> None:
    """A cursor before the first kept message resumes at the earliest one and says how many are lost."""
    for n in range(9):
        kafka.produce(topic, b"%d" % n)
    kafka.expire(topic, 6)
    batches = poll_until(reader(), {topic: {0: 2}}, 3)
    assert bodies(batches) == [b"6", b"7", b"8"]
    (gap,) = [gap for batch in batches for gap in batch.gaps]
    assert (gap.wanted, gap.resumed, gap.lost) == (2, 6, 4)
    assert "4 messages" in str(gap)


def test_retention_overtakes_a_running_reader(kafka: KafkaBroker, topic: str, reader: MakeReader) -> None:
    """Messages dropped while the reader was away between two polls are noticed too."""
    kafka.produce(topic, b"0")
    running = reader()
    first = poll_until(running, {}, 1)
    cursor = first[-1].offsets
    running.close()
    for n in range(1, 5):
        kafka.produce(topic, b"%d" % n)
    kafka.expire(topic, 4)
    batches = poll_until(reader(), cursor, 1)
    assert bodies(batches) == [b"4"]
    assert [gap.lost for batch in batches for gap in batch.gaps] == [3]


def test_recreated_topic_is_read_from_its_beginning(kafka: KafkaBroker, topic: str, reader: MakeReader) -> None:
    """A cursor beyond the end of a topic that was created anew starts over and says so."""
    for n in range(5):
        kafka.produce(topic, b"old %d" % n)
    cursor = poll_until(reader(), {}, 5)[-1].offsets
    kafka.recreate_topic(topic)
    kafka.produce(topic, b"new")
    batches = poll_until(reader(), cursor, 1)
    assert bodies(batches) == [b"new"]
    (gap,) = [gap for batch in batches for gap in batch.gaps]
    assert gap.lost is None
    assert "created again" in str(gap)


def test_recreated_topic_that_outgrew_the_cursor(
    kafka: KafkaBroker, topic: str, reader: MakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A topic created anew is told from the old one although the cursor's offset exists in it: none of it is skipped."""
    monkeypatch.setattr("mma_pipeline.adapters.kafka.reader.REFRESH_S", 0.0)

    def read(cursor: str, enough: Callable[[list[Batch], str], bool]) -> tuple[list[Batch], str]:
        """Poll as the sensor does, the cursor kept as text."""
        running, batches = reader(), []
        deadline = time.monotonic() + 60
        while not enough(batches, cursor) and time.monotonic() < deadline:
            batches.append(
                running.poll(decode_offsets(cursor), max_messages=50, timeout_s=1, topic_ids=decode_topic_ids(cursor))
            )
            cursor = encode_offsets(batches[-1].offsets, batches[-1].topic_ids)
        return batches, cursor

    for n in range(3):
        kafka.produce(topic, b"old %d" % n)
    _, cursor = read("", lambda batches, at: len(bodies(batches)) == 3 and topic in decode_topic_ids(at))
    assert decode_offsets(cursor) == {topic: {0: 3}}
    kafka.recreate_topic(topic)
    for n in range(5):
        kafka.produce(topic, b"new %d" % n)
    batches, again = read(cursor, lambda batches, _: b"new 0" in bodies(batches) and b"new 4" in bodies(batches))
    assert {b"new %d" % n for n in range(5)} <= set(bodies(batches))
    (gap,) = [gap for batch in batches for gap in batch.gaps]
    assert (gap.resumed, gap.lost) == (0, None)
    assert "created again" in str(gap)
    assert decode_topic_ids(again)[topic] != decode_topic_ids(cursor)[topic]


def test_topic_recreated_under_a_running_reader(
    kafka: KafkaBroker, topic: str, reader: MakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resident consumer goes on by itself when its topic is deleted and created anew."""
    monkeypatch.setattr("mma_pipeline.adapters.kafka.reader.REFRESH_S", 1.0)
    for n in range(3):
        kafka.produce(topic, b"old %d" % n)
    running = reader(**{"topic.metadata.refresh.interval.ms": 1000})
    cursor = poll_until(running, {}, 3)[-1].offsets
    kafka.recreate_topic(topic)
    kafka.produce(topic, b"new")
    assert bodies(poll_until(running, cursor, 1)) == [b"new"]


def test_added_partition_is_read_from_its_first_message(
    kafka: KafkaBroker, topic: str, reader: MakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition that appears while we read loses nothing, even with KAFKA_OFFSET_RESET=latest."""
    monkeypatch.setattr("mma_pipeline.adapters.kafka.reader.REFRESH_S", 1.0)
    running = reader()
    kafka.produce(topic, b"zero")
    cursor = poll_until(running, {}, 1)[-1].offsets
    kafka.add_partitions(topic, 2)
    kafka.produce(topic, b"one", partition=1)
    time.sleep(1.1)
    batches = poll_until(running, cursor, 1)
    assert bodies(batches) == [b"one"]
    assert batches[-1].offsets == {topic: {0: 1, 1: 1}}


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_broker_that_was_away(kafka: KafkaBroker, topic: str, reader: MakeReader, kill: bool) -> None:
    """The same consumer reads on after the broker was down, from the offset where it was."""
    kafka.produce(topic, b"before")
    running = reader()
    cursor = poll_until(running, {}, 1)[-1].offsets
    (kafka.kill if kill else kafka.stop)()
    quiet = running.poll(cursor, max_messages=5, timeout_s=2)
    assert not quiet.messages
    assert quiet.problems, "an unreachable broker is not a quiet stream"

    def revive() -> None:
        kafka.start()
        kafka.produce(topic, b"after")

    back = threading.Thread(target=revive)
    back.start()
    batches = poll_until(running, cursor, 1)
    back.join()
    assert bodies(batches) == [b"after"]
    assert not [gap for batch in batches for gap in batch.gaps]


def test_scram_password_changed_under_a_running_reader(kafka: KafkaBroker, topic: str, reader: MakeReader) -> None:
    """A refused login is named, never with the password, and reading goes on once the password is right again."""
    kafka.set_password("dave", "first-secret")
    running = reader(kafka.sasl_client("dave"))
    kafka.produce(topic, b"one")
    cursor = poll_until(running, {}, 1)[-1].offsets
    kafka.set_password("dave", "second-secret")
    kafka.restart()  # cuts the connection, so that the client must log in again
    problems: list[str] = []
    deadline = time.monotonic() + 60
    while not any("uthentication" in problem for problem in problems) and time.monotonic() < deadline:
        problems += running.poll(cursor, max_messages=5, timeout_s=1).problems
    assert any("uthentication" in problem for problem in problems)
    assert "first-secret" not in " ".join(problems)
    kafka.set_password("dave", "first-secret")
    kafka.produce(topic, b"two")
    assert bodies(poll_until(running, cursor, 1)) == [b"two"]
