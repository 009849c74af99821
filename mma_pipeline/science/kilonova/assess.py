"""The published score of one candidate of one event, from its photometry, the map and the notice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mma_pipeline.science.kilonova.by_night import nightly_scores_of
from mma_pipeline.science.kilonova.distance import Distance, assumed_distance, own_distance
from mma_pipeline.science.kilonova.lightcurve import Event, LightCurve
from mma_pipeline.science.kilonova.model import Model
from mma_pipeline.science.kilonova.posterior import (
    Prior,
    SkyFactor,
    contaminants_per_deg2,
    distance_at,
    host_distance,
    posterior,
    prior,
    row_at,
    rows_at,
    search_distance_mpc,
    sky_factor,
)
from mma_pipeline.science.skymaps.credible import Ranking, credible_areas
from mma_pipeline.science.skymaps.model import SkyMap

#: Credible level up to which a candidate is compatible with the map.
ADMITTED_LEVEL = 0.99
#: Dimensions of a sky factor without a distance.
_FLAT = 2
#: Days after the merger within which a candidate must have been detected first.
ADMITTED_DAYS = 10.0


@dataclass(frozen=True)
class Place:
    """Position of a candidate in an event's map."""

    credible_level: float
    """Credible level of the candidate's position, 0 to 1 (see `skymaps.credible`)."""
    area_90_deg2: float
    """Area of the most probable rows that contain 90 %, deg², counting part of the last row."""


def locate(skymap: SkyMap, ra_deg: float, dec_deg: float) -> Place:
    """Credible level of a position (ICRS, degrees) and the map's 90 % area; raises SkyFactorError."""
    row = row_at(skymap, ra_deg, dec_deg)
    ranking = Ranking(skymap)
    return Place(float(ranking.searched_prob[row]), credible_areas(ranking, [0.9])[0])


def admits(place: Place, merger_mjd: float, first_detection_mjd: float | None) -> bool:
    """Whether a candidate is compatible with an event: inside 99 %, first detected 0 to 10 days after the merger."""
    if first_detection_mjd is None:
        return False
    after = first_detection_mjd - merger_mjd
    return place.credible_level <= ADMITTED_LEVEL and 0.0 <= after <= ADMITTED_DAYS


def sky_factor_of(
    skymap: SkyMap,
    position: tuple[float, float],
    area_deg2: float,
    redshift: float | None,
    host: Distance | None = None,
    host_chance: float = 0.0,
    *,
    row: int | None = None,
) -> tuple[SkyFactor, float | None]:
    """The sky factor of a position (ra, dec; ICRS, degrees), and the candidate's own distance in Mpc where it is known.

    3-D if there is a redshift or the distance of a host, and the map has a distance at the position, else 2-D: an unknown
    distance has no influence. The redshift comes first. The volume extends to the distance up to which
    `contaminants_per_deg2` counts, so that it cancels in the posterior. `host_chance` is the probability that the host is
    none of the candidate's: by so much the position alone counts. `row` is the map's at the position, if known.
    """
    row = row_at(skymap, *position) if row is None else row
    distance, sigma = None, 0.0
    if redshift is not None:
        distance, sigma = host_distance(redshift)
    elif host is not None:
        distance, sigma = host.mean_mpc, host.std_mpc or 0.0
    flat = distance is None or distance_at(skymap, row) is None
    factor = sky_factor(
        skymap,
        *position,
        area_deg2=area_deg2,
        host_distance_mpc=None if flat else distance,
        host_sigma_mpc=sigma,
        search_distance_mpc=search_distance_mpc(),
        row=row,
    )
    if redshift is None and factor.dimensions > _FLAT and host_chance > 0:
        alone = sky_factor(skymap, *position, area_deg2=area_deg2, row=row).value
        factor = replace(factor, value=(1.0 - host_chance) * factor.value + host_chance * alone)
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
    host: Distance | None = None,
    host_chance: float = 0.0,
) -> Mapping[str, Any] | None:
    """The published score, as JSON values; None before the first detection in griz after the merger.

    p_phot, p_afterglow, p_afterglow_supernova, p_other, p_all_points, sufficient, nights, days, time_obs_mjd,
    slope_err_mag_per_day, sky_factor, sky_factor_dimensions, sky_factor_2d (by the position alone),
    host_distance_mpc and redshift (None if unknown), prior, posterior (None if no prior
    can be stated), source_probability, contaminants_per_deg2, area_90_deg2, credible_level and the history night by
    night. p_phot assumes the candidate's own distance, else the event's: assumed_distance_mpc, assumed_distance_sigma_mpc
    and distance_source say which (None if there is none). `position` is (ra, dec), ICRS, degrees; `redshift` the
    candidate's or its host's; `host` the distance of its host from a catalog, `host_chance` the probability that this host is
    there by chance.
    """
    candidate = CandidateCurve(curve, event.ebv, position, redshift, host, host_chance)
    found = assess_many(model, [candidate], event, skymap, has_remnant=has_remnant, terrestrial=terrestrial)
    return found[0]


