"""Footprints as arrays: how far they reach, their area, and a picture of them in the tangent plane to look points up in.

A great circle is a straight line in the gnomonic projection about the pointing, so a polygon of the sphere is one of the
plane, and whether a point lies in any of a camera's CCDs is one look into a picture of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mma_pipeline.notices.footprints import Footprint
from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.healpix import DEG2_PER_SR
from mma_pipeline.science.sphere import unit_vectors

#: Points of the picture along its longer side.
_SIDE = 2048


@dataclass(frozen=True, eq=False)
class Picture:
    """A footprint drawn in the tangent plane."""

    inside: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """Whether each point lies in the footprint, shape (rows · columns,), row by row; the border is outside."""
    rows: int
    columns: int
    x0: float
    """Plane coordinate (east, tangent of the angle) of the left edge of the first column."""
    y0: float
    """The same of the lower edge of the first row (north)."""
    per_unit: float
    """Points per unit of the plane."""


def plane_corners(footprint: Footprint) -> list[FloatArray]:
    """Corners of each polygon in the tangent plane, shape (K, 2): east and north, tangents of angles."""
    found = []
    for ring in footprint.polygons:
        x, y, z = unit_vectors(*np.asarray(ring, dtype=float).T).T
        found.append(np.stack([y / x, z / x], axis=1))
    return found


@lru_cache(maxsize=256)
def reach_deg(footprint: Footprint) -> float:
    """Largest angle between the pointing and a point of the footprint, degrees."""
    if footprint.radius is not None:
        return footprint.radius
    corners = np.concatenate(plane_corners(footprint))
    return float(np.degrees(np.arctan(np.hypot(*corners.T).max())))


@lru_cache(maxsize=256)
def area_deg2(footprint: Footprint) -> float:
    """Sum of the areas of the circle or the polygons, deg²; what polygons share counts twice.

    The area of a polygon is that of its triangles from the first corner, each by its solid angle with a sign (Van
    Oosterom & Strackee 1983, IEEE Trans. Biomed. Eng. 30 125).
    """
    if footprint.radius is not None:
        return float(2 * np.pi * (1 - np.cos(np.radians(footprint.radius))) * DEG2_PER_SR)
    total = 0.0
    for ring in footprint.polygons:
        v = unit_vectors(*np.asarray(ring, dtype=float).T)
        a, b, c = v[0], v[1:-1], v[2:]
        triple = np.cross(b, c) @ a
        total += abs(float(np.sum(2 * np.arctan2(triple, 1 + b @ a + c @ a + np.sum(b * c, axis=1)))))
    return total * DEG2_PER_SR


@lru_cache(maxsize=32)
def picture(footprint: Footprint) -> Picture:
    """The polygons of a footprint drawn at 2,048 points along the longer side; a point counts where its centre is inside."""
    rings = plane_corners(footprint)
    corners = np.concatenate(rings)
    low, high = corners.min(axis=0), corners.max(axis=0)
    per_unit = (_SIDE - 2) / float((high - low).max())
    columns, rows = (int(n) + 3 for n in np.ceil((high - low) * per_unit))
    x0, y0 = low - 1.0 / per_unit
    inside = np.zeros((rows, columns), dtype=bool)
    for ring in rings:
        _draw(inside, (ring - (x0, y0)) * per_unit)
    inside[[0, -1]] = False
    inside[:, [0, -1]] = False
    return Picture(inside.ravel(), rows, columns, float(x0), float(y0), per_unit)


def _draw(inside: np.ndarray[tuple[int, int], np.dtype[np.bool_]], ring: FloatArray) -> None:
    """Add a polygon (K, 2), in units of points, by the even-odd rule: each edge turns over what lies right of it."""
    begin, end = ring, np.roll(ring, -1, axis=0)
    first, last = int(np.floor(ring[:, 1].min())), int(np.ceil(ring[:, 1].max())) + 1
    centres = np.arange(first, last)[:, np.newaxis] + 0.5
    crosses = (begin[:, 1] <= centres) != (end[:, 1] <= centres)
    row, edge = np.nonzero(crosses)
    share = (centres[row, 0] - begin[edge, 1]) / (end[edge, 1] - begin[edge, 1])
    x = begin[edge, 0] + share * (end[edge, 0] - begin[edge, 0])
    turns = np.zeros((last - first, inside.shape[1] + 1), dtype=np.int32)
    # The first point whose centre lies right of the crossing.
    np.add.at(turns, (row, np.ceil(x - 0.5).astype(np.int64)), 1)
    inside[first:last] |= (np.cumsum(turns, axis=1)[: inside.shape[0] - first, :-1] % 2).astype(bool)
