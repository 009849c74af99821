"""Positions that a site can observe in its window, the fullest spell of its 24 h, and the order in which to observe them.

Every target takes one step of the grid. The order is the assignment of targets to steps of the window with the largest sum of
weight / airmass × 2^(-hours / 12) (Hungarian algorithm, scipy): what is likely is observed high in the sky and, as a kilonova
fades, early. Weights are comparable numbers, such as the scores of galaxies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.observing.ephemeris import unit
from mma_pipeline.science.observing.windows import BoolArray, SiteWindows, Windows
from mma_pipeline.science.sphere import unit_vectors

#: Hours in which what an observation is worth halves.
HALF_HOURS = 12.0


@dataclass(frozen=True, slots=True)
class Target:
    """A position to observe."""

    name: str
    kind: str
    """`galaxy` or `candidate`."""
    ra: float
    """Right ascension ICRS, deg."""
    dec: float
    """Declination ICRS, deg."""
    weight: float
    """What it is worth beside the others, above 0."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One target in the order of a site."""

    target: Target
    time: datetime
    """When to observe it, UTC."""
    airmass: float
    begins: datetime
    """Begin of the spell around it in which the target is observable, UTC; not before the 24 h."""
    ends: datetime
    """End of that spell, UTC."""


def observable(w: Windows, site: SiteWindows, ra: FloatArray, dec: FloatArray) -> tuple[BoolArray, FloatArray]:
    """Whether P positions (deg) are within a site's limits at each of T times, and the sine of their altitude, (T, P)."""
    heavens, place, count = w.heavens, site.site, w.minutes.size
    directions = heavens.apparent(unit_vectors(np.atleast_1d(ra), np.atleast_1d(dec)))
    overhead = heavens.zenith(place.latitude_deg, place.longitude_deg)[:count]
    observer = heavens.observer(place.latitude_deg, place.longitude_deg, place.altitude_m)[:count]
    moon = unit(heavens.moon[:count] - observer)
    sine = overhead @ directions.T
    low, high = np.sin(np.radians([site.lowest, site.highest]))
    clear = moon @ directions.T <= np.cos(np.radians(site.limits.moon_min_deg))
    inside = site.dark[:, None] & (sine >= low) & (sine <= high) & (clear | (site.moon_altitude <= 0)[:, None])
    return inside, np.asarray(sine)


def best_order(w: Windows, site: SiteWindows, targets: Sequence[Target]) -> list[Visit]:
    """Targets of a site in the order in which to observe them, all within its window, the spell that is shown.

    Those that it cannot observe then, or has no time for, are out.
    """
    from scipy.optimize import linear_sum_assignment

    if not targets or site.window is None:
        return []
    opens, closes = site.window
    inside, sine = observable(w, site, np.array([t.ra for t in targets]), np.array([t.dec for t in targets]))
    worth = np.array([t.weight for t in targets]) * np.exp2(-w.minutes / 60 / HALF_HOURS)[:, None]
    # A target must be observable at the begin and at the end of its step.
    value = np.where(inside[:-1] & inside[1:], (worth * np.maximum(sine, 0))[:-1], 0.0)
    value[:opens], value[closes:] = 0.0, 0.0
    times, chosen = linear_sum_assignment(value, maximize=True)
    visits = []
    for i, j in sorted(zip(times.tolist(), chosen.tolist(), strict=True)):
        if value[i, j] > 0:
            blocked = np.flatnonzero(~inside[:, j])
            first = int(np.max(blocked[blocked < i], initial=-1)) + 1
            last = int(np.min(blocked[blocked > i], initial=w.minutes.size)) - 1
            visits.append(Visit(targets[j], w.time(i), float(1 / sine[i, j]), w.time(first), w.time(last)))
    return visits
