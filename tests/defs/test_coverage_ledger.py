"""Coverage of a version in Dagster: made with every version, again when pointings change, from the site and from files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import dagster as dg
import jsonschema
import pytest
from astropy.io.votable import parse_single_table
from astropy.table import Table
from mocpy import MOC
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.archive.pointings import PointingArchive
from mma_pipeline.adapters.publishing.compose import compose
from mma_pipeline.cli import app
from mma_pipeline.defs.observing.pointings_sensor import pointings_sensor
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource
from mma_pipeline.notices.derived import DerivedAlert, encode, json_schema_v2
from tests.adapters.pointings.site import filled
from tests.alerts import body, fits_map
from tests.homes import Home
from tests.services.gwtm_standin import GwtmStandIn

EVENT, MOCK = "S240301a", "MS240301a"
ROWS = """ra,dec,obstime,filter,limmag,instrument,status
149.5,20,2024-03-01T13:00:00,g,21.5,Wide,
150.5,20,2024-03-02T13:00:00,r,22.0,Wide,completed
170.0,0,2024-03-03T13:00:00,r,22.0,Wide,planned
10.0,0,2024-03-03T13:00:00,r,22.0,Wide,cancelled
nowhere,0,2024-03-03T13:00:00,r,22.0,Wide,completed
"""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[GwtmStandIn]:
    """A Treasure Map that the settings name."""
    with GwtmStandIn() as server:
        filled(server, EVENT)
        monkeypatch.setenv("MMA_POINTINGS_URL", server.base)
        yield server


def _tick(home: Home, cursor: str | None) -> dg.SensorResult:
    context = dg.build_sensor_context(
        home.instance, cursor=cursor, resources={"archive": ArchiveResource(), "settings": SettingsResource()}
    )
    answer = pointings_sensor(context)
    assert isinstance(answer, dg.SensorResult)
    return answer


def _keys(answer: dg.SensorResult) -> list[str]:
    return [str(request.partition_key) for request in answer.run_requests or ()]


def _made(home: Home, partition: str) -> dict[str, Any]:
    found = {p.name: home.store.get(p.store_key) for p in home.archive.products(partition)}
    return {**found, "json": json.loads(found["coverage_ledger"])}


def test_pointings_of_the_site_become_coverage(home: Home, site: GwtmStandIn) -> None:
    """A version without pointings has an empty ledger; the sensor reads the site once, and asks for the newest map again."""
    (record,) = home.receive(body(EVENT))
    assert home.make(record, ["raw_alert", "skymap", "coverage_ledger"]).success
    empty = _made(home, record.partition_key)
    assert empty["json"]["figures"]["probability_covered"] == 0
    assert "coverage_map" not in empty
    first = _tick(home, None)
    assert _keys(first) == [record.partition_key]
    asked = site.requests.total()
    second = _tick(home, first.cursor)
    assert _keys(second) == []
    assert site.requests.total() == asked, "an event is not asked for again at once"
    assert home.make(record, ["coverage_ledger"]).success
    made = _made(home, record.partition_key)
    figures = made["json"]["figures"]
    assert (figures["visits_completed"], figures["visits_planned"]) == (2, 1)
    # The camera of two CCDs stands on the middle of the map.
    assert 0 < figures["probability_reached"] < figures["probability_covered"] < 0.1
    rows = Table.read(made["coverage_ledger_table"].decode(), format="ascii.ecsv")
    assert set(rows["by"]) == {"all", "planned", "time", "band", "depth", "instrument"}
    assert rows["area_deg2"].unit == "deg2"
    same = parse_single_table(BytesIO(made["coverage_ledger_votable"])).to_table()
    assert (same.colnames, len(same), same["area_deg2"].unit) == (rows.colnames, len(rows), rows["area_deg2"].unit)
    covered = MOC.from_fits(_path(home, record.partition_key, "covered_moc"))
    assert covered.sky_fraction * 41252.96 == pytest.approx(2.0 + 0.4, rel=0.02)
    assert made["coverage_map"].startswith(b"\x89PNG")
    _told(home, record)
    # The same pointings again are the same bytes, and a new map has its ledger at once.
    (newer,) = home.receive(
        body(EVENT, "UPDATE", created="2024-03-02T12:00:00Z", skymap=fits_map(150.0, 20.0, 0.5, order=7))
    )
    assert home.make(newer, ["raw_alert", "skymap", "coverage_ledger"]).success
    again = _made(home, newer.partition_key)["json"]["figures"]
    assert again["probability_covered"] > 3 * figures["probability_covered"]


def _told(home: Home, record: VersionRecord) -> None:
    """A message has the figures, follows its schema, and has no link to files that will change."""
    alert, _ = compose(record, home.archive.products(record.partition_key), lambda key: f"https://x/{key}")
    sent = json.loads(encode(alert))
    jsonschema.validate(sent, json_schema_v2())
    assert DerivedAlert.from_json(sent) == alert
    assert (sent["coverage"]["completed"], sent["coverage"]["planned"]) == (2, 1)
    assert not any("cover" in link["name"] for link in sent["products"])


def _path(home: Home, partition: str, name: str) -> str:
    product = home.archive.product(partition, name)
    assert product is not None
    return str(home.products / product.store_key)


def test_the_sensor_backs_off(home: Home, site: GwtmStandIn) -> None:
    """A site in trouble is left alone for a while, and mock events are not asked for."""
    home.receive(body(MOCK))
    before = site.requests.total()
    assert _tick(home, None).cursor
    assert site.requests.total() == before
    home.receive(body(EVENT))
    site.fail("pointings", "500", times=5)
    first = _tick(home, None)
    assert json.loads(first.cursor or "")["failures"] == 1
    before = site.requests.total()
    assert json.loads(_tick(home, first.cursor).cursor or "")["failures"] == 1
    assert site.requests.total() == before
    past = json.loads(first.cursor or "") | {"not_before": "2024-01-01T00:00:00+00:00"}
    assert json.loads(_tick(home, json.dumps(past)).cursor or "")["failures"] == 2


def test_a_retracted_event_is_not_asked_for(home: Home, site: GwtmStandIn) -> None:
    """After a retraction nobody is asked any more."""
    home.receive(body(EVENT))
    home.receive(body(EVENT, "RETRACTION", created="2024-03-01T13:00:00Z"))
    before = site.requests.total()
    _tick(home, None)
    assert site.requests.total() == before


def test_without_an_address_nobody_is_asked(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty address reads nothing, also where alerts are published to the site; a wrong one is said."""
    monkeypatch.setenv("API_BASE", "http://127.0.0.1:9/api/v1/")
    monkeypatch.setenv("MMA_POINTINGS_URL", "")
    home.receive(body(EVENT))
    assert json.loads(_tick(home, None).cursor or "")["failures"] == 0
    monkeypatch.setenv("MMA_POINTINGS_URL", "ftp://example.org")
    assert json.loads(_tick(home, None).cursor or "")["failures"] == 0


