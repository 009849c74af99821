"""Survey alerts in the graph: nights of events scored in one batch, new maps against kept nights, readers that die."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import fastavro
import pytest
from astropy.table import Table
from typer.testing import CliRunner

from mma_pipeline.adapters.archive.packet_facts import facts_of
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.archive.surveys import Beat, Kept, Outcome, SurveyArchive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.cli import app
from mma_pipeline.definitions import defs
from mma_pipeline.defs.operations.health import health
from mma_pipeline.defs.operations.problems import Kind
from mma_pipeline.defs.operations.retention import remove_expired
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource, StoreResource
from mma_pipeline.defs.surveys.sensors import survey_sensor
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.event_night import EventNight
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement, PhotometryNotice
from mma_pipeline.settings import current
from tests.homes import Home

ALERTS = 800


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a simulated event of two days ago and the night of alerts after it."""
    folder = tmp_path_factory.mktemp("night")
    merger = (datetime.now(UTC) - timedelta(days=2)).replace(hour=2, minute=0, second=0)
    line = ["simulate", str(folder), "--survey-night", str(ALERTS), "--time", f"{merger:%Y-%m-%dT%H:%M:%S}"]
    answer = CliRunner().invoke(app, [*line, "--order", "7", "--distance", "60", "--no-images", "--json"])
    assert answer.exit_code == 0, answer.output
    (folder / "answer.json").write_text(answer.stdout)
    return folder


