"""Notices of other observatories through the real sensor: a version each, the products of alerts, and nothing stops a stream."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from mma_pipeline.adapters.archive import VersionRecord, decisions, reading
from mma_pipeline.adapters.archive.event_history import chronological, newest_map, retraction_of
from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.kafka.producer import ConfirmedProducer
from mma_pipeline.adapters.kafka.watch import BrokerWatch
from mma_pipeline.adapters.publishing.config import GWTM, DestinationConfig
from mma_pipeline.adapters.publishing.decision import Decider
from mma_pipeline.adapters.publishing.rules import Rule
from mma_pipeline.defs.alerts.notice_maps import notice_maps_sensor
from mma_pipeline.defs.alerts.streams import NOTICES, STREAMS, stream_config
from mma_pipeline.defs.all_products import expected_files
from mma_pipeline.defs.events.page.write import write_event_page
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource
from mma_pipeline.notices.gcn.streams import CORE_STREAMS, stream_named
from mma_pipeline.notices.key import event_of_key
from mma_pipeline.products.ingest import MAX_REASON, Quarantined, ingest
from mma_pipeline.products.notices import core_parser
from mma_pipeline.settings import current
from tests.alerts import body as gw_body
from tests.alerts import fits_map
from tests.defs.malformed_notices import partly_used, refused
from tests.defs.streaming import Streaming, keys_of
from tests.gcn_notices import VOEVENTS, body, voevent
from tests.homes import Home

CORE = next(stream for stream in STREAMS if stream.name == NOTICES)
REFUSED, PARTLY = list(refused()), list(partly_used())
PROGRAMMERS_WORDS = re.compile(r"Error\b|Exception|Traceback|NoneType|<class|object at 0x|unexpectedly|sys\.")


def topic_of(stream: str) -> str:
    """A topic of a stream by its name."""
    found = stream_named(stream)
    assert found is not None
    return found.topics[0]


def receive(home: Home, stream: str, data: bytes) -> VersionRecord | Quarantined:
    """Archive a message of a stream as its sensor does."""
    found = stream_named(stream)
    assert found is not None
    offset = home.archive.counts()["messages"]
    message = StreamMessage(stream, found.topics[0], 0, offset, data, None, (), datetime.now(UTC), datetime.now(UTC))
    outcome = ingest(home.archive, message, core_parser(found))
    return outcome if isinstance(outcome, Quarantined) else outcome.versions[0]


def version(home: Home, stream: str, data: bytes) -> VersionRecord:
    """The same for a message that is a version."""
    found = receive(home, stream, data)
    assert isinstance(found, VersionRecord), found
    return found


def test_one_sensor_reads_every_stream(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notices of several topics become versions in one tick, each under its stream's name; a good one follows a bad one."""
    monkeypatch.setattr("mma_pipeline.defs.alerts.sensors.POLL_S", 2.0)
    for stream in CORE_STREAMS:
        on = stream.name in {"fermi_gbm", "icecube_tracks", "fermi_gbm_classic"}
        monkeypatch.setenv(f"MMA_NOTICES_{stream.name.upper()}", str(on).lower())
    with EmbeddedKafka() as kafka:
        streaming = Streaming(home, kafka, stream=CORE)
        producer = ConfirmedProducer({"bootstrap.servers": kafka.bootstrap})
        for stream, data in (
            ("icecube_tracks", b"{"),
            ("icecube_tracks", body("icecube_tracks")),
            ("fermi_gbm", body("fermi_gbm")),
            ("fermi_gbm_classic", voevent()),
            ("chime_frb", body("chime_frb")),
        ):
            producer.send(topic_of(stream), data, key="notices")
        keys = keys_of(streaming.ticks(4))
        streaming.process_ends()
        config = stream_config(current().with_(MMA_KAFKA_BOOTSTRAP=kafka.bootstrap), CORE, "watch-notices")
        assert config is not None
        watch = BrokerWatch(config)
        lags, missing = watch.lags({})
        watch.close()
    assert sorted(str(event_of_key(key)) for key in keys) == ["Fermi_794059200"] * 2 + ["IceCube_141000_12345678"]
    archived = {record.message_id: record for record in home.archive.versions()}
    names = {message.stream for message in home.archive.origins(archived).values()}
    assert names == {"fermi_gbm", "icecube_tracks", "fermi_gbm_classic"}
    assert len(home.archive.quarantined()) == 1
    # The watch counts each topic that the broker has by itself: from the beginning here, without a cursor.
    assert not missing
    assert lags == {topic_of("fermi_gbm"): 1, topic_of("icecube_tracks"): 2, topic_of("fermi_gbm_classic"): 1}


