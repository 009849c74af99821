"""From archived or parsed measurements to the arrays that the classifier takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mma_pipeline.notices.measurement import Measurement
from mma_pipeline.science.kilonova.lightcurve import LightCurve


def light_curve(measurements: Sequence[Measurement]) -> LightCurve:
    """Columns of one candidate's measurements, in their order; a missing error becomes NaN."""
    return LightCurve(
        mjd=np.array([m.mjd for m in measurements], dtype=float),
        magnitude=np.array([m.magnitude for m in measurements], dtype=float),
        error=np.array([np.nan if m.error is None else m.error for m in measurements], dtype=float),
        band=[m.band for m in measurements],
        upper_limit=np.array([m.upper_limit for m in measurements], dtype=bool),
    )
