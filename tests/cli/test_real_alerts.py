"""`mma replay --direct` of every real alert, and what the reading commands then say about them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from mma_pipeline.cli import app
from tests.alerts import BAD_FOLDER, REAL_FOLDER, needs_real_alerts, real_paths
from tests.homes import Home

pytestmark = [needs_real_alerts, pytest.mark.timeout(900)]
Replayed = tuple[Home, list[dict[str, str]]]

#: 50 and 90 % areas by interpolation, deg², as given with the data (not by this code).
GOLDEN = {
    "S230518h-Preliminary": (265.81, 1002.05),
    "S230518h-Update": (179.68, 665.97),
    "MS181101ab-Update": (8.90, 30.98),
}


def _json(home: Home, *arguments: str) -> Any:
    with home.active():
        result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_outcome_of_every_file(replayed: Replayed) -> None:
    """Every file is accounted for: made, or the same version as its twin; the one whose map is prose is made without it."""
    _, outcome = replayed
    assert {entry["name"] for entry in outcome} == {path.name for path in real_paths()} | {"skymap_not_base64.json"}
    by_outcome: dict[str, set[str]] = {}
    for entry in outcome:
        by_outcome.setdefault(entry["outcome"], set()).add(entry["name"])
    assert "quarantined" not in by_outcome
    assert "skymap_not_base64.json" in by_outcome["made"]
    assert by_outcome["already there"] == {"MS181101ab-initial.json", "MS181101ab-retraction.json"}
    assert "failed" not in by_outcome


def test_a_second_replay_adds_nothing(replayed: Replayed) -> None:
    """Replayed again, no message, version, product or file is added."""
    home, _ = replayed
    before, counts = home.files(), home.archive.counts()
    again = _json(home, "replay", "--direct", str(REAL_FOLDER), str(BAD_FOLDER))
    assert {entry["outcome"] for entry in again} == {"already there"}
    assert home.files() == before
    assert home.archive.counts() == counts


def test_areas_agree_with_the_golden_values(replayed: Replayed) -> None:
    """`mma show` gives the areas that an independent tool gave, to 0.1 %."""
    home, _ = replayed
    for stem, (a50, a90) in GOLDEN.items():
        found = _json(home, "show", stem.partition("-")[0])["versions"]
        (entry,) = [version for version in found if version["stem"] == stem]
        statistics = entry["statistics"]["skymap_statistics"]
        assert statistics["area_50_deg2"] == pytest.approx(a50, rel=1e-3)
        assert statistics["area_90_deg2"] == pytest.approx(a90, rel=1e-3)


def test_identical_and_different_second_preliminaries(replayed: Replayed) -> None:
    """S240112e's two preliminaries carry one map and the same map file; S240114aj's differ."""
    home, _ = replayed
    files = home.files()
    assert files["fit/S240112e-Preliminary_moc.fits.gz"] == files["fit/S240112e-Preliminary1_moc.fits.gz"]
    assert files["fit/S240114aj-Preliminary_moc.fits.gz"] != files["fit/S240114aj-Preliminary1_moc.fits.gz"]
