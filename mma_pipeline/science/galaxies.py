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
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.crossmatch import Ranking
from mma_pipeline.science.skymap import MAX_ORDER, FloatArray, IntArray, SkyMap

_SQ_DEG = np.square(180.0 / np.pi)


class GalaxyError(ValueError):
    """The ranking was asked for something that cannot be; the message says what."""


class Catalog(Protocol):
    """A galaxy catalog in order of its HEALPix index: arrays of shape (G,), memory-mapped or not; NaN where absent."""

    @property
    def index29(self) -> IntArray:
        """Order-29 NESTED index, ascending."""

    @property
    def ra(self) -> FloatArray:
        """Right ascension, deg."""

    @property
    def dec(self) -> FloatArray:
        """Declination, deg."""

    @property
    def distance(self) -> npt.NDArray[np.floating]:
        """Luminosity distance, Mpc."""

    @property
    def name(self) -> npt.NDArray[np.bytes_]:
        """Name, UTF-8."""

    def weight(self, kind: str) -> npt.NDArray[np.floating] | None:
        """Column `mass` (M☉) or `luminosity` (L☉); None where the catalog has none."""


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

    Raises GalaxyError where the catalog lacks the weight asked for.
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
    # Inside the volume means |d - μ| < σ √(2 ln(K / t)): one comparison instead of an exponential per galaxy.
    half = volume.sigma[:n] * np.sqrt(2.0 * (volume.log_norm[:n] - threshold))
    mu, half = volume.mu[:n][by_place].astype(np.float32), half[by_place].astype(np.float32)
    galaxy, row = _members(ranking.map, catalog, volume.row[:n][by_place])
    distance = catalog.distance[galaxy]
    inside = np.abs(distance - mu[row]) <= half[row]
    inside &= distance > 0
    if choice.max_distance is not None:
        inside &= distance <= choice.max_distance
    galaxy, row, distance = galaxy[inside], row[inside], distance[inside].astype(np.float64)
    without_weight = 0
    weight = np.full(galaxy.size, np.nan)
    if weights is not None:
        weight = weights[galaxy].astype(np.float64)
        known = weight > 0
        without_weight = int(galaxy.size - np.count_nonzero(known))
        galaxy, row, distance, weight = galaxy[known], row[known], distance[known], weight[known]
    which = by_place[row]
    x = (distance - volume.mu[which]) / volume.sigma[which]
    density = np.exp(volume.log_norm[which] - 0.5 * x**2)  # Mpc⁻³ sr⁻¹ · sr: position × distance
    seen = choice.detectability.factor(distance) if choice.detectability else np.full(galaxy.size, np.nan)
    score = density * np.where(np.isnan(weight), 1.0, weight) * np.where(np.isnan(seen), 1.0, seen)
    best = _best(score, weight, choice.limit)
    map_row = volume.row[which[best]]
    level_3d, _ = volume.levels(np.log(density[best])) if best.size else (np.empty(0), np.empty(0))
    position = ranking.map.probdensity[map_row] / _SQ_DEG
    return _listed(
        ranking,
        catalog,
        choice,
        galaxy[best],
        map_row,
        score=score[best] / score.sum() if best.size else score,
        position=position,
        distance_density=density[best] / (position * _SQ_DEG),
        weight=weight[best],
        detectability=seen[best],
        level_3d=level_3d,
        considered=int(galaxy.size),
        without_weight=without_weight,
    )


def _rank_2d(ranking: Ranking, catalog: Catalog, choice: Choice) -> GalaxyList:
    order = ranking.by_density
    n = int(np.searchsorted(ranking.searched_prob[order], choice.level)) + 1
    rows = np.sort(order[:n])
    galaxy, row = _members(ranking.map, catalog, rows)
    if choice.max_distance is not None:
        distance = catalog.distance[galaxy]
        near = (distance > 0) & (distance <= choice.max_distance)
        galaxy, row = galaxy[near], row[near]
    map_row = rows[row]
    score = ranking.map.probdensity[map_row]
    weights = catalog.weight(choice.weight) if choice.weight else None
    # Galaxies of one pixel have one score: the more massive comes first, though mass is no part of the score.
    tie = weights[galaxy].astype(np.float64) if weights is not None else np.full(galaxy.size, np.nan)
    best = _best(score, tie, choice.limit)
    absent = np.full(best.size, np.nan)
    return _listed(
        ranking,
        catalog,
        choice,
        galaxy[best],
        map_row[best],
        score=score[best] / score.sum() if best.size else score,
        position=score[best] / _SQ_DEG,
        distance_density=absent,
        weight=tie[best],
        detectability=absent,
        level_3d=absent,
        considered=int(galaxy.size),
        without_weight=0,
    )


def _members(m: SkyMap, catalog: Catalog, rows: IntArray) -> tuple[IntArray, IntArray]:
    """Galaxies inside rows of the map (ascending): positions in the catalog, and which of `rows` holds each."""
    start = m.start29[rows]
    stop = start + (np.int64(1) << (2 * (MAX_ORDER - m.order[rows])))
    first = np.searchsorted(catalog.index29, start)
    count = np.searchsorted(catalog.index29, stop) - first
    row = np.repeat(np.arange(rows.size), count)
    before = np.cumsum(count) - count
    return np.arange(row.size) + (first - before)[row], row


def _best(score: FloatArray, tie: FloatArray, limit: int) -> IntArray:
    """Indices of the `limit` largest scores, falling; ties by `tie` falling, then by place in the catalog."""
    some = np.flatnonzero(score > 0)
    if some.size > limit:
        cut = np.partition(score[some], some.size - limit)[some.size - limit]
        some = some[score[some] >= cut]
    heaviness = np.nan_to_num(tie[some], nan=-1.0)
    return np.asarray(some[np.lexsort((some, -heaviness, -score[some]))][:limit], dtype=np.int64)


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
