"""Credible regions as outlines: closed curves on the sphere, and the GeoJSON file that the GWTM site reads.

The centres of a map's rows, few where the map is coarse and many where it is fine, are joined to triangles (their
spherical Delaunay triangulation, which is their convex hull in space: Renka 1997, ACM TOMS 23 416). The density is
interpolated linearly over the triangles, and a region is where it exceeds a threshold. This has no grid, no poles and
no seam, and costs the same for 10 deg² at order 11 as for half the sky.

The threshold is not that of the rows: interpolation smooths, and the region would hold more or less than it says.
It is set so that the map's own probability inside the outline equals the level.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.outlines import Outline, densify, simplify, split_at_meridian
from mma_pipeline.science.pixels import DEG2_PER_SR, centres, vec_to_index29
from mma_pipeline.science.skymap import MAX_ORDER, FloatArray, IntArray, SkyMap

#: Triangles wholly beyond this credible level are not sampled.
_OUTSIDE = 0.998
#: Samples that the threshold is found from; their noise on the enclosed probability is below 0.1 %.
_SAMPLES = 200_000
#: Rows with more probability than this are split; the densest row of a real map seen holds 1.6 %.
_PLATEAU = 0.05
#: An outline may leave its exact course by this fraction of the square root of the region's area, but …
_TOLERANCE = 0.0008
#: … never by more than this, degrees.
_TOLERANCE_MAX_DEG = 0.1


@dataclass(frozen=True, eq=False)
class CredibleRegion:
    """A region of the sky that holds a given probability."""

    level: float
    """Probability that the region holds, 0 to 1."""
    outlines: tuple[Outline, ...]
    """Closed curves as unit vectors (K, 3), first point not repeated; the region lies to their left seen from outside."""
    area: float
    """Area, deg²."""


@dataclass(frozen=True, eq=False)
class _Mesh:
    """Triangulation of the sphere with the rank of the density at its vertices."""

    vertices: FloatArray  # (N, 3)
    depth: FloatArray  # (N,), 0 at the peak, 1 where there is no probability
    triangles: IntArray  # (T, 3), anticlockwise seen from outside
    used: IntArray  # those that are not wholly in the outskirts


def credible_regions(skymap: SkyMap, levels: Sequence[float] = (0.5, 0.9)) -> list[CredibleRegion]:
    """Outlined regions that hold each level (0 to 1, exclusive) of the probability.

    The enclosed probability is within 0.5 % of the level (0.1 % typically); the area is that of the smallest such
    region but for the smoothing by a fraction of a pixel.
    """
    mesh = _triangulate(skymap)
    sample_depth, prob, area = _sample(skymap, mesh)
    rank = np.argsort(sample_depth)
    inside_prob, inside_area = np.cumsum(prob[rank]), np.cumsum(area[rank])
    regions = []
    for level in levels:
        last = min(int(np.searchsorted(inside_prob, level)), len(rank) - 1)
        threshold = float(sample_depth[rank[last]])
        region_area = float(inside_area[last]) * DEG2_PER_SR
        tolerance = np.radians(min(_TOLERANCE * region_area**0.5, _TOLERANCE_MAX_DEG))
        outlines = (simplify(outline, tolerance) for outline in _trace(mesh, threshold))
        kept = tuple(outline for outline in outlines if len(outline) >= 3)
        regions.append(CredibleRegion(level=level, outlines=kept, area=region_area))
    return regions


def regions_geojson(regions: Sequence[CredibleRegion]) -> bytes:
    """GeoJSON (RFC 7946) as the GWTM site reads it: one feature per region, the level in per cent as `credible_level`.

    Geometry is MultiLineString, degrees, RA 0 to 360, cut where it crosses RA 0; steps are short enough that it does
    not matter whether a reader joins points by great circles or by straight lines in RA and Dec. `area` is in deg².
    The same regions give the same bytes.
    """
    features = []
    for region in regions:
        lines = [line for outline in region.outlines for line in split_at_meridian(densify(outline))]
        features.append(
            {
                "type": "Feature",
                "properties": {"credible_level": _number(100 * region.level), "area": round(region.area, 4)},
                "geometry": {"type": "MultiLineString", "coordinates": lines},
            }
        )
    document = {"type": "FeatureCollection", "features": features}
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _number(value: float) -> int | float:
    """50 rather than 50.0: the site compares with whole numbers."""
    return round(value) if abs(value - round(value)) < 1e-9 else value


def _triangulate(skymap: SkyMap) -> _Mesh:
    """Delaunay triangulation of the row centres.

    What is interpolated is the fourth root of the density: nearly as straight across the flank of a Gaussian as its
    logarithm, and finite at zero. Equal densities are told apart by their order along the NESTED curve, by so little
    that it decides only where nothing else does: a flat map must have a threshold too.
    """
    from scipy.spatial import ConvexHull

    row, order, ipix = _split_plateaus(skymap)
    vertices = centres(order, ipix)
    hull = ConvexHull(vertices)
    triangles = hull.simplices.astype(np.int64)
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    clockwise = np.einsum("ij,ij->i", np.cross(b - a, c - a), a) < 0
    triangles[clockwise] = triangles[clockwise][:, [0, 2, 1]]
    density = skymap.probdensity[row]
    prob = density * (np.pi / 3 / 4.0**order)
    greedy = np.argsort(-density, kind="stable")
    rank, level = np.empty(len(row)), np.empty(len(row))
    rank[greedy] = np.arange(len(row)) / len(row)
    level[greedy] = np.cumsum(prob[greedy]) - prob[greedy]
    depth = 1 - (density / density.max()) ** 0.25 + 1e-7 * rank
    return _Mesh(vertices, depth, triangles, used=triangles[level[triangles].min(axis=1) < _OUTSIDE])


def _split_plateaus(skymap: SkyMap) -> tuple[IntArray, IntArray, IntArray]:
    """Row, order and ipix of the map's pixels, split where an outline must run through a single row.

    Such a row becomes many points, and its surroundings are graded: pixels grow with the distance from it.
    """
    row, order, ipix = np.arange(len(skymap.uniq)), skymap.order, skymap.ipix
    heavy = skymap.prob > _PLATEAU
    if not heavy.any():
        return row, order, ipix
    middle = centres(order[heavy], ipix[heavy])
    finest = min(int(order[heavy].max()) + 4, MAX_ORDER)
    radius = 1.02 / 2.0 ** order[heavy]  # pixel side, rad
    while True:
        away = np.sqrt(np.clip(2 - 2 * centres(order, ipix) @ middle.T, 0, None)) - radius
        coarse = (1.02 / 2.0**order > 0.3 * away.min(axis=1)) & (order < finest)
        if not coarse.any():
            return row, order, ipix
        row = np.concatenate([row[~coarse], np.repeat(row[coarse], 4)])
        order = np.concatenate([order[~coarse], np.repeat(order[coarse] + 1, 4)])
        ipix = np.concatenate([ipix[~coarse], (4 * ipix[coarse][:, None] + np.arange(4)).ravel()])


def _sample(skymap: SkyMap, mesh: _Mesh) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Interpolated depth, probability and solid angle (sr) of small patches that cover all but the outskirts.

    Each triangle is cut into m² equal ones, and the map is read at the middle of each. The patches of a row share out
    exactly the row's probability, so that only those cut by an outline contribute to the error.
    """
    used = mesh.used
    m = int(np.clip(np.sqrt(_SAMPLES / max(len(used), 1)), 2, 40))
    weights = _lattice(m)  # (m², 3)
    a, b, c = (mesh.vertices[used[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    doubled = np.linalg.norm(normal, axis=1)
    height = np.einsum("ij,ij->i", normal, a) / doubled
    corners = mesh.vertices[used]  # (T, 3, 3)
    points = np.einsum("sk,tkx->tsx", weights, corners)
    radius = np.linalg.norm(points, axis=-1)
    area = (0.5 * doubled / m**2 * height)[:, None] / radius**3
    depth = mesh.depth[used] @ weights.T
    rows = skymap.row_of(vec_to_index29(points.reshape(-1, 3)))
    flat_area = area.ravel()
    covered = np.bincount(rows, flat_area, minlength=len(skymap.uniq))
    prob = flat_area * (skymap.prob / np.where(covered > 0, covered, 1.0))[rows]
    return depth.ravel(), prob, flat_area


def _lattice(m: int) -> FloatArray:
    """Barycentric coordinates (m², 3) of the centroids of the m² equal triangles that a triangle divides into."""
    up = [(3 * i + 1, 3 * j + 1) for i in range(m) for j in range(m - i)]
    down = [(3 * i + 2, 3 * j + 2) for i in range(m - 1) for j in range(m - 1 - i)]
    first = np.asarray(up + down, dtype=float) / (3 * m)
    return np.column_stack([first, 1 - first.sum(axis=1)])


def _trace(mesh: _Mesh, threshold: float) -> list[Outline]:
    """Closed curves where the interpolated depth crosses the threshold, the region on their left."""
    n = np.int64(len(mesh.vertices))
    inside = mesh.depth < threshold
    crossed = mesh.triangles[np.ptp(inside[mesh.triangles].astype(np.int8), axis=1) > 0]
    start, end = crossed, np.roll(crossed, -1, axis=1)  # the three directed edges of each triangle
    leaving = inside[start] & ~inside[end]
    entering = ~inside[start] & inside[end]
    # One edge of each kind per triangle. In the neighbour across it an edge runs the other way and is of the other kind.
    begin = _edges(start[leaving], end[leaving], n)
    finish = _edges(start[entering], end[entering], n)
    rank = np.argsort(begin)
    follower = rank[np.searchsorted(begin[rank], finish)]  # the triangle that goes on where this one ends
    low, high = begin // n, begin % n
    share = (threshold - mesh.depth[low]) / (mesh.depth[high] - mesh.depth[low])
    points = mesh.vertices[low] + share[:, None] * (mesh.vertices[high] - mesh.vertices[low])
    points /= np.linalg.norm(points, axis=1, keepdims=True)

    outlines = []
    following = follower.tolist()
    seen = bytearray(len(following))
    for first in range(len(following)):
        loop = []
        at = first
        while not seen[at]:
            seen[at] = 1
            loop.append(at)
            at = following[at]
        if len(loop) >= 3:
            outlines.append(points[loop])
    return outlines


def _edges(start: IntArray, end: IntArray, n: np.int64) -> IntArray:
    """One number for each edge, the same for both directions."""
    return np.asarray(np.minimum(start, end) * n + np.maximum(start, end))
