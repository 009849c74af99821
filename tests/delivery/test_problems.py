"""Everything that raises a problem, from a real situation: in health, in metrics, and as one message to people.

docs/reliability.md lists all kinds; a kind without a row there or a situation here fails.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._daemon.types import DaemonHeartbeat
from prometheus_client import CollectorRegistry

from mma_pipeline.adapters.archive import Archive, blocks, decisions, outbox, reading, writing
from mma_pipeline.adapters.archive.publications import Answer, Draft, Publication
from mma_pipeline.adapters.archive.surveys import Beat, SurveyArchive
from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.kafka.producer import ConfirmedProducer
from mma_pipeline.adapters.publishing.webhook import WebhookDestination
from mma_pipeline.cli.health import fill
from mma_pipeline.definitions import RESOURCES
from mma_pipeline.defs.alerts.streams import STREAMS
from mma_pipeline.defs.observing.pointings_memory import SENSOR, Memory
from mma_pipeline.defs.observing.pointings_sensor import _ask
from mma_pipeline.defs.operations import watch as watching
from mma_pipeline.defs.operations.health import LAG, Health, health, pipeline_health_sensor, statistics
from mma_pipeline.defs.operations.notifying import QUIET_S
from mma_pipeline.defs.operations.problems import TOLD_WHERE_THEY_ARISE, Kind, Problem
from mma_pipeline.defs.operations.watch import from_json
from mma_pipeline.defs.resources import destination_names
from mma_pipeline.notices.key import EventVersion
from mma_pipeline.products.ingest import ingest
from mma_pipeline.settings import current
from tests.defs.malformed import good, with_top
from tests.homes import Home, instance_for_test
from tests.services.proxy import Proxy
from tests.services.s3 import S3Server

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
GWALERT = STREAMS[0]


@dataclass
class Pipeline:
    """An installation with a webhook, and the cursor that Dagster would keep of the health sensor."""

    home: Home
    instance: dg.DagsterInstance
    patch: pytest.MonkeyPatch
    held: contextlib.ExitStack
    cursor: str | None = None
    sent: int = 0
    brokers: list[EmbeddedKafka] = field(default_factory=list)
    """Kept, for a broker lives no longer than its object."""

    @property
    def archive(self) -> Archive:
        """The archive."""
        return self.home.archive

    def look(self) -> None:
        """One tick of the health sensor."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=dict(RESOURCES))
        result = pipeline_health_sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor

    def health(self, *, after: timedelta = timedelta()) -> Health:
        """How it does, as doctor and metrics see it."""
        now, names = datetime.now(UTC) + after, destination_names(current())
        return health(self.instance, self.archive, now, from_json(self.cursor), destinations=names, settings=current())

    def of_kind(self, kind: Kind) -> list[Problem]:
        """The problems of a kind."""
        return [problem for problem in self.health().problems if problem.kind is kind]

    def messages(self) -> list[Publication]:
        """What waits to be told."""
        with reading(self.archive.engine) as connection:
            return outbox.publications(connection, destination="webhook")

    def receive(self, body: bytes, *, ago: timedelta = timedelta(), stream: str = GWALERT.name) -> int:
        """A message as a stream's sensor archives it."""
        self.sent += 1
        received = datetime.now(UTC) - ago
        message = StreamMessage(stream, GWALERT.topic, 0, self.sent, body, None, (), None, received)
        outcome = ingest(self.archive, message, GWALERT.parse)
        return outcome.message_id

    def kafka(self) -> EmbeddedKafka:
        """A broker with every stream's topic."""
        kafka = EmbeddedKafka()
        self.brokers.append(kafka)
        for topic in {"gcn.heartbeat", *(stream.topic for stream in STREAMS)}:
            kafka.create_topic(topic)
        self.patch.setenv("MMA_KAFKA_BOOTSTRAP", kafka.bootstrap)
        return kafka


