"""How bright a candidate was last, and whether it fades."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from mma_pipeline.notices.photometry.measurement import Candidate, Measurement
from mma_pipeline.science.kilonova.latest import latest
from tests.alerts import SHARED

DECAM = SHARED / "data" / "photometry" / "AT2017gfo_DECam_griz.csv"


def _point(mjd: float, band: str, magnitude: float, error: float | None = 0.05, *, limit: bool = False) -> Measurement:
    return Measurement(Candidate("x", 1.0, 2.0), mjd, band, magnitude, error, upper_limit=limit)


def test_a_line_through_two_nights_of_one_band() -> None:
    """The latest detection is the latest of any band; the trend is that of the band that was seen on two nights."""
    points = [_point(1.0, "r", 19.0), _point(1.1, "g", 19.5), _point(3.0, "r", 20.0), _point(3.1, "i", 19.8)]
    found = latest([*points, _point(5.0, "r", 21.0, None, limit=True)])
    assert found is not None
    assert found.words == "i 19.80"
    assert found.trend is not None
    assert (found.trend.band, found.trend.mag_per_day) == ("r", 0.5)
    assert found.trend.words == "fading 0.50 mag a day (r, 2.0 d)"
    rising = latest([_point(1.0, "r", 20.0), _point(2.0, "r", 19.0)])
    assert rising is not None
    assert rising.trend is not None
    assert rising.trend.words == "rising 1.00 mag a day (r, 1.0 d)"


def test_the_most_significant_band_is_said() -> None:
    """z stands still while r fades by 0.8 mag in two days: r is said, with the error of a line through three points."""
    r = [_point(day, "r", 19.0 + 0.4 * day) for day in (0.0, 1.0, 2.0)]
    z = [_point(1.15, "z", 19.5), _point(2.05, "z", 19.52)]
    found = latest(sorted([*r, *z], key=lambda m: m.mjd))
    assert found is not None
    assert found.trend is not None
    assert found.words == "z 19.52"
    assert found.trend.words == "fading 0.40 mag a day (r, 2.0 d)"
    # Standard deviation of a slope: σ / √Σ(t - mean t)², here of -1, 0 and 1 days.
    assert found.trend.error == pytest.approx(0.05 / math.sqrt(2))
    assert found.trend.looked_at == ("r", "z")
    still = latest(z)
    assert still is not None
    assert still.trend is not None
    assert still.trend.words == "no change seen (z; 0.9 d)"


def test_more_bands_need_more() -> None:
    """2.1 σ in one band are a trend; the largest of five is 2.1 σ by chance one time in six, which is none."""
    slope = 2.1 * math.hypot(0.05, 0.05)
    one = [_point(0.0, "r", 20.0), _point(1.0, "r", 20.0 + slope)]
    others = [_point(day, band, 20.0) for band in "giyz" for day in (0.1, 1.1)]
    alone, among = latest(one), latest(sorted([*one, *others], key=lambda m: m.mjd))
    assert alone is not None
    assert alone.trend is not None
    assert alone.trend.words == "fading 0.15 mag a day (r, 1.0 d)"
    assert among is not None
    assert among.trend is not None
    assert among.trend.words.startswith("no change seen (r, ")


def test_the_last_days_count() -> None:
    """What rose a week ago and fades now fades; points that scatter more than their errors say widen the error."""
    rose = [_point(day, "r", 21.0 - day) for day in (0.0, 1.0, 2.0)]
    fades = [_point(10.0 + day, "r", 19.0 + 0.3 * day) for day in (0.0, 1.0, 2.0)]
    found = latest([*rose, *fades])
    assert found is not None
    assert found.trend is not None
    assert found.trend.mag_per_day == pytest.approx(0.3)
    noisy = latest([_point(d, "r", 20.0 + m) for d, m in ((0.0, 0.0), (1.0, 1.0), (2.0, -0.8), (3.0, 0.5))])
    assert noisy is not None
    assert noisy.trend is not None
    assert noisy.trend.words.startswith("no change seen")


@pytest.mark.skipif(not DECAM.exists(), reason=f"{DECAM} is not there")
def test_a_real_kilonova_fades() -> None:
    """AT2017gfo in its first five days as DECam saw it: it fades by what numpy's weighted line says."""
    with DECAM.open() as lines:
        rows = [row for row in csv.DictReader(lines) if float(row["time"]) < 57988.0]
    points = [_point(float(r["time"]), r["band"], float(r["magnitude"]), float(r["e_magnitude"])) for r in rows]
    found = latest(sorted(points, key=lambda m: m.mjd))
    assert found is not None
    assert found.trend is not None
    assert found.trend.words.startswith("fading ")
    assert set(found.trend.looked_at) == {"g", "r", "i", "z"}
    band = [m for m in points if m.band == found.trend.band]
    days, mags, weights = ([m.mjd for m in band], [m.magnitude for m in band], [1 / (m.error or 1.0) for m in band])
    slope, _ = np.polyfit(np.array(days) - days[0], mags, 1, w=weights)
    assert found.trend.mag_per_day == pytest.approx(slope, rel=1e-6)
    assert slope > 0.4


def test_noise_is_no_trend() -> None:
    """A change within twice its error is none, and two exposures of one visit tell of none."""
    still = latest([_point(1.0, "r", 20.0, 0.1), _point(2.0, "r", 20.1, 0.1)])
    assert still is not None
    assert still.trend is not None
    assert still.trend.words == "no change seen (r; 1.0 d)"
    visit = latest([_point(1.0, "r", 20.0), _point(1.01, "r", 20.4)])
    assert visit is not None
    assert visit.trend is None


def test_what_was_never_detected_has_its_last_limit() -> None:
    """A light curve of limits gives the last one as a limit; an empty one gives nothing."""
    limit = latest([_point(1.0, "r", 21.0, None, limit=True)])
    assert limit is not None
    assert (limit.words, limit.trend) == ("r > 21.00", None)
    assert latest([]) is None