def test_pointings_from_a_file(home: Home, tmp_path: Any) -> None:
    """`mma pointings` imports once, names what it leaves out, updates a status, lists, and computes coverage."""
    run = CliRunner()
    file = tmp_path / "mine.csv"
    file.write_text(ROWS)
    command = ["pointings", "import", str(file), "--event", MOCK, "--json"]
    assert run.invoke(app, command).exit_code == 3
    (record,) = home.receive(body(MOCK))
    refused = run.invoke(app, command)
    assert refused.exit_code == 1
    assert "footprint of Wide is not known" in refused.output
    first = run.invoke(app, [*command, "--footprint", "box 1 1"])
    assert first.exit_code == 0, first.output
    told = json.loads(first.output)
    assert (told["new"], told["changed"], len(told["skipped"])) == (4, 0, 1)
    assert "line 6" in told["skipped"][0]
    # The footprint of the instrument is known from now on.
    file.write_text(ROWS.replace("planned", "completed"))
    second = json.loads(run.invoke(app, command).output)
    assert (second["new"], second["changed"], second["same"]) == (0, 1, 3)
    listed = json.loads(run.invoke(app, ["pointings", "list", MOCK, "--json"]).output)
    assert [p["status"] for p in listed] == ["completed", "completed", "completed", "cancelled"]
    covered = json.loads(run.invoke(app, ["pointings", "coverage", MOCK, "--json"]).output)
    assert covered["visits_completed"] == 3
    assert covered["pointings_cancelled"] == 1
    assert covered["area_covered_deg2"] == pytest.approx(3.0, rel=0.05)
    assert {row["value"] for row in covered["rows"] if row["by"] == "band"} == {"g", "r"}
    assert "covered" in run.invoke(app, ["pointings", "coverage", MOCK]).output
    assert _keys(_tick(home, None)) == [], "the map is not made yet: its own run makes the ledger"
    assert home.make(record, ["raw_alert", "skymap", "coverage_ledger"]).success
    shown = json.loads(run.invoke(app, ["show", MOCK, "--json"]).output)
    statistics = shown["versions"][0]["statistics"]["coverage_ledger"]
    assert statistics["probability_covered"] == pytest.approx(covered["probability_covered"])


def test_pointings_go_with_their_mock_event(home: Home) -> None:
    """Retention forgets the pointings of a mock event with its last version."""
    from mma_pipeline.adapters.archive.retention import forget
    from tests.adapters.archive.test_pointings import ONE

    (record,) = home.receive(body(MOCK))
    kept = PointingArchive(home.archive)
    kept.record(MOCK, [ONE], datetime.now(UTC))
    kept.record(EVENT, [ONE], datetime.now(UTC))
    forget(home.archive.engine, [record.partition_key])
    assert kept.pointings(MOCK) == []
    assert kept.pointings(EVENT) == [ONE]
