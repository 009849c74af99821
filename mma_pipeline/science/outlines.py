"""Closed curves on the sphere: thinning, densifying, lines of RA and Dec, and the area they enclose.

An outline is an array of unit vectors (K, 3), its last point joined to its first by a great circle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mma_pipeline.science.pixels import DEG2_PER_SR, vec_to_lonlat
from mma_pipeline.science.skymap import FloatArray

Outline = FloatArray
#: Lines of [RA, Dec] in degrees.
Lines = list[list[list[float]]]
#: Decimals of degrees in files: 0.36 arcsec, far below any pixel of a real map (order 11: 103 arcsec).
_DECIMALS = 4
_STEP_DEG = 3.0


def simplify(outline: Outline, tolerance: float) -> Outline:
    """Leave out points so that the outline moves by at most tolerance (rad) (Douglas & Peucker 1973).

    The two points farthest apart from the first are always kept; an outline smaller than tolerance becomes empty.
    """
    n = len(outline)
    if n < 4:
        return outline
    distance = np.linalg.norm(outline - outline[0], axis=1)
    far = int(np.argmax(distance))
    if distance[far] < tolerance:
        return outline[:0]
    closed = np.concatenate([outline, outline[:1]])
    keep = np.zeros(n + 1, dtype=bool)
    keep[[0, far, n]] = True
    pending = [(0, far), (far, n)]
    while pending:
        first, last = pending.pop()
        if last - first < 2:
            continue
        chord = closed[last] - closed[first]
        length2 = float(chord @ chord)
        offset = closed[first + 1 : last] - closed[first]
        along = np.clip(offset @ chord / length2, 0.0, 1.0) if length2 > 0 else np.zeros(len(offset))
        away = offset - along[:, None] * chord
        away2 = np.einsum("ij,ij->i", away, away)
        worst = int(np.argmax(away2))
        if away2[worst] > tolerance**2:
            middle = first + 1 + worst
            keep[middle] = True
            pending += [(first, middle), (middle, last)]
    return outline[keep[:n]]


def densify(outline: Outline, step: float = _STEP_DEG) -> Outline:
    """Insert points on the great circles so that no step exceeds `step` degrees, neither on the sky nor in longitude."""
    following = np.roll(outline, -1, axis=0)
    lon = vec_to_lonlat(outline)[0]
    turn = np.abs((np.roll(lon, -1) - lon + 180.0) % 360.0 - 180.0)
    arc = np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(following - outline, axis=1) / 2, 0, 1)))
    # Close to a pole longitude turns fast on a short way: a few points more, not one for every step of it.
    pieces = np.clip(np.ceil(np.maximum(arc / step, np.minimum(turn / step, 16))).astype(int), 1, 64)
    index = np.repeat(np.arange(len(outline)), pieces)
    fraction = (np.arange(len(index)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) / pieces[index]
    points = outline[index] + fraction[:, None] * (following - outline)[index]
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


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
