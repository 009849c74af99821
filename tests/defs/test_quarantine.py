"""What could not be used is kept with its event, read again after an upgrade, and solved once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.archive.quarantine import Choice, QuarantinedMessage, dismiss, quarantined
from mma_pipeline.adapters.archive.recent import recent_versions
from mma_pipeline.adapters.archive.retention import forget_quarantine
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.publishing.service import Publications, Readiness
from mma_pipeline.cli.app import open_store
from mma_pipeline.defs.alerts.quarantine import retry_messages
from mma_pipeline.defs.alerts.unfinished import unfinished_versions_sensor
from mma_pipeline.defs.candidates.sensors import ingest_photometry
from mma_pipeline.defs.events.page.render import Attachments, page_html, page_markdown
from mma_pipeline.defs.events.page.state import event_state
from mma_pipeline.defs.events.page.write import page_key
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement
from mma_pipeline.notices.photometry.message import encode
from mma_pipeline.products.ingest import Parser, Quarantined, ingest, parse_alert
from mma_pipeline.settings import Settings, current
from tests.alerts import alert, avro, body
from tests.defs.malformed import good, tiny_map, with_top
from tests.homes import new_archive

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=20)


def before_the_upgrade(_body: bytes) -> tuple[()]:
    """A parser that did not know this kind of alert."""
    raise NoticeError("the alert is of a kind that nobody announced")


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """An empty archive that the environment names."""
    url = f"sqlite:///{tmp_path / 'archive.db'}"
    monkeypatch.setenv("MMA_ARCHIVE_URL", url)
    return new_archive(url)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance of the test's own."""
    with dg.instance_for_test() as made:
        yield made


def receive(
    archive: Archive,
    data: bytes,
    parser: Parser = before_the_upgrade,
    *,
    received: datetime = LONG_AGO,
    offset: int = 0,
) -> int:
    """A message as its stream's sensor archives it; returns its number."""
    message = StreamMessage("gcn-gwalert", "igwn.gwalert", 0, offset, data, None, (), None, received)
    return ingest(archive, message, parser).message_id


def only(archive: Archive, *, solved: bool = False) -> QuarantinedMessage:
    """The one message in quarantine."""
    (found,) = quarantined(archive, Choice(solved=solved))
    return found


@pytest.mark.parametrize(
    ("data", "event", "rehearsal"),
    [
        (good("S240301b"), "S240301b", False),
        (good("S240301b")[:200], "S240301b", False),
        (good("MS240301b"), "MS240301b", True),
        (avro(alert("S240301b", skymap=tiny_map())), "S240301b", False),
        (b"not json", None, False),
        (with_top(superevent_id="../../x", urls={}), None, False),
    ],
)
def test_quarantine_knows_the_event(archive: Archive, data: bytes, event: str | None, rehearsal: bool) -> None:
    """The event of a message that cannot be used is kept where it can be told, and whether it is mock."""
    receive(archive, data)
    found = only(archive)
    assert (found.event_id, found.rehearsal, found.size, found.solved) == (event, rehearsal, len(data), None)


