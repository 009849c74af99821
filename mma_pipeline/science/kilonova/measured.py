"""From archived or parsed measurements to the arrays that the classifier takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mma_pipeline.notices.photometry.brightness import is_weak
from mma_pipeline.notices.photometry.measurement import Measurement
from mma_pipeline.science.kilonova.lightcurve import LightCurve

#: Signal to noise and number of the detections before a merger that exclude a candidate.
EARLIER_SNR = 5.0
EARLIER_POINTS = 2
#: Days before the merger in which they count, where nothing else is set: as long as a supernova is seen.
LOOK_BACK_DAYS = 100.0


def light_curve(measurements: Sequence[Measurement]) -> LightCurve:
    """Columns of one candidate's measurements, in their order; a missing error becomes NaN."""
    return LightCurve(
        mjd=np.array([m.mjd for m in measurements], dtype=float),
        magnitude=np.array([m.magnitude for m in measurements], dtype=float),
        error=np.array([np.nan if m.error is None else m.error for m in measurements], dtype=float),
        band=[m.band for m in measurements],
        upper_limit=np.array([m.upper_limit for m in measurements], dtype=bool),
    )


def earlier_detections(
    measurements: Sequence[Measurement], merger_mjd: float, look_back_days: float
) -> tuple[Measurement, ...]:
    """What shows that a candidate was there before the merger (MJD, days): two detections or more, else nothing.

    Each has a signal to noise of EARLIER_SNR or more, or no stated error, and lies within so many days before the
    merger. One alone is an asteroid, a cosmic ray or noise: among thousands of forced points some are positive.
    """
    found = tuple(
        m
        for m in measurements
        if m.detected and not is_weak(m.error, EARLIER_SNR) and 0 < merger_mjd - m.mjd <= look_back_days
    )
    return found if len(found) >= EARLIER_POINTS else ()


def as_values(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Time (MJD, days), band, magnitude and error (mag, None if unknown) of each, JSON types only."""
    return [{"mjd": m.mjd, "band": m.band, "magnitude": m.magnitude, "error": m.error} for m in measurements]
