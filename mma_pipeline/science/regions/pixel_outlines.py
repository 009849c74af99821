"""Outlines that follow the borders of a region's pixels exactly, for maps whose smooth outlines are too inaccurate.

A side of a pixel belongs to the outline where the pixel beyond is not in the region. A side along which that is only
partly so is divided, as often as the rows beyond are. So nothing is brought to one order, and a region of order-29
rows costs as much as one of order 6.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import DEG2_PER_SR, MAX_ORDER, centres
from mma_pipeline.science.regions.outlines import Outline, enclosed_area
from mma_pipeline.science.skymaps.credible import crossing, greedy
from mma_pipeline.science.skymaps.model import SkyMap

#: The crossing row is divided until what it adds is known to this fraction of the level.
_SHARE = 1e-3
_MOST_DIVISIONS = 8
#: The sides of a pixel are great circles from this order on, for all that matters here.
_STRAIGHT = 5
#: Sides in the order of healpy's corners N, W, S, E, which run anticlockwise seen from outside, so that the pixel lies
#: to the left: the neighbour's place among healpy's eight, and the children at the side.
_SIDES = ((2, (3, 2)), (0, (2, 0)), (6, (0, 1)), (4, (1, 3)))


def exact_outlines(skymap: SkyMap, level: float) -> list[Outline]:
    """Closed curves around the smallest region of a level: the densest rows and a part of the one that crosses it.

    The crossing row is divided; one of order 29, or too heavy for that, is drawn together around its centre.
    """
    rank, total = greedy(skymap)
    last = crossing(total, level)
    rows, divided = rank[:last], int(rank[last])
    missing = level * float(total[-1]) - (float(total[last - 1]) if last else 0.0)
    heavy = float(skymap.prob[divided])
    wanted = int(np.ceil(0.5 * np.log2(max(heavy / (_SHARE * level), 1.0))))
    whole = wanted > min(_MOST_DIVISIONS, MAX_ORDER - skymap.order[divided]) or not last
    depth = 0 if whole else wanted
    children = np.arange(0 if whole else round(missing / heavy * 4**depth)) + (skymap.ipix[divided] << (2 * depth))
    order = np.concatenate([skymap.order[rows], np.full(len(children), skymap.order[divided] + depth)])
    ipix = np.concatenate([skymap.ipix[rows], children])
    along = np.argsort(ipix << (2 * (MAX_ORDER - order)), kind="stable")
    curves = pixel_outlines(order[along], ipix[along])
    return (
        [*curves, part_of_pixel(int(skymap.order[divided]), int(skymap.ipix[divided]), missing / heavy)]
        if whole
        else curves
    )


def part_of_pixel(order: int, ipix: int, share: float) -> Outline:
    """The border of a pixel, drawn together around its centre until it has this share of its area."""
    import healpy

    border = np.asarray(healpy.boundaries(1 << order, ipix, step=8 if order < _STRAIGHT else 1, nest=True)).T
    centre = centres(np.array([order]), np.array([ipix]))[0]
    wanted = share * 4 * np.pi * DEG2_PER_SR / (12 << (2 * order))
    scale = share**0.5
    for _ in range(4):  # the sphere is curved, which only pixels of the lowest orders notice
        drawn = centre + scale * (border - centre)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        scale *= (wanted / enclosed_area(drawn)) ** 0.5
    return np.asarray(drawn)


def pixel_outlines(order: IntArray, ipix: IntArray) -> list[Outline]:
    """Closed curves around the union of pixels that do not overlap, given along the NESTED curve; region on the left."""
    start, end = _sides(order, ipix)
    return _chain(start, end)


def _sides(order: IntArray, ipix: IntArray) -> tuple[FloatArray, FloatArray]:
    """Both ends (S, 3) of every side between a pixel of the region and one that is not."""
    import healpy

    first = ipix << (2 * (MAX_ORDER - order))
    ends = first + (np.int64(1) << (2 * (MAX_ORDER - order)))
    before = np.concatenate([[0], np.cumsum(ends - first)])

    def inside_up_to(index29: IntArray) -> IntArray:
        """Order-29 pixels of the region ahead of an index."""
        at = np.searchsorted(first, index29, side="right") - 1
        within = np.minimum(index29, ends[np.maximum(at, 0)]) - first[np.maximum(at, 0)]
        return np.where(at < 0, 0, before[np.maximum(at, 0)] + within)

    starts: list[FloatArray] = []
    stops: list[FloatArray] = []
    todo = [(np.full(len(ipix), side), order, ipix) for side in range(4)]
    side, level, pixel = (np.concatenate([part[k] for part in todo]) for k in range(3))
    while len(pixel):
        divided: list[tuple[IntArray, IntArray, IntArray]] = []
        for one in np.unique(level):
            here = level == one
            nside, pixels, sides = 1 << int(one), pixel[here], side[here]
            unique, inverse = np.unique(pixels, return_inverse=True)
            around = healpy.get_all_neighbours(nside, unique, nest=True)
            beyond = np.asarray(around)[np.array([s[0] for s in _SIDES])[sides], inverse]
            size = np.int64(1) << (2 * (MAX_ORDER - int(one)))
            filled = inside_up_to((beyond + 1) * size) - inside_up_to(beyond * size)
            border = filled == 0
            if border.any():
                steps = 1 << max(_STRAIGHT - int(one), 0)
                corners = np.moveaxis(healpy.boundaries(nside, pixels[border], step=steps, nest=True), -1, 1)
                number = np.arange(len(corners))[:, None]
                place = sides[border][:, None] * steps + np.arange(steps + 1)
                course = corners[number, place % (4 * steps)]
                starts.append(course[:, :-1].reshape(-1, 3))
                stops.append(course[:, 1:].reshape(-1, 3))
            mixed = (filled > 0) & (filled < size)
            if mixed.any():
                child = np.array([s[1] for s in _SIDES])[sides[mixed]]
                divided.append(
                    (
                        np.repeat(sides[mixed], 2),
                        np.full(2 * int(mixed.sum()), int(one) + 1),
                        (4 * pixels[mixed][:, None] + child).ravel(),
                    )
                )
        if not divided:
            break
        side, level, pixel = (np.concatenate([part[k] for part in divided]) for k in range(3))
    if not starts:
        return np.empty((0, 3)), np.empty((0, 3))
    return np.concatenate(starts), np.concatenate(stops)


def _chain(start: FloatArray, end: FloatArray) -> list[Outline]:
    """Closed curves of directed sides; where two curves touch at a corner they stay apart."""
    from scipy.spatial import cKDTree

    if not len(start):
        return []
    length = np.linalg.norm(end - start, axis=1)
    # A corner is the same to within rounding, far below the shortest side.
    distance, follower = cKDTree(start).query(end, k=2, workers=1)
    close = distance < 0.05 * np.minimum(length[:, None], length[follower])
    following = follower[:, 0].copy()
    double = close.all(axis=1)
    if double.any():
        turns = [_turn(start[double], end[double], end[follower[double, k]]) for k in range(2)]
        following[double] = np.where(turns[0] >= turns[1], follower[double, 0], follower[double, 1])
    return [start[loop] for loop in loops(following) if len(loop) >= 3]


def _turn(a: FloatArray, b: FloatArray, c: FloatArray) -> FloatArray:
    """Turn to the left at b on the way from a to c, rad."""
    along, onward = b - a, c - b
    return np.asarray(
        np.arctan2(np.einsum("ij,ij->i", np.cross(along, onward), b), np.einsum("ij,ij->i", along, onward))
    )


def loops(following: npt.NDArray[np.int64]) -> list[list[int]]:
    """Cycles of a permutation, shape (N,), each as the list of its members."""
    onward = following.tolist()
    seen = bytearray(len(onward))
    found = []
    for first in range(len(onward)):
        loop = []
        at = first
        while not seen[at]:
            seen[at] = 1
            loop.append(at)
            at = onward[at]
        if loop:
            found.append(loop)
    return found
