"""The probability that a pair of unrelated events ranks as high, for one pair and over all pairs looked at.

A pair ranks by q / I: q the share of unrelated pairs that rank as high in time alone (`joint_far`), uniform for them, and I
the overlap integral. Pairs that their maps exclude (I below 0.01, where place speaks a hundred to one against a common
source) rank behind all others, by q. Unrelated places lie isotropically, so with I' the overlap of the same two maps
turned against each other at random, the share of unrelated pairs that rank as high is

    p = E[min(1, q I' / I); I' ≥ 0.01]            if I ≥ 0.01
    p = P(I' ≥ 0.01) + q P(I' < 0.01)             if I < 0.01

which is uniform for unrelated pairs. As E[I'] = 1, p is at most q / I in the first case. Over n pairs looked at,
p_all = 1 - (1 - p)^n (Šidák 1967).

Half of the turns are isotropic, half are drawn in proportion to I' (a point of one map brought onto a point of the other,
turned about it at random), since isotropic turns of two small maps nearly all miss. Together their density is (1 + I') / 2,
by which each is divided (defensive importance sampling, Hesterberg 1995, Technometrics 37 185). The draws are the same for
the same maps.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.coincidence.overlap import FOUR_PI
from mma_pipeline.science.healpix import MAX_ORDER, centres, vec_to_index29
from mma_pipeline.science.skymaps.model import SkyMap

#: Overlap below which two maps exclude each other.
EXCLUDED = 0.01
_TURNS = 1500
_POINTS = 150


def background_overlaps(a: SkyMap, b: SkyMap, turns: int = _TURNS, points: int = _POINTS) -> FloatArray:
    """Overlaps of two maps turned at random, half of them in proportion to themselves; shape (2 · turns,).

    The overlap of each turn is a weighted mean over 2 · points places of the map that is better localised.
    """
    if float(np.sum(a.prob * a.probdensity)) > float(np.sum(b.prob * b.probdensity)):
        a, b = b, a  # the wide map is looked up, the narrow one sampled: less noise
    # Seeded by the maps: what is left of the noise is then independent from pair to pair.
    rng = np.random.default_rng([zlib.crc32(m.probdensity.tobytes()) for m in (a, b)])
    cloud, weight = _cloud(b, points, rng)
    target, own = _points(a, a.prob, turns, rng)[0], _points(b, b.prob, turns, rng)[0]
    back = np.swapaxes(_frames(own, np.zeros(turns)), 1, 2)
    twist = rng.uniform(0.0, 2.0 * np.pi, (2, turns))
    # Isotropic turns bring one direction of the map, its densest, onto a lattice: even cover leaves little noise.
    peak = int(np.argmax(b.probdensity))
    centre = _frames(centres(b.order[peak : peak + 1], b.ipix[peak : peak + 1]), np.zeros(1))[0].T
    onto = np.concatenate([_frames(_lattice(turns), twist[0]) @ centre, _frames(target, twist[1]) @ back])
    places = np.swapaxes(onto @ cloud.T, 1, 2)  # (2 · turns, 2 · points, 3)
    found = a.probdensity[a.row_of(vec_to_index29(places))] @ weight
    # The point that a turn was drawn by is one more of its points, and never empty.
    at_target = a.probdensity[a.row_of(vec_to_index29(target))]
    found[turns:] = (found[turns:] * points + at_target) / (points + 1)
    return np.asarray(FOUR_PI * found)


def p_pair(quantile: float, overlap: float | None, background: FloatArray | None) -> float:
    """Probability that one unrelated pair ranks as high, 0 to 1.

    Args:
        quantile: share of unrelated pairs that rank as high in time alone.
        overlap: overlap integral; None without two maps.
        background: `background_overlaps` of the same maps.
    """
    if overlap is None or background is None:
        return quantile
    weight = 1.0 / (0.5 + 0.5 * background)
    weight /= weight.sum()
    possible = background >= EXCLUDED
    if overlap < EXCLUDED:
        share = float(weight[possible].sum())
        return min(1.0, share + quantile * (1.0 - share))
    rank = quantile / overlap
    return float(min(rank, np.sum(weight[possible] * np.minimum(1.0, rank * background[possible]))))


def among(p: float, n: int) -> float:
    """Probability that one of n independent trials is as unlikely as `p`: 1 - (1 - p)^n (Šidák 1967)."""
    return -math.expm1(n * math.log1p(-p)) if p < 1 else 1.0


def _cloud(m: SkyMap, points: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Places (2 · points, 3) in a map and their weights: half drawn by density, half by its root, which reaches the outskirts."""
    root = np.sqrt(m.probdensity) * m.area
    root /= root.sum()
    drawn = [_points(m, share, points, rng) for share in (m.prob, root)]
    row = np.concatenate([rows for _, rows in drawn])
    weight = m.prob[row] / (m.prob[row] + root[row])
    return np.concatenate([places for places, _ in drawn]), weight / weight.sum()


def _points(m: SkyMap, share: FloatArray, n: int, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Unit vectors (n, 3) drawn from a map's rows by their share, evenly within a row, and the rows; in random order.

    One from each n-th of the whole along the NESTED curve: less noise than free draws.
    """
    level = rng.permutation((np.arange(n) + rng.uniform(size=n)) / n)
    row = np.searchsorted(np.cumsum(share), level * share.sum(), side="right")
    row = np.minimum(row, len(share) - 1)
    deeper = np.minimum(np.int64(8), MAX_ORDER - m.order[row])
    child = np.floor(rng.uniform(size=n) * (np.int64(1) << (2 * deeper))).astype(np.int64)
    return centres(m.order[row] + deeper, (m.ipix[row] << (2 * deeper)) + child), row


def _lattice(n: int) -> FloatArray:
    """Unit vectors (n, 3) that cover the sphere evenly: the golden spiral (González 2010, Math. Geosci. 42 49)."""
    z = 1.0 - (2.0 * np.arange(n) + 1.0) / n
    phi, r = np.pi * (1.0 + np.sqrt(5.0)) * np.arange(n), np.sqrt(1.0 - z**2)
    return np.stack([r * np.cos(phi), r * np.sin(phi), z], axis=-1)


def _frames(z: FloatArray, angle: FloatArray) -> FloatArray:
    """Rotations (n, 3, 3) that bring the third axis onto `z` (n, 3), after a turn by `angle` rad (n,) about it."""
    helper = np.where(np.abs(z[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    x = np.cross(helper, z)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = np.cross(z, x)
    cos, sin = np.cos(angle)[:, np.newaxis], np.sin(angle)[:, np.newaxis]
    return np.stack([cos * x + sin * y, -sin * x + cos * y, z], axis=-1)
