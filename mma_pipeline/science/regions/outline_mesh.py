"""A sky map as a triangulated surface, and the closed curves along which that surface crosses a height.

The centres of a map's rows, few where the map is coarse and many where it is fine, are joined to triangles (their
spherical Delaunay triangulation, which is their convex hull in space: Renka 1997, ACM TOMS 23 416). This has no grid,
no poles and no seam, and costs the same for 10 deg² at order 11 as for half the sky.

The height is the logarithm of the density relative to that at the region's border, clipped at a factor of two: where
densities change slowly it is a plane, and where they jump, it says inside or outside and nothing else, so that a
border beside rows of zero lies half-way and not where the zero is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import MAX_ORDER, centres, vec_to_index29
from mma_pipeline.science.regions.outlines import Outline
from mma_pipeline.science.regions.pixel_outlines import loops
from mma_pipeline.science.skymaps.credible import crossing, greedy
from mma_pipeline.science.skymaps.model import SkyMap

BoolArray = npt.NDArray[np.bool_]

#: Densities more than this factor above or below the border's are inside or outside and nothing else.
_CONTRAST = 2.0
#: Rows above this number are thinned out away from the borders; beyond the second no surface is made.
_THIN_ABOVE, _MOST_VERTICES = 40_000, 120_000
#: Rows this far from the border, as a factor in density, may be thinned out.
_FAR = 4.0
#: Finer maps are blown up around their peak, because a convex hull cannot tell their centres apart.
_ZOOM_ABOVE = 16
#: Each side of a triangle that an outline may cross is divided by up to this, for about so many fine triangles.
_DIVISIONS, _FINE = 4, 80_000
#: Weights of the corners in the middles of a triangle's four equal parts.
_PARTS = ((4 / 6, 1 / 6, 1 / 6), (1 / 6, 4 / 6, 1 / 6), (1 / 6, 1 / 6, 4 / 6), (1 / 3, 1 / 3, 1 / 3))


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangulation of the sphere by the centres of a map's rows."""

    vertices: FloatArray
    """Unit vectors, shape (N, 3)."""
    row: IntArray
    """Row of the map at each vertex, shape (N,)."""
    triangles: IntArray
    """Vertices of each triangle, shape (T, 3), anticlockwise seen from outside."""
    area: FloatArray
    """Area of each triangle, flat, on the unit sphere, shape (T,)."""
    part_row: IntArray
    """Row in the middle of each triangle's four equal parts, shape (T, 4)."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Fine triangles around a region's border, and what lies wholly inside of it."""

    triangles: IntArray
    """Points of each fine triangle, shape (F, 3)."""
    points: FloatArray
    """Unit vectors, shape (P, 3)."""
    smooth: FloatArray
    """Height at each point, interpolated over the row centres: -1 inside, 1 outside, shape (P,)."""
    sharp: FloatArray
    """Height of the row at each point, shape (P,)."""
    prob: FloatArray
    """Probability in each fine triangle, shape (F,)."""
    inside: float
    """Probability in the triangles that lie wholly inside."""


def triangulate(skymap: SkyMap, levels: Sequence[float]) -> Mesh | None:
    """Delaunay triangulation of the row centres; None if the map has too many rows that matter or degenerate ones."""
    from scipy.spatial import ConvexHull, QhullError

    order, ipix = skymap.order, skymap.ipix
    if len(order) > _THIN_ABOVE:
        order, ipix = _thinned(skymap, [border_density(skymap, level) for level in levels])
    if not 4 <= len(order) <= _MOST_VERTICES:
        return None
    vertices = centres(order, ipix)
    peak = int(np.argmax(skymap.probdensity))
    finest = int(order.max())
    try:
        hull = ConvexHull(_zoomed(vertices, centres(skymap.order[peak], skymap.ipix[peak]), finest))
    except QhullError:
        return None
    triangles = hull.simplices.astype(np.int64)
    if len(triangles) != 2 * len(vertices) - 4:
        return None
    a, b, c = (hull.points[triangles[:, k]] for k in range(3))
    clockwise = np.einsum("ij,ij->i", np.cross(b - a, c - a), a) < 0
    triangles[clockwise] = triangles[clockwise][:, [0, 2, 1]]
    row = skymap.row_of(ipix << (2 * (MAX_ORDER - order)))
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    middles = np.stack([wa * a + wb * b + wc * c for wa, wb, wc in _PARTS], axis=1)
    part_row = skymap.row_of(vec_to_index29(middles))
    return Mesh(vertices, row, triangles, _flat_area(a, b, c), part_row)


def border_density(skymap: SkyMap, level: float) -> float:
    """Density (sr⁻¹) of the row at which the densest rows reach the level."""
    rank, total = greedy(skymap)
    return float(skymap.probdensity[rank[crossing(total, level)]])