def test_what_can_be_read_now_is_processed_as_if_it_had_just_come(
    archive: Archive, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message of weeks ago, read again: a version with its run asked for at the next tick, and offered for publication."""
    number = receive(archive, good("S240301b"))
    (outcome,) = retry_messages(archive, open_store, quarantined(archive), NOW, current())
    (record,) = archive.versions("S240301b")
    assert outcome.partitions == (record.partition_key,)
    assert record.message_id == number
    assert (quarantined(archive), archive.counts()["quarantined"]) == ([], 0)
    solved = only(archive, solved=True)
    assert (solved.solution, solved.solved, solved.reason) == (
        "retried",
        NOW,
        "the alert is of a kind that nobody announced",
    )
    (recent,) = recent_versions(archive, NOW - timedelta(minutes=1), NOW + timedelta(minutes=1))
    assert (recent.record.partition_key, recent.received, recent.retried) == (record.partition_key, NOW, True)

    context = dg.build_sensor_context(
        instance=instance, resources={"archive": ArchiveResource(), "settings": SettingsResource()}
    )
    result = unfinished_versions_sensor(context)
    assert isinstance(result, dg.SensorResult)
    assert [request.partition_key for request in result.run_requests or ()] == [record.partition_key]

    monkeypatch.setenv("MMA_WEBHOOK_URL", "https://hooks.example/T0000-B0000-XXXXXXXX")
    published = Publications(
        archive, str, Settings({"MMA_WEBHOOK_URL": "https://hooks.example/T0000-B0000-XXXXXXXX"}).access
    )
    assert [offer.record.partition_key for offer in published.undecided(lambda *_: Readiness.READY)] == [
        record.partition_key
    ]


def test_read_again_twice_changes_nothing(archive: Archive) -> None:
    """A second pass over the same messages, as after a crash, gives the same versions."""
    receive(archive, good("S240301b"))
    chosen = quarantined(archive)
    first = retry_messages(archive, open_store, chosen, NOW, current())
    assert retry_messages(archive, open_store, chosen, NOW + timedelta(hours=1), current()) == first
    assert archive.counts()["versions"] == 1
    assert only(archive, solved=True).solved == NOW


def test_numbers_follow_creation_whatever_the_order_of_receipt(archive: Archive) -> None:
    """Several notices of an event that are read again get their file numbers by the time of their creation."""
    records = [alert("S240301b", skymap=tiny_map()) for _ in range(2)]
    records[0]["time_created"], records[1]["time_created"] = "2024-03-01T13:00:00Z", "2024-03-01T12:00:00Z"
    for offset, record in enumerate(records):
        receive(archive, json.dumps(record).encode(), offset=offset)
    retry_messages(archive, open_store, quarantined(archive), NOW, current())
    assert [str(record.stem) for record in reversed(archive.versions("S240301b"))] == [
        "S240301b-Preliminary",
        "S240301b-Preliminary1",
    ]


def test_what_still_cannot_be_used_stays_with_its_present_reason(archive: Archive) -> None:
    """One that is still refused holds up no other, and says why today."""
    bad = receive(archive, with_top(time_created=None))
    receive(archive, good("S240301b"), offset=1)
    refused, taken = retry_messages(archive, open_store, quarantined(archive), NOW, current())
    assert (refused.message.id, refused.reason, refused.partitions) == (bad, "time_created is missing", ())
    assert taken.reason is None
    assert only(archive).reason == "time_created is missing"


def test_the_stream_bringing_it_again_solves_it(archive: Archive) -> None:
    """A cursor set back after an upgrade brings the same message to a parser that knows it: solved, its run the sensor's."""
    number = receive(archive, good("S240301b"))
    assert receive(archive, good("S240301b"), parse_alert, received=NOW) == number
    solved = only(archive, solved=True)
    assert (solved.solution, solved.solved) == ("received again", NOW)
    (recent,) = recent_versions(archive, NOW - timedelta(minutes=1), NOW + timedelta(minutes=1))
    assert not recent.retried


def test_dismissed_messages_are_solved_once(archive: Archive) -> None:
    """A person's reason is kept; a message that was read again stays what it is."""
    first, second = receive(archive, b"not json"), receive(archive, good("S240301b"), offset=1)
    retry_messages(archive, open_store, quarantined(archive, Choice(ids=[second])), NOW, current())
    dismiss(archive, [first, second], "a test of the sender", NOW)
    found = {entry.id: entry.solution for entry in quarantined(archive, Choice(solved=True))}
    assert found == {first: "dismissed: a test of the sender", second: "retried"}


def test_choice_by_event_and_time(archive: Archive) -> None:
    """Messages are chosen by event and by the time of receipt, its end excluded."""
    for hour in range(3):
        receive(
            archive,
            with_top(superevent_id=f"S24030{hour}b", time_created=None),
            received=NOW + timedelta(hours=hour),
            offset=hour,
        )
    chosen = quarantined(archive, Choice(since=NOW, before=NOW + timedelta(hours=2)))
    assert [entry.event_id for entry in chosen] == ["S240301b", "S240300b"]
    (latest,) = quarantined(archive, Choice(event_ids=["S240302b"]))
    assert latest.coordinates == "igwn.gwalert/0/2"


def test_the_page_names_what_could_not_be_used(archive: Archive) -> None:
    """While it is unsolved, HTML and Markdown give the reason, once for two brokers, and nothing in it is markup."""
    receive(archive, good("S240301b"), parse_alert)
    sound = event_state(archive, "S240301b").digest
    bad = json.dumps(alert("S240301b", skymap=tiny_map()) | {"time_created": "<b>soon</b>"}).encode()
    receive(archive, bad, parse_alert, offset=1)
    receive(archive, bad, parse_alert, offset=2)
    state = event_state(archive, "S240301b")
    assert state.digest != sound
    key = page_key("S240301b")
    for page in (page_html(state, key, Attachments()).decode(), page_markdown(state, key, Attachments())):
        assert page.count("An alert of this event cannot be used") == 1
        assert "not an ISO 8601 time" in page
        assert "<b>" not in page
    dismiss(archive, [entry.id for entry in quarantined(archive)], "known", NOW)
    assert event_state(archive, "S240301b").digest == sound


def test_photometry_is_read_again_too(archive: Archive) -> None:
    """A photometry message that can be read now brings its measurements, which the next ticks ask runs for."""
    rows = [Measurement(Candidate("AT1", 10.0, -5.0), 60000.0, "r", 19.0, 0.1, False)]
    data = encode(rows)
    message = StreamMessage("photometry", "mma.photometry", 0, 0, data, None, (), None, LONG_AGO)
    archive.quarantine(message, "a format that nobody announced")
    (outcome,) = retry_messages(archive, open_store, quarantined(archive), NOW, current())
    assert outcome.reason is None
    found = PhotometryArchive(archive).measured_since_retry(NOW - timedelta(minutes=1))
    assert [one.measurement.candidate.name for one in found] == ["AT1"]
    assert PhotometryArchive(archive).measured_since_retry(NOW + timedelta(minutes=1)) == []
    broken = StreamMessage("photometry", "mma.photometry", 0, 1, b"{}", None, (), None, LONG_AGO)
    assert isinstance(ingest_photometry(archive, broken), Quarantined)


def test_quarantined_mock_messages_age_and_real_ones_stay(archive: Archive) -> None:
    """Mock messages that brought no version go after their days; real and unknown ones stay, solved or not."""
    for offset, data in enumerate((good("MS240301b"), good("S240301b"), b"not json")):
        receive(archive, data, offset=offset)
    receive(archive, body("MS240301c", skymap=tiny_map()), offset=3, received=NOW)
    dismiss(archive, [entry.id for entry in quarantined(archive, Choice(event_ids=["S240301b"]))], "known", NOW)
    assert forget_quarantine(archive.engine, NOW - timedelta(days=1)) == 1
    left = [entry.event_id for entry in quarantined(archive, Choice(solved=True))]
    assert left == ["MS240301c", None, "S240301b"]
    with archive.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM body")).scalar_one() == 3