@pytest.fixture
def pipeline(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """An installation that nothing has happened to yet."""
    monkeypatch.setenv("MMA_WEBHOOK_URL", "https://hooks.example/T0000-B0000-XXXXXXXX")
    for name in ("API_BASE", "MMA_HOP_URL", "MMA_PUBLICATION_CONFIG", "HOP_USERNAME", "MMA_HOP_STREAMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(watching, "_watches", {})
    monkeypatch.setattr(watching, "_stores", {})
    monkeypatch.setattr("mma_pipeline.adapters.kafka.watch.TIMEOUT_S", 1.0)
    with contextlib.ExitStack() as held:
        instance = held.enter_context(instance_for_test())
        yield Pipeline(home, instance, monkeypatch, held)


def no_daemon(_pipeline: Pipeline) -> None:
    """Nothing has ever run here."""


def daemon_silent(pipeline: Pipeline) -> None:
    """A daemon's last heartbeat is ten minutes old."""
    pipeline.instance.add_daemon_heartbeat(DaemonHeartbeat(datetime.now(UTC).timestamp() - 600, "SENSOR", "1"))


def sensor_state(pipeline: Pipeline, name: str, cursor: str | None = None) -> InstigatorState:
    """A running sensor, as Dagster keeps it."""
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("mma"), "__repository__"), name)
    data = SensorInstigatorData(min_interval=1, cursor=cursor)
    state = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)
    pipeline.instance.add_instigator_state(state)
    return state


def stream_unread(pipeline: Pipeline) -> None:
    """The last good tick of a connected stream's sensor is ten minutes old."""
    pipeline.kafka()
    state = sensor_state(pipeline, GWALERT.sensor_name)
    pipeline.instance.create_tick(
        TickData(
            state.instigator_origin_id,
            GWALERT.sensor_name,
            InstigatorType.SENSOR,
            TickStatus.SKIPPED,
            datetime.now(UTC).timestamp() - 600,
            selector_id=state.selector_id,
        )
    )


def stream_behind(pipeline: Pipeline) -> None:
    """More messages wait at a broker than ten ticks take."""
    producer = ConfirmedProducer({"bootstrap.servers": pipeline.kafka().bootstrap})
    for _ in range(LAG + 1):
        producer.send(GWALERT.topic, b"{}")


def credential(pipeline: Pipeline) -> None:
    """A broker takes a credential that is set from nobody."""
    for name, value in {
        "HOP_USERNAME": "alice",
        "HOP_PASSWORD": "wonderland",
        "MMA_HOP_BOOTSTRAP": "127.0.0.1:1",
        "MMA_HOP_PROTOCOL": "SASL_PLAINTEXT",
    }.items():
        pipeline.patch.setenv(name, value)


def gcn_silent(pipeline: Pipeline) -> None:
    """The newest heartbeat of the broker is ten minutes old."""
    from confluent_kafka import Producer

    kafka = Producer({"bootstrap.servers": pipeline.kafka().bootstrap})
    kafka.produce("gcn.heartbeat", b"{}", timestamp=int((datetime.now(UTC).timestamp() - 600) * 1000))
    assert kafka.flush(10) == 0


def versions_unfinished(pipeline: Pipeline) -> None:
    """An alert came half an hour ago, and no run of it ever did."""
    pipeline.receive(good("S240301b"), ago=timedelta(minutes=30))


def publications_failed(pipeline: Pipeline) -> None:
    """A receiver refused for good."""
    now = datetime.now(UTC)
    with writing(pipeline.archive.engine) as connection:
        outbox.enqueue(connection, Draft("site", "alert", "a", "S240301b", {}), now)
        claimed = outbox.claim(connection, "site", now, lease_s=60)
        assert claimed is not None
        outbox.fail(connection, *claimed, "HTTP 400", now)


def store_away(pipeline: Pipeline) -> None:
    """No server listens where the bucket should be."""
    for name, value in {
        "MMA_STORE_URL": "s3://gwtreasuremap",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "wonderland",
    }.items():
        pipeline.patch.setenv(name, value)