def surface(skymap: SkyMap, mesh: Mesh, border: float) -> Surface:
    """The fine triangles around the border of the region that is denser than `border` (sr⁻¹).

    The fine triangles and the whole ones, by their parts, share out exactly the probability of each row.
    """
    height = _height(skymap.probdensity, border)
    corner, part = height[mesh.row][mesh.triangles], height[mesh.part_row]
    first = corner[:, :1]
    # Where no corner tells of a border, rows between the corners may.
    uniform = (np.abs(first[:, 0]) == 1) & (corner == first).all(axis=1) & (part == first).all(axis=1)
    zone = mesh.triangles[~uniform]
    fine = _divided(mesh, zone, int(np.clip(np.sqrt(_FINE / max(len(zone), 1)), 2, _DIVISIONS)))
    points, triangles = fine.points, fine.triangles
    row = np.concatenate([mesh.row, skymap.row_of(vec_to_index29(points[len(mesh.vertices) :]))])
    smooth = fine.spread(height[mesh.row])
    sharp = np.where(fine.rim, smooth, height[row])  # beyond the rim nothing is divided: both sides must agree
    a, b, c = (points[triangles[:, k]] for k in range(3))
    area = _flat_area(a, b, c)
    holder = skymap.row_of(vec_to_index29(a + b + c))
    whole_row, whole_area = mesh.part_row[uniform].ravel(), np.repeat(mesh.area[uniform] / 4, 4)
    rows = len(skymap.uniq)
    covered = np.bincount(holder, area, minlength=rows) + np.bincount(whole_row, whole_area, minlength=rows)
    density = skymap.prob / np.where(covered > 0, covered, 1.0)
    deep = np.repeat(first[uniform, 0] == -1, 4)
    inside = float(np.sum((whole_area * density[whole_row])[deep]))
    return Surface(triangles, points, smooth, sharp, area * density[holder], inside)


def outlines_at(surface: Surface, level: float, sharpness: float) -> list[Outline]:
    """Closed curves, region on the left, that enclose `level` of the probability; sharpness from 0 to 1 follows the rows."""
    height = (1 - sharpness) * surface.smooth + sharpness * surface.sharp
    middle = height[surface.triangles].mean(axis=1)
    rank = np.argsort(middle, kind="stable")
    total = surface.inside + np.cumsum(surface.prob[rank])
    last = min(int(np.searchsorted(total, level)), len(rank) - 1)
    return trace(surface.points, surface.triangles, height, float(middle[rank[last]]))


def trace(points: FloatArray, triangles: IntArray, height: FloatArray, threshold: float) -> list[Outline]:
    """Closed curves where the interpolated height crosses the threshold, lower ground on their left.

    Each is an array of unit vectors, shape (M, 3), without its first point repeated.
    """
    n = np.int64(len(points))
    inside = height < threshold
    crossed = triangles[np.ptp(inside[triangles].astype(np.int8), axis=1) > 0]
    start, end = crossed, np.roll(crossed, -1, axis=1)  # the three directed edges of each triangle
    leaving = inside[start] & ~inside[end]
    entering = ~inside[start] & inside[end]
    # One edge of each kind per triangle. In the neighbour across it an edge runs the other way and is of the other kind.
    begin = _edges(start[leaving], end[leaving], n)
    finish = _edges(start[entering], end[entering], n)
    rank = np.argsort(begin)
    follower = rank[np.searchsorted(begin[rank], finish)]  # the triangle that goes on where this one ends
    low, high = begin // n, begin % n
    share = (threshold - height[low]) / (height[high] - height[low])
    crossings = points[low] + share[:, None] * (points[high] - points[low])
    crossings /= np.linalg.norm(crossings, axis=1, keepdims=True)
    return [crossings[loop] for loop in loops(follower) if len(loop) >= 3]


def _height(density: FloatArray, border: float) -> FloatArray:
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(np.clip(np.log(border / density) / np.log(_CONTRAST), -1.0, 1.0))


def _zoomed(vertices: FloatArray, centre: FloatArray, finest: int) -> FloatArray:
    """The vertices, blown up around a centre where the finest are too close together.

    Stereographic projection, a scale, and back: circles stay circles, so the triangulation is the same.
    """
    if finest <= _ZOOM_ABOVE:
        return vertices
    scale = 2.0 ** (finest - 12)
    pole = np.zeros(3)
    pole[int(np.argmin(np.abs(centre)))] = 1.0
    east = np.cross(pole, centre)
    east /= np.linalg.norm(east)
    north = np.cross(centre, east)
    offset = vertices - centre
    away = np.maximum(2 + offset @ centre, 1e-12)  # 1 + cosine of the distance
    x, y = scale * (offset @ east) / away, scale * (offset @ north) / away
    squared = x**2 + y**2
    return np.stack([2 * x, 2 * y, 1 - squared], axis=-1) / (1 + squared)[:, None]


