"""Coverage of a credible region as an IVOA MOC: the map's own pixels, without rasterising.

A Multi-Order Coverage map lists HEALPix cells in NESTED order (IVOA Recommendation MOC 2.0, 2022). The region at a
credible level is the densest rows whose probability reaches it, the row that crosses the level among them.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import DEG2_PER_SR, SKY_DEG2
from mma_pipeline.science.skymaps.credible import crossing, greedy
from mma_pipeline.science.skymaps.model import SkyMap

if TYPE_CHECKING:
    from mocpy import MOC


@dataclass(frozen=True, eq=False)
class Coverage:
    """The pixels of a region on the sphere."""

    order: IntArray
    """HEALPix order of each cell, shape (N,)."""
    ipix: IntArray
    """NESTED index of each cell at its order, shape (N,)."""
    probability: float
    """Probability that the cells hold: at least the level asked for."""

    @property
    def area_deg2(self) -> float:
        """Area of the region, deg²."""
        return float(np.sum(np.pi / 3 / 4.0**self.order) * DEG2_PER_SR)

    def moc(self) -> MOC:
        """The region as a mocpy MOC, for set operations."""
        from mocpy import MOC

        return MOC.from_healpix_cells(self.ipix.astype(np.uint64), self.order.astype(np.uint8), int(self.order.max()))


def credible_coverage(skymap: SkyMap, level: float) -> Coverage:
    """Smallest set of the map's rows that holds at least `level` (0 to 1) of the probability.

    Rows of equal density are taken in the order of the map, so the result is the same everywhere. Raises ValueError
    for a level outside 0 to 1.
    """
    if not 0 < level <= 1:
        raise ValueError(f"credible level {level} is outside 0 to 1")
    rank, total = greedy(skymap)
    count = crossing(total, level) + 1
    rows = np.sort(rank[:count])
    return Coverage(skymap.order[rows], skymap.ipix[rows], float(total[count - 1]))


def moc_fits(coverage: Coverage) -> bytes:
    """The MOC as a FITS file (MOC 2.0, section 4.4); the same region gives the same bytes."""
    hdus = coverage.moc().serialize("fits")
    for hdu in hdus:
        # What the library writes about itself and the day would make equal regions differ. MOCVERS stays: without it readers
        # take the file for one of version 1.
        for card in ("DATE", "MOCTOOL"):
            hdu.header.remove(card, ignore_missing=True)
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    return buffer.getvalue()


def moc_json(coverage: Coverage) -> bytes:
    """The MOC as JSON text {order: [ipix, …]} (MOC 2.0, section 4.3.3)."""
    cells: dict[str, Any] = coverage.moc().serialize("json")
    ordered = {order: sorted(cells[order]) for order in sorted(cells, key=int)}
    return json.dumps(ordered, separators=(",", ":")).encode()


def overlap_area(first: MOC, second: MOC) -> float:
    """Area that two coverage maps share, deg²."""
    return float(first.intersection(second).sky_fraction) * SKY_DEG2


def probability_within(skymap: SkyMap, moc: MOC) -> float:
    """Probability of the sky map inside a coverage map, 0 to 1; exact, also where its cells cut the map's rows."""
    ranges = np.asarray(moc.to_depth29_ranges).astype(np.int64)
    if not len(ranges):
        return 0.0
    inside = np.sum(probability_of_ranges(skymap, ranges[:, 0], ranges[:, 1]))
    return float(np.clip(inside, 0.0, 1.0))  # differences of long sums leave the range by rounding


def probability_of_ranges(skymap: SkyMap, begin: IntArray, end: IntArray) -> FloatArray:
    """Probability of the map in each half-open range of order-29 NESTED indices, shape of the input; exact."""
    before = np.concatenate([[0.0], np.cumsum(skymap.prob)])
    return np.maximum(_up_to(skymap, before, end) - _up_to(skymap, before, begin), 0.0)


def _up_to(skymap: SkyMap, before: FloatArray, index29: IntArray) -> FloatArray:
    """Probability of all that lies before order-29 indices along the NESTED curve; before has the sum ahead of each row."""
    row = skymap.row_of(np.maximum(index29 - 1, 0))
    share = (index29 - skymap.start29[row]) / (np.int64(1) << (2 * (29 - skymap.order[row])))
    return np.asarray(before[row] + share * skymap.prob[row])