def queue_away(pipeline: Pipeline) -> None:
    """Nobody listens where the resident workers' queue should be."""
    warm(pipeline, "redis://:wonderland@127.0.0.1:1/0")


def no_worker(pipeline: Pipeline) -> None:
    """A queue that nobody serves."""
    warm(pipeline, "filesystem://")


def warm(pipeline: Pipeline, broker: str) -> None:
    """The same installation with resident workers behind a queue."""
    settings = {"broker": broker, "backend": "cache+memory://"}
    name = {"module": "mma_pipeline.instance.launcher", "class": "WarmRunLauncher", "config": settings}
    pipeline.instance = pipeline.held.enter_context(instance_for_test(overrides={"run_launcher": name}))


def no_stream(pipeline: Pipeline) -> None:
    """A new installation without any credential or broker."""
    for name in ("KAFKA_CLIENT_ID", "KAFKA_CLIENT_SECRET", "HOP_USERNAME", "HOP_PASSWORD", "MMA_KAFKA_BOOTSTRAP"):
        pipeline.patch.delenv(name, raising=False)


def quarantine(pipeline: Pipeline) -> None:
    """A real event's alert says not when it was made."""
    pipeline.receive(with_top(time_created=None))


def messages_lost(pipeline: Pipeline) -> None:
    """A survey's readers were away for longer than the broker keeps messages."""
    surveys, now = SurveyArchive(pipeline.archive), datetime.now(UTC)
    surveys.lose("survey", ("ztf_20261128_programid1", 0), 1000, 5000, Beat("here:1", now))


def pointings_unread(pipeline: Pipeline) -> None:
    """Nobody listens at the Treasure Map's address while a real event is live."""
    pipeline.patch.setenv("MMA_POINTINGS_URL", "http://127.0.0.1:1/api/v1/")
    pipeline.patch.setenv("MMA_POINTINGS_MINUTES", "10")
    pipeline.receive(good("S240301b"), ago=timedelta(hours=1))
    memory, now = Memory(), datetime.now(UTC)
    for ago in (30, 10):
        assert _ask(pipeline.archive, memory, now - timedelta(minutes=ago), current())
    sensor_state(pipeline, SENSOR, memory.to_json())


def degraded(pipeline: Pipeline) -> None:
    """A real event's version was made of what is sound in its alert."""
    record_degraded(pipeline, "S240301b", ["event.far is missing", "the map holds a NaN"])


def run_failed(pipeline: Pipeline) -> None:
    """A night of a candidate cannot be scored."""

    @dg.op
    def breaks() -> None:
        raise RuntimeError("no light curve")

    @dg.job(name="candidate_products")
    def broken() -> None:
        breaks()

    tags = {"mma/event": "S240301b", "dagster/partition": "S240301b-AT1-MJD60000"}
    assert not broken.execute_in_process(instance=pipeline.instance, raise_on_error=False, tags=tags).success


def publication_blocked(pipeline: Pipeline) -> None:
    """The map of a real event's version is another event's."""
    finding = {"check": "skymap.map_is_of_this_event", "about": "the times agree", "values": {"time_offset_s": -3600.0}}
    with writing(pipeline.archive.engine) as connection:
        blocks.note_block(connection, "S240301b-Preliminary-x-y", "S240301b", [finding], datetime.now(UTC))


def publication_late(pipeline: Pipeline) -> None:
    """An alert came twenty minutes ago, people are to be told of it, and its products are not there."""
    pipeline.receive(good("S240301b"), ago=timedelta(minutes=20))


