"""How well neutrinos agree with a gravitational-wave event in place and time.

For each track: the probability of the map inside its error circle, the credible level of its best fit, the overlap of
both localisations, and the chance that a background track agrees as well or better.

    p_space = A / 4π, A the area searched by falling density until the best fit is reached: the chance of an isotropic
              background track to fall on a place at least as probable
    p_time  = share of the search window that lies at least as near in time, 2 |Δt| / T where the window of length T is
              centred on the event: the chance of a uniform background track to come at least as near. Notices round Δt to
              0.01 s, so that 0.0 stands for anything up to 0.005 s: |Δt| counts as that at least, and no p-value is zero
    p       = x (1 - ln x), x = p_space · p_time: the two combined by Fisher's method (R. A. Fisher 1925, "Statistical
              Methods for Research Workers", section 21.1; χ² of -2 ln x with four degrees of freedom)
    overlap = 4π ∫ p_GW p_ν dΩ (Ashton et al. 2018, ApJ 860 6, doi:10.3847/1538-4357/aabfd2): above one, place
              speaks for a common source

Caveat: p holds for one track picked in advance. A notice lists the best tracks of its window, so for n tracks
p_trials = 1 - (1 - p)^n (Šidák 1967) is given beside it; neither knows of the other events searched, of tracks too weak to
be listed, nor of IceCube's acceptance, which depends on declination. IceCube's own p-values do know the acceptance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mma_pipeline.notices.icecube import Neutrino
from mma_pipeline.science.coincidence.chance import among
from mma_pipeline.science.coincidence.overlap import overlap_of_circle
from mma_pipeline.science.healpix import SKY_DEG2
from mma_pipeline.science.skymaps.credible import Ranking
from mma_pipeline.science.skymaps.crossmatch import crossmatch
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.sphere import cap_rows

#: Window of the search, s before and after, where the notice does not give one (Aartsen et al. 2020, ApJL 898 L10).
WINDOW_S = (500.0, 500.0)
_CONTAINMENT = 0.9
#: Half the step to which notices round time offsets, s.
TIME_ROUNDING_S = 0.005


@dataclass(frozen=True, slots=True)
class Overlap:
    """One neutrino against one map; None if the notice lacks what is needed."""

    ra: float | None
    """Best fit, deg."""
    dec: float | None
    """deg"""
    radius: float | None
    """Radius of the error circle, deg."""
    containment: float | None
    """Probability that the circle holds the neutrino's source direction, 0 to 1."""
    time_offset: float | None
    """Neutrino minus event, s."""
    probability_inside: float | None
    """Probability of the map inside the circle, 0 to 1."""
    credible_level: float | None
    """Credible level of the map at the best fit, 0 to 1."""
    overlap: float | None
    """4π ∫ p_GW p_ν dΩ, dimensionless."""
    p_space: float | None
    p_time: float | None
    p_spacetime: float | None
    """Chance of one background track, 0 to 1, not corrected for trials."""
    p_trials: float | None
    """The same for the tracks of this notice, 0 to 1."""


def overlaps(
    m: SkyMap, neutrinos: Sequence[Neutrino], window_s: tuple[float, float] | None = None
) -> tuple[Overlap, ...]:
    """Every neutrino of a notice against a map; `window_s` are the seconds searched before and after the event."""
    ranking = Ranking(m)
    return tuple(_overlap(ranking, neutrino, window_s or WINDOW_S, len(neutrinos)) for neutrino in neutrinos)


def time_p_value(offset: float, window_s: tuple[float, float]) -> float:
    """Share of a search window (seconds before and after the event) within |offset| s of the event, above 0 and up to 1.

    The offset counts as half its rounding step at least.
    """
    nearest = max(abs(offset), TIME_ROUNDING_S)
    return sum(min(nearest, side) for side in window_s) / sum(window_s)


def _overlap(ranking: Ranking, neutrino: Neutrino, window: tuple[float, float], trials: int) -> Overlap:
    inside = level = integral = p_space = p_spacetime = p_trials = None
    p_time = None if neutrino.time_offset is None else time_p_value(neutrino.time_offset, window)
    where = neutrino.direction
    if where is not None:
        at = crossmatch(ranking, where.ra, where.dec)
        level = float(at.searched_prob[0])
        p_space = min(1.0, float(at.searched_area[0]) / SKY_DEG2)
        if neutrino.radius is not None:
            sky = ranking.map
            share = cap_rows(sky.order, sky.ipix, where.ra, where.dec, neutrino.radius)
            inside = float(np.clip(np.sum(sky.prob * share), 0.0, 1.0))
            integral = overlap_of_circle(
                sky, where.ra, where.dec, neutrino.radius, neutrino.containment or _CONTAINMENT
            )
    if p_space is not None and p_time is not None:
        p_spacetime = fisher(p_space, p_time)
        p_trials = among(p_spacetime, trials)
    return Overlap(
        ra=None if where is None else where.ra,
        dec=None if where is None else where.dec,
        radius=neutrino.radius,
        containment=neutrino.containment,
        time_offset=neutrino.time_offset,
        probability_inside=inside,
        credible_level=level,
        overlap=integral,
        p_space=p_space,
        p_time=p_time,
        p_spacetime=p_spacetime,
        p_trials=p_trials,
    )


def fisher(p1: float, p2: float) -> float:
    """Two independent p-values combined, x (1 - ln x) with x their product; 0 to 1."""
    x = p1 * p2
    return 0.0 if x <= 0 else min(1.0, x * (1.0 - math.log(x)))
