"""Everything that is published of one candidate of one event, from its photometry, the map and the notice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mma_pipeline.science.kilonova.by_night import nightly_scores
from mma_pipeline.science.kilonova.lightcurve import Event, LightCurve
from mma_pipeline.science.kilonova.model import Model
from mma_pipeline.science.kilonova.posterior import (
    SkyFactor,
    contaminants_per_deg2,
    distance_at,
    host_distance,
    posterior,
    prior,
    row_at,
    search_distance_mpc,
    sky_factor,
)
from mma_pipeline.science.skymaps.model import SkyMap

#: Credible level up to which the map admits a candidate.
ADMITTED_LEVEL = 0.99
#: Days after the merger within which a candidate must have been seen first.
ADMITTED_DAYS = 10.0


@dataclass(frozen=True)
class Place:
    """Where a candidate lies on an event's map."""

    credible_level: float
    """Probability of the map above the density at the candidate, 0 to 1."""
    area_90_deg2: float
    """Area of the most probable rows that hold 90 %, deg², the last row counted in part."""


def locate(skymap: SkyMap, ra_deg: float, dec_deg: float) -> Place:
    """Credible level of a position (ICRS, degrees) and the map's 90 % area; raises SkyFactorError."""
    row = row_at(skymap, ra_deg, dec_deg)
    order = np.argsort(-skymap.probdensity, kind="stable")
    level = np.cumsum(skymap.prob[order])
    area = np.cumsum(skymap.area[order]) * (180 / math.pi) ** 2
    above = skymap.probdensity > skymap.probdensity[row]
    return Place(float(skymap.prob[above].sum()), float(np.interp(0.9, level, area)))


def admits(place: Place, merger_mjd: float, first_detection_mjd: float | None) -> bool:
    """Whether an event's map and time admit a candidate: inside 99 %, first seen 0 to 10 days after the merger."""
    if first_detection_mjd is None:
        return False
    after = first_detection_mjd - merger_mjd
    return place.credible_level <= ADMITTED_LEVEL and 0.0 <= after <= ADMITTED_DAYS


def sky_factor_of(
    skymap: SkyMap, position: tuple[float, float], area_deg2: float, redshift: float | None
) -> tuple[SkyFactor, float | None]:
    """The sky factor of a position (ra, dec; ICRS, degrees), and the distance of its host in Mpc where it is known.

    3-D with a redshift where the map has a distance at the position, else 2-D: an unknown distance says nothing. The
    volume reaches as far as `contaminants_per_deg2` counts, so that it cancels in the posterior.
    """
    distance, sigma = (None, 0.0) if redshift is None else host_distance(redshift)
    flat = distance is None or distance_at(skymap, row_at(skymap, *position)) is None
    factor = sky_factor(
        skymap,
        *position,
        area_deg2=area_deg2,
        host_distance_mpc=None if flat else distance,
        host_sigma_mpc=sigma,
        search_distance_mpc=search_distance_mpc(),
    )
    return factor, distance


def assess(
    model: Model,
    curve: LightCurve,
    event: Event,
    skymap: SkyMap,
    position: tuple[float, float],
    *,
    has_remnant: float | None,
    terrestrial: float | None,
    redshift: float | None = None,
) -> Mapping[str, Any] | None:
    """The published numbers, as JSON values; None before the first detection in griz after the merger.

    p_phot, p_afterglow, p_other, p_all_points, sufficient, nights, days, time_obs_mjd, slope_err_mag_per_day, sky_factor,
    sky_factor_dimensions, host_distance_mpc and redshift (None where unknown), prior, posterior (None where no prior
    can be stated), source_probability, contaminants_per_deg2, area_90_deg2, credible_level and the history night by
    night. `position` is (ra, dec), ICRS, degrees; `redshift` the candidate's or its host's, on which p_phot does not
    depend.
    """
    history = nightly_scores(model, curve, event)
    if not history:
        return None
    last = history[-1]
    place = locate(skymap, *position)
    factor, distance = sky_factor_of(skymap, position, place.area_90_deg2, redshift)
    density = contaminants_per_deg2()
    stated = prior(has_remnant=has_remnant, terrestrial=terrestrial, area_deg2=place.area_90_deg2)
    after = None if stated is None else posterior(last["p_phot"], factor.value, stated.value)
    return {
        "p_phot": last["p_phot"],
        "p_afterglow": last["p_afterglow"],
        "p_other": last["p_other"],
        "p_all_points": last["p_all_points"],
        "sufficient": last["sufficient"],
        "status": "scored" if last["sufficient"] else "insufficient_data",
        "nights": last["nights"],
        "days_since_merger": last["days"],
        "time_obs_mjd": last["mjd"],
        "slope_err_mag_per_day": last["slope_err"],
        "sky_factor": factor.value,
        "sky_factor_dimensions": factor.dimensions,
        "redshift": redshift,
        "host_distance_mpc": distance,
        "prior": None if stated is None else stated.value,
        "posterior": None if after is None else after.posterior,
        "source_probability": None if stated is None else stated.source,
        "contaminants_per_deg2": density,
        "area_90_deg2": place.area_90_deg2,
        "credible_level": place.credible_level,
        "history": history,
    }


def map_distance(skymap: SkyMap) -> tuple[float | None, float | None]:
    """Mean and deviation of the event's distance over the whole map, Mpc; None where it has no distances.

    From the header where it states them (DISTMEAN, DISTSTD), else from the rows' own moments. The whole map's, not
    the line of sight's: the photometric probability must not depend on the position.
    """
    mean, deviation = skymap.meta.get("DISTMEAN"), skymap.meta.get("DISTSTD")
    if isinstance(mean, int | float) and isinstance(deviation, int | float) and mean > 0 and math.isfinite(mean):
        return float(mean), float(deviation)
    if skymap.distmu is None or skymap.distsigma is None or skymap.distnorm is None:
        return None, None
    usable = np.isfinite(skymap.distmu) & np.isfinite(skymap.distsigma) & (skymap.distsigma > 0)
    if not usable.any():
        return None, None
    keep = np.flatnonzero(usable)
    keep = keep[np.argsort(-skymap.prob[keep], kind="stable")[:2000]]
    mu, sigma = skymap.distmu[keep], skymap.distsigma[keep]
    grid = np.linspace(0.0, float((np.abs(mu) + 6 * sigma).max()), 2000)
    density = np.exp(-0.5 * ((grid[:, None] - mu) / sigma) ** 2) / sigma * grid[:, None] ** 2
    per_row = density.sum(0)
    total = (density / per_row * skymap.prob[keep]).sum(1)
    total /= total.sum()
    average = float((total * grid).sum())
    return average, float(np.sqrt((total * (grid - average) ** 2).sum()))