def published_bare(pipeline: Pipeline) -> None:
    """People were told of a version whose products had failed for good."""
    key, now = record_degraded(pipeline, "S240301b", []), datetime.now(UTC)
    with writing(pipeline.archive.engine) as connection:
        decisions.record_decision(connection, "webhook", key, "S240301b", accepted=True, reasons=[], now=now, bare=True)
        outbox.enqueue(connection, Draft("webhook", "version", key, "S240301b", {"bare": True}, key), now)
        claimed = outbox.claim(connection, "webhook", now, lease_s=60)
        assert claimed is not None
        outbox.finish(connection, *claimed, Answer("HTTP 200"), now)


def record_degraded(
    pipeline: Pipeline, event: str, wrong: list[str], *, label: str = "Preliminary", minute: int = 0
) -> str:
    """A version whose facts name what is wrong; none for a sound one."""
    pipeline.sent += 1
    now = datetime.now(UTC)
    message = StreamMessage(GWALERT.name, GWALERT.topic, 0, pipeline.sent, b"%d" % pipeline.sent, None, (), None, now)
    version = EventVersion(event, datetime(2024, 3, 1, 12, minute, tzinfo=UTC), label, f"{pipeline.sent:010x}")
    facts = {"degraded": wrong} if wrong else {}
    return pipeline.archive.record(message, [(version, facts)]).versions[0].partition_key


SITUATIONS: dict[Kind, Callable[[Pipeline], None]] = {
    Kind.NO_DAEMON: no_daemon,
    Kind.DAEMON_SILENT: daemon_silent,
    Kind.NO_STREAM: no_stream,
    Kind.STREAM_UNREAD: stream_unread,
    Kind.STREAM_BEHIND: stream_behind,
    Kind.CREDENTIAL: credential,
    Kind.GCN_SILENT: gcn_silent,
    Kind.VERSIONS_UNFINISHED: versions_unfinished,
    Kind.PUBLICATIONS_FAILED: publications_failed,
    Kind.STORE_AWAY: store_away,
    Kind.QUEUE_AWAY: queue_away,
    Kind.NO_WORKER: no_worker,
    Kind.QUARANTINE: quarantine,
    Kind.MESSAGES_LOST: messages_lost,
    Kind.POINTINGS_UNREAD: pointings_unread,
    Kind.DEGRADED: degraded,
    Kind.RUN_FAILED: run_failed,
    Kind.PUBLICATION_BLOCKED: publication_blocked,
    Kind.PUBLICATION_LATE: publication_late,
    Kind.PUBLISHED_BARE: published_bare,
}


