"""How much of a map's probability lines on the sky enclose, counted from the lines as their readers see them."""

from __future__ import annotations

import numpy as np

from mma_pipeline.science.outlines import Lines
from mma_pipeline.science.pixels import DEG2_PER_SR, SKY_DEG2, vec_to_index29
from mma_pipeline.science.skymap import MAX_ORDER, FloatArray, IntArray, SkyMap
from mma_pipeline.science.sphere import pixel_centres, unit_vectors

#: Rows that a line runs through are divided into 4^this parts.
_DEPTH = 3
#: Steps of this many row sides find the rows that a line runs through.
_STEP = 0.25
_BLOCK = 4_000_000


def enclosed_probability(skymap: SkyMap, lines: Lines, area: float) -> float:
    """Probability inside closed lines of [RA, Dec] (deg) around an area (deg²), by the even-odd rule along meridians.

    Rows that a line runs through are sampled in parts, all others at their centre. Of a region and what it leaves
    of the sky, the one whose area is closer to `area` is meant: lines alone do not say.
    """
    x1, y1, x2, y2 = _segments(lines)
    cut = _rows_on(skymap, x1, y1, x2, y2)
    depth = np.zeros(len(skymap.uniq), dtype=np.int64)
    depth[cut] = np.minimum(_DEPTH, MAX_ORDER - skymap.order[cut])
    count = np.int64(1) << (2 * depth)
    row = np.repeat(np.arange(len(count)), count)
    child = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    lon, lat = pixel_centres((skymap.order + depth)[row], (skymap.ipix << (2 * depth))[row] + child)
    inside = _south(lon, lat, x1, y1, x2, y2) % 2 == 1
    found = float(np.sum((skymap.prob / count)[row][inside]))
    found_area = float(np.sum((skymap.area / count)[row][inside])) * DEG2_PER_SR
    return found if abs(found_area - area) <= abs(SKY_DEG2 - found_area - area) else 1.0 - found


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
    pairs = last - first
    count = np.zeros(len(x), dtype=np.int64)
    bounds = np.searchsorted(np.cumsum(pairs), np.arange(_BLOCK, int(pairs.sum()) + _BLOCK, _BLOCK))
    for some in np.split(np.arange(len(pairs)), np.unique(bounds)):
        if not len(some) or not pairs[some].any():
            continue
        step = np.repeat(some, pairs[some])
        point = np.arange(len(step)) - np.repeat(np.cumsum(pairs[some]) - pairs[some], pairs[some]) + first[step]
        slope = (y2 - y1) / np.where(x2 > x1, x2 - x1, 1.0)
        north = y[point] > y1[step] + slope[step] * (x[point] - x1[step])
        count += np.bincount(point[north], minlength=len(x))
    out = np.empty_like(count)
    out[by] = count
    return out