@pytest.fixture
def surveyed(home: Home, night: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home that takes candidates of mock events."""
    monkeypatch.setenv("MMA_SURVEY_MOCKS", "true")
    monkeypatch.setenv("MMA_SURVEY_SCHEMA_REGISTRY", "")
    return home


def packed(night: Path) -> Path:
    """The file of the night."""
    (found,) = night.glob("*.tar")
    return found


def hidden_in(night: Path) -> str:
    """Name of the kilonova."""
    return str(json.loads((night / "answer.json").read_text())["night"]["hidden"])


def receive(home: Home, night: Path) -> None:
    """Archive the event's alerts."""
    for path in sorted(night.glob("MS*.json")):
        if "-ext" not in path.name:
            home.receive(path.read_bytes())


def run(*arguments: str) -> Any:
    """The JSON answer of a command that must succeed."""
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def tick(cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
    """One evaluation of the sensor."""
    context = dg.build_sensor_context(cursor=cursor, instance=dg.DagsterInstance.ephemeral())
    return survey_sensor(context, archive=ArchiveResource(), store=StoreResource(), settings=SettingsResource())


def scored(home: Home, request: dg.RunRequest) -> dict[str, Any]:
    """Run what was asked for; the metadata of its materialisation."""
    home.instance.add_dynamic_partitions("event_night", [str(request.partition_key)])
    result = defs.resolve_job_def("survey_scoring").execute_in_process(
        instance=home.instance,
        partition_key=request.partition_key,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    (made,) = result.asset_materializations_for_node("survey_candidates")
    return {name: value.value for name, value in made.metadata.items()}


def test_a_night_is_scored_at_once(surveyed: Home, night: Path):
    """One run scores every candidate, writes one table with the messages behind each, and asks for nothing more."""
    receive(surveyed, night)
    taken = run("survey", "replay", str(packed(night)))
    assert taken["seen"] == ALERTS
    assert run("survey", "replay", str(packed(night))) == taken
    (counts,) = run("survey", "stats")
    assert (counts["seen"], counts["kept"]) == (ALERTS, taken["kept"])
    assert counts["inside"] == counts["kept"] + sum(counts["dropped"].values())
    answer = tick()
    assert isinstance(answer, dg.SensorResult)
    (request,) = answer.run_requests or []
    key = EventNight.from_partition_key(str(request.partition_key))
    shown = scored(surveyed, request)
    assert shown["scored in this run"] == shown["candidates"] > 0
    folder = surveyed.products / "mma" / key.event_id / "nights" / str(key.night)
    table = Table.read(folder / "candidates.ecsv", format="ascii.ecsv")
    assert list(table["rank"]) == list(range(1, len(table) + 1))
    same = Table.read(folder / "candidates.vot", format="votable")
    assert [str(name) for name in same["candidate"]] == list(table["candidate"])
    row = table[list(table["candidate"]).index(hidden_in(night))]
    assert row["rank"] <= 5
    # Without catalogs nothing but packets speaks; its packets say that it is no star and no known asteroid.
    assert row["vetted_probability"] == row["posterior"]
    assert [row[f"factor_{check}"] for check in ("host", "star", "agn", "minor_planet", "earlier")] == [1.0] * 5
    assert facts_of(surveyed.archive, [hidden_in(night)])[hidden_in(night)].real_bogus is not None
    # The packets of the hidden object by fastavro alone: their places in the file are the messages' offsets.
    places = []
    with tarfile.open(packed(night)) as members:
        for place, member in enumerate(members):
            record = next(fastavro.reader(io.BytesIO(members.extractfile(member).read())))
            if record["objectId"] == hidden_in(night):
                places.append(place)
    assert [int(m.split("#")[0].rsplit("/", 1)[1]) for m in row["messages"].split()] == places
    assert (folder / "best_1.png").read_bytes().startswith(b"\x89PNG")
    after = tick(answer.cursor)
    assert isinstance(after, dg.SkipReason) or not after.run_requests
    said = run("survey", "explain", hidden_in(night))
    assert {one["event_id"] for one in said} == {key.event_id}


def test_a_map_that_comes_late(surveyed: Home, night: Path):
    """Alerts that came before anybody knew of the event are found in the kept nights, and scored in the same tick's run."""
    assert run("survey", "replay", str(packed(night)))["kept"] == 0
    assert SurveyArchive(surveyed.archive).candidates() == []
    receive(surveyed, night)
    assert {one["verdict"] for one in run("survey", "explain", hidden_in(night))} == {"not recorded"}
    answer = tick()
    assert isinstance(answer, dg.SensorResult)
    assert hidden_in(night) in {one.candidate for one in SurveyArchive(surveyed.archive).candidates()}
    assert len(answer.run_requests or []) == 1


def test_what_changed_meanwhile_stays_to_be_scored(surveyed: Home):
    """A candidate that gets a measurement while its night is scored is scored again; a repetition asks for nothing."""
    surveys = SurveyArchive(surveyed.archive)
    surveys.record("survey", [kept(1, 60000.1)], [], [], beat())
    (before,) = surveys.candidates()
    assert surveys.to_score({"MS230225a": "v1"}) == {("MS230225a", 60000): (before.message_id, 1)}
    surveys.record("survey", [kept(2, 60000.2)], [], [], beat())
    surveys.mark_scored([before], "v1")
    (after,) = surveys.candidates()
    assert surveys.to_score({"MS230225a": "v1"}) == {("MS230225a", 60000): (after.message_id, 1)}
    surveys.mark_scored([after], "v1")
    assert surveys.to_score({"MS230225a": "v1"}) == {}
    assert surveys.to_score({"MS230225a": "v2"}) == {("MS230225a", 60000): (after.message_id, 1)}
    surveys.record("survey", [kept(2, 60000.2)], [], [], beat())
    assert surveys.to_score({"MS230225a": "v1"}) == {}


def test_counters_belong_to_offsets(surveyed: Home):
    """Messages that come again are not counted again, in whatever batches; a topic that was created anew is."""
    surveys = SurveyArchive(surveyed.archive)
    place = ("t", 0)
    outcomes = [Outcome(place, offset, inside=True, dropped=("star",)) for offset in range(10)]
    surveys.record("survey", [], [], outcomes[:6], beat())
    surveys.record("survey", [], [], outcomes[2:], beat())
    (counts,) = surveys.partitions()
    assert (counts.next_offset, counts.seen, counts.inside, counts.dropped) == (10, 10, 10, {"star": 10})
    surveys.restart("survey", place)
    surveys.record("survey", [], [], outcomes[:3], beat())
    (counts,) = surveys.partitions()
    assert (counts.next_offset, counts.seen) == (3, 13)


def test_a_dead_reader_is_a_problem(surveyed: Home, monkeypatch: pytest.MonkeyPatch):
    """A reader without a sign of life, and one that is far behind, are said by health; a living one is not."""
    monkeypatch.setenv("MMA_SURVEY_TOPICS", "t")
    surveys, now = SurveyArchive(surveyed.archive), datetime.now(UTC)

    def kinds(at: datetime) -> set[Kind]:
        found = health(instance, surveyed.archive, at, destinations=(), settings=current())
        return {p.kind for p in found.problems if p.subject == "survey"}

    with dg.instance_for_test() as instance:
        surveys.beat("survey", [("t", 0)], Beat("here:1", now, {("t", 0): 5}, 100.0))
        assert kinds(now) == set()
        assert kinds(now + timedelta(minutes=10)) == {Kind.STREAM_UNREAD}
        surveys.beat("survey", [("t", 0)], Beat("here:1", now, {("t", 0): 5_000_000}, 100.0))
        assert kinds(now) == {Kind.STREAM_BEHIND}


def test_keys():
    """A night of an event has one key, and no other text is one."""
    assert EventNight("S230518h", 60083).partition_key == "S230518h-MJD60083"
    assert EventNight.from_partition_key("S230518h-MJD60083") == EventNight("S230518h", 60083)
    for wrong in ("S230518h-AT2017gfo-MJD60083", "S230518h", "MJD60083", "S230518h-MJD60083x"):
        with pytest.raises(NoticeError):
            EventNight.from_partition_key(wrong)


def beat() -> Beat:
    """A sign of life."""
    return Beat("here:1", datetime.now(UTC))


def kept(offset: int, mjd: float) -> Kept:
    """A message with one measurement of one object."""
    message = StreamMessage("survey", "t", 0, offset, b"%d" % offset, None, (), None, datetime.now(UTC))
    one = Measurement(Candidate("ZTF23aaaaaaa", 10.0, 10.0), mjd, "ztfg", 20.0, 0.1, origin="alert")
    return Kept(message, PhotometryNotice((one,), "ztf"), (("MS230225a", 60000),))


def test_a_mock_event_goes_with_its_nights(surveyed: Home, night: Path):
    """Retention removes a mock event's candidates of surveys, with measurements and packets; partition and files go too."""
    receive(surveyed, night)
    run("survey", "replay", str(packed(night)))
    answer = tick()
    assert isinstance(answer, dg.SensorResult)
    (request,) = answer.run_requests or []
    scored(surveyed, request)
    surveys, photometry = SurveyArchive(surveyed.archive), PhotometryArchive(surveyed.archive)
    assert photometry.candidate(hidden_in(night)).simulated
    event = surveys.candidates()[0].event_id
    remove_expired(surveyed.instance, surveyed.archive, surveyed.store, datetime.now(UTC) + timedelta(days=1))
    assert surveys.candidates() == []
    assert [found.candidate.name for found in photometry.candidates()] == []
    assert surveyed.archive.counts()["messages"] == 0
    assert surveyed.instance.get_dynamic_partitions("event_night") == []
    assert not [key for key in surveyed.files() if f"/{event}/nights/" in key]
