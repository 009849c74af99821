"""What pointings have covered of a sky map: probability and area by time, band, depth and instrument, and what is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.coverage.cells import Cells, Places, cells_of, joined, ranges29
from mma_pipeline.science.coverage.reach import ABSOLUTE_MAGNITUDE, reach_mpc, share_within
from mma_pipeline.science.healpix import MAX_ORDER, uniq_to_order_ipix
from mma_pipeline.science.regions.coverage import Coverage, credible_coverage, probability_of_ranges
from mma_pipeline.science.skymaps.model import SkyMap

#: Hours after the event until which coverage is summed.
HOURS = (1.0, 3.0, 6.0, 12.0, 24.0, 48.0, 72.0, 120.0, 240.0)
#: Points of the curve over time.
CURVE = 400
#: Ranges of a region's MOC; a finer one is made coarser.
_MOST_RANGES = 200_000
Mask = npt.NDArray[np.bool_]
Ranks = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Visits:
    """Pointings with what is known of each; arrays of shape (N,)."""

    places: Places
    completed: Mask
    """Whether it was done; else it is planned."""
    hours: FloatArray
    """Time after the event; NaN where it is not known."""
    depth: FloatArray
    """Limiting magnitude; NaN where it is not known."""
    band: Sequence[str]
    """Empty where it is not known."""
    instrument: Sequence[str]


@dataclass(frozen=True)
class Row:
    """What some of the visits cover together."""

    by: str
    """`all`, `planned`, `time`, `band`, `depth` or `instrument`."""
    value: str
    """Which: hours after the event (until), band, magnitude (at least), name."""
    visits: int
    probability: float
    """Of the whole map, 0 to 1."""
    area_deg2: float
    reached: float | None
    """Probability weighted by the share of the distance posterior within reach; None for a map without distance."""
    depth_median: float | None
    first_hours: float | None
    last_hours: float | None


@dataclass(frozen=True, eq=False)
class Ledger:
    """What is covered and what is left."""

    rows: tuple[Row, ...]
    curve: tuple[tuple[float, float, float], ...]
    """Hours after the event, probability and area (deg²) covered by completed visits until then."""
    covered: Coverage
    """What completed visits cover."""
    left: Coverage
    """What they leave of the credible region."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Short figures, as JSON values."""


@dataclass(frozen=True, eq=False)
class _Sums:
    """What is summed over cells."""

    skymap: SkyMap
    cells: Cells
    visits: Visits
    places: int
    """How many places the visits have."""
    which: IntArray
    """Which of them each visit has."""
    row_of_cell: IntArray
    prob: FloatArray
    area: FloatArray
    reach: FloatArray
    """Distance (Mpc) that each limiting magnitude of a visit reaches; they ascend, and the first, 0, is of no limit."""
    rank: Ranks
    """Which of them each visit has."""

    def row(self, by: str, value: str, chosen: Mask, best: Ranks, reached: float | None) -> Row:
        """The row of some visits (a mask), from what is best in each cell and what they reach."""
        v, covered = self.visits, best >= 0
        depths, hours = v.depth[chosen & ~np.isnan(v.depth)], v.hours[chosen & ~np.isnan(v.hours)]
        return Row(
            by,
            value,
            int(np.count_nonzero(chosen)),
            float(min(self.prob[covered].sum(), 1.0)),
            float(self.area[covered].sum()),
            reached,
            float(np.median(depths)) if len(depths) else None,
            float(hours.min()) if len(hours) else None,
            float(hours.max()) if len(hours) else None,
        )

    def greatest(self, chosen: Mask, value: Ranks) -> Ranks:
        """Greatest value of some visits (not negative) in each cell (C,); -1 where there is none."""
        of_place = np.full(self.places, -1, dtype=np.int32)
        np.maximum.at(of_place, self.which[chosen], value[chosen])
        return self.cells.greatest(of_place)

    def within(self, best: Ranks) -> FloatArray | None:
        """Probability of each cell (C,) that is within reach of the deepest visit; None for a map without distance."""
        if self.skymap.distmu is None or self.skymap.distsigma is None:
            return None
        found = np.zeros(len(best))
        seen = np.flatnonzero((best > 0) & (self.prob > 0))
        row = self.row_of_cell[seen]
        share = share_within(self.reach[best[seen]], self.skymap.distmu[row], self.skymap.distsigma[row])
        found[seen] = self.prob[seen] * share
        return found


def _total(within: FloatArray | None) -> float | None:
    return None if within is None else min(float(within.sum()), 1.0)


