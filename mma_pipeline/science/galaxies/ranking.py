"""Galaxies of a catalog ranked by how likely each hosts the source and how well its kilonova can be seen.

After Arcavi et al. 2017, ApJL 848 L33 (doi:10.3847/2041-8213/aa910f), section 2: score = position × distance × mass
(or luminosity) × detectability. Both localisation factors come from the map's own multi-order rows, so the list does
not depend on a resolution, and rank is the order of the score and nothing else.

    position       PROBDENSITY of the galaxy's row, deg⁻²
    distance       DISTNORM · N(d; DISTMU, DISTSIGMA): posterior per volume along that line of sight, Mpc⁻³
                   (Singer et al. 2016, ApJL 829 L15). No factor d²: galaxies themselves fill space.
    weight         stellar mass (M☉) or luminosity (L☉)
    detectability  (L_max - L_lim) / (L_max - L_min), kept between `floor` and 1: L_lim is the faintest luminosity
                   that the limiting magnitude reaches at d, L_min and L_max belong to the faintest and the brightest
                   kilonova expected

Only galaxies inside the credible volume take part; the scores of all of them, not of the best N alone, sum to one.
A map without distance layers ranks by position, within the credible region.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.galaxies.catalog import Catalog
from mma_pipeline.science.galaxies.selection import Best, best_places, members
from mma_pipeline.science.healpix import DEG2_PER_SR
from mma_pipeline.science.skymaps.credible import Ranking
from mma_pipeline.science.skymaps.model import SkyMap

#: The column of 3-D levels is exact to 5e-3.
_LEVEL_STEP = 0.04


class GalaxyError(ValueError):
    """The ranking was asked for something that cannot be; the message says what."""


@dataclass(frozen=True)
class Detectability:
    """What telescope and source are assumed; absolute magnitudes are AB in the band of the limiting magnitude."""

    limiting_magnitude: float = 22.0
    """Faintest apparent magnitude reached, mag."""
    brightest: float = -17.0
    """Absolute magnitude of the brightest kilonova expected, mag (Arcavi et al. 2017)."""
    faintest: float = -12.0
    """Absolute magnitude of the faintest kilonova expected, mag (Arcavi et al. 2017)."""
    floor: float = 0.01
    """Least factor: the small chance that the theory is wrong and the source is brighter."""

    def factor(self, distance: npt.NDArray[np.floating]) -> FloatArray:
        """Detectability at luminosity distances in Mpc, between `floor` and 1, shape of the input."""
        l_max, l_min = 10.0 ** (-0.4 * self.brightest), 10.0 ** (-0.4 * self.faintest)
        # M_lim = m - 25 - 5 log10(d / Mpc), hence L_lim grows as d².
        l_lim = 10.0 ** (-0.4 * (self.limiting_magnitude - 25.0)) * np.square(distance, dtype=np.float64)
        return np.asarray(np.clip((l_max - l_lim) / (l_max - l_min), self.floor, 1.0))


@dataclass(frozen=True)
class Choice:
    """Which galaxies take part and how many are listed."""

    level: float = 0.99
    """Credible level of the volume (3-D) or region (2-D) that a galaxy must lie in."""
    weight: str | None = "mass"
    """`mass`, `luminosity` or None (every galaxy weighs the same)."""
    detectability: Detectability | None = Detectability()
    """None: detectability is left out."""
    max_distance: float | None = None
    """Farther galaxies are left out, Mpc; meant for maps without distance layers."""
    limit: int = 10_000
    """Longest list."""

    def __post_init__(self) -> None:
        """Raises GalaxyError for values without a meaning."""
        if not 0.0 < self.level < 1.0:
            raise GalaxyError(f"credible level {self.level} is not between 0 and 1")
        if self.limit < 1:
            raise GalaxyError(f"a list of {self.limit} galaxies is no list: ask for one or more")
        if self.weight not in {"mass", "luminosity", None}:
            raise GalaxyError(f"weight {self.weight!r} is unknown: mass, luminosity or none")


@dataclass(frozen=True, eq=False)
class GalaxyList:
    """The best galaxies of one map, best first; arrays of shape (N,), NaN where a quantity does not apply."""

    rank: IntArray
    """1 to N."""
    name: tuple[str, ...]
    ra: FloatArray
    """deg"""
    dec: FloatArray
    """deg"""
    distance: FloatArray
    """Mpc"""
    score: FloatArray
    """Share of the whole; all galaxies considered sum to one."""
    position: FloatArray
    """deg⁻²"""
    distance_density: FloatArray
    """Mpc⁻³; NaN for a map without distance layers."""
    weight: FloatArray
    """M☉ or L☉ as `weight_kind` says; NaN where it took no part."""
    detectability: FloatArray
    """Dimensionless; NaN where it took no part."""
    level_2d: FloatArray
    """Credible level of the region that ends at the galaxy."""
    level_3d: FloatArray
    """Credible level of the volume that ends at the galaxy; NaN for a map without distance layers."""
    weight_kind: str | None
    considered: int
    """Galaxies that share the score of one."""
    without_weight: int
    """Galaxies in the volume left out because the catalog has no mass (luminosity) for them."""

    def __len__(self) -> int:
        return int(self.rank.size)


def rank_galaxies(m: SkyMap | Ranking, catalog: Catalog, choice: Choice | None = None) -> GalaxyList:
    """Rank the galaxies of a catalog for a map; an empty list where none lies in the volume.

    Raises GalaxyError if the catalog lacks the weight asked for.
    """
    choice = choice or Choice()
    ranking = m if isinstance(m, Ranking) else Ranking(m)
    if ranking.map.is_3d:
        return _rank_3d(ranking, catalog, choice)
    return _rank_2d(ranking, catalog, choice)


def _rank_3d(ranking: Ranking, catalog: Catalog, choice: Choice) -> GalaxyList:
    weights = catalog.weight(choice.weight) if choice.weight else None
    if choice.weight and weights is None:
        raise GalaxyError(f"the catalog has no {choice.weight}: import it with that column or set the weight to none")
    volume = ranking.volume
    threshold = volume.threshold(choice.level)
    n = int(np.searchsorted(-volume.log_peak, -threshold, side="left"))
    by_place = np.argsort(volume.row[:n], kind="stable")
    mu, sigma, log_norm = (v[:n][by_place] for v in (volume.mu, volume.sigma, volume.log_norm))
    # Inside the volume means |d - μ| < σ √(2 ln(K / t)): one comparison instead of an exponential per galaxy.
    half = sigma * np.sqrt(2.0 * (log_norm - threshold))
    total, considered, without_weight = 0.0, 0, 0
    kept = Best(choice.limit)
    farthest = np.inf if choice.max_distance is None else choice.max_distance
    within = (mu - half, np.minimum(mu + half, farthest))
    for galaxy, row in members(ranking.map, catalog.index29, volume.row[:n][by_place], catalog.distance, within):
        distance = catalog.distance[galaxy].astype(np.float64)
        inside = (np.abs(distance - mu[row]) <= half[row]) & (distance > 0) & (distance <= farthest)
        weight = np.ones(galaxy.size)
        if weights is not None:
            weight = weights[galaxy].astype(np.float64)
            without_weight += int(np.count_nonzero(inside & ~(weight > 0)))
            inside &= weight > 0
        galaxy, row, distance, weight = galaxy[inside], row[inside], distance[inside], weight[inside]
        density = np.exp(log_norm[row] - 0.5 * np.square((distance - mu[row]) / sigma[row]))  # position × distance
        score = density * weight
        if choice.detectability:
            score *= choice.detectability.factor(distance)
        total += float(score.sum())
        considered += galaxy.size
        kept.add(galaxy, row, score, density)
    galaxy, row, score, density = kept.joined()
    by_weight = weights[galaxy].astype(np.float64) if weights is not None else np.full(galaxy.size, np.nan)
    best = best_places(score, by_weight, choice.limit)
    galaxy, density = galaxy[best], density[best]
    map_row = volume.row[:n][by_place[row[best]]]
    position = ranking.map.probdensity[map_row] / DEG2_PER_SR
    distance = catalog.distance[galaxy].astype(np.float64)
    seen = choice.detectability.factor(distance) if choice.detectability else np.full(galaxy.size, np.nan)
    return _listed(
        ranking,
        catalog,
        choice,
        galaxy,
        map_row,
        score=score[best] / total if total else score[best],
        position=position,
        distance_density=density / (position * DEG2_PER_SR),
        weight=by_weight[best],
        detectability=seen,
        level_3d=volume.levels(np.log(density), resolution=_LEVEL_STEP, volumes=False)[0] if best.size else density,
        considered=considered,
        without_weight=without_weight,
    )


def _rank_2d(ranking: Ranking, catalog: Catalog, choice: Choice) -> GalaxyList:
    order = ranking.by_density
    n = int(np.searchsorted(ranking.searched_prob[order], choice.level)) + 1
    rows = np.sort(order[:n])
    weights = catalog.weight(choice.weight) if choice.weight else None
    total, considered = 0.0, 0
    kept = Best(choice.limit)
    for galaxy, row in members(ranking.map, catalog.index29, rows):
        if choice.max_distance is not None:
            distance = catalog.distance[galaxy]
            near = (distance > 0) & (distance <= choice.max_distance)
            galaxy, row = galaxy[near], row[near]
        score = ranking.map.probdensity[rows[row]]
        # Galaxies of one pixel have one score: the more massive comes first, though mass is no part of the score.
        tie = weights[galaxy].astype(np.float64) if weights is not None else np.full(galaxy.size, np.nan)
        total += float(score.sum())
        considered += galaxy.size
        kept.add(galaxy, row, score, tie)
    galaxy, row, score, tie = kept.joined()
    best = best_places(score, tie, choice.limit)
    absent = np.full(best.size, np.nan)
    return _listed(
        ranking,
        catalog,
        choice,
        galaxy[best],
        rows[row[best]],
        score=score[best] / total if total else score[best],
        position=score[best] / DEG2_PER_SR,
        distance_density=absent,
        weight=tie[best],
        detectability=absent,
        level_3d=absent,
        considered=considered,
        without_weight=0,
    )


def _listed(
    ranking: Ranking,
    catalog: Catalog,
    choice: Choice,
    galaxy: IntArray,
    map_row: IntArray,
    *,
    score: FloatArray,
    position: FloatArray,
    distance_density: FloatArray,
    weight: FloatArray,
    detectability: FloatArray,
    level_3d: FloatArray,
    considered: int,
    without_weight: int,
) -> GalaxyList:
    distance = catalog.distance[galaxy].astype(np.float64)
    return GalaxyList(
        rank=np.arange(1, galaxy.size + 1),
        name=tuple(str(name, "utf-8", "replace") for name in catalog.name[galaxy]),
        ra=np.asarray(catalog.ra[galaxy], dtype=np.float64),
        dec=np.asarray(catalog.dec[galaxy], dtype=np.float64),
        distance=np.where(distance > 0, distance, np.nan),
        score=score,
        position=position,
        distance_density=distance_density,
        weight=weight,
        detectability=detectability,
        level_2d=ranking.searched_prob[map_row],
        level_3d=level_3d,
        weight_kind=choice.weight,
        considered=considered,
        without_weight=without_weight,
    )