def test_every_stream_can_be_switched_off(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all off, the sensor says so and asks no broker."""
    from mma_pipeline.defs.alerts.sensors import stream_sensor
    from mma_pipeline.defs.resources import KafkaResource

    for stream in CORE_STREAMS:
        monkeypatch.setenv(f"MMA_NOTICES_{stream.name.upper()}", "false")
    kafka = KafkaResource(bootstrap="127.0.0.1:1")
    context = dg.build_sensor_context(
        instance=home.instance, resources={"archive": ArchiveResource(), "settings": SettingsResource(), "kafka": kafka}
    )
    answer = stream_sensor(CORE)(context)
    assert isinstance(answer, dg.SkipReason)
    assert "switched off" in str(answer.skip_message)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, VersionRecord | str]]:
    """Every malformed notice through Kafka and the sensor, and a good one of each stream behind them: what became of each.

    By the SHA-256 of the message: its version, or why it is in quarantine.
    """
    home = Home(tmp_path_factory.mktemp("malformed") / "home")
    with home.active(), pytest.MonkeyPatch.context() as patch, EmbeddedKafka() as kafka:
        patch.setattr("mma_pipeline.defs.alerts.sensors.POLL_S", 1.0)
        for stream in CORE_STREAMS:
            patch.setenv(f"MMA_NOTICES_{stream.name.upper()}", "true")
        streaming = Streaming(home, kafka, stream=CORE)
        producer = ConfirmedProducer({"bootstrap.servers": kafka.bootstrap})
        messages = [(stream, data) for _, stream, data, _ in REFUSED + PARTLY]
        messages += [(stream, good(stream)) for stream in dict.fromkeys(stream for stream, _ in messages)]
        for stream, data in messages:
            producer.send(topic_of(stream), data, key="notices")
        streaming.ticks(len(messages))
        streaming.process_ends()
        records = home.archive.versions()
        origins = home.archive.origins(record.message_id for record in records)
        found: dict[str, VersionRecord | str] = {origins[r.message_id].sha256: r for r in records}
        yield found | {message.sha256: reason for _, message, reason in home.archive.quarantined()}


def good(stream: str) -> bytes:
    """A notice of a stream with nothing wrong."""
    return VOEVENTS[stream]() if stream in VOEVENTS else body(stream, far=1e-9)


def digest_of(data: bytes) -> str:
    """What the archive knows a message by."""
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(("data", "expected"), [c[2:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_refused(sent: dict[str, VersionRecord | str], data: bytes, expected: str) -> None:
    """A message that names no trigger or time goes to quarantine, with one line for people."""
    reason = sent[digest_of(data)]
    assert isinstance(reason, str)
    assert expected in reason
    assert 0 < len(reason) <= MAX_REASON
    assert reason.isprintable()
    assert not PROGRAMMERS_WORDS.search(reason)


@pytest.mark.parametrize(("data", "expected"), [c[2:] for c in PARTLY], ids=[c[0] for c in PARTLY])
def test_the_sound_part_is_used(sent: dict[str, VersionRecord | str], data: bytes, expected: str) -> None:
    """Anything else that is wrong is left out and named, and the version says why it has no map if it has none."""
    record = sent[digest_of(data)]
    assert isinstance(record, VersionRecord)
    assert any(expected in line for line in record.facts["degraded"])
    assert record.has_map or record.facts["no_map"]
    assert not any(PROGRAMMERS_WORDS.search(line) for line in record.facts["degraded"])
    json.dumps(record.facts, allow_nan=False)


def test_none_stops_a_stream(sent: dict[str, VersionRecord | str]) -> None:
    """The good notice behind the malformed ones of each stream is a version."""
    for stream in {stream for _, stream, _, _ in REFUSED + PARTLY}:
        record = sent[digest_of(good(stream))]
        assert isinstance(record, VersionRecord)
        assert "degraded" not in record.facts


def test_the_number_of_cases() -> None:
    """Forty and more, over all kinds of streams."""
    cases = REFUSED + PARTLY
    assert len(cases) >= 40
    assert len({stream for _, stream, _, _ in cases}) >= 10


def test_the_same_products_as_an_alert(home: Home) -> None:
    """Map, statistics, contours, coverage, plot, windows and difference; no forecast and no galaxies, with the reason."""
    first = version(home, "fermi_gbm", body("fermi_gbm", subtype="FLIGHT_POSITION", ra_dec_error=8.0))
    later = version(
        home, "fermi_gbm", body("fermi_gbm", alert_datetime="2026-03-01T12:10:00Z", ra_dec_error=2.0, ra=152.0)
    )
    for record in (first, later):
        assert home.make(record).success
    names = {product.name: product for product in home.archive.products(later.partition_key)}
    assert expected_files(later, current()) <= set(names)
    assert {"skymap", "statistics", "contours", "coverage_90_fits", "picture", "observability", "difference"} <= set(
        names
    )
    assert not {"forecast", "galaxies"} & set(names)
    assert "measures no distance" in later.facts["left_out"]["kilonova_forecast"]
    assert names["skymap"].store_key == "fit/Fermi_794059200-Update1_moc.fits.gz"
    difference = names["difference"].statistics
    assert difference["before"] == first.partition_key
    assert difference["area_90_deg2"] < difference["area_90_deg2_before"]
    assert names["skymap"].statistics["date_obs"].startswith("2026-03-01T12:00:00.25")
    assert newest_map(home.archive.versions("Fermi_794059200"), combined=False) == later
    page = write_event_page(home.archive, home.store, "Fermi_794059200")
    html = home.files()[page.key].decode()
    assert "Goldstein" in html
    assert "No forecast: Fermi GBM measures no distance" in html


def test_a_retraction_withdraws_the_trigger(home: Home) -> None:
    """The event is retracted whatever came; the retraction has no map and its own difference."""
    # CHIME's notices give the time of the burst alone: then the kind decides the order.
    version(home, "chime_frb", body("chime_frb", alert_datetime=None))
    gone = version(
        home, "chime_frb", body("chime_frb", alert_type="retraction", alert_datetime=None, ra=None, dec=None)
    )
    assert retraction_of(home.archive.versions(gone.version.event_id)) == gone
    assert not gone.has_map
    assert home.make(gone, ["raw_alert", "version_difference"]).success
    difference = home.archive.product(gone.partition_key, "difference")
    assert difference is not None
    assert difference.statistics["retracted"]


def test_names_of_one_trigger_are_one_event(home: Home) -> None:
    """A notice that leads with another name of a known trigger joins its event, and again when it is repeated."""
    first = version(home, "fermi_gbm", body("fermi_gbm"))
    burst = body("fermi_gbm", id=["bn260301500"], alert_datetime="2026-03-01T12:20:00Z")
    for _ in range(2):
        assert version(home, "fermi_gbm", burst).version.event_id == first.version.event_id
    assert len(home.archive.versions()) == 2
    # IceCube withdraws by the event's name, under another id of the run.
    gold = version(home, "icecube_tracks", body("icecube_tracks"))
    gone = body(
        "icecube_tracks", id=["141000_12345678_1"], alert_type="retraction", alert_datetime="2026-03-01T13:00:00Z"
    )
    assert version(home, "icecube_tracks", gone).version.event_id == gold.version.event_id
    # The same number of another day, or in a test, is another trigger.
    other = body("fermi_gbm", id=["bn260301500"], alert_datetime="2026-07-01T12:20:00Z")
    assert version(home, "fermi_gbm", other).version.event_id == "Fermi_bn260301500"
    test = body("fermi_gbm", id=["bn260301500"], alert_tense="test")
    assert version(home, "fermi_gbm", test).version.event_id == "TFermi_bn260301500"


class _Answers(http.server.BaseHTTPRequestHandler):
    """Gives what the test put on the server."""

    def do_GET(self) -> None:
        found = self.server.content  # type: ignore[attr-defined]
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@contextmanager
def map_server() -> Iterator[Any]:
    """A server on which a map lies, or does not yet."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.content = b""  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()


def test_a_map_by_address_is_a_version_when_it_is_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not there: tried again, and nothing waits. No map: quarantine with the reason. There: archived, newer than the circle."""
    monkeypatch.setattr("mma_pipeline.defs.alerts.large_messages.FIRST_PAUSE_S", 0.0)
    monkeypatch.setenv("MMA_NOTICES_MAP_MEGABYTES", "1")
    with map_server() as server:
        stream = stream_named("fermi_gbm")
        assert stream is not None
        ((named, facts),) = core_parser(stream)(body("fermi_gbm"))
        url = f"http://127.0.0.1:{server.server_address[1]}/glg_healpix_all_bn260301500.fit"
        message = StreamMessage(
            "fermi_gbm", stream.topics[0], 0, 0, body("fermi_gbm"), None, (), None, datetime.now(UTC)
        )
        circle = home.archive.record(message, [(named, facts | {"skymap_url": url})]).versions[0]
        cursor: str | None = None

        def tick() -> list[dg.RunRequest]:
            nonlocal cursor
            context = dg.build_sensor_context(
                instance=home.instance,
                cursor=cursor,
                resources={"archive": ArchiveResource(), "settings": SettingsResource()},
            )
            answer = notice_maps_sensor(context)
            assert isinstance(answer, dg.SensorResult)
            cursor = answer.cursor
            return list(answer.run_requests or [])

        assert tick() == []
        server.content = b"<html>Just a moment</html>"
        assert tick() == []
        assert "the map of Fermi_794059200-Update" in home.archive.quarantined()[0][2]
        server.content = b"\0" * 1_100_000
        assert tick() == [], "larger than allowed"
        server.content = fits_map(layers=False)
        (request,) = tick()
        fetched = home.archive.version(str(request.partition_key))
        assert fetched.version.label == "Update-Map"
        assert fetched.facts["fetched_for"] == circle.partition_key
        versions = home.archive.versions(fetched.version.event_id)
        assert newest_map(versions, combined=False) == fetched
        assert chronological(versions) == [circle, fetched]
        assert isinstance(
            notice_maps_sensor(
                dg.build_sensor_context(
                    instance=home.instance,
                    cursor=cursor,
                    resources={"archive": ArchiveResource(), "settings": SettingsResource()},
                )
            ),
            dg.SkipReason,
        )
    assert home.make(fetched, ["raw_alert", "skymap", "skymap_statistics", "version_difference"]).success
    files = home.files()
    assert files["fit/Fermi_794059200-Update-Map_alert.json"] == body("fermi_gbm")
    difference = home.archive.product(fetched.partition_key, "difference")
    assert difference is not None
    assert difference.statistics["before"] == circle.partition_key


def test_nothing_is_published_of_other_triggers(home: Home) -> None:
    """The Treasure Map and the other destinations get superevents alone, and the decision says so."""
    ours = version(home, "einstein_probe_wxt", body("einstein_probe_wxt"))
    (alert,) = home.receive(gw_body())
    now = datetime.now(UTC) + timedelta(seconds=1)
    day = timedelta(days=1)
    with reading(home.archive.engine) as connection:
        offered = decisions.undecided(connection, ["gwtm"], now, offered=day, late=day)
    assert [one.partition_key for one in offered] == [alert.partition_key]
    destination = DestinationConfig("gwtm", GWTM, Rule())
    (decision,) = Decider(home.archive, lambda _: None, [destination]).preview(ours, now)
    assert not decision.accepted
    assert not decision.drafts
    assert decision.reasons[0].found == "a trigger of Einstein Probe WXT"
