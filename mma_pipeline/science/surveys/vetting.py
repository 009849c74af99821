"""Whether a survey alert in the region of an event may be its counterpart: one decision, always with its reason.

The criteria are those of searches in ZTF's alerts: a positive difference, real, not a known object of the solar system,
no star at its place, and no detection from before the event (Coughlin et al. 2019, ApJL 885 L19; Kasliwal et al. 2020,
ApJ 905 145). What a packet does not say keeps nothing out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from mma_pipeline.notices.surveys import FluxPoint, PacketFacts, Survey


class Reason(StrEnum):
    """Why an alert in the region of an event is no candidate of it, in the order in which they are looked for."""

    NEGATIVE = "negative"
    """Fainter than the reference image."""
    SOLAR_SYSTEM = "solar_system"
    """A known object of the solar system is at its place."""
    BOGUS = "bogus"
    """The survey's real/bogus score is low."""
    STAR = "star"
    """A star is at its place."""
    EARLIER = "earlier"
    """Detected before the event."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What keeps an alert out."""

    real_bogus: Mapping[Survey, float] = field(default_factory=lambda: MappingProxyType({"ztf": 0.3, "lsst": 0.5}))
    """Lowest score that is taken for real, 0 to 1, by survey; a survey that is not named has none."""
    star_score: float = 0.76
    """Score above which the nearest catalog source is a star, 0 (galaxy) to 1 (star) (Tachibana & Miller 2018, PASP 130 128001)."""
    star_arcsec: float = 1.5
    """Largest separation of that star, arcsec."""
    solar_system_arcsec: float = 5.0
    """Largest separation of a known object of the solar system from its predicted place, arcsec."""
    earlier_snr: float = 5.0
    """Signal to noise from which a point before the event counts."""
    margin_days: float = 0.01
    """Days before the event that still belong to it: times of exposures and of events are not exact."""
    look_back_days: float | None = None
    """Days before the event in which detections count; None: all that the packet knows of."""


def objection(survey: Survey, facts: PacketFacts, limits: Thresholds) -> Reason | None:
    """Why an alert is no candidate of any event, from the facts of its packet alone; None where nothing speaks against it."""
    if facts.is_negative:
        return Reason.NEGATIVE
    match = facts.solar_system
    if match is not None and (match.distance_arcsec is None or match.distance_arcsec <= limits.solar_system_arcsec):
        return Reason.SOLAR_SYSTEM
    lowest = limits.real_bogus.get(survey)
    if lowest is not None and facts.real_bogus is not None and facts.real_bogus < lowest:
        return Reason.BOGUS
    near = facts.star_distance_arcsec is None or facts.star_distance_arcsec <= limits.star_arcsec
    if facts.star_score is not None and facts.star_score > limits.star_score and near:
        return Reason.STAR
    return None


def detected_before(
    points: Iterable[FluxPoint], first_mjd: float | None, t0_mjd: float, limits: Thresholds
) -> float | None:
    """When an object was first detected before an event, MJD in days (UTC); None where it was not.

    Args:
        points: its light curve; a point without an error, and one below the threshold of signal to noise, says nothing.
        first_mjd: earliest detection that the survey states, MJD in days; None where it states none.
        t0_mjd: time of the event, MJD in days (UTC).
        limits: what counts as a detection before the event.
    """
    last = t0_mjd - limits.margin_days
    first = -math.inf if limits.look_back_days is None else t0_mjd - limits.look_back_days
    times = [
        p.mjd
        for p in points
        if first <= p.mjd < last
        and p.flux_njy is not None
        and p.flux_error_njy is not None
        and p.flux_error_njy > 0
        and p.flux_njy >= limits.earlier_snr * p.flux_error_njy
    ]
    if first_mjd is not None and first <= first_mjd < last:
        times.append(first_mjd)
    return min(times, default=None)


def vet(
    survey: Survey, facts: PacketFacts, points: Iterable[FluxPoint], t0_mjd: float, limits: Thresholds
) -> Reason | None:
    """Why an alert in the region of an event is no candidate of it; None for a candidate.

    Args:
        survey: whose alert it is.
        facts: what its packet says beside the light curve.
        points: its light curve.
        t0_mjd: time of the event, MJD in days (UTC).
        limits: the thresholds.
    """
    reason = objection(survey, facts, limits)
    if reason is None and detected_before(points, facts.first_mjd, t0_mjd, limits) is not None:
        return Reason.EARLIER
    return reason