def documented() -> dict[str, str]:
    """Kinds in the table of docs/reliability.md, with their messages."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    return {kind: message for kind, _, message in rows}


def test_every_kind_is_documented_and_tried() -> None:
    """The table of the document, the kinds of the code and the situations here are the same."""
    assert set(documented()) == set(Kind) == set(SITUATIONS)


@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_from_its_situation(pipeline: Pipeline, kind: Kind) -> None:
    """The situation raises its kind in health and metrics with the documented message; people get it once."""
    with_kind = kind is Kind.NO_DAEMON
    assert bool(pipeline.of_kind(kind)) == with_kind, "without the situation there is no such problem"
    SITUATIONS[kind](pipeline)
    for _ in range(3):
        pipeline.look()
    (problem,) = pipeline.of_kind(kind)
    said = documented()[kind]
    pattern = re.escape(said.strip()).replace("…", ".+")
    assert re.match(pattern, problem.text), f"{problem.text!r} is not {said!r}"
    registry = CollectorRegistry()
    fill(registry, pipeline.health())
    assert registry.get_sample_value("mma_problems_of_kind", {"kind": kind.value}) == 1
    told = [item for item in pipeline.messages() if item.dedupe_key.startswith(f"failure-problem-{kind}:")]
    assert len(told) == (kind not in TOLD_WHERE_THEY_ARISE)
    if told:
        failure = told[0].payload["failure"]
        assert re.match(pattern, failure["error"])
        assert (failure["kind"], told[0].event_id) == ("problem", problem.event or "no event")
        assert "wonderland" not in json.dumps(dict(failure)) + str(pipeline.cursor)


def test_a_stream_without_credential_is_said_to_be_so(pipeline: Pipeline) -> None:
    """Each stream that is not connected says which variables to set, and no tick; one connected stream ends the alarm."""
    no_stream(pipeline)
    pipeline.look()
    streams = {stream.name: stream for stream in pipeline.health().streams}
    for name, variable in (
        ("gcn-gwalert", "KAFKA_CLIENT_ID"), ("hop-gwalert", "HOP_USERNAME"), ("gcn-icecube", "KAFKA_CLIENT_SECRET"),
        ("gcn-notices", "KAFKA_CLIENT_ID"), ("photometry", "MMA_PHOTOMETRY_TOPICS"), ("survey", "MMA_SURVEY_TOPICS"),
    ):  # fmt: skip
        text = statistics(pipeline.health())[f"{name}: connection"]
        assert str(text).startswith("not connected: set ")
        assert variable in str(text)
        assert streams[name].tick_age_s is None
    assert len(pipeline.of_kind(Kind.NO_STREAM)) == 1
    pipeline.kafka()
    pipeline.look()
    assert pipeline.of_kind(Kind.NO_STREAM) == []
    shown = statistics(pipeline.health())
    assert "gcn-gwalert: connection" not in shown
    assert "hop-gwalert: connection" in shown


def test_half_a_credential_is_named(pipeline: Pipeline) -> None:
    """A stream with half a credential says that the other half is missing, without the half that is there."""
    pipeline.patch.setenv("KAFKA_CLIENT_ID", "half-of-it")
    pipeline.look()
    text = str(statistics(pipeline.health())["gcn-gwalert: connection"])
    assert text == "not connected: set both KAFKA_CLIENT_ID and KAFKA_CLIENT_SECRET, the GCN client credentials"


@pytest.mark.service("s3")
def test_people_hear_that_the_store_is_back(pipeline: Pipeline, s3_server: S3Server) -> None:
    """A server that goes and comes back: one message with the cause, one when it has answered for five minutes."""
    with Proxy.to(target=1) as proxy:
        pipeline.patch.setenv("MMA_STORE_URL", "s3://gwtreasuremap")
        for name, value in s3_server.environ_at(proxy.port).items():
            pipeline.patch.setenv(name, value)
        for _ in range(3):
            pipeline.look()
        proxy.target = s3_server.port
        pipeline.look()
        assert pipeline.of_kind(Kind.STORE_AWAY) == []
        seen = from_json(pipeline.cursor)
        assert seen is not None
        earlier = {key: replace(kept, seen=kept.seen - QUIET_S) for key, kept in seen.lasting.items()}
        pipeline.cursor = replace(seen, lasting=earlier).to_json()
        for _ in range(3):
            pipeline.look()
    told = [m.payload["failure"] for m in pipeline.messages() if Kind.STORE_AWAY in m.dedupe_key]
    assert [failure["destination"] for failure in told] == ["problem", "over"]
    assert told[0]["error"].startswith("the store cannot be used: stat s3://gwtreasuremap/")
    assert told[1]["error"].startswith("no longer seen since ")
    webhook = WebhookDestination("people", "https://hooks.example/x")
    said = [webhook.render({"failure": failure})["text"] for failure in told]
    assert said[0].startswith("PROBLEM: the store cannot be used")
    assert said[1].startswith("OVER: no longer seen since ")


def test_mock_and_solved_messages_are_no_problem(pipeline: Pipeline) -> None:
    """What is recognisably mock stays in quarantine without a word; a whole sender's change is one problem."""
    pipeline.receive(with_top(superevent_id="MS240301b", time_created=None))
    pipeline.receive(with_top(superevent_id=None, urls={}, event={"search": "MDC"}))
    assert pipeline.of_kind(Kind.QUARANTINE) == []
    first, *_ = [pipeline.receive(b'{"superevent": "S%d"}' % n) for n in range(3)]
    (problem,) = pipeline.of_kind(Kind.QUARANTINE)
    assert problem.text.startswith(
        "3 messages of gcn-gwalert cannot be used, and their event is unknown: superevent_id"
    )
    assert (problem.event, f"message {first}," in problem.text) == (None, True)
    pipeline.look()
    pipeline.receive(b'{"superevent": "S3"}')
    pipeline.look()
    assert len([m for m in pipeline.messages() if m.dedupe_key.startswith("failure-problem-quarantine")]) == 1


