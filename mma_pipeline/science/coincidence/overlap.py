"""How much two localisations overlap: 4π ∫ p₁ p₂ dΩ (Ashton et al. 2018, ApJ 860 6, doi:10.3847/1538-4357/aabfd2).

One for maps that know nothing of each other, above one where place speaks for a common source, zero where it excludes
one. Its mean over isotropic sources is exactly one, which is why it can divide a rate (`joint_far`).

Rows of two multi-order maps are nested: where they meet, one holds the other. So the sum over the rows of the common
refinement is exact, with nothing resampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import MAX_ORDER
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.sphere import index29, pixel_centres, separation, unit_vectors

FOUR_PI = 4.0 * np.pi


@dataclass(frozen=True, eq=False)
class Refinement:
    """The coarsest tiling of the sky on which both maps are constant; arrays of shape (N,) in NESTED order."""

    start29: IntArray
    """First order-29 NESTED index of each cell."""
    first: IntArray
    """Row of the first map that holds the cell."""
    second: IntArray
    """Row of the second map that holds the cell."""
    area: FloatArray
    """Solid angle of each cell, sr."""


def refinement(a: SkyMap, b: SkyMap) -> Refinement:
    """The common refinement of two maps, of at most as many cells as both have rows together."""
    both = np.concatenate([a.start29, b.start29])
    both.sort(kind="stable")  # two sorted runs: merged in one pass
    start = both[np.concatenate([[True], both[1:] != both[:-1]])]
    first, second = a.row_of(start), b.row_of(start)
    return Refinement(start, first, second, np.minimum(a.area[first], b.area[second]))


def overlap_integral(a: SkyMap, b: SkyMap) -> float:
    """4π ∫ p_a p_b dΩ of two maps, dimensionless; exact on their rows."""
    cells = refinement(a, b)
    return float(FOUR_PI * np.sum(a.probdensity[cells.first] * b.probdensity[cells.second] * cells.area))


def overlap_of_point(m: SkyMap, ra: float, dec: float) -> float:
    """The same for a source whose direction (deg) is known exactly: 4π times the density there."""
    return float(FOUR_PI * m.probdensity[m.row_of(index29([ra], [dec]))][0])


def overlap_of_circle(m: SkyMap, ra: float, dec: float, radius: float, containment: float) -> float:
    """The same for a Gaussian on the sphere (Fisher distribution) around (ra, dec) whose circle of `radius` holds `containment`.

    Angles in deg, the probability within 0 to 1. The Gaussian is sampled at pixels of a sixth of its width, out to six
    widths; the map's rows are used as they are.
    """
    import healpy

    sigma = np.radians(radius) / np.sqrt(-2.0 * np.log1p(-min(containment, 0.9999)))
    order = int(np.clip(np.ceil(np.log2(np.sqrt(np.pi / 3.0) / (sigma / 6.0))), 5, 16))
    ipix = healpy.query_disc(1 << order, unit_vectors(ra, dec), min(6.0 * sigma, np.pi), nest=True)
    ipix = np.asarray(ipix, dtype=np.int64)
    if not ipix.size:  # a circle smaller than a pixel
        return overlap_of_point(m, ra, dec)
    lon, lat = pixel_centres(np.full(ipix.size, order), ipix)
    angle = np.radians(separation(lon, lat, ra, dec))
    weight = np.exp((np.cos(angle) - 1.0) / sigma**2)
    row = m.row_of(ipix << (2 * (MAX_ORDER - order)))
    return float(FOUR_PI * np.sum(weight * m.probdensity[row]) / np.sum(weight))
