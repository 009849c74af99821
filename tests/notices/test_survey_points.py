"""From points of a survey to measurements: closed forms for magnitudes and limits, one measurement of each exposure."""

import math
from dataclasses import replace
from itertools import permutations

import pytest

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement
from mma_pipeline.notices.photometry.message import encode, parse
from mma_pipeline.notices.photometry.survey_points import SeenPoints, measurements, one_per_exposure
from mma_pipeline.notices.surveys import AlertHead, FluxPoint, PacketFacts, SurveyAlert

HEAD = AlertHead("lsst", "169298436534304771", "1", 10.5, -43.5, 61000.0)


def alert(*points, facts=None):
    """An alert with these points."""
    return SurveyAlert(HEAD, points, facts or PacketFacts(), "lsst 10.0", "rubin")


def point(flux, error, *, limit=None, origin="forced", mjd=61000.0, band="lsstr"):
    """A point of a light curve."""
    return FluxPoint(mjd, band, flux, error, limit, origin)


def test_flux_to_magnitude_and_limit():
    """1 uJy is 23.9 mag; below three times the noise, and below zero, a limit of five times the noise; the flux stays."""
    strong, weak, negative = point(1000.0, 10.0), point(29.0, 10.0, mjd=61001.0), point(-500.0, 10.0, mjd=61002.0)
    limit, bare = point(None, None, limit=22.5, origin="limit", mjd=61003.0), point(1000.0, None, mjd=61004.0)
    found = measurements(alert(strong, weak, negative, limit, bare)).measurements
    assert [m.upper_limit for m in found] == [False, True, True, True, False]
    expected = [23.9, 31.4 - 2.5 * math.log10(50), 31.4 - 2.5 * math.log10(50), 22.5, 23.9]
    assert [m.magnitude for m in found] == pytest.approx(expected, abs=1e-12)
    assert found[0].error == pytest.approx(2.5 / math.log(10) * 0.01)
    assert [m.flux_njy for m in found] == [1000.0, 29.0, -500.0, None, 1000.0]
    assert found[0].candidate == Candidate("169298436534304771", 10.5, -43.5)
    assert found[0].telescope == "Rubin"


def test_points_that_say_nothing_are_left_out():
    """A point without flux error and limit is left out and counted; an alert of such alone is refused."""
    empty = point(-5.0, None)
    notice = measurements(alert(point(1000.0, 10.0), empty, empty))
    assert len(notice.measurements) == 1
    assert notice.skipped == ("2 rows, the first point 1: it has neither a flux with an error nor a limit",)
    with pytest.raises(NoticeError, match="no photometry"):
        measurements(alert(empty))


def test_redshift_of_a_packet():
    """A usable redshift is the candidate's, zero and nonsense are not."""
    for value, expected in ((0.05, 0.05), (0.0, None), (-1.0, None), (99.0, None), (None, None)):
        (one,) = measurements(alert(point(1000.0, 10.0), facts=PacketFacts(redshift=value))).measurements
        assert one.candidate.redshift == expected


def test_an_exposure_counts_once():
    """Of one exposure the detection counts, else the forced flux, else the limit, in any order; other exposures stay."""
    here = Candidate("A", 1.0, 2.0)
    rows = [
        Measurement(here, 61000.0, "ztfr", 20.0, 0.1, origin="limit", upper_limit=True),
        Measurement(here, 61000.0 + 1e-8, "ztfr", 20.1, 0.1, origin="forced"),
        Measurement(here, 61000.0 - 1e-8, "ztfr", 20.2, 0.1, origin="previous"),
        Measurement(here, 61000.0004, "ztfr", 20.3, 0.1, origin="forced"),
        Measurement(here, 61000.0, "ztfg", 20.4, 0.1, origin="forced"),
        Measurement(here, 61000.0, "ztfr", 20.5, 0.1),
        Measurement(replace(here, name="B"), 61000.0, "ztfr", 20.6, 0.1, origin="forced"),
    ]
    for order in list(permutations(rows))[::97]:
        kept = one_per_exposure(order, lambda m: m)
        assert sorted(m.magnitude for m in kept) == [20.2, 20.3, 20.4, 20.5, 20.6]
        assert kept == [m for m in order if m in kept]


def test_our_message_carries_flux_and_origin():
    """Flux, error and origin survive our own message; an unknown origin leaves the row out."""
    sent = measurements(alert(point(1000.0, 10.0), point(-500.0, 10.0, mjd=61002.0, origin="previous"))).measurements
    body = encode([replace(m, candidate=sent[0].candidate) for m in sent])
    assert parse(body).measurements == sent
    odd = parse(body.replace(b'"origin":"previous"', b'"origin":"dream"'))
    assert len(odd.measurements) == 1
    assert "dream" in odd.skipped[0]


def test_points_that_come_again():
    """A point is the same to 0.4 s, wherever the time lies; another band, kind, candidate or exposure is another."""
    for start in (61000.0, 61000.123456789, 61000.0000025, 58295.38512729993):
        seen = SeenPoints()
        assert seen.add("A", "ztfr", "alert", start)
        for again in (0.0, 4e-6, -4e-6):
            assert not seen.add("A", "ztfr", "previous", start + again)
        others = [
            ("A", "ztfg", "alert", 0.0),
            ("A", "ztfr", "forced", 0.0),
            ("B", "ztfr", "alert", 0.0),
            ("A", "ztfr", "alert", 1e-5),
        ]
        assert all(seen.add(name, band, origin, start + later) for name, band, origin, later in others)
