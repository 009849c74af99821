"""Pixels of a map as unit vectors, shape (…, 3), equatorial axes. Positions in degrees are in sphere.py."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.skymaps.model import FloatArray, IntArray, SkyMap

DEG2_PER_SR = float(np.degrees(1.0) ** 2)
SKY_DEG2 = 4 * np.pi * DEG2_PER_SR
#: ICRS to Galactic, rows are the Galactic axes (ESA 1997, The Hipparcos and Tycho Catalogues, vol. 1, section 1.5.3).
ICRS_TO_GALACTIC = np.array(
    [
        [-0.0548755604162154, -0.8734370902348850, -0.4838350155487132],
        [+0.4941094278755837, -0.4448296299600112, +0.7469822444972189],
        [-0.8676661490190047, -0.1980763734312015, +0.4559837761750669],
    ]
)


def vec_to_lonlat(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Longitude in [0, 360) and latitude, degrees, of vectors (…, 3) of any length."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    lon = np.degrees(np.arctan2(y, x)) % 360.0
    return np.where(lon >= 360.0, 0.0, lon), np.degrees(np.arctan2(z, np.hypot(x, y)))


def centres(order: npt.ArrayLike, ipix: npt.ArrayLike) -> FloatArray:
    """Unit vectors (N, 3) of the centres of NESTED pixels."""
    import healpy

    nside = np.int64(1) << np.asarray(order, dtype=np.int64)
    return np.stack(healpy.pix2vec(nside, np.asarray(ipix, dtype=np.int64), nest=True), axis=-1)


def vec_to_index29(vectors: FloatArray) -> IntArray:
    """Order-29 NESTED index of each direction, shape (…,)."""
    import healpy

    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.asarray(healpy.vec2pix(1 << 29, x, y, z, nest=True), dtype=np.int64)


def split_rows(skymap: SkyMap, order: int, least: float = 0.0) -> tuple[IntArray, IntArray, IntArray]:
    """Row, order and ipix (M,) of the map's pixels with those coarser than order split down to it.

    Rows with a probability of at most least stay whole, which keeps M small where nothing is lost.
    """
    depth = np.where(skymap.prob > least, np.maximum(order - skymap.order, 0), 0)
    count = np.int64(1) << (2 * depth)
    row = np.repeat(np.arange(len(count)), count)
    child = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    return row, (skymap.order + depth)[row], (skymap.ipix << (2 * depth))[row] + child
