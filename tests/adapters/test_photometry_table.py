"""Tables as other services write them: SkyPortal, ATLAS, Fink, Rubin; each with the point of AT2017gfo's kind it should give."""

import json
import math
from pathlib import Path

import pytest

from mma_pipeline.adapters.photometry.files import Defaults, NoPhotometryError, read_photometry
from mma_pipeline.notices.errors import NoticeError

FAULTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "faults" / "photometry"
POSITION = Defaults(ra=197.45, dec=-23.38)


def read(tmp_path, text, name="A.csv", **options):
    """The file with this text, read."""
    path = tmp_path / name
    path.write_text(text)
    return read_photometry(path, defaults=POSITION, **options)


def brief(held):
    """Candidate, band, magnitude, error and kind of each measurement."""
    return [
        (m.candidate.name, m.band, round(m.magnitude, 3), None if m.error is None else round(m.error, 3), m.upper_limit)
        for m in held.measurements
    ]


def test_skyportal(tmp_path):
    """`obj_id` tells the objects apart; without magnitude `limiting_mag` is a limit; Vega rows are refused and counted."""
    head = "obj_id,ra,dec,filter,mjd,snr,instrument_id,instrument_name,origin,id,mag,magerr,magsys,limiting_mag\n"
    rows = [
        "ZTF25b,197.4,-23.4,sdssi,57983.0,10,1,DECam,,0,17.48,0.025,ab,22.5",
        "ZTF25a,200.0,-20.0,ztfr,57983.5,,1,ZTF,,1,,,ab,20.5",
        "ZTF25a,200.0,-20.0,ztfr,57984.5,10,1,ZTF,,2,18.1,0.03,vega,20.5",
        "ZTF25a,200.0,-20.0,ztfr,57985.5,10,1,ZTF,,3,18.2,0.03,vega,20.5",
    ]
    held = read(tmp_path, head + "\n".join(rows))
    assert brief(held) == [("ZTF25a", "ztfr", 20.5, None, True), ("ZTF25b", "sdssi", 17.48, 0.025, False)]
    assert [m.candidate.ra for m in held.measurements] == [200.0, 197.4]
    assert held.measurements[1].instrument == "DECam"
    assert held.skipped == ("2 rows, the first line 4: the magnitude is in the vega system, not AB",)


def test_atlas(tmp_path):
    """The commented header is one, `dm` the error and not the flag `err`; a weak or negative flux becomes a limit."""
    text = (
        "###MJD m dm uJy duJy F err chi/N RA Dec x y maj min phi apfit mag5sig Sky Obs\n"
        "57983.0 17.48 0.025 369 8 o 0 1.0 197.45 -23.38 1 1 1 1 1 1 20.1 20.1 01a\n"
        "57984.0 -22.1 1.2 -5 10 c 0 1.0 197.45 -23.38 1 1 1 1 1 1 19.9 20.1 01a\n"
        "57985.0 22.4 0.6 4 2 c 0 1.0 197.45 -23.38 1 1 1 1 1 1 19.9 20.1 01a\n"
    )
    deep = -2.5 * math.log10(5 * 10e-6 / 3631)
    weak = -2.5 * math.log10(5 * 2e-6 / 3631)
    assert brief(read(tmp_path, text, "A.txt")) == [
        ("A", "o", 17.48, 0.025, False),
        ("A", "c", round(deep, 3), None, True),
        ("A", "c", round(weak, 3), None, True),
    ]


@pytest.mark.parametrize("prefix", ["i:", ""])
def test_fink(tmp_path, prefix):
    """ZTF's numbers of filters are g, r, i; `upperlim` rows are limits, `badquality` ones and negative differences none."""
    columns = ["objectId", "ra", "dec", "jd", "fid", "magpsf", "sigmapsf", "diffmaglim", "isdiffpos"]
    head = ",".join([*(prefix + c for c in columns), "d:tag" if prefix else "tag"])
    rows = [
        "ZTF17x,197.4,-23.4,2457983.5,1,18.5,0.05,20.5,t,valid", "ZTF17x,197.4,-23.4,2457984.5,2,,,20.4,,upperlim",
        "ZTF17x,197.4,-23.4,2457985.5,3,18.7,0.05,20.3,1,valid", "ZTF17x,197.4,-23.4,2457986.5,3,18.7,0.05,20.3,t,badquality",
        "ZTF17x,197.4,-23.4,2457987.5,2,18.7,0.05,20.2,f,valid", "ZTF17x,197.4,-23.4,2457988.5,7,18.7,0.05,20.2,t,valid",
    ]  # fmt: skip
    held = read(tmp_path, head + "\n" + "\n".join(rows))
    assert brief(held) == [
        ("ZTF17x", "ztfg", 18.5, 0.05, False), ("ZTF17x", "ztfr", 20.4, None, True), ("ZTF17x", "ztfi", 18.7, 0.05, False),
        ("ZTF17x", "ztfr", 20.2, None, True), ("ZTF17x", "fid 7", 18.7, 0.05, False),
    ]  # fmt: skip
    assert held.measurements[0].mjd == 57983.0
    assert held.skipped == ("line 5: its source calls it badquality",)


