"""The distance that is assumed for a candidate: its own where something is known of it, else the event's.

The classifier needs it for absolute magnitudes, and the sky factor compares a candidate's own distance with the map's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from mma_pipeline.science.kilonova.lightcurve import Event
from mma_pipeline.science.kilonova.posterior import host_distance

#: A distance of its own with a larger relative deviation says less than the event's, and is not used: at a redshift
#: below 0.002, peculiar velocities hide the expansion.
LARGEST_DEVIATION = 0.5
#: Relative deviation of a host's distance that comes without one: that of Tully-Fisher distances (Kourkchi et al. 2020,
#: ApJ 902 145).
HOST_DEVIATION = 0.2


class DistanceSource(StrEnum):
    """Where an assumed distance comes from."""

    REDSHIFT = "redshift"
    """Of the candidate or its host, as the photometry's source states it."""
    HOST = "host"
    """Of a host galaxy from a catalog."""
    EVENT = "event"
    """The gravitational wave's, from the map."""


@dataclass(frozen=True)
class Distance:
    """A luminosity distance and its origin."""

    mean_mpc: float
    """Mpc, positive."""
    std_mpc: float | None
    """One standard deviation, Mpc; None if the map states none."""
    source: DistanceSource


def of_redshift(redshift: float) -> Distance | None:
    """Distance of a redshift (heliocentric, above 0, at most 10) ± 300 km/s; None if they hide the expansion."""
    return _usable(*host_distance(redshift), DistanceSource.REDSHIFT)


def of_host(mean_mpc: float | None, std_mpc: float | None = None) -> Distance | None:
    """Distance of a host galaxy, Mpc; without a deviation it gets 20 %. None if it is unknown or too uncertain."""
    if mean_mpc is None or not math.isfinite(mean_mpc) or mean_mpc <= 0:
        return None
    known = std_mpc is not None and math.isfinite(std_mpc) and std_mpc > 0
    return _usable(mean_mpc, float(std_mpc) if known and std_mpc else HOST_DEVIATION * mean_mpc, DistanceSource.HOST)


def _usable(mean_mpc: float, std_mpc: float, source: DistanceSource) -> Distance | None:
    usable = mean_mpc > 0 and std_mpc <= LARGEST_DEVIATION * mean_mpc
    return Distance(mean_mpc, std_mpc, source) if usable else None


def own_distance(redshift: float | None, host: Distance | None) -> Distance | None:
    """The candidate's own distance: by its redshift, else its host's; None if neither is usable.

    The redshift comes first, because a host is found by its position alone.
    """
    return (None if redshift is None else of_redshift(redshift)) or host


def assumed_distance(event: Event, own: Distance | None) -> Distance | None:
    """The candidate's own distance, else the event's; None if the map has none."""
    if own is not None:
        return own
    if event.distance_mpc is None:
        return None
    return Distance(event.distance_mpc, event.distance_sigma_mpc, DistanceSource.EVENT)
