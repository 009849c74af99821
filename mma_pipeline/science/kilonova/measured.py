"""Converts archived or parsed measurements to the classifier's input arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mma_pipeline.notices.photometry.brightness import is_weak
from mma_pipeline.notices.photometry.measurement import Measurement
from mma_pipeline.science.kilonova.lightcurve import LightCurve

#: Signal-to-noise ratio and number of detections before a merger that exclude a candidate.
EARLIER_SNR = 5.0
EARLIER_POINTS = 2
#: Default number of days before the merger in which they count: as long as a supernova is visible.
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
    """Detections that show that a candidate existed before the merger (MJD): at least two, else none.

    Each has a signal-to-noise ratio of EARLIER_SNR or more, or no stated error, and lies within `look_back_days` before the
    merger. A single one may be an asteroid, a cosmic ray or noise: among thousands of forced points some are positive.
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
