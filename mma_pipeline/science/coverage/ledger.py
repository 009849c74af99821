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
    magnitude: float

    def row(self, by: str, value: str, chosen: Mask) -> Row:
        """The row of some visits (a mask)."""
        v = self.visits
        covered = self.covered(chosen)
        depths, hours = v.depth[chosen & ~np.isnan(v.depth)], v.hours[chosen & ~np.isnan(v.hours)]
        return Row(
            by,
            value,
            int(np.count_nonzero(chosen)),
            float(min(self.prob[covered].sum(), 1.0)),
            float(self.area[covered].sum()),
            self._reached(chosen),
            float(np.median(depths)) if len(depths) else None,
            float(hours.min()) if len(hours) else None,
            float(hours.max()) if len(hours) else None,
        )

    def covered(self, chosen: Mask) -> Mask:
        """Cells (C,) that some visits cover."""
        places = np.zeros(self.places, dtype=bool)
        places[self.which[chosen]] = True
        return self.cells.any(places)

    def least(self, chosen: Mask, value: FloatArray) -> FloatArray:
        """Least value of some visits in each cell (C,); NaN where there is none."""
        of_place = np.full(self.places, np.inf)
        used = chosen & ~np.isnan(value)
        np.minimum.at(of_place, self.which[used], value[used])
        return self.cells.least(np.where(np.isinf(of_place), np.nan, of_place))

    def _reached(self, chosen: Mask) -> float | None:
        if self.skymap.distmu is None or self.skymap.distsigma is None:
            return None
        deepest = -self.least(chosen, -self.visits.depth)
        seen = np.flatnonzero(~np.isnan(deepest) & (self.prob > 0))
        row = self.row_of_cell[seen]
        share = share_within(
            reach_mpc(deepest[seen], self.magnitude), self.skymap.distmu[row], self.skymap.distsigma[row]
        )
        return min(float(self.prob[seen] @ share), 1.0)


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
    sums = _Sums(skymap, cells, visits, len(places), which, row_of_cell, prob, cells.area_deg2, absolute_magnitude)
    done = visits.completed
    everything = sums.row("all", "completed", done)
    mask = sums.covered(done)
    region = credible_coverage(skymap, level)
    covered = _coverage(cells, mask, prob)
    left = _without(region, covered, skymap)
    percent = f"{level * 100:.0f}"
    rows = [everything]
    extra: dict[str, Any] = {"probability_planned": None}
    if not done.all():
        planned = sums.row("planned", "planned", ~done)
        adds = sums.covered(~done) & ~mask
        extra["probability_planned"] = float(prob[adds].sum())
        rows.append(planned)
    rows += _groups(sums)
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


def _groups(sums: _Sums) -> Iterator[Row]:
    """Rows by time, band, depth and instrument of completed visits."""
    v, done = sums.visits, sums.visits.completed
    hours = v.hours[done & ~np.isnan(v.hours)]
    last: Row | None = None
    for until in HOURS:
        if len(hours) and hours.min() <= until:
            chosen = done & (v.hours <= until)
            same = last is not None and last.visits == np.count_nonzero(chosen)
            last = replace(last, value=f"{until:g}") if last and same else sums.row("time", f"{until:g}", chosen)
            yield last
            if hours.max() <= until:
                break
    depths = v.depth[done & ~np.isnan(v.depth)]
    for name, values in (("band", v.band), ("instrument", v.instrument)):
        words = np.asarray(values, dtype=object)
        found = {str(word) for word in words[done] if word}
        for word in sorted(found):
            yield sums.row(name, word, done & (words == word))
    if len(depths):
        for least in range(int(np.floor(depths.min())), int(np.floor(depths.max())) + 1):
            yield sums.row("depth", str(least), done & (v.depth >= least))


def _curve(sums: _Sums) -> tuple[tuple[float, float, float], ...]:
    v = sums.visits
    hours, rank = np.unique(v.hours, return_inverse=True)  # NaN, which counts nowhere, is the last
    first = sums.least(v.completed & ~np.isnan(v.hours), rank.astype(float))
    seen = np.flatnonzero(~np.isnan(first))
    if not len(seen):
        return ()
    of_cell = first[seen].astype(np.int64)
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
