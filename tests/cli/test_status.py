"""`mma status`, `mma show`, `mma open` and completion: what a person sees, also on 80 columns."""

from __future__ import annotations

import sys

import pytest
from typer.testing import CliRunner

from mma_pipeline.cli import app
from mma_pipeline.cli.completion import complete_event
from mma_pipeline.cli.fact_words import named, readable, written
from tests.alerts import body, fits_map
from tests.homes import Home

RUN = CliRunner()


@pytest.fixture
def eighty(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An archive with the longest names there are, on a terminal of 80 columns."""
    from rich.console import Console

    # The package's attribute of this name is the command.
    for command in ("status", "show"):
        monkeypatch.setattr(sys.modules[f"mma_pipeline.cli.{command}"], "console", Console(width=80))
    home.receive(body("S240301a", group="[/red] <b>", classification={}))
    home.receive(body("S240301a", "UPDATE", created="2024-03-01T13:00:00Z"))
    home.receive(body("MS240302abcdef", created="2024-03-02T13:00:00Z", external=fits_map(140.0, 25.0, 3.0)))
    home.receive(body("S240229b", "RETRACTION", created="2024-03-01T15:00:00Z"))
    return home


def lines(*arguments: str) -> list[str]:
    """What a command prints."""
    done = RUN.invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_one_row_for_each_event(eighty: Home) -> None:
    """Each event has one row, the newest first; no id and no kind is cut, and no line is longer than the terminal."""
    shown = lines("status")
    assert [line.split()[0] for line in shown[2:] if line[:1].strip()] == ["MS240302abcdef", "S240229b", "S240301a"]
    assert max(map(len, shown)) <= 80
    assert "retracted" in shown[3]
    assert "Update" in shown[-1] or "Update" in shown[-2]
    versions = lines("status", "--versions")
    assert any("MS240302abcdef" in line and "Preliminary-ExtCoinc" in line for line in versions)
    assert sum("S240301a" in line for line in versions) == 2


def test_a_combined_region_is_marked(eighty: Home) -> None:
    """Where the smallest region is a combined one, its area is marked, and a line says that it holds only for one source."""
    from tests.portal.conftest import make

    eighty.receive(body("MS240304d", created="2024-03-04T13:00:00Z", external=fits_map(150.0, 20.0, 1.0)))
    make(eighty, "skymap", "skymap_statistics")
    shown = lines("status")
    (row,) = (line for line in shown if line.startswith("MS240304d"))
    (standing,) = (line for line in shown if line.startswith("S240301a"))
    assert "*" in row
    assert "*" not in standing
    assert "holds only if both are one source" in " ".join(shown)


def test_choices(eighty: Home) -> None:
    """Mock events are left out on request, and events before a time; a time that is none is wrong usage."""
    assert not any("MS240302abcdef" in line for line in lines("status", "--real"))
    late = "\n".join(lines("status", "--since", "2024-03-01T14:00"))
    assert "S240301a" not in late
    assert "S240229b" in late
    assert "MS240302abcdef" in late
    assert len(lines("status", "--limit", "1")) < len(lines("status"))
    assert RUN.invoke(app, ["status", "--since", "yesterday"]).exit_code == 2


def test_show_begins_with_the_newest(eighty: Home) -> None:
    """The newest notice stands in full; the rest in a line each, or in full with --all, newest first."""
    text = "\n".join(lines("show", "S240301a"))
    assert text.index("S240301a-Update") < text.index("S240301a-Preliminary")
    assert "1 other version;" in text
    whole = "\n".join(lines("show", "S240301a", "--all"))
    assert whole.count("false alarm rate") == 2
    assert whole.index("S240301a-Update") < whole.index("S240301a-Preliminary")


def test_show_begins_as_the_page_does(eighty: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retraction, what, when, how sure, detectors, coincidences and where come first, in this order, then windows, few of them, then files."""
    from rich.console import Console

    from tests.portal.conftest import make

    monkeypatch.setattr(sys.modules["mma_pipeline.cli.show"], "console", Console(width=400))
    eighty.receive(body("MS240304d", created="2024-03-04T13:00:00Z", external=fits_map(150.0, 20.0, 1.0)))
    eighty.receive(body("MS240304d", "RETRACTION", created="2024-03-04T15:00:00Z"))
    make(eighty, "skymap", "skymap_statistics", "observability")
    shown = lines("show", "MS240304d")
    assert shown[0].startswith("MS240304d is retracted")
    names = [line.split("  ")[0] for line in shown[1:]]
    order = [
        "what",
        "when",
        "how sure",
        "detectors",
        "coincident",
        "where",
        "also",
        "windows",
        "page",
        "SHA-256 of the map",
        "skymap",
    ]
    assert [name for name in dict.fromkeys(names) if name in order] == order
    by_name = dict(zip(names, shown[1:], strict=True))
    assert "UTC, MJD 60" in by_name["when"]
    assert by_name["when"].rstrip().endswith("ago")
    assert "combined with Fermi by LVK, holds only if both are one source" in by_name["where"]
    assert by_name["also"].rstrip().endswith("own map")
    assert sum("of the map, 2024-" in line for line in shown) == 5
    assert any(line.strip().startswith("and ") and line.strip().endswith(" more") for line in shown)


def test_numbers_are_for_people() -> None:
    """Rates are one in so many years, shares per cent, chances one in so many, and powers of ten are written as such."""
    values = {
        "far_hz": 1e-11, "probability_galactic_plane": 1.00357e-116, "best_p_trials": 5.36e-5, "area_90_deg2": 1e-14,
        "flux": 6.69e-13, "peak_ra_deg": 101.523438, "significant": True, "volume_90_mpc3": 3515170.497,
        "peak_density_per_deg2": 0.0822559, "distance_mean_mpc": 279.921,
    }  # fmt: skip
    assert {name: written(name, value) for name, value in values.items()} == {
        "far_hz": "one in 3,200 years", "probability_galactic_plane": "<0.1 %", "best_p_trials": "1 in 19,000",
        "area_90_deg2": "<0.001", "flux": "6.69 × 10⁻¹³", "peak_ra_deg": "101.5234", "significant": "yes",
        "volume_90_mpc3": "3.5 million", "peak_density_per_deg2": "0.0823", "distance_mean_mpc": "280",
    }  # fmt: skip
    external = {"observatory": "Fermi", "time_coincidence_far_hz": 1e-11}
    assert readable(external) == "observatory Fermi, time coincidence false alarm rate one in 3,200 years"
    assert (named("far_hz"), named("area_90_deg2")) == ("false alarm rate", "area 90 %, deg²")


def test_open(eighty: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is opened on the portal where there is one, else in the local store, if it is made."""
    opened = list[str]()
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    assert RUN.invoke(app, ["open", "S240301a"]).exit_code == 3
    eighty.store.put("mma/S240301a/index.html", b"<p>page</p>")
    assert RUN.invoke(app, ["open", "S240301a"]).exit_code == 0
    monkeypatch.setenv("MMA_PORTAL_URL", "https://portal.example.org/")
    assert RUN.invoke(app, ["open", "S240301a"]).exit_code == 0
    assert opened == [
        f"{eighty.products.as_uri()}/mma/S240301a/index.html",
        "https://portal.example.org/events/S240301a",
    ]
    assert RUN.invoke(app, ["open", "S190425z"]).exit_code == 3


def test_completion(eighty: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are completed from the archive, newest first; where there is none, nothing is offered and nothing fails."""
    assert complete_event("S24") == ["S240229b", "S240301a"]
    assert complete_event("S2_") == []
    monkeypatch.setenv("MMA_ARCHIVE_URL", "sqlite:////nonexistent/archive.db")
    assert complete_event("S") == []


def test_impossible_positions(eighty: Home) -> None:
    """A right ascension that no sphere has is refused."""
    assert RUN.invoke(app, ["crossmatch", "S240301a", "--ra", "400", "--dec", "1"]).exit_code == 2
