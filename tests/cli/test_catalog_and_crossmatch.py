"""`mma catalog` and `mma crossmatch`: what a person types, what a script reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.store import Store
from mma_pipeline.cli import app
from mma_pipeline.defs.skymaps.skymap import skymap
from mma_pipeline.products.ingest import ingest, parse_alert
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.settings import current
from tests.homes import new_archive

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not SHARED.exists(), reason=f"no real data: {SHARED} is not there")
S230518H = SHARED / "gw_alerts" / "S230518h-PRELIMINARY-2023-05-18T133818Z.json"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home."""
    for name in ("MMA_GALAXY_CATALOG", "MMA_ARCHIVE_URL", "MMA_STORE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return tmp_path


def test_import_and_show(place: Path) -> None:
    """A table with a mapping becomes the index in the home; before that `show` says what to do."""
    run = CliRunner()
    assert run.invoke(app, ["catalog", "show"]).exit_code == 3
    table = place / "mine.csv"
    table.write_text("alpha,delta,d,m,id\n10,20,30,10.5,one\n11,21,31,,two\n")
    columns = ["--ra", "alpha", "--dec", "delta", "--distance", "d", "--name", "id", "--mass", "m"]
    made = run.invoke(app, ["catalog", "import", str(table), *columns, "--mass-scale", "log10", "--json"])
    assert made.exit_code == 0, made.output
    told = json.loads(made.output)
    assert (told["rows"], told["folder"]) == (2, str(place / "galaxies"))
    shown = run.invoke(app, ["catalog", "show"])
    assert shown.exit_code == 0
    assert "2 galaxies" in shown.output
    assert run.invoke(app, ["catalog", "import", str(table)]).exit_code == 1
    assert run.invoke(app, ["catalog", "import", str(table), "--ra", "alpha"]).exit_code == 2


def test_import_of_stars_and_nuclei(place: Path) -> None:
    """Tables of stars and nuclei go into folders of their own, foreign columns are named, wrong names are usage errors."""
    run = CliRunner()
    assert run.invoke(app, ["catalog", "show", "--kind", "stars"]).exit_code == 3
    table = place / "mine.csv"
    table.write_text(
        "ra,dec,plx,e_plx,mu_a,e_pmra,pmde,e_pmde,gmag\n10,20,1.5,0.1,3,0.1,4,0.1,17\n11,21,,,,,,,20\n,,,,,,,,\n"
    )
    command = ["catalog", "import", "--kind", "stars", str(table)]
    assert run.invoke(app, command).exit_code == 1
    assert run.invoke(app, [*command, "--column", "mu=mu_a"]).exit_code == 2
    assert run.invoke(app, [*command, "--ra", "ra"]).exit_code == 2
    made = run.invoke(app, [*command, "--column", "pmra=mu_a", "--label", "mine", "--json"])
    assert made.exit_code == 0, made.output
    told = json.loads(made.output)
    assert (told["rows"], told["rows_without_position"], told["folder"]) == (2, 1, str(place / "stars"))
    shown = run.invoke(app, ["catalog", "show", "--kind", "stars"])
    assert "mine: 2 stars" in shown.output
    assert run.invoke(app, ["catalog", "show", "--kind", "agn"]).exit_code == 3


@needs_data
def test_crossmatch_of_an_event(place: Path) -> None:
    """A position and a table give the same figures as ligo.skymap's documented ones for the event's newest map."""
    archive = new_archive(f"sqlite:///{place / 'archive.db'}")
    store = Store.open(place / "products")
    now = datetime(2024, 1, 1, tzinfo=UTC)
    message = StreamMessage("test", "t", 0, 0, S230518H.read_bytes(), None, (), None, now)
    recorded = ingest(archive, message, parse_alert)
    source = ProductInput(archive, store, recorded.versions[0].partition_key, current())  # type: ignore[union-attr]
    from mma_pipeline.products.materialize import materialize

    materialize(skymap, source)
    run = CliRunner()
    one = run.invoke(app, ["crossmatch", "S230518h", "--ra", "103", "--dec", "-30", "--distance", "200", "--json"])
    assert one.exit_code == 0, one.output
    (told,) = json.loads(one.output)["positions"]
    assert 0 < told["searched_prob"] <= 1
    assert 0 < told["searched_prob_vol"] <= 1
    table = place / "candidates.csv"
    table.write_text("name,ra,dec,distance\nfirst,103,-30,200\nsecond,10,10,\n")
    many = run.invoke(app, ["crossmatch", "S230518h", "--table", str(table), "--json"])
    first, second = json.loads(many.output)["positions"]
    assert {k: first[k] for k in told if k != "name"} == {k: told[k] for k in told if k != "name"}
    assert second["searched_prob_vol"] is None
    assert run.invoke(app, ["crossmatch", "S230518h", "--table", str(table)]).exit_code == 0
    from astropy.table import Table

    named = Table({"name": ["a b", "second"], "ra": [103.0, 10.0], "dec": [-30.0, 10.0]})
    named.write(place / "candidates.ecsv", format="ascii.ecsv")
    quoted = run.invoke(app, ["crossmatch", "S230518h", "--table", str(place / "candidates.ecsv"), "--json"])
    assert [row["name"] for row in json.loads(quoted.output)["positions"]] == ["a b", "second"]
    assert run.invoke(app, ["crossmatch", "S230518h"]).exit_code == 2
    assert run.invoke(app, ["crossmatch", "S999999z", "--ra", "1", "--dec", "2"]).exit_code == 3
    assert run.invoke(app, ["crossmatch", "S230518h", "--ra", "1", "--dec", "95"]).exit_code == 2


def test_a_file_that_is_no_catalog(tmp_path: Path) -> None:
    """An empty file, and text that is no table, are refused with one line that names the file."""
    for name, text in (
        ("empty.csv", ""),
        ("notes.md", "# Notes\n\nnothing here is a table, but there are words\nand lines\n"),
    ):
        file = tmp_path / name
        file.write_text(text)
        result = CliRunner().invoke(app, ["catalog", "import", str(file)])
        assert result.exit_code == 1
        assert name in result.stderr
        assert "Traceback" not in result.output
        assert isinstance(result.exception, SystemExit)
