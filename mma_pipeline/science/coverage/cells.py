"""Pointings to the HEALPix cells that they cover, by testing a point in each cell, fine enough for each footprint.

The sky near the pointings is divided into blocks, and each block into cells as fine as the finest footprint there needs:
some thousand for a footprint, fewer where the pointings are so many that this would take too long. A cell counts as
covered where its point is. The point lies anywhere in its cell, always at the same place: so sums are unbiased, also over
fields on a grid of their own, and the error of an area is that of some cells along the edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mma_pipeline.notices.footprints import Footprint
from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.coverage.footprint import area_deg2, picture, reach_deg
from mma_pipeline.science.healpix import DEG2_PER_SR, MAX_ORDER, SKY_DEG2, centres

#: Cells that a footprint is to have.
CELLS_PER_FOOTPRINT = 16_000
#: Orders of the coarsest and the finest cells: 13.7 arcminutes and 3 arcseconds wide.
COARSEST, FINEST = 8, 16
#: Tests of a cell against a pointing, and cells, that a computation may take; orders are lowered until they suffice.
_MOST_TESTS, _MOST_CELLS = 4_000_000, 2_000_000
#: Pairs of a block and a pointing that are worth while, and tests made at once.
_MOST_PAIRS, _CHUNK = 400_000, 400_000
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Places:
    """Pointings of instruments, all arrays of shape (N,)."""

    footprints: Sequence[Footprint]
    """The footprints that occur."""
    footprint: IntArray
    """Which of them each pointing has."""
    ra: FloatArray
    """Right ascension ICRS, degrees."""
    dec: FloatArray
    """Declination ICRS, degrees."""
    angle: FloatArray
    """By what the footprint is turned, degrees from north through east."""

    def __len__(self) -> int:
        return len(self.ra)

    def unique(self) -> tuple[Places, IntArray]:
        """The places without repetitions, and which of them each pointing has, shape (N,)."""
        rows = np.stack([self.footprint.astype(float), self.ra, self.dec, self.angle], axis=1)
        _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        one = Places(self.footprints, self.footprint[first], self.ra[first], self.dec[first], self.angle[first])
        return one, np.asarray(inverse, dtype=np.int64).reshape(-1)

    def axes(self) -> FloatArray:
        """Unit vectors to the east and north of each turned footprint and of its centre, as columns: (N, 3, 3)."""
        a, d, t = (np.radians(v) for v in (self.ra, self.dec, self.angle))
        zero = np.zeros_like(a)
        centre = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)
        east = np.stack([-np.sin(a), np.cos(a), zero], axis=1)
        north = np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)], axis=1)
        cos, sin = np.cos(t)[:, np.newaxis], np.sin(t)[:, np.newaxis]
        return np.stack([cos * east - sin * north, cos * north + sin * east, centre], axis=2)


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells that some places cover, and which of them each place does."""

    order: IntArray
    """HEALPix order of each cell, shape (C,); cells do not overlap and ascend along the NESTED curve."""
    ipix: IntArray
    """NESTED index at that order, shape (C,)."""
    covered: npt.NDArray[np.int32]
    """Cells that are covered, one place after the other, shape (H,)."""
    place: IntArray
    """Place of each run of `covered`, shape (S,); a place may have several."""
    start: IntArray
    """Where each run begins, shape (S,); the runs follow each other without gaps."""
    end: IntArray
    """Where it ends, shape (S,)."""

    @property
    def area_deg2(self) -> FloatArray:
        """Area of each cell, deg²."""
        return np.asarray(np.pi / 3 / 4.0**self.order * DEG2_PER_SR)

    @cached_property
    def _place_of_hit(self) -> npt.NDArray[np.int32]:
        """Place of each entry of `covered`."""
        return np.repeat(self.place.astype(np.int32), self.end - self.start)

    def any(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Whether each cell (C,) is covered by any of the chosen places (a mask)."""
        return np.asarray(self.greatest(np.where(chosen, 0, -1).astype(np.int32)) >= 0)

    def greatest(self, value: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """The greatest value of the places that cover each cell, shape (C,); -1 where none does.

        `value` has one for each place; places of -1 do not count.
        """
        found = np.full(len(self.ipix), -1, dtype=np.int32)
        np.maximum.at(found, self.covered, value[self._place_of_hit])
        return found


def cells_of(places: Places) -> Cells:
    """The cells that places cover; the places should be unique, for each is tested."""
    if not len(places):
        none = np.zeros(0, dtype=np.int64)
        return Cells(none, none, none.astype(np.int32), none, none, none)
    reach = np.array([reach_deg(f) for f in places.footprints])[places.footprint]
    wanted = np.array([_wanted(f) for f in places.footprints], dtype=np.int64)[places.footprint]
    axes = places.axes()
    block_order = _block_order(reach)
    place, block = _pairs(axes[:, :, 2], reach, block_order)
    blocks, slot = _compact(block, block_order)
    finest = np.zeros(len(blocks), dtype=np.int64)
    np.maximum.at(finest, slot, wanted[place])
    of_block = _affordable(finest, slot, block_order)
    count = np.int64(1) << (2 * (of_block - block_order))
    first = np.cumsum(count) - count
    order = np.repeat(of_block, count)
    ipix = np.repeat(blocks * count - first, count) + np.arange(len(order))
    runs: list[tuple[IntArray, IntArray]] = []
    hits: list[npt.NDArray[np.int32]] = []
    matrices = axes.astype(np.float32)
    for level in np.unique(of_block):
        inside = np.flatnonzero(of_block == level)
        per_block = 1 << (2 * (int(level) - block_order))
        cell = (first[inside][:, np.newaxis] + np.arange(per_block)).ravel()
        # In 32 bits a point is off by 0.01 arcseconds.
        vectors = _points(int(level), ipix[cell]).astype(np.float32).reshape(len(inside), per_block, 3)
        row_of = np.full(len(blocks), -1)
        row_of[inside] = np.arange(len(inside))
        for number, footprint in enumerate(places.footprints):
            chosen = np.flatnonzero((row_of[slot] >= 0) & (places.footprint[place] == number))
            step = max(1, _CHUNK // per_block)
            for begin in range(0, len(chosen), step):
                pairs = chosen[begin : begin + step]
                pair, child = np.nonzero(_inside(footprint, vectors[row_of[slot[pairs]]], matrices[place[pairs]]))
                hits.append((first[slot[pairs]][pair] + child).astype(np.int32))
                runs.append(_runs(place[pairs], pair))
    sizes = np.concatenate([size for _, size in runs])
    ends = np.cumsum(sizes)
    covered = np.concatenate(hits)
    used = np.zeros(len(order), dtype=bool)
    used[covered] = True
    renumbered = np.cumsum(used, dtype=np.int32) - np.int32(1)
    which = np.concatenate([which for which, _ in runs])
    return Cells(order[used], ipix[used], renumbered[covered], which, ends - sizes, ends)


def _points(order: int, ipix: IntArray) -> FloatArray:
    """A point in each cell of an order, as unit vectors (N, 3): the centre of one of its 4,096 parts."""
    part = (ipix * 2_654_435_761 >> 13) & 4095
    return centres(np.full(len(ipix), order + 6), (ipix << 12) + part)


def _runs(place: IntArray, pair: IntArray) -> tuple[IntArray, IntArray]:
    """Places (ascending, one for each pair) without repetitions, and how many hits each has, from the pair of each hit."""
    which, begin = np.unique(place, return_index=True)
    hits = np.bincount(pair, minlength=len(place))
    return which, np.add.reduceat(hits, begin)


def _inside(footprint: Footprint, vectors: Matrix, axes: Matrix) -> npt.NDArray[np.bool_]:
    """Whether directions (P, L, 3) lie in a footprint placed by axes (P, 3, 3); shape (P, L)."""
    seen = np.matmul(vectors, axes)
    ahead = seen[..., 2]
    if footprint.radius is not None:
        radius = np.radians(footprint.radius)
        if radius > 1.0:
            return np.asarray(ahead >= np.cos(radius))
        # By the sine: the cosine of a small angle has lost its digits.
        return np.asarray((ahead > 0) & (seen[..., 0] ** 2 + seen[..., 1] ** 2 <= np.sin(radius) ** 2))
    drawn = picture(footprint)
    # Beyond 84° from the pointing there is no footprint; nearer, the plane is finite.
    ahead = np.where(ahead > 0.1, ahead, np.inf)
    column = seen[..., 0] / ahead
    column -= np.float32(drawn.x0)
    column *= np.float32(drawn.per_unit)
    row = seen[..., 1] / ahead
    row -= np.float32(drawn.y0)
    row *= np.float32(drawn.per_unit)
    np.clip(column, 0, drawn.columns - 1, out=column)
    np.clip(row, 0, drawn.rows - 1, out=row)
    index = row.astype(np.int32)
    index *= drawn.columns
    index += column.astype(np.int32)
    found: npt.NDArray[np.bool_] = drawn.inside[index]
    if drawn.x0 <= 0 <= drawn.x0 + drawn.columns / drawn.per_unit:
        found &= np.isfinite(ahead)
    return found


def _wanted(footprint: Footprint) -> int:
    """Order at which a footprint has `CELLS_PER_FOOTPRINT` cells."""
    cell = area_deg2(footprint) / CELLS_PER_FOOTPRINT
    return int(np.clip(np.ceil(np.log(SKY_DEG2 / 12 / cell) / np.log(4)), COARSEST, FINEST))


def _block_order(reach: FloatArray) -> int:
    """Finest order, 4 to 12, of blocks that pair with places at most `_MOST_PAIRS` times."""
    for order in range(12, 4, -1):
        block = np.sqrt(SKY_DEG2 / 12) / 2**order
        caps = 2 * np.pi * (1 - np.cos(np.radians(np.minimum(reach + 0.7 * block, 180)))) * DEG2_PER_SR
        if float(np.sum(caps)) / block**2 <= _MOST_PAIRS:
            return order
    return 4


def _pairs(centre: FloatArray, reach: FloatArray, order: int) -> tuple[IntArray, IntArray]:
    """Every place (ascending) with every block of an order that its circle may touch, as two arrays."""
    import healpy

    level = 2
    all_blocks = np.arange(12 * 4**level)
    limit = np.radians(reach)
    near = centre @ centres(np.full(len(all_blocks), level), all_blocks).T
    place, found = np.nonzero(near >= _cosine(limit + healpy.max_pixrad(1 << level))[:, np.newaxis])
    block = all_blocks[found]
    while level < order:
        level += 1
        place = np.repeat(place, 4)
        block = (block[:, np.newaxis] * 4 + np.arange(4)).ravel()
        touched, inverse = _compact(block, level)
        direction = centres(np.full(len(touched), level), touched)[inverse]
        cosine = np.einsum("ij,ij->i", direction, centre[place])
        keep = cosine >= _cosine(limit + healpy.max_pixrad(1 << level))[place]
        place, block = place[keep], block[keep]
    return place.astype(np.int64), block.astype(np.int64)


def _cosine(angle: FloatArray) -> FloatArray:
    """Cosine of angles (radians) up to π, and of π beyond; a little less, so that rounding leaves nothing out."""
    return np.asarray(np.cos(np.minimum(angle, np.pi)) - 1e-12)


def _affordable(finest: IntArray, slot: IntArray, block_order: int) -> IntArray:
    """Order of the cells of each block: what its footprints want, or the finest that can be afforded everywhere."""
    # By order wanted: how many blocks there are, and how many tests of a block.
    least = max(block_order, COARSEST)
    blocks = np.bincount(finest, minlength=FINEST + 1).astype(float)
    tests = np.bincount(finest, weights=np.bincount(slot, minlength=len(finest)), minlength=FINEST + 1)
    for cap in range(FINEST, least, -1):
        count = 4.0 ** (np.clip(np.arange(FINEST + 1), least, cap) - block_order)
        if float(tests @ count) <= _MOST_TESTS and float(blocks @ count) <= _MOST_CELLS:
            return np.clip(finest, least, cap)
    return np.full_like(finest, least)


def _compact(values: IntArray, order: int) -> tuple[IntArray, IntArray]:
    """Pixels of an order without repetitions, ascending, and which of them each value is."""
    if order > 8:
        found, inverse = np.unique(values, return_inverse=True)
        return found, np.asarray(inverse, dtype=np.int64)
    there = np.zeros(12 << (2 * order), dtype=bool)
    there[values] = True
    found = np.flatnonzero(there)
    where = np.zeros(len(there), dtype=np.int64)
    where[found] = np.arange(len(found))
    return found, where[values]


def ranges29(cells: Cells, chosen: npt.NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
    """Half-open ranges of order-29 NESTED indices of the chosen cells (a mask), neighbours joined."""
    order, ipix = cells.order[chosen], cells.ipix[chosen]
    shift = 2 * (MAX_ORDER - order)
    return joined(ipix << shift, (ipix + 1) << shift)


def joined(begin: IntArray, end: IntArray) -> tuple[IntArray, IntArray]:
    """Ascending half-open ranges of pixels with neighbours that touch made one."""
    if not len(begin):
        return begin, end
    apart = np.flatnonzero(begin[1:] != end[:-1]) + 1
    return begin[np.concatenate([[0], apart])], end[np.concatenate([apart - 1, [len(end) - 1]])]
