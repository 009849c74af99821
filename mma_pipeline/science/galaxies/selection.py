"""Which galaxies of a sorted catalog lie in rows of a map, and which of them are best: blocks, never the whole catalog."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import MAX_ORDER
from mma_pipeline.science.skymaps.model import SkyMap

_BLOCK = 1 << 15
#: Distances are first compared in single precision, this much wider; who asks compares again, exactly.
_SLACK = np.float32(1e-6)


def members(
    m: SkyMap,
    index29: IntArray,
    rows: IntArray,
    distance: npt.NDArray[np.floating] | None = None,
    within: tuple[FloatArray, FloatArray] | None = None,
) -> Iterator[tuple[IntArray, IntArray]]:
    """Galaxies inside rows of the map (ascending), in blocks: places in the catalog, and which of `rows` holds each.

    `index29` of shape (G,) is ascending. With `distance` (G,) and `within`, the least and greatest distance of each row,
    shape (R,), galaxies that are certainly outside are left out; so are those without a distance. Blocks keep the
    work inside the processor's cache and the memory bounded whatever the size of the region.
    """
    first, count = _ranges(m, index29, rows)
    end = np.cumsum(count)
    cut = [0, *np.flatnonzero(np.diff(end // _BLOCK)) + 1, rows.size]
    # Both bounds of a row side by side, so that one repetition serves both.
    bounds = None if within is None else np.stack(within, axis=-1).astype(np.float32) * (1 - _SLACK, 1 + _SLACK)
    pairs = None if bounds is None else np.ascontiguousarray(bounds, dtype=np.float32).view(np.float64)[:, 0]
    for a, b in pairwise(cut):
        size = int(end[b - 1] - (end[a] - count[a])) if b > a else 0
        if not size:
            continue
        start = int(first[a])
        together = int(first[b - 1] + count[b - 1]) - start == size
        block: slice | IntArray = slice(start, start + size)
        if not together:
            before = end[a:b] - count[a:b] - (end[a] - count[a])
            block = np.arange(size) + np.repeat(first[a:b] - before, count[a:b])
        if distance is None or pairs is None:
            places = np.arange(start, start + size) if isinstance(block, slice) else block
            yield places, np.repeat(np.arange(a, b), count[a:b])
            continue
        allowed = np.repeat(pairs[a:b], count[a:b]).view(np.float32).reshape(-1, 2)
        here = distance[block]
        kept = np.flatnonzero((here >= allowed[:, 0]) & (here <= allowed[:, 1]))
        if kept.size:
            row = a + np.searchsorted(end[a:b] - (end[a] - count[a]), kept, side="right")
            yield (start + kept if isinstance(block, slice) else block[kept]), row


def _ranges(m: SkyMap, index29: IntArray, rows: IntArray) -> tuple[IntArray, IntArray]:
    """First place in the catalog and number of galaxies of each row (ascending), both of shape (R,)."""
    start = m.start29[rows]
    stop = start + (np.int64(1) << (2 * (MAX_ORDER - m.order[rows])))
    first = np.searchsorted(index29, start)
    last = np.empty_like(first)
    # Where one row ends and the next begins, one search serves both.
    alone = np.append(stop[:-1] != start[1:], True)[: rows.size]
    last[:-1] = first[1:]
    last[alone] = np.searchsorted(index29, stop[alone])
    return first, last - first


class Best:
    """Collects blocks of galaxies and drops those that can no longer be among the best `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._floor = 0.0
        self._blocks: list[tuple[IntArray, IntArray, FloatArray, FloatArray]] = []
        self._size = 0

    def add(self, galaxy: IntArray, row: IntArray, score: FloatArray, extra: FloatArray) -> None:
        """One block: four arrays of one shape (K,)."""
        good = np.flatnonzero((score > 0) & (score >= self._floor))
        self._blocks.append((galaxy[good], row[good], score[good], extra[good]))
        self._size += good.size
        if self._size > 4 * self._limit:
            joined = self.joined()
            self._floor = float(np.partition(joined[2], self._size - self._limit)[self._size - self._limit])
            good = np.flatnonzero(joined[2] >= self._floor)
            self._blocks = [(joined[0][good], joined[1][good], joined[2][good], joined[3][good])]
            self._size = good.size

    def joined(self) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
        """All that is kept, in the order of the catalog, four arrays of one shape (K,)."""
        if not self._blocks:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0)
        a, b, c, d = (np.concatenate(column) for column in zip(*self._blocks, strict=True))
        return a, b, c, d


def best_places(score: FloatArray, tie: FloatArray, limit: int) -> IntArray:
    """Indices of the `limit` largest scores, falling; ties by `tie` falling, then by place in the catalog."""
    some = np.flatnonzero(score > 0)
    if some.size > limit:
        cut = np.partition(score[some], some.size - limit)[some.size - limit]
        some = some[score[some] >= cut]
    heaviness = np.nan_to_num(tie[some], nan=-1.0)
    return np.asarray(some[np.lexsort((some, -heaviness, -score[some]))][:limit], dtype=np.int64)
