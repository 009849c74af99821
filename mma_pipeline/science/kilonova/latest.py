"""How bright a candidate was when it was last seen, and whether it fades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mma_pipeline.notices.photometry.measurement import Measurement

#: Detections of a band tell of a trend from this many days apart on.
LEAST_DAYS = 0.5
#: Days before a band's last detection that count; where they are too few, the last detection before them does too.
RECENT_DAYS = 5.0
#: A slope below this many of its standard deviations is no trend; with several bands, the largest must be as improbable.
SIGNIFICANT = 2.0
#: Error that is assumed where a source states none, mag.
_ASSUMED_MAG = 0.1


@dataclass(frozen=True, slots=True)
class Trend:
    """A line through the latest detections of one band, the band whose slope is the most significant."""

    band: str
    mag_per_day: float
    """Positive: it fades."""
    error: float
    """One standard deviation, mag per day."""
    days: float
    """From the first to the last of them."""
    looked_at: tuple[str, ...]
    """All bands that had enough detections, in order of significance."""

    @property
    def significant(self) -> bool:
        """Whether so large a slope in any of the bands is as improbable as 2 σ in one (Šidák 1967)."""
        once = math.erfc(SIGNIFICANT / math.sqrt(2))
        any_of = (
            -math.expm1(len(self.looked_at) * math.log1p(-math.erfc(self.sigma / math.sqrt(2)))) if self.sigma else 1.0
        )
        return any_of <= once

    @property
    def sigma(self) -> float:
        """The slope in its standard deviations."""
        return abs(self.mag_per_day) / self.error

    @property
    def words(self) -> str:
        """`fading 0.41 mag a day (r, 2.1 d)`, `rising …`, or `no change seen (r, z; 1.2 d)`."""
        if not self.significant:
            return f"no change seen ({', '.join(self.looked_at)}; {self.days:.1f} d)"
        return f"{'fading' if self.mag_per_day > 0 else 'rising'} {abs(self.mag_per_day):.2f} mag a day ({self.band}, {self.days:.1f} d)"


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest detection, or the latest limit of what was never detected."""

    measurement: Measurement
    trend: Trend | None
    """None where no band was detected twice, half a day apart."""

    @property
    def words(self) -> str:
        """`r 19.42`, or `r > 21.0` for a limit."""
        m = self.measurement
        return f"{m.band} {'' if m.detected else '> '}{m.magnitude:.2f}"


def latest(measurements: Sequence[Measurement]) -> Latest | None:
    """The latest of a light curve, which is in order of time; None for an empty one."""
    seen = [m for m in measurements if m.detected]
    if not seen:
        return Latest(measurements[-1], None) if measurements else None
    return Latest(seen[-1], _trend(seen))


def _trend(seen: Sequence[Measurement]) -> Trend | None:
    found = []
    for band in dict.fromkeys(m.band for m in reversed(seen)):
        points = _recent([m for m in seen if m.band == band])
        if points[-1].mjd - points[0].mjd >= LEAST_DAYS:
            found.append((band, points[-1].mjd - points[0].mjd, *_line(points)))
    # Of equal ones the band that was seen last.
    found.sort(key=lambda one: -abs(one[2]) / one[3])
    bands = tuple(one[0] for one in found)
    return Trend(found[0][0], found[0][2], found[0][3], found[0][1], bands) if found else None


def _recent(points: Sequence[Measurement]) -> Sequence[Measurement]:
    last = points[-1].mjd
    first = next(i for i, m in enumerate(points) if m.mjd >= last - RECENT_DAYS)
    return points[first:] if last - points[first].mjd >= LEAST_DAYS else points[max(0, first - 1) :]


def _line(points: Sequence[Measurement]) -> tuple[float, float]:
    """Slope of the weighted line and its standard deviation, mag per day; wider where the points scatter more than they say."""
    weights = [(_ASSUMED_MAG if not m.error else m.error) ** -2 for m in points]
    total = math.fsum(weights)
    mean_day = math.fsum(w * m.mjd for w, m in zip(weights, points, strict=True)) / total
    mean_mag = math.fsum(w * m.magnitude for w, m in zip(weights, points, strict=True)) / total
    days = [m.mjd - mean_day for m in points]
    mags = [m.magnitude - mean_mag for m in points]
    spread = math.fsum(w * d * d for w, d in zip(weights, days, strict=True))
    slope = math.fsum(w * d * m for w, d, m in zip(weights, days, mags, strict=True)) / spread
    left = math.fsum(w * (m - slope * d) ** 2 for w, d, m in zip(weights, days, mags, strict=True))
    scatter = left / (len(points) - 2) if len(points) > 2 else 1.0
    return slope, math.sqrt(max(1.0, scatter) / spread)
