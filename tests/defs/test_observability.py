"""The asset of windows: made for the notice's day, again for a new one, shown and published; wrong settings say so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import jsonschema
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, get_sun
from astropy.time import Time
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.earth_orientation import use_packaged_tables
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.publishing.compose import compose
from mma_pipeline.cli import app
from mma_pipeline.cli.doctor import _settings
from mma_pipeline.cli.show import _windows
from mma_pipeline.cli.status import describe
from mma_pipeline.defs.events.page.write import write_event_page
from mma_pipeline.defs.observing.new_days import observability_sensor, overtaken
from mma_pipeline.defs.observing.observability import begin_of, observability, probability_of
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource
from mma_pipeline.notices.derived import SCHEMA_V2_1, DerivedAlert, encode, json_schema_v2
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement
from mma_pipeline.notices.photometry.message import encode as encode_photometry
from mma_pipeline.notices.photometry.message import parse
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.products.materialize import materialize
from mma_pipeline.science.observing.sites import shipped_sites
from mma_pipeline.science.observing.windows import HOURS
from mma_pipeline.settings import current
from tests.alerts import REAL_FOLDER
from tests.homes import Home

pytestmark = pytest.mark.skipif(not REAL_FOLDER.exists(), reason=f"no real alerts: {REAL_FOLDER} is not there")
EVENT = "S230518h"
CREATED = datetime(2023, 5, 18, 16, 52, 32, tzinfo=UTC)
#: The full hour at which the 24 h of the notice begin.
FIRST = datetime(2023, 5, 18, 16, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with S230518h's Update and what its windows need; read only."""
    with Home(tmp_path_factory.mktemp("made") / "home").active() as home:
        (record,) = home.receive(next(REAL_FOLDER.glob("S230518h-UPDATE*.json")).read_bytes())
        assert home.make(record, ["raw_alert", "skymap", "skymap_statistics", "observability"]).success
    return home


@pytest.fixture
def update(home: Home, made: Home) -> VersionRecord:
    """That version, in a copy of the test's own."""
    home.take_over(made)
    (record,) = home.archive.versions()
    return record


def test_days_are_counted_from_the_notice() -> None:
    """The first 24 h before and after the days that are followed, or if none are; in between those of at most 3 h ago."""
    for hours, later in (
        (-5, 0),
        (0, 0),
        (2.9, 0),
        (23.9, 21),
        (24, 24),
        (24 * 7 + 1, 168),
        (24 * 8, 0),
        (24 * 3000, 0),
    ):
        assert begin_of(CREATED, FIRST + timedelta(hours=hours), 7) == FIRST + timedelta(hours=later)
    for hours in (5, 24):
        assert begin_of(CREATED, FIRST + timedelta(hours=hours), 0) == FIRST


