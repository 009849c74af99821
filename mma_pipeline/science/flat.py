"""Flat HEALPix maps for readers that know no multi-order maps, among them the GWTM site.

The layout is that of GraceDB's `*.fits.gz`: PROB and, with distance, DISTMU, DISTSIGMA, DISTNORM, NESTED, one row per
pixel, gzipped. NSIDE is chosen from the region, never from the map's finest row: at order 11 a flat map takes gigabytes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.fitstable import gzip_bytes, write_table
from mma_pipeline.science.pixels import SKY_DEG2
from mma_pipeline.science.skymap import NO_DISTANCE, FloatArray, IntArray, SkyMap
from mma_pipeline.science.stats import credible_areas

#: Pixels that the 50 % region should have at least …
_PIXELS_IN_50 = 150
#: … within these orders: at NSIDE 64 narrow arcs grow by 5 %, and NSIDE 512 (6.9 arcmin) is 100 MB uncompressed.
_ORDER_MIN, _ORDER_MAX = 7, 9
_PIXEL_CARDS = frozenset(("PIXTYPE", "ORDERING", "COORDSYS", "NSIDE", "INDXSCHM", "MOCORDER", "FIRSTPIX", "LASTPIX"))


def flat_order(skymap: SkyMap) -> int:
    """HEALPix order for the flat map: the coarsest that gives the 50 % region 150 pixels, between 7 and 9 (NSIDE 128 to 512)."""
    wanted = 0.5 * np.log2(SKY_DEG2 / 12 * _PIXELS_IN_50 / max(credible_areas(skymap, (0.5,))[0], 1e-9))
    return int(np.clip(np.ceil(wanted), _ORDER_MIN, _ORDER_MAX))


def flatten(skymap: SkyMap, order: int) -> dict[str, FloatArray]:
    """Column name to values (12 · 4^order,) in NESTED order: PROB, and DISTMU, DISTSIGMA (Mpc), DISTNORM (Mpc⁻²).

    Probability is conserved exactly. Where rows are finer than the pixels, the distance of a pixel has the mean and
    the variance of the probability-weighted mixture of its rows (Singer et al. 2016, ApJS 226 10).
    """
    pixels = 12 << (2 * order)
    fine = skymap.order > order
    row = np.repeat(np.arange(len(fine))[~fine], np.int64(1) << (2 * (order - skymap.order[~fine])))
    begin = (skymap.start29 >> (2 * (29 - order)))[~fine]
    target = _runs(begin, np.int64(1) << (2 * (order - skymap.order[~fine])))
    parent = skymap.start29[fine] >> (2 * (29 - order))
    prob = np.bincount(parent, skymap.prob[fine], minlength=pixels).astype(float)
    prob[target] = skymap.probdensity[row] * (4 * np.pi / pixels)
    columns = {"PROB": prob}
    if skymap.distmu is None or skymap.distsigma is None or skymap.distnorm is None:
        return columns
    merged = _merge_distances(parent, skymap.prob[fine], skymap.distmu[fine], skymap.distsigma[fine])
    layers = zip(("DISTMU", "DISTSIGMA", "DISTNORM"), (skymap.distmu, skymap.distsigma, skymap.distnorm), strict=True)
    for (name, layer), values, empty in zip(layers, merged[1:], NO_DISTANCE, strict=True):
        column = np.full(pixels, empty)
        column[target] = layer[row]
        column[merged[0]] = values
        columns[name] = column
    return columns


def encode_flat(skymap: SkyMap, order: int | None = None) -> bytes:
    """Gzipped FITS bytes of the flat map (order as flat_order says unless given); the same map gives the same bytes."""
    order = flat_order(skymap) if order is None else order
    units = {"PROB": "pix-1", "DISTMU": "Mpc", "DISTSIGMA": "Mpc", "DISTNORM": "Mpc-2"}
    columns = [(name, values, units[name]) for name, values in flatten(skymap, order).items()]
    cards = {k: v for k, v in skymap.meta.items() if k not in _PIXEL_CARDS}
    cards |= {"PIXTYPE": "HEALPIX", "ORDERING": "NESTED", "COORDSYS": "C", "INDXSCHM": "IMPLICIT"}
    cards |= {"NSIDE": 1 << order, "FIRSTPIX": 0, "LASTPIX": (12 << (2 * order)) - 1}
    # Runs of equal rows deflate as well at the lowest level as at the highest, in a tenth of the time.
    return gzip_bytes(write_table(columns, cards), level=1)


def _runs(begin: IntArray, count: npt.NDArray[np.int64]) -> IntArray:
    """begin, begin + 1, … for each row, count of them, one after the other."""
    first = np.cumsum(count) - count
    return np.asarray(np.arange(int(count.sum())) + np.repeat(begin - first, count))


def _merge_distances(
    parent: IntArray, prob: FloatArray, mu: FloatArray, sigma: FloatArray
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """Pixel, DISTMU, DISTSIGMA, DISTNORM of the mixtures of rows that share a pixel; pixels without distance left out."""
    known = np.isfinite(mu) & (prob > 0)
    pixel, group = np.unique(parent[known], return_inverse=True)
    if not len(pixel):
        return pixel, np.empty(0), np.empty(0), np.empty(0)
    from ligo.skymap.distance import moments_to_parameters, parameters_to_moments

    mean, std, _ = parameters_to_moments(mu[known], sigma[known])
    weight = prob[known]
    total = np.bincount(group, weight)
    first = np.bincount(group, weight * mean) / total
    second = np.bincount(group, weight * (mean**2 + std**2)) / total
    merged = moments_to_parameters(first, np.sqrt(np.maximum(second - first**2, 0.0)))
    mu_of, sigma_of, norm_of = (np.asarray(values, dtype=np.float64) for values in merged)
    return pixel, mu_of, sigma_of, norm_of
