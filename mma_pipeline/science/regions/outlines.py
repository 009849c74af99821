"""Closed curves on the sphere: thinning, densifying, lines of RA and Dec, and the area they enclose.

An outline is an array of unit vectors (K, 3), its last point joined to its first by a great circle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.healpix import DEG2_PER_SR, vec_to_lonlat

Outline = FloatArray
#: Lines of [RA, Dec] in degrees.
Lines = list[list[list[float]]]
#: Decimals of degrees in files: 0.36 arcsec, far below any pixel of a real map (order 11: 103 arcsec).
_DECIMALS = 4
_STEP_DEG = 3.0


def simplify(outlines: Sequence[Outline], tolerance: float) -> list[Outline]:
    """Leave out points so that outlines move by at most tolerance (rad) (Douglas & Peucker 1973), all at once.

    The two points farthest apart from the first are always kept. Outlines smaller than tolerance are left out.
    """
    reach = [np.linalg.norm(outline - outline[0], axis=1) for outline in outlines]
    large = [k for k, distance in enumerate(reach) if len(distance) >= 3 and distance.max() >= tolerance]
    if not large:
        return []
    points = np.concatenate([np.concatenate([outlines[k], outlines[k][:1]]) for k in large])
    sizes = np.array([len(outlines[k]) + 1 for k in large])
    begin = np.cumsum(sizes) - sizes
    far = begin + np.array([int(np.argmax(reach[k])) for k in large])
    keep = np.zeros(len(points), dtype=bool)
    keep[begin] = keep[far] = True
    first, last = np.concatenate([begin, far]), np.concatenate([far, begin + sizes - 1])
    while True:
        some = last - first > 1
        first, last = first[some], last[some]
        if not len(first):
            break
        inner = last - first - 1
        start = np.cumsum(inner) - inner
        step = np.repeat(np.arange(len(first)), inner)
        place = np.arange(len(step)) - start[step] + first[step] + 1
        chord = (points[last] - points[first])[step]
        offset = points[place] - points[first[step]]
        length2 = np.einsum("ij,ij->i", chord, chord)
        along = np.einsum("ij,ij->i", offset, chord) / np.where(length2 > 0, length2, 1.0)
        away = offset - np.clip(along, 0.0, 1.0)[:, None] * chord
        away2 = np.einsum("ij,ij->i", away, away)
        most = np.maximum.reduceat(away2, start)
        worst = place[np.minimum.reduceat(np.where(away2 == most[step], np.arange(len(step)), len(step)), start)]
        split = most > tolerance**2
        keep[worst[split]] = True
        first, last = (
            np.concatenate([first[split], worst[split]]),
            np.concatenate([worst[split], last[split]]),
        )
    thin = [points[i : i + n - 1][keep[i : i + n - 1]] for i, n in zip(begin, sizes, strict=True)]
    return [outline for outline in thin if len(outline) >= 3]


def densify(outlines: Sequence[Outline], step: float = _STEP_DEG) -> list[Outline]:
    """Insert points on the great circles so that no step exceeds `step` degrees, neither on the sky nor in longitude."""
    if not outlines:
        return []
    sizes = np.array([len(outline) for outline in outlines])
    points = np.concatenate(list(outlines))
    onward = np.arange(1, len(points) + 1)
    onward[np.cumsum(sizes) - 1] = np.cumsum(sizes) - sizes
    following = points[onward]
    lon = vec_to_lonlat(points)[0]
    turn = np.abs((lon[onward] - lon + 180.0) % 360.0 - 180.0)
    arc = np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(following - points, axis=1) / 2, 0, 1)))
    # Close to a pole longitude turns fast on a short way: a few points more, not one for every step of it.
    pieces = np.clip(np.ceil(np.maximum(arc / step, np.minimum(turn / step, 16))).astype(int), 1, 64)
    index = np.repeat(np.arange(len(points)), pieces)
    fraction = (np.arange(len(index)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) / pieces[index]
    dense = points[index] + fraction[:, None] * (following - points)[index]
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    return np.split(dense, np.cumsum(np.add.reduceat(pieces, np.cumsum(sizes) - sizes))[:-1])


def closed_lines(outlines: Sequence[Outline], decimals: int = _DECIMALS) -> Lines:
    """Each outline as a line of [RA, Dec] in degrees whose last point repeats its first, RA from 0 to below 360.

    RA jumps where an outline crosses RA 0. Points that rounding makes equal to the one before are left out.
    """
    lines = []
    for outline in outlines:
        lon, lat = vec_to_lonlat(outline)
        lon, lat = np.round(lon, decimals) % 360.0, np.round(lat, decimals)
        points = np.column_stack([lon, lat])
        kept = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
        if len(kept) >= 3:
            line = kept.tolist()
            lines.append([*line, list(line[0])])
    return lines


def enclosed_area(outline: Outline) -> float:
    """Area (deg²) to the left of the outline, signed: negative for a hole in a region smaller than half the sky.

    Sum of the spherical excesses of the triangles between each step and a point near the outline's middle
    (Eriksson 1990, Mathematics Magazine 63 184), which is exact for great-circle steps.
    """
    middle = outline.mean(axis=0)
    length = float(np.linalg.norm(middle))
    origin = middle / length if length > 1e-9 else np.array([0.0, 0.0, 1.0])
    b, c = outline, np.roll(outline, -1, axis=0)
    triple = np.cross(b - origin, c - origin) @ origin  # of the differences: a pixel of order 29 has 4e-18 sr
    excess = 2 * np.arctan2(triple, 1 + b @ origin + c @ origin + np.einsum("ij,ij->i", b, c))
    return float(excess.sum()) * DEG2_PER_SR
