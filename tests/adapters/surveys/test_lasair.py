"""Lasair's messages: what a filter selects is read, what it does not select is said."""

import json

import pytest

from mma_pipeline.adapters.surveys.packets import Formats
from mma_pipeline.notices.errors import NoticeError

LSST = {"diaObjectId": 169298436534304771, "ra": 10.5, "decl": -43.5, "lastDiaSourceMjdTai": 61000.5, "firstDiaSourceMjdTai": 60999.5,
        "classification": "SN", "UTC": "2026-01-01 00:00:00"}  # fmt: skip
ZTF = {"objectId": "ZTF25acffkdr", "ramean": 150.1, "decmean": 15.2, "jdmax": 2461000.75, "jdmin": 2460999.75, "sgscore1": 0.1,
       "UTC": "2026-01-01 00:00:00"}  # fmt: skip


def read(record):
    """The alert of a message."""
    body = json.dumps(record).encode()
    found = Formats().format_of(body)
    assert found.broker == "lasair"
    assert found.head(body) == found.alert(body).head
    return found.alert(body)


def test_columns_alone():
    """Position, time (TAI or JD) and first detection come from the columns; there is no light curve."""
    lsst, ztf = read(LSST), read(ZTF)
    assert lsst.head[:2] == ("lsst", "169298436534304771")
    assert lsst.head[3:] == pytest.approx((10.5, -43.5, 61000.5 - 37 / 86400))
    assert lsst.facts.first_mjd == pytest.approx(60999.5 - 37 / 86400)
    assert [m.name for m in lsst.facts.matches] == ["SN"]
    assert ztf.head[:2] == ("ztf", "ZTF25acffkdr")
    assert ztf.head[3:] == pytest.approx((150.1, 15.2, 61000.25))
    assert (ztf.facts.star_score, ztf.facts.first_mjd) == (0.1, 60999.25)
    assert lsst.points == ztf.points == ()


@pytest.mark.parametrize("name", ["ra", "decl", "lastDiaSourceMjdTai"])
def test_filter_without_position_or_time(name):
    """A filter that selects no position or no time cannot be used, and the reason says which columns are missing."""
    body = json.dumps({key: value for key, value in LSST.items() if key != name}).encode()
    with pytest.raises(NoticeError, match="lastDiaSourceMjdTai"):
        Formats().format_of(body).head(body)


def test_candidates_of_ztf():
    """ZTF's candidates in a message: detections with their sign, limits, the newest one as the alert."""
    rows = [
        {"mjd": 60999.25, "fid": 1, "diffmaglim": 20.5},
        {
            "mjd": 61000.25,
            "fid": 2,
            "magpsf": 19.0,
            "sigmapsf": 0.1,
            "isdiffpos": "t",
            "candid": 42,
            "ra": 150.2,
            "dec": 15.3,
        },
    ]
    alert = read(ZTF | {"alert": {"candidates": rows}})
    assert [(p.mjd, p.band, p.origin) for p in alert.points] == [
        (60999.25, "ztfg", "limit"),
        (61000.25, "ztfr", "alert"),
    ]
    assert alert.head.alert_id == "42"
    assert alert.head[3:5] == (150.2, 15.3)