@pytest.mark.parametrize("season", [datetime(2026, 6, 21, 12, 40, tzinfo=UTC), datetime(2026, 11, 29, 15, tzinfo=UTC)])
def test_the_coming_night_of_every_site_is_covered(season: datetime) -> None:
    """At any time the windows reach into each site's coming night, and at its dusk to its end (Sun by astropy)."""
    use_packaged_tables()
    hours = np.arange(0, 72, 0.25)
    times = Time([season + timedelta(hours=float(h)) for h in hours])
    sun = get_sun(times)
    for site in shipped_sites():
        place = EarthLocation(site.longitude_deg, site.latitude_deg, site.altitude_m)
        dark = sun.transform_to(AltAz(obstime=times, location=place)).alt.deg < -18
        assert dark.any()
        for i in range(hours.size // 2):
            begins = (begin_of(season, season + timedelta(hours=float(hours[i])), 7) - season) / timedelta(hours=1)
            ends = begins + HOURS
            night = i + int(np.argmax(dark[i:]))
            dawn = night + int(np.argmin(dark[night:]))
            assert hours[night] < ends, (site.name, hours[i])
            if night <= i + 1:
                assert hours[dawn] <= ends, (site.name, hours[i])


def test_a_replay_gives_the_first_day(home: Home, update: VersionRecord) -> None:
    """An old alert brought in today has the windows of its own night, in its figures, JSON, ECSV and picture."""
    made = {p.name: p for p in home.archive.products(update.partition_key)}
    statistics = made["observability"].statistics
    assert statistics["begins"] == "2023-05-18T16:00:00Z"
    best = statistics["sites"][0]
    assert best["probability"] == pytest.approx(0.75, abs=0.02)
    assert statistics["probability_any_site"] >= best["probability"]
    whole = json.loads(home.store.get(made["observability"].store_key))
    assert len(whole["sites"]) == statistics["sites_considered"]
    assert whole["earth_orientation"]["measured_until"] >= "2023-05-18"
    decam = next(site for site in whole["sites"] if site["site"] == "DECam")
    assert len(decam["curve"]) == len(whole["minutes"]) == 289
    assert max(decam["curve"]) == pytest.approx(decam["best_probability"], abs=1e-5)
    assert home.store.get(made["airmass"].store_key).startswith(b"\x89PNG")


def test_the_same_day_costs_nothing_and_a_new_one_is_made(home: Home, update: VersionRecord) -> None:
    """The address of the content names the day: later the same day files are copied, the next day they are others."""
    key, archive, store = update.partition_key, home.archive, home.store
    again = materialize(observability, ProductInput(archive, store, key, current(), now=FIRST + timedelta(hours=2)))
    assert again.reused
    later = materialize(
        observability, ProductInput(archive, store, key, current(), now=FIRST + timedelta(days=2, hours=1))
    )
    assert not later.reused
    assert later.statistics["begins"] == "2023-05-20T16:00:00Z"
    back = materialize(observability, ProductInput(archive, store, key, current(), now=FIRST))
    assert [r.sha256 for r in back.records] == [r.sha256 for r in again.records]


def test_a_new_day_is_asked_for(home: Home, update: VersionRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real event has its windows made again each day, the newest map alone, until the days are over or it is retracted."""
    archive = home.archive
    now = datetime.now(UTC)
    assert overtaken(archive, now, 7) == []
    # Received today and created in 2023: beyond the days that are followed, but within a thousand of them.
    days = (now - FIRST).days + 10
    (due,) = overtaken(archive, now, days)
    assert due.record.partition_key == update.partition_key
    assert timedelta(0) <= now - due.begins < timedelta(hours=3)
    with monkeypatch.context() as patch:
        patch.setenv("MMA_WINDOWS_DAYS", "365")
        with dg.build_sensor_context(instance=home.instance) as context:
            outcome = observability_sensor(
                context, archive=ArchiveResource(url=home.env["MMA_ARCHIVE_URL"]), settings=SettingsResource()
            )
        assert isinstance(outcome, dg.SkipReason), "its year is over"
    materialize(
        observability, ProductInput(archive, home.store, update.partition_key, current(), now=FIRST + timedelta(days=3))
    )
    assert [due.record.partition_key for due in overtaken(archive, now, days)] == [update.partition_key]


def test_new_candidates_are_asked_for(home: Home, update: VersionRecord) -> None:
    """Windows are made again when other candidates are shown, once for each change, and then their order has these first."""
    archive, key = home.archive, update.partition_key
    now = datetime.now(UTC)

    def score(name: str, posterior: float, status: str = "scored") -> None:
        places = {"ra": 150.0, "dec": -40.0 if name == "first" else -41.0}
        result = {
            "candidate": name,
            "sufficient": True,
            "status": status,
            "p_phot": 0.5,
            "posterior": posterior,
            **places,
        }
        body = encode_photometry([Measurement(Candidate(name, places["ra"], places["dec"]), 60083.0, "r", 18.0, 0.1)])
        photometry = PhotometryArchive(archive)
        if not photometry.candidates_named([name]):
            sent = StreamMessage("photometry", "mma.photometry", 0, len(name), body, None, (), None, now)
            photometry.record(sent, parse(body))
        photometry.record_score(f"{EVENT}-{name}-MJD60083", EVENT, name, 60083, result)

    def made() -> Mapping[str, Any]:
        materialize(observability, ProductInput(archive, home.store, key, current(), now=now))
        return next(p for p in archive.products(key) if p.name == "observability").statistics

    assert overtaken(archive, now, 7) == []
    score("first", 0.999)
    (due,) = overtaken(archive, now, 7)
    assert (due.record.partition_key, due.candidates) == (key, ("first",))
    asked = due.request().run_key
    assert [again.request().run_key for again in overtaken(archive, now, 7)] == [asked], "one run for one change"
    with dg.build_sensor_context(instance=home.instance) as context:
        outcome = observability_sensor(
            context, archive=ArchiveResource(url=home.env["MMA_ARCHIVE_URL"]), settings=SettingsResource()
        )
    assert isinstance(outcome, dg.SensorResult)
    assert [request.run_key for request in outcome.run_requests or ()] == [asked]
    statistics = made()
    assert statistics["candidates"] == ["first"]
    assert any(site["first_targets"][:1] == ["first"] for site in statistics["sites"])
    score("first", 0.9)
    assert overtaken(archive, now, 7) == [], "a new score of the same candidates is no change of what is shown"
    score("second", 0.1)
    (due,) = overtaken(archive, now, 7)
    assert due.candidates == ("first", "second")
    assert due.request().run_key != asked
    score("second", 0.1, "excluded")
    assert overtaken(archive, now, 7) == []


def test_targets_weigh_what_the_page_shows() -> None:
    """Candidates are worth what the page ranks them by: after vetting, else with the prior, else the light curve alone."""
    scores = ({"p_phot": 0.9, "posterior": 0.8, "vetted_probability": 0.0}, {"p_phot": 0.9, "posterior": 0.8}, {"p_phot": 0.9, "posterior": None})  # fmt: skip
    assert [probability_of(score) for score in scores] == [0.0, 0.8, 0.9]


def test_a_survey_night_costs_a_run_in_minutes() -> None:
    """However often candidates are scored, their windows are asked for every few minutes at most, behind alerts."""
    assert observability_sensor.minimum_interval_seconds >= 300


def test_messages_and_page_say_it(home: Home, update: VersionRecord) -> None:
    """Derived alert 2.1 names the best sites and follows the schema, without links to what changes daily; the page too."""
    products = home.archive.products(update.partition_key)
    alert, _ = compose(update, products, lambda key: f"https://x.example/{key}", [update])
    record = json.loads(encode(alert))
    jsonschema.validate(record, json_schema_v2())
    assert record["schema"] == SCHEMA_V2_1
    assert DerivedAlert.from_json(record) == alert
    assert record["observability"]["begins"] == "2023-05-18T16:00:00.000000Z"
    assert len(record["observability"]["sites"]) == 5
    assert not {"observability", "observability_table", "airmass"} & {p["name"] for p in record["products"]}
    written = write_event_page(home.archive, home.store, "S230518h")
    page = home.store.get(written.key).decode()
    assert "In the 24 h from 2023-05-18 16:00:00 UTC" in page
    assert "<td>DECam</td>" in page
    assert "airmass.png" in page
    assert "NSBH 86 %, Terrestrial 10 %" in page
    assert "contains a neutron star &gt;99 %, ejecta 0 %" in page
    assert "observatory, 24 h from 2023-05-18 16:00:00 UTC" in written.markdown
    shown = CliRunner().invoke(app, ["show", "S230518h"]).stdout
    assert "NSBH 86 %" in shown
    # It was three years ago: the night has its date, nothing is tonight, and every observatory is there, not the best alone.
    for words in (page, written.markdown, shown):
        assert "the night after the event (2023-05-18)" in words
        assert "over" in words
        assert "tonight" not in words
    observing = next(p.statistics["sites_observing"] for p in products if p.name == "observability")
    assert page.count("<tr data-ends=") == observing > 10
    assert f"{observing} of 26 observatories; from now on: mma windows S230518h" in " ".join(shown.split())
    assert f"and {observing - 5} more" in shown


def test_show_names_all_that_can_still_observe(home: Home, update: VersionRecord) -> None:
    """During the night the best ten may be over: `mma show` then has every observatory, those to come first."""
    made = next(p for p in home.archive.products(update.partition_key) if p.name == "observability")
    whole = json.loads(home.store.get(made.store_key))["sites"]
    ends = {site["site"]: site["spells"][-1][1] for site in whole if site["begins"] is not None}
    moment = datetime(2023, 5, 19, 9, 45, tzinfo=UTC)
    entry = describe(home.archive, [update])[0]
    lines = _windows(entry, moment)
    assert "(tonight)" in lines[0]
    assert "here the best" not in lines[0]
    late = {name for name, end in ends.items() if datetime.fromisoformat(end) > moment}
    assert late - {site["site"] for site in made.statistics["sites"]}, (
        "some that can still observe are not among the best"
    )
    assert {line.partition(":")[0] for line in lines[1 : 1 + len(late)]} == late
    assert all(line.endswith("(over)") for line in lines[1 + len(late) :])
    assert len(lines) == 1 + len(ends)


def test_chirp_mass_is_in_facts_and_message(home: Home) -> None:
    """A notice that states chirp masses has them among its facts, in words on its lists, and in the derived alert."""
    sent = json.loads(next(REAL_FOLDER.glob("S230518h-UPDATE*.json")).read_text())
    sent["event"]["mchirp_source"] = {"bin_edges": [0.1, 0.87, 1.7, 5.5], "probabilities": [0.02, 0.95, 0.03]}
    (record,) = home.receive(json.dumps(sent).encode())
    assert record.facts["chirp_mass"]["probabilities"] == [0.02, 0.95, 0.03]
    assert home.make(record, ["raw_alert"]).success
    alert, _ = compose(record, home.archive.products(record.partition_key), lambda _: None, [record])
    message = json.loads(encode(alert))
    jsonschema.validate(message, json_schema_v2())
    assert message["schema"] == SCHEMA_V2_1
    assert message["event"]["chirp_mass"] == {"bin_edges": [0.1, 0.87, 1.7, 5.5], "probabilities": [0.02, 0.95, 0.03]}
    assert DerivedAlert.from_json(message) == alert
    (entry,) = json.loads(CliRunner().invoke(app, ["show", "S230518h", "--json"]).stdout)["versions"]
    assert "chirp mass 0.87-1.7 solar masses: 95 %" in entry["source"]


def test_wrong_sites_are_said(home: Home, update: VersionRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be used is named by the asset, by the sensor and by the command; nothing fails for it."""
    wrong = home.folder / "sites.json"
    wrong.write_text('[{"name": "here", "latitude_deg": 100, "longitude_deg": 0}]')
    monkeypatch.setenv("MMA_SITES", str(wrong))
    reason = observability.unconfigured(current())
    assert reason is not None
    assert "MMA_SITES" in reason
    assert "no place on the Earth" in reason
    answer = CliRunner().invoke(app, ["windows", "S230518h"])
    assert answer.exit_code == 1
    assert "no place on the Earth" in answer.output
    told = [f for f in _settings() if f.what == "observatories"]
    assert len(told) == 1


def test_the_command_answers_for_any_night(home: Home, update: VersionRecord) -> None:
    """A site of one's own on a night of one's choice, as JSON; a wrong date or name is one sentence and an exit code."""
    own = home.folder / "sites.json"
    own.write_text('[{"name": "Backyard", "latitude_deg": -30, "longitude_deg": 20, "airmass_max": 2}]')
    run = CliRunner()
    answer = run.invoke(app, ["windows", "S230518h", "--date", "2023-05-18", "--site", "decam", "--json"])
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    (site,) = told["sites"]
    assert (site["site"], site["dusk"][:13], site["dawn"][:16]) == ("DECam", "2023-05-18T23", "2023-05-19T10:00")
    assert told["earth_orientation"]["predicted_until"] > told["earth_orientation"]["measured_until"]
    plain = run.invoke(app, ["windows", "S230518h", "--date", "2023-05-18T12:00"], env={"MMA_SITES": str(own)})
    assert "Backyard" in plain.stdout
    for options, code, words in (
        (["--date", "tomorrow"], 2, "no date"),
        (["--site", "Hubble"], 2, "no site"),
        (["--date", "2023-05-18", "--plot", "x.png"], 2, "--plot"),
    ):
        refused = run.invoke(app, ["windows", "S230518h", *options])
        assert refused.exit_code == code
        assert words in " ".join(refused.output.split())
    assert run.invoke(app, ["windows", "S999999z"]).exit_code == 3