def test_rubin(tmp_path):
    """psfFlux is in nJy (31.4 mag is 1), midpointMjdTai 37 s ahead of UTC; a negative flux is a limit."""
    text = (
        "diaObjectId,ra,dec,midpointMjdTai,band,psfFlux,psfFluxErr\n"
        "123,197.4,-23.4,60983.0,i,100000,2000\n123,197.4,-23.4,60984.0,y,-3000,1000\n123,197.4,-23.4,57000.0,i,1,2\n"
    )
    held = read(tmp_path, text)
    assert brief(held) == [
        ("123", "i", 18.9, 0.022, False),
        ("123", "y", round(31.4 - 2.5 * math.log10(5000), 3), None, True),
    ]
    assert held.measurements[0].mjd == pytest.approx(60983.0 - 37 / 86400, abs=1e-9)
    assert "TAI" in held.skipped[0]


def test_fluxes_need_a_unit(tmp_path):
    """A flux with zero points is read; without, the error says what to map, and each mapping has its unit."""
    rows = "mjd,flux,fluxerr,band{}\n57983,1000,10,r{}\n"
    assert brief(read(tmp_path, rows.format(",zp", ",25"))) == [("A", "r", 17.5, 0.011, False)]
    with pytest.raises(NoticeError, match=r"flux_njy=NAME, flux_ujy=NAME or flux_mjy=NAME, or .*zero_point=NAME"):
        read(tmp_path, rows.format("", ""))
    for unit, expected in (("njy", 23.9), ("ujy", 16.4), ("mjy", 8.9)):
        held = read(tmp_path, rows.format("", ""), mapping={f"flux_{unit}": "flux"})
        assert held.measurements[0].magnitude == pytest.approx(expected, abs=1e-3)


def test_asymmetric_errors(tmp_path):
    """Of an upper and a lower error the larger one counts."""
    held = read(tmp_path, "mjd,mag,e_upper_magnitude,e_lower_magnitude,band\n57983,20,0.1,0.3,r\n57984,20,0.2,-0.1,r\n")
    assert [m.error for m in held.measurements] == [0.3, 0.2]


def test_nmma(tmp_path):
    """A table without header of ISO times, bands, magnitudes and errors; an infinite error makes a limit."""
    text = "2021-12-11T22:09:00.000 ps1__g 20.5 0.1\n2021-12-12T22:09:00.000 sdssu 21.5 inf\n"
    held = read(tmp_path, text, "GRB.dat")
    assert brief(held) == [("GRB", "ps1__g", 20.5, 0.1, False), ("GRB", "sdssu", 21.5, None, True)]
    assert held.measurements[0].mjd == pytest.approx(59559.922917, abs=1e-6)


def test_times_in_another_unit_are_reported(tmp_path):
    """Seconds since 1970 and text that is no time are left out, each with its count; the rest is read."""
    held = read(tmp_path, "time,mag,band\n57983,20,r\n1503000000,20,r\nsoon,20,r\nsoon,21,r\n")
    assert len(held.measurements) == 1
    assert "not an MJD" in held.skipped[0]
    assert held.skipped[1].startswith("2 rows, the first line 4: 'soon' is not a time")


def test_catalog_rows_of_models(tmp_path):
    """Rows of a model or a realization are none; asymmetric errors are read; a Vega row is named."""
    rows = [
        {"time": "57983", "magnitude": "18", "band": "r", "e_upper_magnitude": "0.1", "e_lower_magnitude": "0.2"},
        *(
            {"time": str(57983 + n), "magnitude": "18", "band": "r", "model": "1", "realization": str(n)}
            for n in range(9)
        ),
        {"time": "57983", "magnitude": "18", "band": "r", "realization": "3"},
        {"time": "57983", "magnitude": "18", "band": "V", "system": "Vega"},
    ]
    record = {"A": {"ra": [{"value": "197"}], "dec": [{"value": "-23"}], "photometry": rows}}
    held = read(tmp_path, json.dumps(record), "a.json")
    assert [(m.magnitude, m.error) for m in held.measurements] == [(18.0, 0.2)]
    assert held.skipped[0] == "10 rows, the first A, entry 1: it comes from a model, not from a measurement"
    assert "Vega" in held.skipped[1]


def test_a_file_with_nothing_to_use_has_an_error_of_its_own(tmp_path):
    """Where every row was left out the error says why, with counts."""
    with pytest.raises(NoPhotometryError, match="2 rows, the first line 2: the magnitude is in the Vega system"):
        read(tmp_path, "time,mag,band,system\n57983,20,r,Vega\n57984,20,r,Vega\n")


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the inputs of ../shared are not here")
@pytest.mark.parametrize(
    ("name", "points", "names"),
    [("skyportal_two.csv", 37, {"ZTF25aaaaaaa", "ZTF25bbbbbbb"}), ("atlas.txt", 35, {"atlas"}), ("fink.csv", 25, {"ZTF17gfo"}),
     ("rubin.csv", 35, {"1234567"})],
)  # fmt: skip
def test_inputs_that_failed(name, points, names):
    """Every row of each service's table is read, and the first point is AT2017gfo's of the DECam table."""
    held = read_photometry(FAULTS / name, defaults=POSITION)
    assert (len(held.measurements), {m.candidate.name for m in held.measurements}) == (points, names)
    assert held.skipped == ()
    brightest = min(held.measurements, key=lambda m: m.magnitude)
    assert brightest.magnitude == pytest.approx(17.480130787100002, abs=1e-6)
