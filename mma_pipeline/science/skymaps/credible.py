"""The credible level of a position, and the areas of credible regions: the one definition that all products use.

A credible region is grown greedily from the densest pixel. The level of a position is the probability of the region that
ends with the position's own pixel, that pixel included: the searched probability of
`ligo.skymap.postprocess.crossmatch` (Singer et al. 2016, ApJS 226 10), ties in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import DEG2_PER_SR
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.skymaps.volume import CredibleVolume, credible_volume
from mma_pipeline.science.sphere import pixel_centres


@dataclass(frozen=True, eq=False)
class Ranking:
    """The rows of a map in order of falling density with what they enclose; made once, asked many times."""

    map: SkyMap

    @cached_property
    def by_density(self) -> IntArray:
        """Rows, densest first; equal densities in descending UNIQ as ligo.skymap orders them. Shape (N,)."""
        return np.asarray(np.lexsort((self.map.uniq, self.map.probdensity))[::-1], dtype=np.int64)

    @cached_property
    def searched_prob(self) -> FloatArray:
        """Probability enclosed by the credible region that ends with each row of the map, shape (N,)."""
        return np.minimum(self._cumulated(self.map.prob), 1.0)  # rounding must not make it more than certain

    @cached_property
    def searched_area(self) -> FloatArray:
        """Area of that region, deg², shape (N,)."""
        return self._cumulated(self.map.area * DEG2_PER_SR)

    @property
    def mode(self) -> tuple[float, float]:
        """Right ascension and declination, deg, of the centre of the densest pixel."""
        row = self.by_density[:1]
        ra, dec = pixel_centres(self.map.order[row], self.map.ipix[row])
        return float(ra[0]), float(dec[0])

    @cached_property
    def volume(self) -> CredibleVolume:
        """The credible volumes; raises NoDistanceError for a map without distance layers."""
        return credible_volume(self.map)

    def _cumulated(self, values: FloatArray) -> FloatArray:
        result = np.empty(values.shape)
        result[self.by_density] = np.cumsum(values[self.by_density])
        return result


def greedy(skymap: SkyMap) -> tuple[IntArray, FloatArray]:
    """Rows, densest first, and the probability cumulated over them, shape (N,) each: how a region is grown.

    Rows of equal density come in the order of the map, so the region is the same everywhere.
    """
    rank = np.argsort(-skymap.probdensity, kind="stable")
    return rank, np.cumsum(skymap.prob[rank])


def crossing(total: FloatArray, level: float) -> int:
    """Place in `greedy`'s order of the row with which the region holds a level (0 to 1) of the map's probability."""
    return min(int(np.searchsorted(total, level * total[-1], side="left")), len(total) - 1)


def credible_areas(m: SkyMap | Ranking, levels: Sequence[float]) -> list[float]:
    """Areas (deg²) of the smallest regions that hold each level (0 to 1), part of the crossing row included.

    Linear interpolation of area over probability, as `ligo.skymap.postprocess.crossmatch` does.
    """
    ranking = m if isinstance(m, Ranking) else Ranking(m)
    rows = ranking.by_density
    rows = rows[ranking.map.prob[rows] > 0]  # no level needs the empty ones, not even 1
    prob = np.concatenate([[0.0], np.cumsum(ranking.map.prob[rows])])
    area = np.concatenate([[0.0], np.cumsum(ranking.map.area[rows])])
    return [float(a) * DEG2_PER_SR for a in np.interp(np.minimum(levels, prob[-1]), prob, area)]
