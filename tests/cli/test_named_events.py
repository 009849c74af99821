"""What a person asks of events on the command line: their names, the word that one is retracted, tables, dates, drafts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from astropy.table import Table
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import outbox, writing
from mma_pipeline.adapters.archive.publications import Draft
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.cli import app
from mma_pipeline.cli.completion import complete_site
from mma_pipeline.notices.words import share
from mma_pipeline.products.ingest import quarantine_message
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.products.materialize import materialize
from mma_pipeline.settings import current
from tests.alerts import body
from tests.defs.malformed import tiny_map
from tests.defs.test_coincidences import fermi
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


@pytest.mark.parametrize("command", [["crossmatch", *POSITION], ["forecast"], ["windows", "--date", "2024-03-02"]])
def test_a_map_that_cannot_be_used_is_not_called_missing(home: Home, command: list[str]) -> None:
    """Where a notice has a map that cannot be used, the command names the notice and the reason; where it has none, it says that."""
    name, *options = command
    home.receive(body("MS240305e", skymap=tiny_map(density=np.full(12, np.nan))))
    answer = RUN.invoke(app, [name, "MS240305e", *options])
    assert answer.exit_code == 3
    assert "the map of its Preliminary notice cannot be (event.skymap" in answer.stderr
    assert "no version with a map" in RUN.invoke(app, [name, "MS240306f", *options]).stderr


def test_a_forecast_that_there_can_never_be(home: Home) -> None:
    """Of a burst without distance and masses there is no forecast, and nobody is told to materialise one."""
    (burst,) = home.receive(fermi())
    answer = RUN.invoke(app, ["forecast", burst.version.event_id])
    assert answer.exit_code == 3
    assert "Fermi GBM measures no distance and no masses" in answer.stderr
    assert "materialise" not in answer.stderr


def test_what_else_belongs_to_an_event_in_any_case(retracted: Home) -> None:
    """Pointings, publications and messages in quarantine are found by an id in lower case, as the event is."""
    from mma_pipeline.adapters.archive.pointings import PointingArchive
    from mma_pipeline.notices.pointings import Pointing, Status

    visit = Pointing("own", "1", "Wide", Status.PLANNED, None, 150.0, 20.0, 0.0, "r", None, None, None)
    PointingArchive(retracted.archive).record("MS240302b", [visit], datetime.now(UTC))
    (listed,) = json.loads(RUN.invoke(app, ["pointings", "list", "ms240302b", "--json"]).stdout)
    assert listed["instrument"] == "Wide"
    message = StreamMessage(
        "gcn-gwalert", "t", 0, 900, b'{"superevent_id": "MS240305e"}', None, (), None, datetime.now(UTC)
    )
    quarantine_message(retracted.archive, message, "cut short")
    for command in (["quarantine", "--event", "ms240305e", "--json"], ["show", "ms240305e", "--json"]):
        assert "cut short" in RUN.invoke(app, command).stdout
    draft = Draft("site", "alert", "key", "MS240302b", {}, retracted.archive.versions("MS240302b")[0].partition_key)
    with writing(retracted.archive.engine) as connection:
        outbox.enqueue(connection, draft, datetime.now(UTC))
    assert len(json.loads(RUN.invoke(app, ["publication", "list", "ms240302b", "--json"]).stdout)) == 1


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


def test_a_position_as_the_page_prints_it(retracted: Home, tmp_path: Path) -> None:
    """10:00:00 +20:00:00 is 150, 20 deg, as an option and in a table, also with a blank row; a negative distance is refused in both."""

    def match(*options: str) -> dict[str, float]:
        answer = RUN.invoke(app, ["crossmatch", "MS240302b", *options, "--json"])
        assert answer.exit_code == 0, answer.output
        (found,) = json.loads(answer.stdout)["positions"]
        return {name: found[name] for name in ("ra_deg", "dec_deg", "searched_prob")}

    table = tmp_path / "positions.csv"
    table.write_text("ra,dec,name\n10:00:00,+20:00:00,\n,,\n")
    wanted = pytest.approx(match(*POSITION))
    assert match("--ra", "10:00:00", "--dec", "+20:00:00") == wanted
    assert match("--table", str(table)) == wanted
    table.write_text("ra,dec,distance\n150,20,-3\n")
    for options in (["--table", str(table)], [*POSITION, "--distance", "-3"]):
        answer = RUN.invoke(app, ["crossmatch", "MS240302b", *options])
        assert answer.exit_code in (1, 2)
        assert "leave it out where it is unknown" in " ".join(answer.stderr.split())


def test_figures_of_a_match_are_for_people(retracted: Home) -> None:
    """Levels are per cent and positions keep their digits in what is printed; JSON has all digits."""
    printed = RUN.invoke(app, ["crossmatch", "MS240302b", "--ra", "150.12345", "--dec", "20"], env={"COLUMNS": "200"})
    found = json.loads(
        RUN.invoke(app, ["crossmatch", "MS240302b", "--ra", "150.12345", "--dec", "20", "--json"]).stdout
    )
    level = found["positions"][0]["searched_prob"]
    assert "150.12345" in printed.stdout
    assert share(level) in printed.stdout
    assert f"{level:.5g}" not in printed.stdout


def test_a_right_ascension_beyond_the_circle(retracted: Home, tmp_path: Path) -> None:
    """400 degrees are refused in a table as on the command line."""
    table = tmp_path / "far.csv"
    table.write_text("ra,dec\n400,1\n")
    answer = RUN.invoke(app, ["crossmatch", "MS240302b", "--table", str(table)])
    assert answer.exit_code == 1
    assert "right ascension must be within ±360" in answer.stderr
    assert RUN.invoke(app, ["crossmatch", "MS240302b", "--ra", "400", "--dec", "1"]).exit_code == 2


@pytest.mark.parametrize(("date", "code"), [("1800-01-01", 2), ("2101-01-01", 2), ("1987-02-23", 0)])
def test_dates_for_which_the_sky_is_known(retracted: Home, date: str, code: int) -> None:
    """Dates outside of what Sun and Moon are known for are refused; of others, the year is told."""
    answer = RUN.invoke(app, ["windows", "MS240302b", "--date", date, "--site", "decam"])
    assert answer.exit_code == code, answer.output
    if code:
        assert "from 1950 to 2100" in " ".join(answer.stderr.split())
    else:
        assert f"24 h from each site's noon of {date}" in answer.stdout


def test_sites_complete(home: Home) -> None:
    """A shell completes the names of observatories, in upper and lower case."""
    assert complete_site("gemini-n") == complete_site("Gemini-N")
    assert complete_site("dec") == ["DECam"]
    assert len(complete_site("")) > 20
    assert complete_site("nowhere") == []


@pytest.mark.parametrize(
    "options", [["--real"], ["--since", "2999-01-01"], ["--real", "--since", "2024-01-01", "--json"]]
)
def test_nothing_that_was_asked_for(retracted: Home, options: list[str]) -> None:
    """A status that is narrowed to nothing ends with 3, as other commands that find nothing."""
    answer = RUN.invoke(app, ["status", *options])
    assert answer.exit_code == 3
    assert "is archived" in answer.stderr


def test_text_is_printed_as_it_is(home: Home, tmp_path: Path) -> None:
    """What looks like emoji or markup in an alert or a file is printed as it is."""
    home.receive(body("MS240303c", group="root:x:0 [red]CBC[/red]", classification={}))
    assert "root:x:0" in RUN.invoke(app, ["show", "MS240303c"]).stdout
    table = tmp_path / "passwd"
    table.write_text("ra,dec\nroot:x:0[/],1\n")
    receive(home, body("MS240304d", created="2024-03-04T12:05:00Z"))
    assert "'root:x:0[/]'" in RUN.invoke(app, ["crossmatch", "MS240304d", "--table", str(table)]).stderr


@pytest.mark.parametrize("name", ["MS240302b", "ms240302b-preliminary"])
def test_draft_of_a_circular(retracted: Home, name: str) -> None:
    """The draft has the text and the link that the portal shows; of what is not archived there is none."""
    from mma_pipeline.portal.circular import circular

    draft = circular(retracted.archive, "MS240302b")
    printed = RUN.invoke(app, ["circular", name])
    assert printed.exit_code == 0, printed.output
    assert f"Subject: {draft.subject}" in printed.stdout
    assert draft.body in printed.stdout
    (link,) = (line for line in printed.stdout.splitlines() if line.startswith("https://gcn.nasa.gov/circulars/new?"))
    sent = parse_qs(urlsplit(link).query)
    assert (sent["subject"], sent["body"]) == ([draft.subject], [draft.body])
    told = json.loads(RUN.invoke(app, ["circular", name, "--json"]).stdout)
    assert (told["body"], told["link"]) == (draft.body, draft.link)
    assert "retraction" in RUN.invoke(app, ["circular", "MS240301a"]).stdout
    assert RUN.invoke(app, ["circular", "S999999z"]).exit_code == 3
    assert RUN.invoke(app, ["circular", name, "--instrument", "Hubble"]).exit_code == 3


def test_a_home_that_is_none(home: Home, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A DAGSTER_HOME that is no folder is one line; one without a dagster.yaml is not worth a word."""
    alert = tmp_path / "alert.json"
    alert.write_bytes(b"{}")
    missing = RUN.invoke(app, ["replay", "--direct", str(alert)], env={"DAGSTER_HOME": str(tmp_path / "none")})
    assert missing.exit_code == 2
    assert "which is no folder" in missing.stderr
    bare = tmp_path / "bare"
    bare.mkdir()
    RUN.invoke(app, ["replay", "--direct", str(alert)], env={"DAGSTER_HOME": str(bare)})
    assert "dagster.yaml" not in caplog.text
