"""From Kafka to targets. The broker is librdkafka's own mock cluster, which keeps what it is given while it lives."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest
from django.db import connection
from tom_alertstreams.alertstreams.alertstream import get_alert_streams
from tom_targets.models import Target

from mma_pipeline.tom import stream
from mma_pipeline.tom.demo.event import Sent
from mma_pipeline.tom.demo.kafka import EmbeddedKafka
from mma_pipeline.tom.models import DerivedAlert, RejectedMessage, StreamPosition

TOPIC = "mma.derived"


@pytest.fixture(scope="module")
def kafka() -> Iterator[EmbeddedKafka]:
    """A broker."""
    with EmbeddedKafka() as running:
        yield running


@pytest.fixture
def topic(kafka: EmbeddedKafka) -> str:
    """A topic that no other test uses."""
    return f"{TOPIC}.{next(_numbers)}"


_numbers = itertools.count()


def send(kafka: EmbeddedKafka, topic: str, *messages: Sent) -> None:
    """Publish and wait until the broker has everything."""
    kafka.send(topic, messages)


def reader(kafka: EmbeddedKafka, topic: str, **options: object) -> stream.KafkaAlertStream:
    """The stream as the toolkit builds it from ALERT_STREAMS."""
    client = {"bootstrap.servers": kafka.bootstrap}
    config = {"NAME": f"derived-{topic}", "TOPICS": [topic], "CLIENT": client, **options}
    (built,) = get_alert_streams([{"NAME": "mma_pipeline.tom.stream.KafkaAlertStream", "OPTIONS": config}])
    assert isinstance(built, stream.KafkaAlertStream)
    return built


def drain(source: stream.KafkaAlertStream, offsets: dict, count: int) -> dict:
    """Step until `count` messages are in the tables."""
    deadline = time.monotonic() + 120
    while DerivedAlert.objects.count() + RejectedMessage.objects.count() < count:
        assert time.monotonic() < deadline, "the messages did not come"
        offsets = source.step(offsets)
    return offsets


@pytest.mark.django_db
def test_targets_appear_and_the_place_is_kept(kafka, topic, event, auto_targets) -> None:
    """Messages become a target; a new process goes on at the stored place and reads no message twice."""
    nights = list(itertools.chain.from_iterable(event.nights()))
    send(kafka, topic, event.announcement(), *nights[:2], Sent(b"not json", {}, event.announcement().id))
    drain(reader(kafka, topic), {}, 4)
    assert Target.objects.get().name == event.candidate
    assert RejectedMessage.objects.count() == 1
    place = StreamPosition.objects.get().offsets
    assert sum(place[topic].values()) == 4

    send(kafka, topic, *nights[2:])
    second = reader(kafka, topic)
    drain(second, second.stored_place(), 8)
    assert sum(StreamPosition.objects.get().offsets[topic].values()) == 8
    assert Target.objects.count() == 1


@pytest.mark.django_db
def test_reading_all_again_changes_nothing(kafka, topic, event, auto_targets) -> None:
    """With the place lost, everything is read again and known again."""
    send(kafka, topic, *itertools.chain.from_iterable(event.nights()))
    drain(reader(kafka, topic), {}, 6)
    before = list(DerivedAlert.objects.order_by("pk").values())
    StreamPosition.objects.all().delete()
    again = reader(kafka, topic)
    offsets, deadline = again.stored_place(), time.monotonic() + 120
    while sum(offsets.get(topic, {}).values()) < 6:
        assert time.monotonic() < deadline, "the messages did not come again"
        offsets = again.step(offsets)
    assert list(DerivedAlert.objects.order_by("pk").values()) == before
    assert Target.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_listens_until_stopped(kafka, topic, event, auto_targets) -> None:
    """`listen` runs in a thread as the toolkit's `readstreams` starts it, and ends when asked."""
    source = reader(kafka, topic)
    send(kafka, topic, *event.score(0.9, event.time))

    def run() -> None:
        try:
            source.listen()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 120
    while DerivedAlert.objects.count() < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    source.stop()
    thread.join(timeout=120)
    assert not thread.is_alive()
    assert Target.objects.get().name == event.candidate


@pytest.mark.django_db
def test_database_away_is_waited_for(kafka, topic, event, auto_targets, monkeypatch) -> None:
    """While the database refuses, the same messages are tried again, and nothing is skipped."""
    from django.db import DatabaseError

    source = reader(kafka, topic)
    send(kafka, topic, *event.score(0.9, event.time))
    real, calls = stream.ingest.store_batch, itertools.count()

    def fails_twice(*args):
        if next(calls) < 2:
            raise DatabaseError("database is locked")
        stored = real(*args)
        if DerivedAlert.objects.count() == 2:  # they may come in two batches
            source.stop()
        return stored

    monkeypatch.setattr(stream.ingest, "store_batch", fails_twice)
    monkeypatch.setattr(stream, "close_old_connections", lambda: None)
    monkeypatch.setattr(stream, "PAUSE_S", 0.0)
    source.listen()
    assert DerivedAlert.objects.count() == 2


@pytest.mark.django_db
def test_handler_for_the_toolkits_hopskotch_stream(event, auto_targets) -> None:
    """The handler takes what hop-client hands over: a model with decoded content, or with bytes, and metadata."""
    import json
    from types import SimpleNamespace

    old, new = event.score(0.9, event.time)
    for offset, (sent, content) in enumerate([(old, json.loads(old.body)), (new, new.body)]):
        # The fields of hop.io.Metadata that are used; hop-client is not part of this environment.
        metadata = SimpleNamespace(topic="t", partition=0, offset=offset, headers=list(sent.headers.items()))
        stream.handle(SimpleNamespace(content=content), metadata)
    assert DerivedAlert.objects.count() == 2
    assert Target.objects.count() == 1


@pytest.mark.django_db
def test_a_missing_option_is_said() -> None:
    """A stream without brokers or topics is refused with the names of what is missing."""
    from django.core.exceptions import ImproperlyConfigured

    entry = {"NAME": "mma_pipeline.tom.stream.KafkaAlertStream", "OPTIONS": {"NAME": "x"}}
    with pytest.raises(ImproperlyConfigured, match="TOPICS"):
        get_alert_streams([entry])