def test_a_sound_version_ends_a_degraded_one(pipeline: Pipeline) -> None:
    """A later sound version of the event's own, or its retraction, ends it; earlier, degraded and combined ones do not."""
    record_degraded(pipeline, "MS240301b", ["event.far is missing"])
    assert pipeline.of_kind(Kind.DEGRADED) == [], "mock events are nobody's problem"
    key = record_degraded(pipeline, "S240301b", ["event.far is missing"], minute=1)
    record_degraded(pipeline, "S240301b", [], minute=0)
    record_degraded(pipeline, "S240301b", [], label="Initial-ExtCoinc", minute=2)
    assert [problem.subject for problem in pipeline.of_kind(Kind.DEGRADED)] == [key]
    later = record_degraded(pipeline, "S240301b", ["the map holds a NaN"], label="Initial", minute=3)
    assert {problem.subject for problem in pipeline.of_kind(Kind.DEGRADED)} == {key, later}
    record_degraded(pipeline, "S240301b", [], label="Update", minute=4)
    assert pipeline.of_kind(Kind.DEGRADED) == []
    record_degraded(pipeline, "S240301c", ["the map holds a NaN"], label="Initial-ExtCoinc")
    record_degraded(pipeline, "S240301c", [], label="Retraction", minute=1)
    assert pipeline.of_kind(Kind.DEGRADED) == []


def test_a_later_run_ends_a_failed_one(pipeline: Pipeline) -> None:
    """The last run of a job and partition counts; another partition's success changes nothing; health counts by job."""
    run_failed(pipeline)

    @dg.op
    def works() -> None:
        pass

    @dg.job(name="candidate_products")
    def whole() -> None:
        works()

    whole.execute_in_process(instance=pipeline.instance, tags={"dagster/partition": "S240301b-AT2-MJD60000"})
    (problem,) = pipeline.of_kind(Kind.RUN_FAILED)
    assert problem.text.startswith("candidate_products failed for S240301b")
    assert problem.event == "S240301b"
    whole.execute_in_process(instance=pipeline.instance, tags={"dagster/partition": "S240301b-AT1-MJD60000"})
    assert pipeline.of_kind(Kind.RUN_FAILED) == []
    assert pipeline.health().failed_day == {"candidate_products": 1}


def test_what_the_sensor_saw_long_ago_says_nothing_of_the_store(pipeline: Pipeline) -> None:
    """Doctor and metrics name the store while the sensor looks at it, and no longer than ten minutes after."""
    pipeline.kafka()
    store_away(pipeline)
    pipeline.look()
    assert [p.kind for p in pipeline.health().found] == [Kind.STORE_AWAY]
    assert list(pipeline.health(after=timedelta(minutes=11)).found) == []


def test_a_wrong_setting_of_publication_keeps_nobody_from_looking(pipeline: Pipeline) -> None:
    """A configuration that cannot be read fails no tick: the problems stay in health, and are told once it is right."""
    quarantine(pipeline)
    pipeline.patch.setenv("MMA_PUBLICATION_CONFIG", str(pipeline.home.folder / "none.toml"))
    pipeline.look()
    assert len(pipeline.of_kind(Kind.QUARANTINE)) == 1
    assert pipeline.messages() == []
    pipeline.patch.delenv("MMA_PUBLICATION_CONFIG")
    pipeline.look()
    assert [item for item in pipeline.messages() if "quarantine" in item.dedupe_key]
