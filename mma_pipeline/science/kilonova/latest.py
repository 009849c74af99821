"""How bright a candidate was when it was last seen, and whether it fades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mma_pipeline.notices.photometry.measurement import Measurement

#: Two detections of a band tell of a trend from this many days apart on.
LEAST_DAYS = 0.5
#: A slope below this many of its standard deviations is no trend.
SIGNIFICANT = 2.0
#: Error that is assumed where a source states none, mag.
_ASSUMED_MAG = 0.1


@dataclass(frozen=True, slots=True)
class Trend:
    """A line through two detections of one band."""

    band: str
    mag_per_day: float
    """Positive: it fades."""
    error: float
    """One standard deviation, mag per day."""
    days: float
    """Between the two."""

    @property
    def words(self) -> str:
        """`fading 0.41 mag a day (r)`, `rising …`, or `no change seen (r, 1.2 d)`."""
        if abs(self.mag_per_day) < SIGNIFICANT * self.error:
            return f"no change seen ({self.band}, {self.days:.1f} d)"
        return f"{'fading' if self.mag_per_day > 0 else 'rising'} {abs(self.mag_per_day):.2f} mag a day ({self.band})"


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
    for last in reversed(seen):
        before = [m for m in seen if m.band == last.band and m.mjd <= last.mjd - LEAST_DAYS]
        if before:
            return Latest(seen[-1], _between(before[-1], last))
    return Latest(seen[-1], None)


def _between(first: Measurement, last: Measurement) -> Trend:
    days = last.mjd - first.mjd
    errors = [_ASSUMED_MAG if m.error is None else m.error for m in (first, last)]
    return Trend(last.band, (last.magnitude - first.magnitude) / days, math.hypot(*errors) / days, days)
