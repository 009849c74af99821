"""What lists versions asks the database as often for many as for few."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import (
    Archive,
    Connection,
    ProductRecord,
    blocks,
    decisions,
    outbox,
    reading,
    writing,
)
from mma_pipeline.adapters.archive.coincidences import PairRecord, PairState, record_pairs
from mma_pipeline.adapters.archive.gaps import note_gaps
from mma_pipeline.adapters.archive.live_events import live_events
from mma_pipeline.adapters.archive.photometry import ArchivedMeasurement, PhotometryArchive
from mma_pipeline.adapters.archive.pointings import PointingArchive
from mma_pipeline.adapters.archive.publications import Answer, Draft
from mma_pipeline.adapters.archive.quarantine import quarantined
from mma_pipeline.adapters.archive.recent import recent_versions
from mma_pipeline.adapters.archive.surveys import Beat, Outcome, SurveyArchive
from mma_pipeline.adapters.archive.waiting import WAITING, held
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.kafka.stream import Gap
from mma_pipeline.cli import app
from mma_pipeline.cli.status import describe
from mma_pipeline.defs.alerts.notice_maps import notice_maps_sensor
from mma_pipeline.defs.alerts.unfinished import unfinished_versions_sensor
from mma_pipeline.defs.candidates.scoring import _maps
from mma_pipeline.defs.candidates.sensors import nights_for_new_maps, wanted_nights
from mma_pipeline.defs.coincidences.sensors import coincidence_sensor
from mma_pipeline.defs.events.page.state import event_states
from mma_pipeline.defs.events.sensors import event_page_sensor
from mma_pipeline.defs.neutrinos.sensors import outdated
from mma_pipeline.defs.observing.new_days import observability_sensor
from mma_pipeline.defs.observing.pointings_sensor import pointings_sensor
from mma_pipeline.defs.observing.sensors import _states
from mma_pipeline.defs.operations.finders import (
    FINDERS,
    Finder,
    Situation,
    failed_runs,
    no_stream,
    queue_trouble,
    store_away,
    unread_pointings,
)
from mma_pipeline.defs.operations.health import health
from mma_pipeline.defs.operations.problems import Problem
from mma_pipeline.defs.publication.sensors import publication_sensor
from mma_pipeline.defs.resources import (
    ArchiveResource,
    PublicationResource,
    SettingsResource,
    StoreResource,
    destination_names,
)
from mma_pipeline.notices.key import EventVersion
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement
from mma_pipeline.notices.photometry.message import encode, parse
from mma_pipeline.notices.pointings import Pointing, Status
from mma_pipeline.notices.times import datetime_of_mjd, mjd_of_datetime
from mma_pipeline.products.ingest import Quarantined, ingest, parse_alert
from mma_pipeline.science.observing.visibility import DEFAULT_INSTRUMENTS
from mma_pipeline.settings import current
from tests.alerts import body, fits_map
from tests.homes import new_archive

NOW = datetime.now(UTC)
FEW, MANY = 3, 60
#: What every product of these archives says.
FIGURES = {"Fermi_state": "unknown", "counterpart": [], "pairs": [], "begins": "2000-01-01T00:00:00Z"}
#: Finders that ask Dagster or the health sensor's memory alone.
WITHOUT = (store_away, failed_runs, queue_trouble, unread_pointings, no_stream)


def filled(place: Path, count: int) -> Archive:
    """An archive with so many events of an alert and a neutrino notice each, all with a file."""
    archive = new_archive(f"sqlite:///{place / f'{count}.db'}")
    for number in range(count):
        event_id = f"S2605{number // 26 + 10:02d}{'abcdefghijklmnopqrstuvwxyz'[number % 26]}"
        for place_in_topic, label in enumerate(("Preliminary", "IceCube")):
            version = EventVersion(event_id, NOW.replace(microsecond=0) - timedelta(hours=1), label, "0123456789")
            body = f"{event_id} {label}".encode()
            message = StreamMessage("s", label, 0, number * 2 + place_in_topic, body, None, (), NOW, NOW)
            facts = {"time": NOW.isoformat(), "skymap_sha256": "0" * 64, "degraded": ["its map"]}
            archive.record(message, [(version, facts)])
            for name in ("visibility", "coincidence", "coincidences", "observability", "skymap"):
                archive.record_product(
                    ProductRecord(
                        version.partition_key, name, name, f"mma/{event_id}/{label}/{name}", "0" * 64, 1, "text/plain",
                        "1", "0" * 64, FIGURES, NOW,
                    )
                )  # fmt: skip
            _publish(archive, version, number)
        for topic, reason in (("aside", "not JSON"), ("large", f"{WAITING}not there yet")):
            aside = StreamMessage("s", topic, 0, number, event_id.encode(), None, (), NOW, NOW)
            archive.quarantine(aside, reason, event_id=event_id)
        place = "packets", number
        packet = StreamMessage("survey", *place, 0, event_id.encode(), None, (), NOW, NOW)
        outcome = Outcome(place, 0, quarantined=True)
        SurveyArchive(archive).record("survey", [], [(packet, "no packet")], [outcome], Beat("here:1", NOW))
        SurveyArchive(archive).lose("survey", place, 1, 5, Beat("here:1", NOW))
        note_gaps(archive, [("alerts", Gap("igwn.gwalert", number, 1, 5))], NOW)
        done = Pointing("own", "1", "camera", Status.COMPLETED, NOW, 150.0, 20.0)
        PointingArchive(archive).record(event_id, [done], NOW)
        own = archive.versions(event_id)[0].partition_key
        pair = (event_id, f"Fermi_{number:09d}", "observation", NOW, PairState.CHANCE, own, "Fermi", "0" * 64)
        record_pairs(archive, event_id, [PairRecord(*pair, {})], NOW)
    return archive


def _publish(archive: Archive, version: EventVersion, number: int) -> None:
    """A block on the version, a decision on it as bare, and by turns a publication that is done, waits or has failed."""
    key, event_id, made = version.partition_key, version.event_id, NOW - timedelta(hours=1)
    with writing(archive.engine) as connection:
        blocks.note_block(connection, key, event_id, [{"check": "a.b", "about": "it holds", "values": {}}], made)
        reasons = [{"criterion": "role", "passed": True, "found": "observation"}]
        decisions.record_decision(
            connection, "done", key, event_id, accepted=True, reasons=reasons, now=made, bare=True
        )
        for state in ("done", "waiting", "failed"):
            outbox.enqueue(connection, Draft(state, "version", key, event_id, {"bare": True}, key), made)
        for state in ("done", "failed"):
            item, token = claimed if (claimed := outbox.claim(connection, state, NOW, lease_s=60)) else (None, "")
            assert item is not None
            if state == "done":
                outbox.finish(connection, item, token, Answer("there"), NOW)
            else:
                outbox.fail(connection, item, token, "refused", NOW)


@contextmanager
def counted(archive: Archive) -> Iterator[list[str]]:
    """The statements that the database gets meanwhile."""
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    sa.event.listen(archive.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sa.event.remove(archive.engine, "before_cursor_execute", note)


def _instance(look: Callable[[dg.DagsterInstance], object]) -> object:
    with dg.DagsterInstance.local_temp() as instance:
        return look(instance)


def _tick(sensor: dg.SensorDefinition, **resources: object) -> Callable[[Archive], object]:
    """A tick of a sensor on the archive, which is the configured one."""

    def look(archive: Archive) -> object:
        resources["archive"] = ArchiveResource(url=archive.engine.url.render_as_string())
        return _instance(lambda instance: sensor(dg.build_sensor_context(instance=instance, resources=resources)))

    return look


def _mma(*arguments: str) -> Callable[[Archive], object]:
    """A command, which must find something."""

    def look(_archive: Archive) -> object:
        result = CliRunner().invoke(app, [*arguments, "--json"])
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert found
        return found

    return look


def _problems(finder: Finder) -> Callable[[Archive], list[Problem]]:
    """What a finder of problems sees two hours after everything came."""

    def look(archive: Archive) -> list[Problem]:
        later = NOW + timedelta(hours=2)
        found = _instance(
            lambda instance: list(
                finder(Situation(instance, archive, later, None, destination_names(current()), current()))
            )
        )
        assert found or finder in WITHOUT
        return found

    return look


def _outbox(look: Callable[[Connection], object]) -> Callable[[Archive], object]:
    def opened(archive: Archive) -> object:
        with reading(archive.engine) as connection:
            return look(connection)

    return opened


LISTS: dict[str, Callable[[Archive], object]] = {
    "recent versions": lambda archive: recent_versions(archive, NOW - timedelta(days=1), NOW + timedelta(days=1)),
    "status": lambda archive: describe(archive, archive.versions()),
    "pages": lambda archive: event_states(archive, sorted({v.version.event_id for v in archive.versions()})),
    "neutrinos": lambda archive: list(outdated(archive, NOW)),
    "visibility": lambda archive: _states(archive, archive.versions(), DEFAULT_INSTRUMENTS),
    "health": lambda archive: _instance(
        lambda instance: health(
            instance, archive, datetime.now(UTC), destinations=destination_names(current()), settings=current()
        )
    ),
    "tick of the page sensor": _tick(event_page_sensor, store=StoreResource()),
    "tick of the publication sensor": _tick(
        publication_sensor, store=StoreResource(), publication=PublicationResource(), settings=SettingsResource()
    ),
    "tick of the pointings sensor": _tick(pointings_sensor, settings=SettingsResource()),
    "tick of the coincidence sensor": _tick(coincidence_sensor, settings=SettingsResource()),
    "tick of the windows sensor": _tick(observability_sensor, settings=SettingsResource()),
    "tick of the sensor of maps by address": _tick(notice_maps_sensor, settings=SettingsResource()),
    "live events": lambda archive: live_events(
        archive, mjd_of_datetime(NOW), mjd_of_datetime(NOW), days=14, mocks=True
    ),
    "tick of the unfinished-versions sensor": _tick(unfinished_versions_sensor, settings=SettingsResource()),
    **{f"problems: {finder.__name__}": _problems(finder) for finder in FINDERS},
    "quarantine": lambda archive: (quarantined(archive), archive.quarantined()),
    "messages that wait for their content": lambda archive: held(archive, NOW - timedelta(days=1)),
    "mma status": _mma("status"),
    "mma quarantine": _mma("quarantine", "--limit", "1000"),
    "mma backfill": _mma("backfill", "--all", "--missing", "--dry-run"),
    "mma publication list": _mma("publication", "list"),
    "mma publication blocked": _mma("publication", "blocked"),
    "mocks to be removed": _outbox(lambda connection: outbox.closed_events(connection, "done", "version", NOW)),
    "what is due": _outbox(outbox.due),
}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Archive]:
    """A small archive and a large one, which the lists only read."""
    folder = tmp_path_factory.mktemp("archives")
    return [filled(folder, count) for count in (FEW, MANY)]


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A destination is configured."""
    config = tmp_path / "publication.toml"
    config.write_text("[destinations.done]\nkind = 'webhook'\nurl_env = 'HOOK'\nrule = { roles = ['observation'] }\n")
    monkeypatch.setenv("MMA_PUBLICATION_CONFIG", str(config))
    monkeypatch.setenv("HOOK", "http://127.0.0.1:1/x")
    monkeypatch.setenv("MMA_STORE_URL", (tmp_path / "products").as_uri())
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("name", LISTS)
def test_statements_do_not_grow_with_the_archive(
    name: str, archives: list[Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty times the versions, the same number of statements."""
    asked = []
    for archive in archives:
        monkeypatch.setenv("MMA_ARCHIVE_URL", archive.engine.url.render_as_string())
        with counted(archive) as statements:
            LISTS[name](archive)
        asked.append(len(statements))
    assert asked[0] == asked[1]
    assert asked[0] > 0 or name in {f"problems: {finder.__name__}" for finder in WITHOUT}


MERGER = 60370.5  # MJD


def observed(place: Path, count: int) -> tuple[Archive, list[ArchivedMeasurement]]:
    """An archive with an event and so many candidates in the middle of its map, each detected on two nights."""
    archive = new_archive(f"sqlite:///{place / f'{count}.db'}")
    time = datetime_of_mjd(MERGER)
    alert = body("S240301a", skymap=fits_map(150.0, 20.0))
    assert not isinstance(
        ingest(archive, StreamMessage("gw", "t", 0, 0, alert, None, (), time, NOW), parse_alert), Quarantined
    )
    measured: list[ArchivedMeasurement] = []
    for number in range(count):
        here = Candidate(f"AT2024{number:03d}", 150.0, 20.0 + 0.001 * number)
        rows = [Measurement(here, MERGER + night + 0.25, "r", 18.0 + night, 0.05) for night in (1, 2)]
        message = StreamMessage("photometry", "p", 0, number, encode(rows), None, (), time, NOW)
        measured += PhotometryArchive(archive).record(message, parse(message.body))
    return archive, measured


def test_statements_do_not_grow_with_candidates(tmp_path: Path) -> None:
    """New photometry of twenty times the candidates, or a new map that admits them: the same number of statements."""
    asked = []
    for count in (FEW, MANY):
        archive, measured = observed(tmp_path, count)
        _maps.clear()
        with counted(archive) as statements:
            assert len(wanted_nights(archive, measured)) == 2 * count
            first = len(statements)
            assert len(nights_for_new_maps(archive, ["S240301a"], MERGER + 3)) == count
        asked.append((first, len(statements) - first))
    assert asked[0] == asked[1]