@dataclass(frozen=True, eq=False)
class CandidateCurve:
    """One of several candidates of an event."""

    curve: LightCurve
    ebv: float | None
    """Galactic E(B-V), mag."""
    position: tuple[float, float]
    """Right ascension and declination, ICRS, deg."""
    redshift: float | None = None
    """Of the candidate or its host."""
    host: Distance | None = None
    """Distance of its host from a catalog (`distance.of_host`), used where no redshift is known."""
    host_chance: float = 0.0
    """Probability that this host is there by chance, 0 to 1."""

    def distance(self, event: Event) -> Distance | None:
        """The distance that p_phot assumes: the candidate's own, else the event's; None if there is none."""
        return assumed_distance(event, own_distance(self.redshift, self.host))

    def assumed(self, event: Event) -> dict[str, Any]:
        """The distance that p_phot assumes, Mpc, and its source, as JSON values; None where there is none."""
        found = self.distance(event)
        return {
            "assumed_distance_mpc": None if found is None else found.mean_mpc,
            "assumed_distance_sigma_mpc": None if found is None else found.std_mpc,
            "distance_source": None if found is None else str(found.source),
        }

    def seen_from(self, event: Event) -> Event:
        """The event with this candidate's extinction and assumed distance."""
        assumed = self.distance(event)
        if assumed is None:
            return replace(event, ebv=self.ebv)
        return replace(event, ebv=self.ebv, distance_mpc=assumed.mean_mpc, distance_sigma_mpc=assumed.std_mpc)


def assess_many(
    model: Model,
    candidates: Sequence[CandidateCurve],
    event: Event,
    skymap: SkyMap,
    *,
    has_remnant: float | None,
    terrestrial: float | None,
) -> list[Mapping[str, Any] | None]:
    """`assess` of several candidates of one event, in their order; the event's own extinction is not used."""
    ranking = Ranking(skymap)
    area = credible_areas(ranking, [0.9])[0]
    events = [one.seen_from(event) for one in candidates]
    histories = nightly_scores_of(model, [one.curve for one in candidates], events)
    stated = prior(has_remnant=has_remnant, terrestrial=terrestrial, area_deg2=area)
    rows = rows_at(skymap, *np.array([one.position for one in candidates], dtype=float).reshape(-1, 2).T)
    return [
        None if not history else _numbers(history, one, event, skymap, ranking, area, stated, row)
        for one, history, row in zip(candidates, histories, rows.tolist(), strict=True)
    ]


def _numbers(
    history: list[dict[str, Any]],
    one: CandidateCurve,
    event: Event,
    skymap: SkyMap,
    ranking: Ranking,
    area: float,
    stated: Prior | None,
    row: int,
) -> Mapping[str, Any]:
    last = history[-1]
    level = float(ranking.searched_prob[row])
    factor, distance = sky_factor_of(skymap, one.position, area, one.redshift, one.host, one.host_chance, row=row)
    density = contaminants_per_deg2()
    after = None if stated is None else posterior(last["p_phot"], factor.value, stated.value)
    return {
        "p_phot": last["p_phot"],
        "p_afterglow": last["p_afterglow"],
        "p_afterglow_supernova": last["p_afterglow_supernova"],
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
        "sky_factor_2d": sky_factor(skymap, *one.position, area_deg2=area, row=row).value,
        "redshift": one.redshift,
        "host_distance_mpc": distance,
        **one.assumed(event),
        "prior": None if stated is None else stated.value,
        "posterior": None if after is None else after.posterior,
        "source_probability": None if stated is None else stated.source,
        "contaminants_per_deg2": density,
        "area_90_deg2": area,
        "credible_level": level,
        "history": history,
    }
