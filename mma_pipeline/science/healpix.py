"""HEALPix pixels: UNIQ identifiers and NESTED indices, solid angles, unit vectors of shape (…, 3), equatorial axes.

UNIQ = 4 · 4^order + ipix, ipix in the NESTED scheme (Górski et al. 2005, ApJ 622 759; IVOA MOC 2.0). Positions in degrees
are in sphere.py.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.skymaps.fits import SkyMapError

MAX_ORDER = 29

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


def uniq_to_order_ipix(uniq: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    """Split UNIQ into order and NESTED index, both of the input's shape (IVOA MOC 2.0, section 4.3.1).

    Raises SkyMapError for values below 4 or beyond order 29.
    """
    values = np.asarray(uniq, dtype=np.int64)
    if values.size and (values.min() < 4 or values.max() >= 16 * 4**MAX_ORDER):
        raise SkyMapError("UNIQ column holds values outside HEALPix orders 0 to 29")
    # frexp of an int64 is exact only to 53 bits; the high half decides for the large orders.
    high = values >> 32
    bits = np.where(high > 0, np.frexp(high.astype(float))[1] + 32, np.frexp((values & 0xFFFFFFFF).astype(float))[1])
    order = (bits.astype(np.int64) - 1) // 2 - 1
    ipix = values - (np.int64(4) << (2 * order))
    if values.size and (ipix >= (np.int64(12) << (2 * order))).any():
        raise SkyMapError("UNIQ column holds indices beyond 12 · 4^order")
    return order, ipix


def order_ipix_to_uniq(order: npt.ArrayLike, ipix: npt.ArrayLike) -> IntArray:
    """UNIQ from order and NESTED index, broadcast shape."""
    order = np.asarray(order, dtype=np.int64)
    return np.asarray((np.int64(4) << (2 * order)) + np.asarray(ipix, dtype=np.int64))


def pixel_area(uniq: IntArray) -> FloatArray:
    """Solid angle of each pixel, sr."""
    return np.asarray(np.pi / 3.0 / 4.0 ** uniq_to_order_ipix(uniq)[0])


def pixel_range29(uniq: IntArray) -> tuple[IntArray, IntArray]:
    """Half-open range of order-29 NESTED indices in each pixel, both of the input's shape (N,)."""
    order, ipix = uniq_to_order_ipix(uniq)
    shift = 2 * (MAX_ORDER - order)
    return ipix << shift, (ipix + 1) << shift


def rest_of_sky(uniq: IntArray, at_most: int | None = None) -> IntArray:
    """UNIQ of the largest pixels that together cover what some pixels (shape (N,), not overlapping) leave of the sky.

    Raises SkyMapError if these were more than at_most.
    """
    order, ipix = uniq_to_order_ipix(uniq)
    found, count = [], 0
    inside = np.empty(0, dtype=np.int64)  # pixels of the level that are covered, if only in part; ascending
    for level in range(int(order.max(initial=0)), -1, -1):
        inside = _distinct(np.sort(np.concatenate([inside, ipix[order == level]])))
        parent = _distinct(inside >> 2) if level else np.zeros(1, dtype=np.int64)
        siblings = 4 if level else 12
        taken = np.zeros((len(parent), siblings), dtype=bool)
        taken[np.searchsorted(parent, inside // siblings), inside % siblings] = True
        group, child = np.nonzero(~taken)
        count += len(group)
        if at_most is not None and count > at_most:
            raise SkyMapError("sky map leaves out pixels in too many separate places")
        found.append(order_ipix_to_uniq(level, siblings * parent[group] + child))
        inside = parent
    return np.concatenate(found)


def _distinct(ascending: IntArray) -> IntArray:
    first = np.concatenate([np.ones(min(len(ascending), 1), dtype=bool), ascending[1:] != ascending[:-1]])
    return np.asarray(ascending[first])


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
