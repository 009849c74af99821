"""The forecast of a version: made from real alerts, left out with the reason, on the page, in the message and in `mma`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.publishing.compose import compose
from mma_pipeline.cli import app
from mma_pipeline.defs.events.page.render import Attachments, page_html, page_markdown
from mma_pipeline.defs.events.page.state import event_state
from mma_pipeline.notices.derived import SCHEMA_V2_1, DerivedAlert, json_schema_v2
from tests.alerts import REAL_FOLDER, alert, body, fits_map, needs_real_alerts
from tests.homes import Home

ASSETS = ["raw_alert", "skymap", "skymap_statistics", "kilonova_forecast"]
FILES = {"forecast", "forecast_table", "forecast_votable", "forecast_plot"}
CHIRP = {"bin_edges": [0.87, 1.1, 1.2, 1.3, 2.0], "probabilities": [0.0, 0.9, 0.1, 0.0]}


def _forecast(home: Home, record: VersionRecord) -> tuple[dict[str, Any], dict[str, Any], set[str]]:
    """The document, the statistics and the names of the files."""
    files = {p.name: p for p in home.archive.products(record.partition_key) if p.asset == "kilonova_forecast"}
    found = files["forecast"]
    return json.loads(home.store.get(found.store_key)), dict(found.statistics), set(files)


def _real(name: str) -> bytes:
    path: Path = REAL_FOLDER / f"{name}.json"
    return path.read_bytes()


def test_masses_come_from_the_notice(home: Home) -> None:
    """A chirp mass and classes give masses of the ejecta; without them the families' own serve. Another mass, another file."""
    with_mass = json.loads(body("MS240301a", mchirp_source=CHIRP))
    (first,) = home.receive(body("MS240301b"))
    (second,) = home.receive(json.dumps(with_mass).encode())
    for record in (first, second):
        assert home.make(record, ASSETS).success
    plain, weighed = (_forecast(home, record)[0] for record in (first, second))
    assert plain["masses"] == {"from": "families"}
    assert weighed["masses"]["from"] == "notice"
    assert 0.005 < weighed["masses"]["wind_msun"]["50"] < 0.1
    assert plain["kilonova"] != weighed["kilonova"]
    assert plain["distance_mpc"]["50"] == pytest.approx(107, abs=3)


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({"properties": {"HasNS": 0.0, "HasRemnant": 0.0}}, "no neutron star"),
        ({"group": "Burst", "classification": {}, "properties": {}, "layers": False}, "no distance"),
    ],
)
def test_without_a_forecast_the_file_says_why(home: Home, event: dict[str, Any], says: str) -> None:
    """Two black holes, and a burst without distance: one small file with the reason, and nothing fails."""
    layers = event.pop("layers", True)
    (record,) = home.receive(body("MS240301c", skymap=fits_map(layers=layers), **event))
    assert home.make(record, ASSETS).success
    document, statistics, files = _forecast(home, record)
    assert files == {"forecast"}
    assert document["applies"] is statistics["applies"] is False
    assert says in document["words"]
    state = event_state(home.archive, "MS240301c")
    assert says in page_html(state, "mma/x/index.html", Attachments()).decode()
    alert_out, _ = compose(record, home.archive.products(record.partition_key), lambda key: None)
    assert alert_out.forecast is not None
    assert not alert_out.forecast.applies


@needs_real_alerts
def test_a_burst_adds_its_afterglow(home: Home) -> None:
    """The user guide's update with Fermi has the afterglow in its files and on the page; the version without it has none."""
    own, combined = home.receive(_real("MS181101ab-ext-update"))
    (before,) = home.receive(_real("MS181101ab-preliminary"))
    for record in (own, combined, before):
        assert home.make(record, ASSETS).success
    document, statistics, files = _forecast(home, combined)
    assert files == FILES
    assert "afterglow" in document
    assert statistics["afterglow_median_mag"]
    assert statistics["p_kilonova"] == pytest.approx(0.99 * 0.91)
    assert "afterglow" not in _forecast(home, before)[0]
    page = page_html(event_state(home.archive, "MS181101ab"), "mma/MS181101ab/index.html", Attachments()).decode()
    assert "afterglow seen on axis" in page
    # The picture of the forecast is no sky map.
    assert len(re.findall(r"<img[^>]*forecast\.png", page)) == 1


@needs_real_alerts
def test_no_kilonova_expected_is_said_beside_the_forecast(home: Home) -> None:
    """S230518h has HasRemnant 0: the words say so in the file, in `mma show`, `mma forecast`, and in the message, 2.1."""
    (record,) = home.receive(_real("S230518h-UPDATE-2023-05-18T165232Z"))
    runner = CliRunner()
    nothing = runner.invoke(app, ["forecast", "S230518h"])
    assert nothing.exit_code == 3
    assert "no forecast yet" in nothing.output
    assert home.make(record, ASSETS).success
    document, statistics, files = _forecast(home, record)
    assert files == FILES
    assert statistics["p_kilonova"] == 0
    assert document["words"].startswith("No kilonova is expected")
    shown = runner.invoke(app, ["show", "S230518h"], env={"COLUMNS": "200"})
    assert "No kilonova is expected" in shown.output
    assert "kilonova, 24 h, mag" in shown.output
    printed = runner.invoke(app, ["forecast", "S230518h"], env={"COLUMNS": "240"})
    assert printed.exit_code == 0
    assert "No kilonova is expected" in printed.output
    answer = json.loads(runner.invoke(app, ["forecast", "S230518h", "--json"]).stdout)
    assert answer["version"] == record.partition_key
    assert answer["depths"] == document["depths"]
    message, _ = compose(record, home.archive.products(record.partition_key), lambda key: None)
    encoded = message.to_json()
    jsonschema.validate(encoded, json_schema_v2())
    assert encoded["schema"] == SCHEMA_V2_1
    assert DerivedAlert.from_json(encoded) == message
    (day,) = (row for row in statistics["depth_mag"] if row["hours"] == 24 and row["seen"] == 0.9)
    assert encoded["forecast"]["depth_90"]["r"] == day["r"]
    state = event_state(home.archive, "S230518h")
    assert "No kilonova is expected" in page_markdown(state, "mma/S230518h/index.html", Attachments())


def test_dust_is_added_on_request(home: Home) -> None:
    """`mma forecast --ebv` adds A = coefficient × E(B-V): one magnitude of reddening dims g by 3.2 mag."""
    (record,) = home.receive(json.dumps(alert("MS240301d", skymap=fits_map())).encode())
    assert home.make(record, ASSETS).success
    (day,) = (r for r in _forecast(home, record)[1]["depth_mag"] if r["hours"] == 24 and r["seen"] == 0.9)
    runner = CliRunner()
    for ebv, extra in (("0", 0.0), ("1", 3.172)):
        printed = runner.invoke(app, ["forecast", "MS240301d", "--ebv", ebv], env={"COLUMNS": "240"}).output
        (row,) = (line for line in printed.splitlines() if " 24 " in line and "90 %" in line)
        assert f"{day['g'] + extra:.1f}" in row