def probability_and_area(skymap: SkyMap, places: Places) -> tuple[float, float]:
    """Probability of the map (0 to 1) and area (deg²) that places cover together."""
    cells = cells_of(places.unique()[0])
    return min(float(_of_the_map(skymap, cells)[1].sum()), 1.0), float(cells.area_deg2.sum())


def ledger(
    skymap: SkyMap, visits: Visits, *, absolute_magnitude: float = ABSOLUTE_MAGNITUDE, level: float = 0.9
) -> Ledger:
    """The ledger of a map.

    Rows by time, band, depth and instrument count completed visits alone; `planned` is what planned ones would add. A visit
    without depth covers, but reaches nothing. What is left is of the credible region at `level`.
    """
    places, which = visits.places.unique()
    cells = cells_of(places)
    row_of_cell, prob = _of_the_map(skymap, cells)
    known = ~np.isnan(visits.depth)
    depths, rank_of_known = np.unique(visits.depth[known], return_inverse=True)
    rank = np.zeros(len(known), dtype=np.int32)
    rank[known] = rank_of_known + 1
    reach = np.concatenate([[0.0], reach_mpc(depths, absolute_magnitude)])
    sums = _Sums(skymap, cells, visits, len(places), which, row_of_cell, prob, cells.area_deg2, reach, rank)
    done = visits.completed
    best = sums.greatest(done, rank)
    within, mask = sums.within(best), best >= 0
    everything = sums.row("all", "completed", done, best, _total(within))
    region = credible_coverage(skymap, level)
    covered = _coverage(cells, mask, prob)
    left = _without(region, covered, skymap)
    percent = f"{level * 100:.0f}"
    rows = [everything]
    extra: dict[str, Any] = {"probability_planned": None}
    if not done.all():
        planned = sums.greatest(~done, rank)
        extra["probability_planned"] = float(prob[(planned >= 0) & ~mask].sum())
        rows.append(sums.row("planned", "planned", ~done, planned, _total(sums.within(planned))))
    rows += [*_by_time(sums), *_by_name(sums, everything), *_by_depth(sums, best, within)]
    figures = {
        "visits_completed": everything.visits,
        "visits_planned": int(np.count_nonzero(~done)),
        "probability_covered": everything.probability,
        "area_covered_deg2": everything.area_deg2,
        "probability_reached": everything.reached,
        **extra,
        f"probability_left_in_{percent}": left.probability,
        f"area_left_in_{percent}_deg2": left.area_deg2,
        "first_hours": everything.first_hours,
        "last_hours": everything.last_hours,
        "finest_order": int(cells.order.max()) if len(cells.order) else None,
        "coarsest_order": int(cells.order.min()) if len(cells.order) else None,
        "absolute_magnitude": absolute_magnitude if skymap.is_3d else None,
    }
    return Ledger(tuple(rows), _curve(sums), covered, left, figures)


def _of_the_map(skymap: SkyMap, cells: Cells) -> tuple[IntArray, FloatArray]:
    """Row of the map at each cell, and the probability in the cell; both of shape (C,)."""
    shift = 2 * (MAX_ORDER - cells.order)
    begin = cells.ipix << shift
    row = skymap.row_of(begin)
    prob = skymap.probdensity[row] * (np.pi / 3 / 4.0**cells.order)
    larger = np.flatnonzero(skymap.order[row] > cells.order)
    if len(larger):
        size = np.int64(1) << shift[larger]
        prob[larger] = probability_of_ranges(skymap, begin[larger], begin[larger] + size)
        row[larger] = skymap.row_of(begin[larger] + (size >> 1))
    return row, prob


def _by_time(sums: _Sums) -> Iterator[Row]:
    """Rows of completed visits until some hours after the event; each adds to the one before what is new or deeper."""
    v, done = sums.visits, sums.visits.completed
    hours = v.hours[done & ~np.isnan(v.hours)]
    if not len(hours):
        return
    best = np.full(len(sums.prob), -1, dtype=np.int32)
    within = sums.within(best)
    before, last = -np.inf, None
    for until in HOURS:
        fresh = done & (v.hours > before) & (v.hours <= until)
        before = until
        if hours.min() > until:
            continue
        if fresh.any() or last is None:
            found = sums.greatest(fresh, sums.rank)
            found[found <= best] = -1
            np.maximum(best, found, out=best)
            added = sums.within(found)
            if within is not None and added is not None:
                within[found > 0] = added[found > 0]
            last = sums.row("time", f"{until:g}", done & (v.hours <= until), best, _total(within))
        last = replace(last, value=f"{until:g}")
        yield last
        if hours.max() <= until:
            break


