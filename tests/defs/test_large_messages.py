"""Messages that lie outside the broker: one whose server is dead holds nothing, and comes when it can be had."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from hop import bson

from mma_pipeline.adapters.archive.quarantine import quarantined
from mma_pipeline.adapters.archive.waiting import WAITING
from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from mma_pipeline.adapters.kafka.producer import ConfirmedProducer
from mma_pipeline.defs.alerts import large_messages
from mma_pipeline.defs.alerts.large_messages import FetchAttempts, large_messages_sensor
from mma_pipeline.defs.alerts.sensors import stream_sensor
from mma_pipeline.defs.alerts.streams import STREAMS
from mma_pipeline.defs.resources import ArchiveResource, KafkaResource
from tests.alerts import alert, avro
from tests.defs.malformed import tiny_map
from tests.defs.streaming import Streaming, keys_of
from tests.homes import Home
from tests.services.stubborn import How, StubbornServer, stubborn

HOPSKOTCH = next(stream for stream in STREAMS if stream.name == "hop-gwalert")


def small(superevent: str) -> bytes:
    """A small valid alert, as Hopskotch carries it."""
    return avro(alert(superevent, skymap=tiny_map()))


def offloaded(body: bytes) -> bytes:
    """What a server of large messages gives for one."""
    return bson.dumps({"message": body, "metadata": {"headers": [["_format", b"avro"]], "timestamp": 5}})


class Hopskotch(Streaming):
    """The Hopskotch stream on an embedded broker, and the sensor of large messages."""

    def __init__(self, home: Home, kafka: EmbeddedKafka) -> None:
        super().__init__(home, kafka, stream=HOPSKOTCH)
        self.large_cursor: str | None = None
        self._producer = ConfirmedProducer({"bootstrap.servers": kafka.bootstrap})

    def send_address(self, server: StubbornServer) -> None:
        """Write a message that is only the address of one."""
        body = json.dumps({"url": server.url}).encode()
        self._producer.send(self.stream.topic, body, key="alerts", headers={"_format": b"external"})

    def large_tick(self, *, lost: bool = False) -> Any:
        """One tick of the sensor of large messages; `lost`: its answer never reaches Dagster."""
        context = dg.build_sensor_context(
            instance=self.home.instance,
            cursor=self.large_cursor,
            resources={"archive": ArchiveResource(url=self.home.env["MMA_ARCHIVE_URL"])},
        )
        answer = large_messages_sensor(context)
        if isinstance(answer, dg.SensorResult) and not lost:
            self.large_cursor = answer.cursor
        return answer

    def reasons(self) -> list[str]:
        """Why messages are in quarantine."""
        return [reason for _, _, reason in self.home.archive.quarantined()]


@pytest.fixture
def hopskotch(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hopskotch]:
    """An empty home that reads Hopskotch's alerts, with short limits."""
    with EmbeddedKafka() as kafka:
        env = {"HOP_USERNAME": "me", "HOP_PASSWORD": "x", "MMA_HOP_PROTOCOL": "PLAINTEXT"}
        for name, value in {**env, "MMA_HOP_BOOTSTRAP": kafka.bootstrap}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("mma_pipeline.defs.alerts.sensors.FETCH_EACH_S", 0.5)
        monkeypatch.setattr(large_messages, "EACH_S", 0.5)
        monkeypatch.setattr(large_messages, "FIRST_PAUSE_S", 0.0)
        streaming = Hopskotch(home, kafka)
        yield streaming
        streaming.process_ends()


def test_dead_server_holds_nothing_behind_it(hopskotch: Hopskotch) -> None:
    """Servers that never answer or trickle delay no message behind theirs; those messages wait in the archive."""
    with contextlib.ExitStack() as stack:
        for how in (How.SILENT, How.TRICKLING_HEAD, How.TRICKLING_BODY):
            hopskotch.send_address(stack.enter_context(stubborn(how)))
        hopskotch.send(small("S240301a"))
        hopskotch.send_address(stack.enter_context(stubborn(How.GIVING, offloaded(small("S240301b")))))
        keys = keys_of(hopskotch.ticks(5))
    assert [key.partition("-")[0] for key in keys] == ["S240301a", "S240301b"]
    assert len(hopskotch.reasons()) == 3
    assert all(reason.startswith(WAITING) for reason in hopskotch.reasons())
    assert quarantined(hopskotch.home.archive) == [], "what waits is no problem yet"


