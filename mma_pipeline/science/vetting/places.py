"""Which objects of a sorted catalog lie near some positions: pairs, found by ranges of the HEALPix curve.

An index of order 29 is a position to 0.4 milliarcseconds, so a search reads the sorted indices alone: of a table on disk only
these and the rows that match come into memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import MAX_ORDER
from mma_pipeline.science.sphere import pixel_centres, separation

#: A pixel must be this many times wider than the radius, so that it and its eight neighbours hold the circle. HEALPix
#: pixels are not square: the narrowest are a little over half as wide as the square root of their area.
_WIDTHS = 2.5
#: Pairs compared at a time: bounds memory.
_BLOCK = 200_000


@dataclass(frozen=True, eq=False)
class Pairs:
    """Neighbours of some positions, ordered by position; arrays of one shape (K,)."""

    position: IntArray
    place: IntArray
    """Row of the catalog."""
    separation: FloatArray
    """Angle between them, deg."""


def order_for(radius_deg: float) -> int:
    """The finest HEALPix order whose pixel and its neighbours hold every circle of this radius (deg) around a point in it."""
    width = np.degrees(np.sqrt(np.pi / 3)) / 2.0 ** np.arange(MAX_ORDER + 1)
    return int(np.flatnonzero(width >= _WIDTHS * radius_deg)[-1])


def cells(ra: FloatArray, dec: FloatArray, order: int) -> IntArray:
    """The pixel of each position (deg) and its neighbours, shape (N, 9), NESTED; -1 where a pixel has seven neighbours."""
    import healpy

    nside = 1 << order
    own = healpy.ang2pix(nside, ra, dec, nest=True, lonlat=True)
    around = np.asarray(healpy.get_all_neighbours(nside, own, nest=True)).reshape(8, -1)
    return np.concatenate([own[np.newaxis], around]).T.astype(np.int64)


def ranges(index29: IntArray, pixels: IntArray, order: int) -> tuple[IntArray, IntArray]:
    """First row and number of rows of pixels (NESTED; -1: none) in a catalog whose `index29` (G,) is ascending."""
    shift = 2 * (MAX_ORDER - order)
    flat = pixels.ravel()
    # In ascending order the searches stay on few pages of a catalog on disk.
    ascending = np.argsort(flat, kind="stable")
    sorted_pixels = flat[ascending]
    first, last = (np.searchsorted(index29, (sorted_pixels + k) << shift) for k in (0, 1))
    start, count = np.empty_like(flat), np.empty_like(flat)
    start[ascending], count[ascending] = first, np.where(sorted_pixels < 0, 0, last - first)
    return start.reshape(pixels.shape), count.reshape(pixels.shape)


def counts_around(index29: IntArray, ra: FloatArray, dec: FloatArray, order: int) -> FloatArray:
    """Objects per deg² in the pixel of each position (deg) and its neighbours, shape (N,)."""
    pixels = cells(ra, dec, order)
    _, count = ranges(index29, pixels, order)
    area = np.degrees(np.degrees(np.pi / 3.0)) / 4.0**order
    return np.asarray(count.sum(axis=1) / (area * (pixels >= 0).sum(axis=1)))


def neighbours(index29: IntArray, ra: FloatArray, dec: FloatArray, radius_deg: float) -> Pairs:
    """All objects of a catalog within a radius (deg) of some positions (ICRS, deg, shape (N,)).

    `index29` of shape (G,) is ascending. Separations are exact to a milliarcsecond.
    """
    order = order_for(radius_deg)
    first, count = ranges(index29, cells(ra, dec, order), order)
    start, number = first.ravel(), count.ravel()
    owner = np.repeat(np.arange(len(ra)), first.shape[1])
    found: list[tuple[IntArray, IntArray, FloatArray]] = []
    ends = np.cumsum(number)
    cuts = [0, *(np.flatnonzero(np.diff(ends // _BLOCK)) + 1), len(number)]
    for a, b in pairwise(cuts):
        size = int(number[a:b].sum())
        if not size:
            continue
        before = np.cumsum(number[a:b]) - number[a:b]
        place = np.arange(size) + np.repeat(start[a:b] - before, number[a:b])
        position = np.repeat(owner[a:b], number[a:b])
        apart = separation(ra[position], dec[position], *pixel_centres(MAX_ORDER, index29[place]))
        near = np.flatnonzero(apart <= radius_deg)
        found.append((position[near], place[near], apart[near]))
    if not found:
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    return Pairs(*(np.concatenate(column) for column in zip(*found, strict=True)))
