"""The decision of `vetting` for many alerts at once: what a new map asks of all that was seen before it came."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.surveys.vetting import Reason, Thresholds

BoolArray = npt.NDArray[np.bool_]
#: Reasons by number, as `vet_rows` returns them.
REASONS = tuple(Reason)
KEPT = -1
BEFORE = -2


@dataclass(frozen=True, eq=False)
class AlertColumns:
    """What a decision needs of N alerts, as arrays of shape (N,); NaN where a packet does not say."""

    survey: npt.NDArray[np.str_]
    object_number: IntArray
    """The same for the alerts of one object, whatever the numbers are."""
    mjd: FloatArray
    """Time of the detection, MJD in days (UTC)."""
    flux_njy: FloatArray
    flux_error_njy: FloatArray
    real_bogus: FloatArray
    star_score: FloatArray
    star_distance_arcsec: FloatArray
    solar_system: BoolArray
    """Whether the packet names an object of the solar system."""
    solar_system_arcsec: FloatArray
    is_negative: BoolArray
    first_mjd: FloatArray
    """Earliest detection that the survey states, MJD in days (UTC)."""


def vet_rows(alerts: AlertColumns, t0_mjd: float, limits: Thresholds) -> IntArray:
    """`vet` for many alerts at once, where the light curve of an object is its alerts; shape (N,).

    Returns:
        KEPT for a candidate, BEFORE for a detection from before the event, else the number of the reason in `REASONS`.
    """
    result = np.full(alerts.mjd.shape, KEPT, dtype=np.int64)
    lowest = np.zeros(alerts.mjd.shape)
    for survey, score in limits.real_bogus.items():
        lowest[alerts.survey == survey] = score
    earlier = _detected_before(alerts, t0_mjd, limits)
    # NaN compares false, so what a packet does not say keeps nothing out.
    objections = {
        Reason.NEGATIVE: alerts.is_negative,
        Reason.SOLAR_SYSTEM: alerts.solar_system & ~(alerts.solar_system_arcsec > limits.solar_system_arcsec),
        Reason.BOGUS: alerts.real_bogus < lowest,
        Reason.STAR: (alerts.star_score > limits.star_score) & ~(alerts.star_distance_arcsec > limits.star_arcsec),
        Reason.EARLIER: earlier,
    }
    for number, reason in reversed(list(enumerate(REASONS))):
        result[objections[reason]] = number
    result[alerts.mjd < t0_mjd] = BEFORE
    return result


def _detected_before(alerts: AlertColumns, t0_mjd: float, limits: Thresholds) -> BoolArray:
    """Whether the object of each alert was detected before the event: by the survey's word, or by another of the alerts."""
    last = t0_mjd - limits.margin_days
    first = -math.inf if limits.look_back_days is None else t0_mjd - limits.look_back_days
    stated = (alerts.first_mjd >= first) & (alerts.first_mjd < last)
    seen = (
        (alerts.mjd >= first)
        & (alerts.mjd < last)
        & (alerts.flux_error_njy > 0)
        & (alerts.flux_njy >= limits.earlier_snr * alerts.flux_error_njy)
    )
    return np.asarray(stated | np.isin(alerts.object_number, alerts.object_number[seen]))