def test_time_of_a_tick_is_shared(hopskotch: Hopskotch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the time for fetching is used up, further large messages wait unasked: their servers see no request."""
    monkeypatch.setattr("mma_pipeline.defs.alerts.sensors.FETCH_S", 0.5)
    with stubborn(How.SILENT) as silent, stubborn(How.GIVING, offloaded(small("S240301b"))) as good:
        hopskotch.send_address(silent)
        hopskotch.send_address(good)
        hopskotch.send(small("S240301a"))
        keys = keys_of(hopskotch.ticks(3))
        assert [key.partition("-")[0] for key in keys] == ["S240301a"]
        assert good.requests == 0
        answers = [hopskotch.large_tick()]
    assert [key.partition("-")[0] for key in keys_of(answers)] == ["S240301b"]


def test_waiting_message_comes_when_its_server_does(hopskotch: Hopskotch) -> None:
    """Tried again until it is there; then it has its run, once, and leaves the quarantine; a lost answer is given again."""
    whole = small("S240301a")
    with stubborn(How.SILENT, offloaded(whole)) as server:
        hopskotch.send_address(server)
        assert keys_of(hopskotch.ticks(1)) == []
        assert keys_of([hopskotch.large_tick()]) == []
        assert len(hopskotch.reasons()) == 1
        server.how = How.GIVING
        lost = keys_of([hopskotch.large_tick(lost=True)])
        again = keys_of([hopskotch.large_tick()])
    assert again == lost
    assert [key.partition("-")[0] for key in again] == ["S240301a"]
    hopskotch.large_tick()
    assert hopskotch.reasons() == []
    assert isinstance(hopskotch.large_tick(), dg.SkipReason)
    (record,) = hopskotch.home.archive.versions("S240301a")
    assert hopskotch.home.archive.message(record.message_id).body == whole


def test_message_that_is_gone(hopskotch: Hopskotch) -> None:
    """A waiting message whose server says that it is gone is in quarantine for good, told once."""
    with stubborn(How.SILENT) as server:
        hopskotch.send_address(server)
        hopskotch.ticks(1)
        server.how = How.GONE
        told = hopskotch.large_tick()
    assert [event.asset_key for event in told.asset_events] == [dg.AssetKey("quarantine")]
    (reason,) = hopskotch.reasons()
    assert "cannot be fetched" in reason
    assert isinstance(hopskotch.large_tick(), dg.SkipReason)


def test_message_that_never_comes_is_given_up(hopskotch: Hopskotch, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the longest wait the quarantine says that the message was given up, and nothing asks any more."""
    with stubborn(How.SILENT) as server:
        hopskotch.send_address(server)
        hopskotch.ticks(1)
        monkeypatch.setattr(large_messages, "GIVE_UP", timedelta(0))
        told = hopskotch.large_tick()
    assert len(told.asset_events) == 1
    assert hopskotch.reasons()[0].startswith("given up")
    assert isinstance(hopskotch.large_tick(), dg.SkipReason)


def test_pauses_grow_to_the_longest() -> None:
    """10 s after the first failure, doubled by each, half an hour at most."""
    tried, pauses = FetchAttempts(), []
    for _ in range(12):
        tried = tried.failed(1000.0)
        pauses.append(tried.next - 1000.0)
    assert pauses[:4] == [10, 20, 40, 80]
    assert pauses[-1] == 1800


def test_malformed_address_is_quarantined(hopskotch: Hopskotch) -> None:
    """An address that is none ends in quarantine like any message that cannot be read, and stops nothing."""
    for url in ("http://[::1", "http://", "file:///etc/passwd", 5, None):
        body = json.dumps({"url": url}).encode()
        hopskotch._producer.send(hopskotch.stream.topic, body, key="alerts", headers={"_format": b"external"})
    hopskotch.send(small("S240301a"))
    assert len(keys_of(hopskotch.ticks(6))) == 1
    assert not [reason for reason in hopskotch.reasons() if reason.startswith(WAITING)]


def test_other_streams_fetch_nothing(hopskotch: Hopskotch, home: Home) -> None:
    """The header means an address on Hopskotch alone: nobody else's message makes us ask a server."""
    gcn = replace(HOPSKOTCH, name="gcn-gwalert", broker=STREAMS[0].broker)
    with stubborn(How.GIVING) as server:
        hopskotch.send_address(server)
        context = dg.build_sensor_context(
            instance=home.instance,
            resources={
                "archive": ArchiveResource(url=home.env["MMA_ARCHIVE_URL"]),
                "kafka": KafkaResource(bootstrap=hopskotch.kafka.bootstrap),
            },
        )
        stream_sensor(gcn)(context)
        assert server.requests == 0
