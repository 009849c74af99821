"""`mma kilonova score`: what is scored, what is excluded, and words where nothing can be scored."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mma_pipeline.cli import app

FAULTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "faults" / "photometry"
needs_faults = pytest.mark.skipif(not FAULTS.is_dir(), reason="the inputs of ../shared are not here")
HEAD = "candidate,mjd,magnitude,e_magnitude,band\n"


def score(path, *options, merger=57982.5285, distance=39.8, error=8.3):
    """Exit code, JSON and standard error of the command."""
    given = ["--merger", str(merger), "--distance", str(distance), "--distance-error", str(error), "--json", *options]
    done = CliRunner().invoke(app, ["kilonova", "score", str(path), *given])
    return done.exit_code, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr


def written(tmp_path, rows):
    """A table of (candidate, mjd, magnitude, error, band)."""
    path = tmp_path / "a.csv"
    path.write_text(HEAD + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("X", 57983.5, 18.0, 0.05, "bessellr"), ("X", 57984.5, 18.5, 0.05, "o")], "no measurement is in a band"),
        ([("X", 57983.5, 22.0, 0.5, "r"), ("X", 57984.5, 22.0, 0.6, "r")], "signal-to-noise ratio of 3"),
        ([("X", 57900.5, 18.0, 0.05, "r")], "after the merger"),
        ([("X", 57983.5, 18.0, 0.05, "r"), ("X", 57983.6, 18.5, 0.05, "bessellr")], "needs two detections"),
    ],
)
def test_nothing_to_score_is_said_in_words(tmp_path, rows, words):
    """Exit code 3 with the reason; bands that the classifier does not use are named and counted."""
    code, answer, said = score(written(tmp_path, rows))
    assert code == 3
    assert words in answer["nothing"]
    assert f"nothing can be scored: {answer['nothing']}" in said
    unused = [band for *_, band in rows if band in ("bessellr", "o")]
    assert answer["unused"] == {band: unused.count(band) for band in unused}
    assert all(f"{band} 1" in said for band in unused)


def test_a_short_light_curve_is_no_failure(tmp_path):
    """Two detections that tell no slope have a provisional value, and the command ends well."""
    code, answer, _ = score(written(tmp_path, [("X", 57983.0, 18.0, 0.05, "r"), ("X", 57984.0, 18.5, 0.05, "g")]))
    assert (code, answer["nothing"]) == (0, None)
    assert [n["sufficient"] for n in answer["scores"]] == [False, False]


def test_only_vega_magnitudes(tmp_path):
    """A file whose every row is refused ends with exit code 3 and the reason."""
    path = tmp_path / "a.csv"
    path.write_text("mjd,mag,band,magsys\n57983,18,r,vega\n57984,19,r,vega\n")
    code, _, said = score(path)
    assert code == 3
    assert "2 rows" in said
    assert "vega system, not AB" in said


def test_detections_before_the_merger_are_listed(tmp_path):
    """Two detections of S/N 5 in the look-back window exclude, with the points; one, weaker or older ones do not."""
    after = [("X", 57983.0 + n, 18.0 + 0.5 * n, 0.05, "r") for n in range(4)]
    before = [("X", 57950.0, 20.0, 0.1, "r"), ("X", 57900.0, 20.5, 0.1, "J")]
    noise = [("X", 57960.0 + n, 22.9, 0.36 + 0.1 * n, "r") for n in range(5)]
    path = written(tmp_path, [*noise, *before, *after])
    code, answer, _ = score(path)
    assert code == 0
    (excluded,) = answer["excluded"]
    assert [(p["mjd"], p["band"]) for p in excluded["points"]] == [(57900.0, "J"), (57950.0, "r")]
    assert score(path, "--look-back", "50")[1]["excluded"] == []
    shown = CliRunner().invoke(app, ["kilonova", "score", str(path), "--merger", "57982.5"]).stdout
    assert "excluded X: detected before the merger, MJD 57900.000 J 20.50 ± 0.10, 57950.000 r 20.00 ± 0.10" in shown


@needs_faults
def test_inputs_that_failed_are_scored():
    """SkyPortal's two objects are two; Fink's and Rubin's tables of AT2017gfo give the kilonova."""
    code, answer, _ = score(FAULTS / "skyportal_two.csv")
    assert (code, {n["candidate"] for n in answer["scores"]}) == (0, {"ZTF25aaaaaaa", "ZTF25bbbbbbb"})
    for name in ("fink.csv", "rubin.csv"):
        code, answer, _ = score(FAULTS / name, "--ebv", "0.105")
        assert code == 0
        nights = [n["p_phot"] for n in answer["scores"]]
        assert np.min(nights[2:9]) >= 0.95


@needs_faults
@pytest.mark.parametrize(
    ("name", "unused"), [("only_atlas.csv", {"c": 1, "o": 2}), ("silent_bands.csv", {"bessellr": 2})]
)
def test_inputs_that_said_nothing(name, unused):
    """Files that were passed over in silence end with exit code 3 and name their bands."""
    code, answer, said = score(FAULTS / name)
    assert (code, answer["unused"]) == (3, unused)
    assert "nothing can be scored" in said


def test_the_distance_assumed_is_said(tmp_path):
    """A redshift, of the file or the option, comes before the host's distance, and that before the event's."""
    rows = [("X", 57983.0 + d, 18.0 + d, 0.05, band) for d in range(3) for band in "gr"]
    plain = written(tmp_path, rows)
    with_redshift = tmp_path / "z.csv"
    with_redshift.write_text(
        HEAD.replace("\n", ",redshift\n") + "".join(",".join(map(str, (*row, 0.36))) + "\n" for row in rows)
    )
    cases = [
        (plain, (), "event", 39.8),
        (plain, ("--host-distance", "40.7"), "host", 40.7),
        (plain, ("--redshift", "0.36", "--host-distance", "40.7"), "redshift", 1919.1),
        (with_redshift, (), "redshift", 1919.1),
    ]
    for path, options, source, distance in cases:
        code, answer, _ = score(path, *options)
        assert code == 0
        assert {s["distance_source"] for s in answer["scores"]} == {source}
        assert answer["scores"][0]["assumed_distance_mpc"] == pytest.approx(distance, rel=1e-3)
    assert score(plain, "--redshift", "-1")[0] == 2
