"""Counts how much of a map's probability a set of lines on the sky encloses, from the lines as they are written."""

from __future__ import annotations

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import DEG2_PER_SR, SKY_DEG2, vec_to_index29, vec_to_lonlat
from mma_pipeline.science.regions.outlines import Lines
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.sphere import pixel_centres, unit_vectors

#: Rows that a line runs through are divided into 4^2 to 4^9 parts, for no more than this probability in each.
_FINENESS, _PART = (2, 9), 1e-5
#: From this order on pixels are flat quadrangles for all that matters here.
_FLAT = 7
_GOLDEN = (5**0.5 - 1) / 2
#: Steps of this many row sides find the rows that a line runs through.
_STEP = 0.25


def enclosed_probability(skymap: SkyMap, lines: Lines, area: float) -> float:
    """Probability inside closed lines of [RA, Dec] (deg) around an area (deg²), by the even-odd rule along meridians.

    Rows that a line runs through are sampled in parts, all others at their centre. Of a region and what it leaves
    of the sky, the one whose area is closer to `area` is meant: lines alone do not say.
    """
    x1, y1, x2, y2 = _segments(lines)
    cut = _rows_on(skymap, x1, y1, x2, y2)
    others = np.ones(len(skymap.uniq), dtype=bool)
    others[cut] = False
    lon, lat = pixel_centres(skymap.order[others], skymap.ipix[others])
    parts = [(np.flatnonzero(others), np.ones(int(others.sum())), lon, lat)]
    fineness = np.clip(np.ceil(0.5 * np.log2(skymap.prob[cut] / _PART + 1e-9)), *_FINENESS).astype(np.int64)
    kind = 2 * fineness + (skymap.order[cut] < _FLAT)
    for one in np.unique(kind):
        rows, depth = cut[kind == one], one // 2
        lon, lat = _within(skymap.order[rows], skymap.ipix[rows], int(depth))
        parts.append((np.repeat(rows, 4**depth), np.full(len(lon), 4.0**-depth), lon, lat))
    row, share, lon, lat = (np.concatenate([part[k] for part in parts]) for k in range(4))
    inside = _south(lon, lat, x1, y1, x2, y2) % 2 == 1
    found = float(np.sum((skymap.prob[row] * share)[inside]))
    found_area = float(np.sum((skymap.area[row] * share)[inside])) * DEG2_PER_SR
    return found if abs(found_area - area) <= abs(SKY_DEG2 - found_area - area) else 1.0 - found


def _within(order: IntArray, ipix: IntArray, depth: int) -> tuple[FloatArray, FloatArray]:
    """RA and Dec (deg) of 4^depth points spread evenly over each pixel, also where there is no such order."""
    import healpy

    step = np.int64(1) << depth
    if int(order.min()) < _FLAT:
        return pixel_centres(
            np.repeat(order + depth, step**2), ((ipix << (2 * depth))[:, None] + np.arange(step**2)).ravel()
        )
    corners = np.empty((len(order), 4, 3))
    for one in np.unique(order):
        corners[order == one] = np.moveaxis(healpy.boundaries(1 << int(one), ipix[order == one], nest=True), -1, 1)
    # A lattice that is not parallel to the sides, because outlines may be.
    u = ((np.arange(step**2) + 0.5) / step**2)[:, None]
    v = (np.arange(step**2)[:, None] * _GOLDEN) % 1.0
    north, west, south, east = (corners[:, None, k] for k in range(4))
    points = north + u * (west - north) + v * (east - north) + u * v * (north - west + south - east)
    lon, lat = vec_to_lonlat(points)
    return lon.ravel(), lat.ravel()


def _segments(lines: Lines) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Ends of all steps, the first west of the second; those across RA 0 come twice, beyond 0 and beyond 360."""
    parts = [np.asarray(line, dtype=float) for line in lines]
    start = np.concatenate([part[:-1] for part in parts])
    end = np.concatenate([part[1:] for part in parts])
    x1, y1, x2, y2 = start[:, 0], start[:, 1], end[:, 0].copy(), end[:, 1]
    x2 -= 360.0 * np.round((x2 - x1) / 360.0)
    swap = x1 > x2
    x1, x2 = np.where(swap, x2, x1), np.where(swap, x1, x2)
    y1, y2 = np.where(swap, y2, y1), np.where(swap, y1, y2)
    low, high = x1 < 0, x2 > 360
    return (
        np.concatenate([x1, x1[low] + 360, x1[high] - 360]),
        np.concatenate([y1, y1[low], y1[high]]),
        np.concatenate([x2, x2[low] + 360, x2[high] - 360]),
        np.concatenate([y2, y2[low], y2[high]]),
    )


def _rows_on(skymap: SkyMap, x1: FloatArray, y1: FloatArray, x2: FloatArray, y2: FloatArray) -> IntArray:
    """Rows that the steps run through."""
    ends = [skymap.row_of(vec_to_index29(unit_vectors(x, y))) for x, y in ((x1, y1), (x2, y2))]
    side = 58.6 / 2.0 ** np.maximum(skymap.order[ends[0]], skymap.order[ends[1]])
    length = np.hypot((x2 - x1) * np.cos(np.radians(np.minimum(np.abs(y1), np.abs(y2)))), y2 - y1)
    pieces = np.clip(np.ceil(length / (_STEP * side)), 1, 256).astype(np.int64)
    step = np.repeat(np.arange(len(pieces)), pieces)
    share = (np.arange(len(step)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + 0.5) / pieces[step]
    between = unit_vectors(x1[step] + share * (x2 - x1)[step], y1[step] + share * (y2 - y1)[step])
    return np.unique(np.concatenate([*ends, skymap.row_of(vec_to_index29(between))]))


def _south(
    lon: FloatArray, lat: FloatArray, x1: FloatArray, y1: FloatArray, x2: FloatArray, y2: FloatArray
) -> IntArray:
    """Number of steps that lie south of each point."""
    by = np.argsort(lon, kind="stable")
    x, y = lon[by], lat[by]
    first, last = np.searchsorted(x, x1), np.searchsorted(x, x2)
    slope = (y2 - y1) / np.where(x2 > x1, x2 - x1, 1.0)
    offset = y1 - slope * x1
    count = np.zeros(len(x), dtype=np.int64)
    some = np.flatnonzero(last > first)
    # Neighbours in longitude lie side by side in memory: step by step this is faster than all pairs at once.
    for k, i, j in zip(some.tolist(), first[some].tolist(), last[some].tolist(), strict=True):
        count[i:j] += y[i:j] > offset[k] + slope[k] * x[i:j]
    out = np.empty_like(count)
    out[by] = count
    return out
