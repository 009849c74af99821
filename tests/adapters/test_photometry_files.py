"""Files of photometry: the Open Astronomy Catalog, tables with and without a mapping, our messages."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mma_pipeline.adapters.photometry.files import Defaults, read_photometry
from mma_pipeline.notices.errors import NoticeError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "photometry"
POSITION = Defaults(ra=197.45, dec=-23.38)


def write(tmp_path, text, name="AT2017gfo.csv"):
    """A file with this text."""
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real photometry of ../shared is not here")
def test_real_tables():
    """Both real tables of AT2017gfo are read without a mapping: 35 and 141 points, to the last digit."""
    decam = read_photometry(SHARED / "AT2017gfo_DECam_griz.csv", defaults=POSITION)
    assert len(decam.measurements) == 35
    assert decam.skipped == ()
    first = decam.measurements[0]
    assert (first.candidate.name, first.mjd, first.magnitude) == ("AT2017gfo", 57983.003059500006, 17.480130787100002)
    many = read_photometry(SHARED / "AT2017gfo_ugrizyJHKs.dat", defaults=POSITION)
    assert len(many.measurements) == 141
    assert many.measurements[0].mjd == 57983.0


def test_open_astronomy_catalog(tmp_path):
    """Quantities in lists, numbers as text, limits as true; entries without a magnitude are reported."""
    record = {
        "AT2017gfo": {
            "ra": [{"value": "13:09:48.09"}], "dec": [{"value": "-23:22:53.3"}], "ebv": [{"value": "0.105"}],
            "photometry": [
                {"time": "57983.0030595", "magnitude": "17.48", "e_magnitude": "0.025", "band": "i", "telescope": "CTIO", "system": "AB"},
                {"time": ["57970.1", "57970.3"], "magnitude": "20.5", "band": "g", "upperlimit": True},
                {"time": "57984", "countrate": "12", "band": "r"},
                {"time": "57984", "magnitude": "17.1", "band": "K", "system": "Vega"},
            ],
        }
    }  # fmt: skip
    held = read_photometry(write(tmp_path, json.dumps(record), "a.json"))
    limit, point = held.measurements
    assert (limit.mjd, limit.upper_limit, limit.error) == (pytest.approx(57970.2), True, None)
    assert (point.candidate.ra, point.candidate.ebv, point.telescope) == (pytest.approx(197.450375), 0.105, "CTIO")
    assert len(held.skipped) == 2


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ([{"value": "0.009727", "source": "1"}], 0.009727), ([], None), (None, None), ("0.01", None), (["0.01"], None),
        ([{"value": "0.045", "kind": "heliocentric"}, {"value": "0.043", "kind": "host"}], 0.045),
        ([{"value": "0.046", "kind": "cmb"}, {"value": "0.043", "kind": "host"}], 0.043), ([{"value": "0.046", "kind": "cmb"}], 0.046),
        ([{"value": "0.3", "kind": "photometric"}, {"value": "0.05"}], 0.05), ([{"value": "0.02", "kind": "cluster"}], None),
        ([{"value": "0.3", "upperlimit": True}], None), ([{"value": "-0.001"}, {"value": "0"}], None),
        ([{"value": "far"}, {"value": "70"}, {"value": ["0.1"]}, {"value": "0.2"}], 0.2),
    ],
)  # fmt: skip
def test_redshift_of_the_catalog(tmp_path, listed, expected):
    """Of the catalog's redshifts the first from which a distance follows counts; whatever else is there stops nothing."""
    row = {"time": "57983", "magnitude": "17.5", "band": "r"}
    record = {"A": {"ra": [{"value": "197"}], "dec": [{"value": "-23"}], "redshift": listed, "photometry": [row]}}
    (point,) = read_photometry(write(tmp_path, json.dumps(record), "a.json")).measurements
    assert point.candidate.redshift == expected


def test_redshift_of_a_table(tmp_path):
    """A column of redshifts is read by name or mapping, never from `z`; cells without one take the default."""
    head = "name,time,mag,band"
    rows = "A,57983,20,r,0.02\nB,57983,20,r,\nC,57983,20,r,-1\nD,57983,20,r,nan\nE,57983,20,r,near\n"
    for column in ("redshift", "host_redshift"):
        held = read_photometry(write(tmp_path, f"{head},{column}\n{rows}"), defaults=POSITION)
        found = {m.candidate.name: m.candidate.redshift for m in held.measurements}
        assert found == {"A": 0.02, "B": None, "C": None, "D": None}
        assert "redshift" in held.skipped[0]
    path = write(tmp_path, f"{head},z\n{rows}")
    assert {m.candidate.redshift for m in read_photometry(path, defaults=POSITION).measurements} == {None}
    mapped = read_photometry(path, mapping={"redshift": "z"}, defaults=replace(POSITION, redshift=0.5))
    assert [m.candidate.redshift for m in mapped.measurements] == [0.02, 0.5, 0.5, 0.5]
    for wrong in (0.0, -1.0, 11.0, float("nan")):
        with pytest.raises(NoticeError, match="redshift"):
            read_photometry(path, defaults=replace(POSITION, redshift=wrong))


def test_column_mapping(tmp_path):
    """Foreign column names are mapped; a row with text for a number is reported and left out."""
    path = write(tmp_path, "when;brightness;flt;sigma\n57983.5;17.5;r;0.1\n57984.5;faint;r;\n57985.5;nan;r;0.1\n")
    held = read_photometry(
        path, mapping={"time": "when", "magnitude": "brightness", "error": "sigma"}, defaults=POSITION
    )
    assert [(m.candidate.name, m.mjd, m.error) for m in held.measurements] == [("AT2017gfo", 57983.5, 0.1)]
    assert "line 3" in held.skipped[0]
    assert len(held.skipped) == 2


@pytest.mark.parametrize(
    ("text", "mapping", "reason"),
    [
        ("", {}, "empty"), ("time,mag\n1,2\n", {}, "no column for band"), ("time,mag,band\n57983,20,r\n", {"time": "t"}, "no column 't'"),
        ("time,mag,band\n57983,20,r\n", {"colour": "x"}, "no field 'colour'"), ("{", {}, "not JSON"), ('{"a": 3}', {}, "neither"),
        ("time,mag,band\nx,20,r\n", {}, "not a time"),
    ],
)  # fmt: skip
def test_unusable_files_say_why(tmp_path, text, mapping, reason):
    """A file in which nothing can be used raises one NoticeError that names the reason."""
    with pytest.raises(NoticeError, match=reason):
        read_photometry(write(tmp_path, text), mapping=mapping, defaults=POSITION)


def test_a_position_is_needed(tmp_path):
    """Without a position in the file or given, the error says how to give one; a missing file has its own."""
    with pytest.raises(NoticeError, match="--ra and --dec"):
        read_photometry(write(tmp_path, "time,mag,band\n57983,20,r\n"))
    with pytest.raises(NoticeError, match="cannot be read"):
        read_photometry(tmp_path / "nothing.csv")