def _by_name(sums: _Sums, everything: Row) -> Iterator[Row]:
    """Rows of completed visits by band and instrument."""
    v, done = sums.visits, sums.visits.completed
    for name, values in (("band", v.band), ("instrument", v.instrument)):
        words = np.asarray(values, dtype=object)
        for word in sorted({str(word) for word in words[done] if word}):
            chosen = done & (words == word)
            if np.array_equal(chosen, done):
                yield replace(everything, by=name, value=word)
                continue
            best = sums.greatest(chosen, sums.rank)
            yield sums.row(name, word, chosen, best, _total(sums.within(best)))


def _by_depth(sums: _Sums, best: Ranks, within: FloatArray | None) -> Iterator[Row]:
    """Rows of completed visits of a limit or deeper: where the deepest of all is one of them, it is theirs too."""
    v, done = sums.visits, sums.visits.completed
    depths = v.depth[done & ~np.isnan(v.depth)]
    if not len(depths):
        return
    for least in range(int(np.floor(depths.min())), int(np.floor(depths.max())) + 1):
        chosen = done & (v.depth >= least)
        there = best >= sums.rank[chosen].min()
        yield sums.row(
            "depth", str(least), chosen, np.where(there, best, -1), _total(None if within is None else within[there])
        )


def _curve(sums: _Sums) -> tuple[tuple[float, float, float], ...]:
    v = sums.visits
    hours, rank = np.unique(v.hours, return_inverse=True)  # NaN, which counts nowhere, is the last
    # The earliest has the greatest rank from behind.
    first = len(hours) - 1 - sums.greatest(v.completed & ~np.isnan(v.hours), (len(hours) - 1 - rank).astype(np.int32))
    seen = np.flatnonzero(first < len(hours))
    if not len(seen):
        return ()
    of_cell = first[seen]
    prob, area = (
        np.cumsum(np.bincount(of_cell, weights=values[seen], minlength=len(hours))) for values in (sums.prob, sums.area)
    )
    adds = np.flatnonzero(np.bincount(of_cell, minlength=len(hours)))
    hours, prob, area = hours[adds], prob[adds], area[adds]
    chosen = np.unique(np.linspace(0, len(hours) - 1, CURVE).round().astype(int))
    return tuple(
        (float(h), float(min(p, 1.0)), float(a))
        for h, p, a in zip(hours[chosen], prob[chosen], area[chosen], strict=True)
    )


def _coverage(cells: Cells, mask: Mask, prob: FloatArray) -> Coverage:
    """The chosen cells as a region: at their own order, or coarser by the greater part where they are too many pieces."""
    total = float(min(prob[mask].sum(), 1.0))
    begin, end = ranges29(cells, mask)
    order = int(cells.order.max()) if len(cells.order) else 0
    while len(begin) > _MOST_RANGES and order > 6:
        order -= 1
        begin, end = _coarser(cells, mask, order)
    return _of_ranges(begin, end, total)


def _coarser(cells: Cells, mask: Mask, order: int) -> tuple[IntArray, IntArray]:
    """Ranges of the pixels of an order of which at least a half is covered; cells that are coarser stay."""
    shift = np.maximum(cells.order - order, 0)
    parent = (cells.ipix >> (2 * shift))[mask]
    level = np.minimum(cells.order, order)[mask]
    start = parent << (2 * (MAX_ORDER - level))
    found, where = np.unique(start, return_inverse=True)
    share = np.bincount(where, weights=1.0 / 4.0 ** shift[mask])
    size = np.zeros(len(found), dtype=np.int64)
    size[where] = np.int64(1) << (2 * (MAX_ORDER - level))
    begin = found[share >= 0.5]
    end = begin + size[share >= 0.5]
    return joined(begin, end)


def _without(region: Coverage, covered: Coverage, skymap: SkyMap) -> Coverage:
    """What a covered part leaves of a region."""
    if not len(covered.ipix):
        return region
    moc = region.moc().difference(covered.moc())
    ranges = np.asarray(moc.to_depth29_ranges).astype(np.int64).reshape(-1, 2)
    total = float(np.clip(probability_of_ranges(skymap, ranges[:, 0], ranges[:, 1]).sum(), 0.0, 1.0))
    return _of_ranges(ranges[:, 0], ranges[:, 1], total)


def _of_ranges(begin: IntArray, end: IntArray, probability: float) -> Coverage:
    """A region of ranges of order-29 indices."""
    if not len(begin):
        none = np.zeros(0, dtype=np.int64)
        return Coverage(none, none, probability)
    from mocpy import MOC

    moc = MOC.from_depth29_ranges(MAX_ORDER, np.stack([begin, end], axis=1).astype(np.uint64))
    uniq = np.asarray(moc.uniq_hpx).astype(np.int64)
    order, ipix = uniq_to_order_ipix(uniq)
    return Coverage(order, ipix, probability)
