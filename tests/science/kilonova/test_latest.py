"""How bright a candidate was last, and whether it fades."""

from __future__ import annotations

from mma_pipeline.notices.photometry.measurement import Candidate, Measurement
from mma_pipeline.science.kilonova.latest import latest


def _point(mjd: float, band: str, magnitude: float, error: float | None = 0.05, *, limit: bool = False) -> Measurement:
    return Measurement(Candidate("x", 1.0, 2.0), mjd, band, magnitude, error, upper_limit=limit)


def test_a_line_through_two_nights_of_one_band() -> None:
    """The latest detection is the latest of any band; the trend is that of the band that was last seen on two nights."""
    points = [_point(1.0, "r", 19.0), _point(1.1, "g", 19.5), _point(3.0, "r", 20.0), _point(3.1, "i", 19.8)]
    found = latest([*points, _point(5.0, "r", 21.0, None, limit=True)])
    assert found is not None
    assert found.words == "i 19.80"
    assert found.trend is not None
    assert (found.trend.band, found.trend.mag_per_day) == ("r", 0.5)
    assert found.trend.words == "fading 0.50 mag a day (r)"
    rising = latest([_point(1.0, "r", 20.0), _point(2.0, "r", 19.0)])
    assert rising is not None
    assert rising.trend is not None
    assert rising.trend.words == "rising 1.00 mag a day (r)"


def test_noise_is_no_trend() -> None:
    """A change within twice its error is none, and two exposures of one visit tell of none."""
    still = latest([_point(1.0, "r", 20.0, 0.1), _point(2.0, "r", 20.1, 0.1)])
    assert still is not None
    assert still.trend is not None
    assert still.trend.words == "no change seen (r, 1.0 d)"
    visit = latest([_point(1.0, "r", 20.0), _point(1.01, "r", 20.4)])
    assert visit is not None
    assert visit.trend is None


def test_what_was_never_detected_has_its_last_limit() -> None:
    """A light curve of limits gives the last one as a limit; an empty one gives nothing."""
    limit = latest([_point(1.0, "r", 21.0, None, limit=True)])
    assert limit is not None
    assert (limit.words, limit.trend) == ("r > 21.00", None)
    assert latest([]) is None