def _thinned(skymap: SkyMap, borders: list[float]) -> tuple[IntArray, IntArray]:
    """Order and ipix of the rows, four siblings taken together wherever they and all around are far from any border."""
    import healpy

    far = [
        np.sign(np.trunc(np.log(np.maximum(skymap.probdensity, 1e-300) / border) / np.log(_FAR))) for border in borders
    ]
    kind = np.sum([(value + 1) * 3**k for k, value in enumerate(far)], axis=0).astype(np.int64)
    near = np.any([value == 0 for value in far], axis=0)
    changes = np.concatenate([[0], np.cumsum((kind[1:] != kind[:-1]) | near[1:] | near[:-1])])
    order, ipix = skymap.order.copy(), skymap.ipix.copy()

    def alike(level: int, pixel: IntArray) -> tuple[BoolArray, IntArray]:
        shift = 2 * (MAX_ORDER - level)
        first, last = skymap.row_of(pixel << shift), skymap.row_of(((pixel + 1) << shift) - 1)
        return (changes[first] == changes[last]) & ~near[first], kind[first]

    for level in range(int(order.max()) - 1, 2, -1):
        child = order == level + 1
        parent, count = np.unique(ipix[child] >> 2, return_counts=True)
        parent = parent[count == 4]
        if not len(parent):
            continue
        good, sort = alike(level, parent)
        parent, sort = parent[good], sort[good]
        around = np.asarray(healpy.get_all_neighbours(1 << level, parent, nest=True))
        fine, other = alike(level, np.where(around < 0, parent, around).ravel())
        same = (fine & (other == np.tile(sort, 8))).reshape(8, -1).all(axis=0)
        parent = parent[same]
        gone = child & np.isin(ipix >> 2, parent)
        order = np.concatenate([order[~gone], np.full(len(parent), level)])
        ipix = np.concatenate([ipix[~gone], parent])
    return order, ipix


def _flat_area(a: FloatArray, b: FloatArray, c: FloatArray) -> FloatArray:
    return np.asarray(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1))


@dataclass(frozen=True, eq=False)
class _Divided:
    """Triangles cut into m² equal ones each, with the points at their corners."""

    points: FloatArray
    triangles: IntArray
    rim: BoolArray
    low: IntArray
    high: IntArray
    zone: IntArray
    steps: FloatArray
    within: FloatArray

    def spread(self, value: FloatArray) -> FloatArray:
        """Values at the vertices, shape (N, …), interpolated linearly to all points."""
        flat = value.reshape(len(value), -1)
        sides = flat[self.low][:, None] + self.steps[:, None] * (flat[self.high] - flat[self.low])[:, None]
        inner = np.einsum("qk,tkx->tqx", self.within, flat[self.zone])
        joined = np.concatenate([flat, sides.reshape(-1, flat.shape[1]), inner.reshape(-1, flat.shape[1])])
        return joined.reshape(-1, *value.shape[1:])


def _divided(mesh: Mesh, zone: IntArray, m: int) -> _Divided:
    n = np.int64(len(mesh.vertices))
    keys = np.stack([_edges(zone[:, p], zone[:, q], n) for p, q in ((0, 1), (1, 2), (0, 2))], axis=1)
    unique, inverse, count = np.unique(keys.ravel(), return_inverse=True, return_counts=True)
    edge = inverse.reshape(-1, 3)
    places = {(i, j): k for k, (i, j) in enumerate((i, j) for i in range(m + 1) for j in range(m + 1 - i))}
    inner = [(i, j, m - i - j) for i, j in places if i and j and i + j < m]
    first_inner = n + len(unique) * (m - 1)
    ids = np.empty((len(zone), len(places)), dtype=np.int64)
    for (i, j), place in places.items():
        weight = (i, j, m - i - j)
        some = [k for k in range(3) if weight[k]]
        if len(some) == 1:
            ids[:, place] = zone[:, some[0]]
        elif len(some) == 2:
            p, q = some
            step = np.where(zone[:, p] > zone[:, q], weight[p], weight[q])
            ids[:, place] = n + edge[:, {(0, 1): 0, (1, 2): 1, (0, 2): 2}[p, q]] * (m - 1) + step - 1
        else:
            ids[:, place] = first_inner + np.arange(len(zone)) * len(inner) + inner.index(weight)
    parts = [(places[i + 1, j], places[i, j + 1], places[i, j]) for i in range(m) for j in range(m - i)]
    parts += [
        (places[i, j + 1], places[i + 1, j], places[i + 1, j + 1]) for i in range(m - 1) for j in range(m - 1 - i)
    ]
    steps = np.arange(1, m) / m
    divided = _Divided(
        np.empty((0, 3)),
        ids[:, np.asarray(parts)].reshape(-1, 3),
        np.empty(0, bool),
        unique // n,
        unique % n,
        zone,
        steps,
        np.asarray(inner, dtype=float).reshape(-1, 3) / m,
    )
    points = divided.spread(mesh.vertices)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    rim = np.zeros(len(points), dtype=bool)
    rim[n : n + len(unique) * (m - 1)] = np.repeat(count == 1, m - 1)
    return _Divided(points, divided.triangles, rim, unique // n, unique % n, zone, steps, divided.within)


def _edges(start: IntArray, end: IntArray, n: np.int64) -> IntArray:
    """One number for each edge, the same for both directions."""
    return np.asarray(np.minimum(start, end) * n + np.maximum(start, end))
