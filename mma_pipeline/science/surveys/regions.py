"""Which live events' credible regions hold a position: sorted HEALPix ranges, asked for one position or for many.

A region is the densest rows of a map that hold a level of its probability (`credible_coverage`), as half-open ranges of
NESTED indices at order 29: exactly the map's own pixels, nothing is rasterised. The index cuts the NESTED curve at every
beginning and end of a range of any event and keeps, for each piece, the set of events that cover it. A position then
costs one pixel number and one binary search, however many events are live.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import MAX_ORDER, SKY_DEG2
from mma_pipeline.science.regions.coverage import credible_coverage
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.sphere import PositionError

_NSIDE = 1 << MAX_ORDER
_SKY = 12 << (2 * MAX_ORDER)
_WORD = 64


@dataclass(frozen=True, eq=False)
class LiveRegion:
    """The credible region of one event, and the time in which it takes candidates."""

    event_id: str
    version: str
    """Version whose map it is, by its partition key."""
    t0_mjd: float
    """Time of the event, MJD in days (UTC)."""
    until_mjd: float
    """Last moment at which a detection counts, MJD in days (UTC)."""
    begin: IntArray
    """First NESTED index at order 29 of each range, ascending, shape (M,)."""
    end: IntArray
    """Index behind the last one of each range, shape (M,); ranges neither touch nor overlap."""

    @property
    def area_deg2(self) -> float:
        """Area of the region, deg²."""
        return float(np.sum(self.end - self.begin) / _SKY * SKY_DEG2)

    def holds(self, index29: IntArray) -> npt.NDArray[np.bool_]:
        """Whether each order-29 NESTED index lies in the region, shape (N,)."""
        return in_ranges(index29, self.begin, self.end)


def in_ranges(index29: IntArray, begin: IntArray, end: IntArray) -> npt.NDArray[np.bool_]:
    """Whether each index lies in one of the sorted half-open ranges, shape (N,)."""
    # Inside a range, one more has begun than has ended.
    return np.asarray(
        np.searchsorted(begin, index29, side="right") > np.searchsorted(end, index29, side="right"), dtype=bool
    )


def credible_ranges(skymap: SkyMap, level: float) -> tuple[IntArray, IntArray]:
    """Sorted, merged half-open ranges of order-29 NESTED indices of a credible region (`level` 0 to 1), shape (M,) each.

    Raises ValueError for a level outside 0 to 1.
    """
    cells = credible_coverage(skymap, level)
    shift = 2 * (MAX_ORDER - cells.order)
    begin, end = cells.ipix << shift, (cells.ipix + 1) << shift  # the rows of a map ascend along the curve
    apart = begin[1:] != end[:-1]
    return begin[np.concatenate([[True], apart])], end[np.concatenate([apart, [True]])]


def live_region(
    event_id: str, version: str, skymap: SkyMap, t0_mjd: float, *, days: float, level: float = 0.99
) -> LiveRegion:
    """The region of an event's map at a credible level, open for `days` after the event."""
    return LiveRegion(event_id, version, t0_mjd, t0_mjd + days, *credible_ranges(skymap, level))


class RegionIndex:
    """The regions of all live events as one index; a value that nothing changes, so threads may share it."""

    def __init__(self, regions: Sequence[LiveRegion] = ()) -> None:
        self.regions: tuple[LiveRegion, ...] = tuple(regions)
        edges = [np.zeros(1, dtype=np.int64), *(r.begin for r in regions), *(r.end for r in regions)]
        self._edges: IntArray = np.unique(np.concatenate(edges))
        words = max(1, -(-len(self.regions) // _WORD))
        self._covered: npt.NDArray[np.uint64] = np.zeros((words, len(self._edges)), dtype=np.uint64)
        for number, region in enumerate(self.regions):
            inside = region.holds(self._edges)
            self._covered[number // _WORD] |= inside.astype(np.uint64) << np.uint64(number % _WORD)
        self._t0: FloatArray = np.asarray([r.t0_mjd for r in regions], dtype=np.float64)
        self._until: FloatArray = np.asarray([r.until_mjd for r in regions], dtype=np.float64)

    def __len__(self) -> int:
        return len(self.regions)

    @property
    def nbytes(self) -> int:
        """Memory of the index without the regions themselves, bytes."""
        return self._edges.nbytes + self._covered.nbytes

    @cached_property
    def _bisected(self) -> array[int]:
        # bisect on a plain array is ten times as fast as NumPy's search for a single value.
        return array("q", self._edges.tobytes())

    @cached_property
    def _sets(self) -> list[array[int]]:
        return [array("Q", word.tobytes()) for word in self._covered]

    def at(self, ra: float, dec: float, mjd: float) -> tuple[LiveRegion, ...]:
        """Live events whose region holds a position (deg, ICRS) and whose window holds a time (MJD in days, UTC).

        Raises PositionError for a position off the sphere.
        """
        if not (-360.0 <= ra <= 360.0 and -90.0 <= dec <= 90.0):
            raise PositionError(f"RA {ra}, Dec {dec} deg is not a position on the sphere")
        piece = bisect_right(self._bisected, _index29(ra, dec)) - 1
        found: list[LiveRegion] = []
        for word, covered in enumerate(self._sets):
            events = covered[piece]
            while events:
                lowest = events & -events
                region = self.regions[word * _WORD + lowest.bit_length() - 1]
                if region.t0_mjd <= mjd <= region.until_mjd:
                    found.append(region)
                events ^= lowest
        return tuple(found)

    def matches(self, index29: IntArray, mjd: FloatArray) -> tuple[IntArray, IntArray]:
        """The same for N positions, as order-29 NESTED indices, and times (MJD in days, UTC), shape (N,) each.

        Returns:
            Pairs as two arrays of one shape: the number of the position, and that of the event in `regions`; by
            position, then by event.
        """
        piece = np.searchsorted(self._edges, index29, side="right") - 1
        rows, events = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for word, covered in enumerate(self._covered):
            sets = covered[piece]
            inside = np.flatnonzero(sets)  # few lie in any region at all, and only they are looked at again
            for number in range(word * _WORD, min((word + 1) * _WORD, len(self.regions))):
                held = (sets[inside] >> np.uint64(number % _WORD)) & np.uint64(1) != 0
                row = inside[held]
                row = row[(mjd[row] >= self._t0[number]) & (mjd[row] <= self._until[number])]
                rows.append(row)
                events.append(np.full(len(row), number, dtype=np.int64))
        row, event = np.concatenate(rows), np.concatenate(events)
        order = np.lexsort((event, row))
        return row[order], event[order]


def _index29(ra: float, dec: float) -> int:
    """Order-29 NESTED index of one position in degrees: the pixel of `sphere.index29`, without its checks, in a tenth of the time."""
    import healpy

    theta, phi = math.pi / 2 - math.radians(dec), math.radians(ra)
    radius = math.sin(theta)
    return int(healpy.vec2pix(_NSIDE, radius * math.cos(phi), radius * math.sin(phi), math.cos(theta), nest=True))
