"""Events as a person names them, and the word that one is retracted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from typer.testing import CliRunner

from mma_pipeline.cli import app
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.products.materialize import materialize
from mma_pipeline.settings import current
from tests.alerts import body
from tests.homes import Home

RUN = CliRunner()
POSITION = ["--ra", "150", "--dec", "20"]


def receive(home: Home, *bodies: bytes) -> None:
    """Archive alerts and make maps and forecasts of those that have them."""
    from mma_pipeline.defs.observing.forecast import kilonova_forecast
    from mma_pipeline.defs.skymaps.skymap import skymap

    for one in bodies:
        for record in home.receive(one):
            if record.has_map:
                for product in (skymap, kilonova_forecast):
                    materialize(product, ProductInput(home.archive, home.store, record.partition_key, current()))


@pytest.fixture
def retracted(home: Home) -> Home:
    """An event with a map that was retracted, and one that was not."""
    receive(home, body("MS240301a"), body("MS240301a", "RETRACTION", created="2024-03-01T15:00:00Z"))
    receive(home, body("MS240302b", created="2024-03-02T12:05:00Z"))
    return home


@pytest.mark.parametrize("command", [["crossmatch", *POSITION], ["forecast"], ["windows", "--date", "2024-03-02"]])
def test_a_retraction_is_said_first(retracted: Home, command: list[str]) -> None:
    """What is computed of a retracted event begins with that word, for a version by its key too; JSON names the notice."""
    name, *options = command
    versions = retracted.archive.versions("MS240301a")
    (withdrawn,) = (r.partition_key for r in versions if r.version.is_retraction)
    (mapped,) = (r.partition_key for r in versions if r.has_map)
    for event in ("MS240301a", mapped):
        printed = RUN.invoke(app, [name, event, *options])
        assert printed.exit_code == 0, printed.output
        assert printed.stdout.splitlines()[0] == f"MS240301a is retracted ({withdrawn})"
    assert json.loads(RUN.invoke(app, [name, "MS240301a", *options, "--json"]).stdout)["retracted_by"] == withdrawn
    live = RUN.invoke(app, [name, "MS240302b", *options])
    assert live.exit_code == 0
    assert "retracted" not in live.stdout
    assert json.loads(RUN.invoke(app, [name, "MS240302b", *options, "--json"]).stdout)["retracted_by"] is None


@pytest.mark.parametrize("name", ["MS240302b-Preliminary", "ms240302b", "ms240302b-preliminary"])
def test_an_event_by_the_names_that_are_shown(retracted: Home, name: str) -> None:
    """The name of a version's files, and an id in lower case, lead to the event."""
    shown = RUN.invoke(app, ["show", name])
    assert shown.exit_code == 0, shown.output
    assert "MS240302b" in shown.stdout
    found = json.loads(RUN.invoke(app, ["crossmatch", name, *POSITION, "--json"]).stdout)
    assert found["version"] == retracted.archive.versions("MS240302b")[0].partition_key


def test_units_of_a_table_on_the_command_line(retracted: Home, tmp_path: Path) -> None:
    """A table in radians and kpc gives what the position in degrees and Mpc gives; a unit that does not fit is named."""
    plain = ["crossmatch", "MS240302b", *POSITION, "--distance", "90", "--json"]
    (first,) = json.loads(RUN.invoke(app, plain).stdout)["positions"]
    table = Table({"ra": [np.radians(150)], "dec": [np.radians(20)], "distance": [9e4]})
    for unit, code in (("rad", 0), ("kpc", 1)):
        for name, stated in (("ra", unit), ("dec", "rad"), ("distance", "kpc")):
            table[name].unit = stated
        for suffix, kind in ((".ecsv", "ascii.ecsv"), (".csv", "ascii.ecsv"), (".vot", "votable")):
            path = tmp_path / f"{unit}{suffix}"
            table.write(path, format=kind)
            answer = RUN.invoke(app, ["crossmatch", "MS240302b", "--table", str(path), "--json"])
            assert answer.exit_code == code, answer.output
            if code:
                assert "column ra is in kpc" in answer.stderr
                continue
            (found,) = json.loads(answer.stdout)["positions"]
            for figure in ("searched_prob", "searched_prob_vol", "distance_mpc"):
                assert found[figure] == pytest.approx(first[figure], rel=1e-9)


def test_a_right_ascension_beyond_the_circle(retracted: Home, tmp_path: Path) -> None:
    """400 degrees are refused in a table as on the command line."""
    table = tmp_path / "far.csv"
    table.write_text("ra,dec\n400,1\n")
    answer = RUN.invoke(app, ["crossmatch", "MS240302b", "--table", str(table)])
    assert answer.exit_code == 1
    assert "right ascension must be within ±360" in answer.stderr
    assert RUN.invoke(app, ["crossmatch", "MS240302b", "--ra", "400", "--dec", "1"]).exit_code == 2
