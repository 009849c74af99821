"""Photometry messages: what is read, what is refused and with which words."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.key import event_of_key
from mma_pipeline.notices.photometry.candidate_key import CandidateNight, slug_of
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement
from mma_pipeline.notices.photometry.message import (
    SCHEMA_PHOTOMETRY,
    SCHEMA_SOURCE_V1,
    encode,
    encode_source_v1,
    parse,
)
from mma_pipeline.notices.positions import angle
from mma_pipeline.notices.times import datetime_of_mjd, mjd_of

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
#: As scimma/alert-integration-demo publishes it.
SOURCE = {
    "time": 57983.003059500006, "magnitude": 17.4801301, "e_magnitude": 0.0253, "band": "i", "candidate": "AT2017gfo",
    "ra": 197.450374, "dec": -23.381495,
}  # fmt: skip
HERE = Candidate("AT2017gfo", 197.450374, -23.381495, 0.105)


def body(**changes):
    """The v1 message with changes; None removes a key."""
    return json.dumps({k: v for k, v in {**SOURCE, **changes}.items() if v is not None}).encode()


def test_source_message_keeps_every_digit():
    """The old message becomes one measurement in double precision."""
    notice = parse(body())
    (m,) = notice.measurements
    assert (m.mjd, m.magnitude, m.error, m.band) == (57983.003059500006, 17.4801301, 0.0253, "i")
    assert notice.schema == SCHEMA_SOURCE_V1
    assert not m.upper_limit


def test_both_formats_round_trip():
    """What we send is what we read, in both formats, byte for byte the second time."""
    rows = [
        Measurement(HERE, 57983.003059500006, "i", 17.48, 0.025, telescope="CTIO", instrument="DECam"),
        Measurement(HERE, 57984.1, "g", 22.5, None, upper_limit=True),
    ]
    notice = parse(encode(rows, event_id="S230518h", simulated=True))
    assert list(notice.measurements) == rows
    assert (notice.event_id, notice.simulated, notice.schema) == ("S230518h", True, SCHEMA_PHOTOMETRY)
    assert encode(notice.measurements, event_id="S230518h", simulated=True) == encode(
        rows, event_id="S230518h", simulated=True
    )
    again = parse(encode_source_v1(rows[0])).measurements[0]
    assert (again.mjd, again.magnitude) == (rows[0].mjd, rows[0].magnitude)
    with pytest.raises(ValueError, match="no upper limits"):
        encode_source_v1(rows[1])


def test_redshift_travels_in_our_message():
    """A redshift comes back as sent; where there is none, the message has no such key."""
    row = Measurement(HERE, 57983.0, "i", 17.48, 0.025)
    assert b"redshift" not in encode([row])
    assert parse(encode([row])).measurements[0].candidate.redshift is None
    known = replace(row, candidate=replace(HERE, redshift=0.009727))
    assert json.loads(encode([known]))["candidate"]["redshift"] == 0.009727
    assert parse(encode([known])).measurements == (known,)


@pytest.mark.parametrize("redshift", ["0", "-0.001", "11", '"0.01"', "true", "[0.01]", "1e400"])
def test_impossible_redshift_is_refused(redshift):
    """Our own message with a redshift that is none, zero, below or above 10 has one error that names it."""
    text = (
        '{"schema":"mma.photometry/1.0","candidate":{"name":"a","ra":1,"dec":1,"redshift":%s},'
        '"measurements":[{"mjd":60000,"band":"r","magnitude":20}]}'
    )
    with pytest.raises(NoticeError, match=r"candidate\.redshift"):
        parse((text % redshift).encode())


@pytest.mark.parametrize(
    ("target", "redshift", "problems"),
    [
        ({}, None, 0), ({"redshift": 0.0098}, 0.0098, 0), ({"redshift": "0.0098"}, 0.0098, 0), ({"redshift": None}, None, 0),
        ({"host_redshift": 0.02}, 0.02, 0), ({"redshift": 0.01, "host_redshift": 0.02}, 0.01, 0),
        ({"redshift": 0.0, "host_redshift": 0.02}, 0.02, 0), ({"redshift": -0.001}, None, 0),
        ({"redshift": "near"}, None, 1), ({"redshift": 60}, None, 1),
    ],
)  # fmt: skip
def test_redshift_of_a_hermes_target(target, redshift, problems):
    """The target's redshift, else its host's; zero and below say nothing; one that is none is reported, no more."""
    message = {
        "title": "t",
        "data": {
            "targets": [{"name": "X", "ra": "197.45", "dec": "-23.38", **target}],
            "photometry": [{"target_name": "X", "date_obs": "2017-08-18T00:00:00", "bandpass": "r", "brightness": 20,
                            "brightness_unit": "AB mag"}],
        },
    }  # fmt: skip
    notice = parse(json.dumps(message).encode())
    assert [m.candidate.redshift for m in notice.measurements] == [redshift]
    assert len(notice.skipped) == problems


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real Hermes message of ../shared is not here")
def test_real_hermes_message():
    """The real message gives one detection and six limits of one target, at its position."""
    notice = parse((SHARED / "hopskotch" / "hermes_test_message.json").read_bytes())
    assert [m.upper_limit for m in notice.measurements] == [False, True, True, True, True, True, True]
    first = notice.measurements[0]
    assert (first.candidate.name, first.candidate.ra, first.magnitude, first.error) == (
        "GRB 230409B",
        329.5158,
        19.35,
        0.2,
    )
    assert first.mjd == 60043.0
    assert notice.event_id is None


def test_hermes_fluxes_and_sexagesimal_positions():
    """3631 Jy is magnitude zero; hours and negative degrees close to zero keep their sign; a bad row is reported."""
    message = {
        "title": "t",
        "data": {
            "targets": [{"name": "X", "ra": "13:09:48.09", "dec": "-00:23:53.4"}],
            "photometry": [
                {"target_name": "X", "date_obs": "2017-08-18T00:00:00", "bandpass": "r", "brightness": "3631000", "brightness_unit": "mJy", "brightness_error": "363100"},
                {"target_name": "Y", "date_obs": "2017-08-18T00:00:00", "bandpass": "r", "brightness": 20, "brightness_unit": "AB mag"},
                {"target_name": "X", "date_obs": "2017-08-18T00:00:00", "bandpass": "r", "brightness": 20, "brightness_unit": "Vega mag"},
            ],
        },
    }  # fmt: skip
    notice = parse(json.dumps(message).encode())
    (m,) = notice.measurements
    assert m.magnitude == pytest.approx(0.0, abs=1e-9)
    assert m.error == pytest.approx(0.10857, abs=1e-4)
    assert m.candidate.ra == pytest.approx(197.450375)
    assert m.candidate.dec == pytest.approx(-0.398167, abs=1e-6)
    assert m.mjd == 57983.0
    assert len(notice.skipped) == 2
    assert "Vega" in notice.skipped[1]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"), (b"{", "not JSON"), (b"[1]", "list"), (b"\xff\xfe", "UTF-8"), (b'{"a": 1}', "not photometry"),
        (body(time=None), "time"), (body(time=2457983.5), "MJD"), (body(time="soon"), "time"), (body(time=True), "time"),
        (body(magnitude="bright"), "magnitude"), (body(band=None), "band"), (body(band=""), "band"), (body(band=7), "band"),
        (body(candidate="../../etc/passwd"), "candidate"), (body(candidate="a..b"), "candidate"), (body(candidate=""), "candidate"),
        (body(candidate=None, magnitude=1), "not photometry"), (body(ra=None), "ra"), (body(ra=400), "ra"), (body(dec=-91), "dec"),
        (body(dec="abc"), "dec"), (body(candidate="x" * 65), "candidate"), (body(candidate="a\nb"), "candidate"),
        (b'{"time":1,"candidate":"a","magnitude":NaN}', "NaN"), (b'{"schema":"mma.photometry/1.0"}', "candidate"),
        (b'{"schema":"mma.photometry/1.0","candidate":{"name":"a","ra":1,"dec":1},"measurements":[]}', "no measurement"),
        (b'{"schema":"mma.photometry/1.0","candidate":{"name":"a","ra":1,"dec":1},"measurements":{}}', "list"),
        (b'{"schema":"mma.photometry/1.0","candidate":{"name":"a","ra":1,"dec":1},"measurements":[3]}', "object"),
        (b'{"schema":"mma.photometry/1.0","candidate":{"name":"a","ra":1,"dec":1},"measurements":[{"mjd":60000,"band":"r"}]}', "magnitude or a limit"),
        (b'{"data":{"photometry":[],"targets":[]}}', "no measurement"), (b'{"data":{"photometry":3,"targets":[]}}', "list"),
    ],
)  # fmt: skip
def test_malformed_messages_have_a_reason(data, reason):
    """Each malformed message raises NoticeError, and its text names what is wrong."""
    with pytest.raises(NoticeError, match=reason):
        parse(data)


@pytest.mark.parametrize("error", [0, -1.0, None])
def test_unknown_errors_are_none(error):
    """Zero and negative errors mean unknown; no sentinel number goes further."""
    assert parse(body(e_magnitude=error)).measurements[0].error is None


def test_angles_and_times():
    """Degrees, text and sexagesimal angles; MJD, JD and ISO times."""
    assert angle("-00:30:00", "dec", hours=False) == -0.5
    assert angle("12h30m00.0s", "ra", hours=True) == 187.5
    assert angle("187.5", "ra", hours=True) == 187.5
    with pytest.raises(NoticeError, match="end at 60"):
        angle("12:61:00", "ra", hours=True)
    assert mjd_of("2000-01-01T12:00:00") == 51544.5
    assert mjd_of(2451545.0) == 51544.5
    assert mjd_of("51544.5") == 51544.5
    assert mjd_of(datetime_of_mjd(57982.52852).isoformat()) == pytest.approx(57982.52852, abs=1e-9)


@pytest.mark.parametrize("name", ["AT2017gfo", "GRB 230409B", "CSS130606:153620+523634", "A-B-MJD57983"])
def test_candidate_keys_round_trip(name):
    """Any allowed name gives keys of today and of the former form that parse back; names that differ only in unsafe characters stay apart."""
    for event in ("S230518h", "MS181101ab", "MS181101abc"):
        night = CandidateNight(event, slug_of(name), 57983)
        assert CandidateNight.from_partition_key(night.partition_key) == night
        assert CandidateNight.from_partition_key(night.score_key) == night
        assert night.score_key == f"{event}-{slug_of(name)}-MJD57983"
        assert event_of_key(night.partition_key) == event_of_key(night.score_key) == event
    assert slug_of("AT 2017gfo") != slug_of("AT_2017gfo")
    for bad in ("", "S230518h", "S230518h-x-57983", "S230518h-../x-MJD57983", "X-y-MJD57983"):
        with pytest.raises(NoticeError):
            CandidateNight.from_partition_key(bad)
    good = CandidateNight("S230518h", "AT2017gfo", 57983).partition_key
    for bad in (good.replace("gfo", "gfp"), good.replace("57983", "57984", 1), good.upper(), f"{good}-"):
        with pytest.raises(NoticeError):
            CandidateNight.from_partition_key(bad)


@pytest.mark.parametrize("event", ["S230518h", "MS181101ab", "MS181101abc"])
def test_candidate_keys_are_told_apart(event):
    """In the twenty characters that the UI shows, and in ten of each end, no two nights of an object and no two objects look alike."""
    nights = [
        CandidateNight(event, slug, 57983 + n)
        for slug in ("AT2017gfo", "AT2017gfp", "AT2017gf", "ZTF17aaaaaaa", "170472689154654242", slug_of("GRB 230409B"))
        for n in range(30)
    ]
    keys = [night.partition_key for night in nights]
    assert len({key[:20] for key in keys}) == len({(key[:10], key[-10:]) for key in keys}) == len(keys)
