"""Photometry as publications keep it: one JSON object for each measurement, in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mma_pipeline.notices.photometry.measurement import Measurement

#: Most measurements in one message: the latest.
MOST = 500


def points_of(measurements: Iterable[Measurement], until_mjd: float) -> list[dict[str, Any]]:
    """The latest measurements up to a time (MJD, inclusive) as JSON values, by time; what is unknown is left out."""
    chosen = sorted((m for m in measurements if m.mjd <= until_mjd), key=lambda m: (m.mjd, m.band))[-MOST:]
    return [_point(m) for m in chosen]


def _point(m: Measurement) -> dict[str, Any]:
    values: Mapping[str, Any] = {
        "mjd": m.mjd,
        "band": m.band,
        "magnitude": m.magnitude,
        "error": m.error,
        "upper_limit": m.upper_limit,
        "telescope": m.telescope,
        "instrument": m.instrument,
    }
    return {name: value for name, value in values.items() if value is not None}
