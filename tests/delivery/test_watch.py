"""The watch beside the streams: lag, heartbeat and credentials as a real broker has them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from mma_pipeline.adapters.errors import MissingTopicError, TransientError
from mma_pipeline.adapters.kafka.stream import StreamConfig
from mma_pipeline.adapters.kafka.watch import BrokerWatch, fingerprint
from mma_pipeline.definitions import RESOURCES
from mma_pipeline.defs.operations import watch as watching
from mma_pipeline.defs.operations.health import health, pipeline_health_sensor, statistics
from mma_pipeline.defs.operations.watch import BrokerState, StreamState, from_json, watch
from mma_pipeline.defs.resources import ArchiveResource
from mma_pipeline.settings import Settings, current
from tests.services.kafka import KafkaBroker


@pytest.fixture
def topic(kafka: KafkaBroker) -> str:
    """A topic of the test's own with two partitions."""
    name = f"watch-{uuid.uuid4().hex}"
    kafka.create_topic(name, 2)
    return name


@pytest.fixture
def broker_watch(kafka: KafkaBroker, topic: str) -> Iterator[BrokerWatch]:
    """A watch of the topic."""
    made = BrokerWatch(StreamConfig(topic, (topic,), kafka.client()))
    yield made
    made.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance and an archive of the test's own; no watch of another test."""
    monkeypatch.setenv("MMA_ARCHIVE_URL", f"sqlite:///{tmp_path / 'archive.db'}")
    monkeypatch.setattr(watching, "_watches", {})
    with dg.instance_for_test() as instance:
        yield instance


def test_lag_and_newest_message(kafka: KafkaBroker, topic: str, broker_watch: BrokerWatch) -> None:
    """Every message after the cursor counts, also in a partition that it does not know; the newest time is the broker's."""
    assert broker_watch.newest() is None
    assert broker_watch.lag({}) == 0
    before = time.time()
    for partition in (0, 0, 0, 1):
        kafka.produce(topic, b"x", partition=partition)
    assert broker_watch.lag({}) == 4
    assert broker_watch.lag({topic: {0: 2}}) == 2
    assert broker_watch.lag({topic: {0: 3, 1: 1}}) == 0
    newest = broker_watch.newest()
    assert newest is not None
    assert abs(newest.timestamp() - before) < 60
    kafka.produce(topic, b"x", partition=1)
    assert broker_watch.newest() >= newest


def test_missing_topic_and_missing_broker_are_told_apart(kafka: KafkaBroker) -> None:
    """A topic that is not there is no outage, and no topic is made by looking."""
    name = f"none-{uuid.uuid4().hex}"
    lost = BrokerWatch(StreamConfig(name, (name,), kafka.client()))
    with pytest.raises(MissingTopicError):
        lost.lag({})
    lost.close()
    away = BrokerWatch(StreamConfig("away", ("t",), {"bootstrap.servers": "127.0.0.1:1"}))
    with pytest.raises(TransientError):
        away.newest()
    away.close()


def test_fingerprint_tells_credentials_apart() -> None:
    """It changes with name and secret, shows neither, and is absent without credential."""

    def of(**client: str) -> str | None:
        return fingerprint(StreamConfig("s", ("t",), {key.replace("_", "."): value for key, value in client.items()}))

    first = of(sasl_username="alice", sasl_password="one")
    assert first == of(sasl_username="alice", sasl_password="one")
    assert (
        len({first, of(sasl_username="alice", sasl_password="two"), of(sasl_username="bob", sasl_password="one")}) == 3
    )
    assert of() is None


def test_credential_age_counts_from_its_first_use(
    kafka: KafkaBroker, home: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SCRAM credential that works is noted with its first and last use; a new one begins anew; a refused one is idle."""
    if "igwn.gwalert" not in kafka.admin().list_topics(timeout=10).topics:
        kafka.create_topic("igwn.gwalert")
    env = {
        "HOP_USERNAME": "alice",
        "HOP_PASSWORD": kafka.passwords["alice"],
        "MMA_HOP_BOOTSTRAP": kafka.sasl_bootstrap,
        "MMA_HOP_PROTOCOL": "SASL_PLAINTEXT",
    }
    now = datetime.now(UTC)
    first = watch(home, Settings(env), None, now)
    seen = first.streams["hop-gwalert"]
    assert (seen.since, seen.worked) == (now.timestamp(), now.timestamp())
    assert seen.lag is not None
    later = watch(home, Settings(env), first, now + timedelta(days=3)).streams["hop-gwalert"]
    assert (later.since, later.worked) == (now.timestamp(), (now + timedelta(days=3)).timestamp())
    monkeypatch.setattr("mma_pipeline.adapters.kafka.watch.TIMEOUT_S", 1.0)
    wrong = watch(home, Settings({**env, "HOP_PASSWORD": "wrong"}), first, now + timedelta(days=3)).streams[
        "hop-gwalert"
    ]
    assert (wrong.since, wrong.worked, wrong.lag) == ((now + timedelta(days=3)).timestamp(), None, None)
    assert "wrong" not in BrokerState(0.0, {"hop-gwalert": wrong}).to_json()


def test_cursor_text_survives_and_foreign_text_is_nothing() -> None:
    """What is kept comes back; another version's cursor is like none."""
    kept = BrokerState(5.0, {"a": StreamState(3, "ab", 1.0, 2.0), "b": StreamState()}, 4.0, "t", 5.0)
    assert from_json(kept.to_json()) == kept
    for text in (None, "", "x", "[]", '{"at": 1}', '{"at": 1, "streams": {"a": {"odd": 1}}, "heartbeat": null}'):
        assert from_json(text) is None


def test_sensor_watches_every_minute_and_reports_every_five(
    kafka: KafkaBroker, home: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look without news only moves the cursor; the heartbeat's age reaches figures and problems."""
    if "gcn.heartbeat" not in kafka.admin().list_topics(timeout=10).topics:
        kafka.create_topic("gcn.heartbeat")
    kafka.produce("gcn.heartbeat", b"{}")
    monkeypatch.setenv("MMA_KAFKA_BOOTSTRAP", kafka.bootstrap)

    def tick(cursor: str | None) -> dg.SensorResult:
        context = dg.build_sensor_context(instance=home, cursor=cursor, resources=dict(RESOURCES))
        result = pipeline_health_sensor(context)
        assert isinstance(result, dg.SensorResult)
        return result

    first = tick(None)
    assert len(first.asset_events) == 2
    second = tick(first.cursor)
    assert not second.asset_events
    seen = from_json(second.cursor)
    assert seen is not None
    assert seen.heartbeat is not None
    assert len(tick(replace(seen, reported=seen.reported - 301).to_json()).asset_events) == 2
    archive, now = ArchiveResource().open(), datetime.fromtimestamp(seen.heartbeat, UTC)
    well = health(home, archive, now + timedelta(seconds=20), seen, destinations=(), settings=current())
    assert statistics(well)["GCN: last heartbeat (s ago)"] == 20
    dead = health(home, archive, now + timedelta(seconds=400), seen, destinations=(), settings=current())
    assert [problem for problem in dead.problems if "heartbeat is 7 min old" in problem.text]
