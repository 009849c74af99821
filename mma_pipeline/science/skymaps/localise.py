"""A localisation by circle, ellipse or rectangle as a multi-order map.

The density is a sum of Gaussians in the Lambert azimuthal equal-area plane about the position, in which solid angles are
areas: ρ = 2 sin(θ/2). A circular one is the von Mises-Fisher (Fisher) density exp(κ cos θ) with κ = 1/s², since
cos θ = 1 - ρ²/2; GBM's own error model is a sum of such (Briggs et al. 1999, ApJS 122 503; Connaughton et al. 2015,
ApJS 216 32). The probability within θ of the centre is

    P(θ) = Σ w (1 - exp(-ρ²/2s²)) / (1 - exp(-2/s²)).

A stated error of containment p fixes s. Of an ellipse, P = 1 - exp(-q/2) inside q = (x/s₁)² + (y/s₂)², until it reaches far
around the sphere. A rectangle is an even density: with half lengths a and b of the stated one, which holds p,

    P(f) = p f², at most 1

inside f times the stated lengths, so that everything lies inside 1/√p of them. A systematic error is added in quadrature to
each axis of a Gaussian; the even density is folded with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from mma_pipeline.notices.gcn.localisation import Shape
from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import MAX_ORDER, centres, order_ipix_to_uniq
from mma_pipeline.science.skymaps.model import SkyMap, SkyMapError
from mma_pipeline.science.sphere import unit_vectors

#: Pixels are at most this share of the smallest standard deviation where the density is high, and of the distance from
#: there elsewhere; each is averaged over this many orders of children.
_SIGMA_SHARE, _DISTANCE_SHARE, _CHILDREN = 0.18, 0.25, 2
#: Standard deviations around an ellipse or an edge within which pixels are smallest.
_REACH = 2.5
#: Pixels at the edges of a rectangle are at most this share of its smaller half length, or of the standard deviation.
_EDGE_SHARE, _BLUR_SHARE = 0.09, 0.4
_FIRST_ORDER = 2
#: Longest axis in units of the shortest: a map of it has some 400,000 rows, more than any real one.
_LONGEST = 60.0


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a density in the plane: a Gaussian, or an even rectangle folded with one. Dimensionless (radians where small)."""

    weight: float
    sigma: tuple[float, float]
    """Along the first axis and the second; zero for the sharp edge of a rectangle."""
    half: tuple[float, float] | None = None
    """Half lengths of the even rectangle, along the same axes."""

    def density(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Density at places in the plane, sr⁻¹, up to the normalisation far around the sphere."""
        if self.half is None:
            a, b = self.sigma
            # Of a circle exactly; of an ellipse for errors much smaller than the sky.
            norm = 2 * np.pi * a * b * (1 - math.exp(-2 / (a * b)))
            return np.asarray(np.exp(-((x / a) ** 2 + (y / b) ** 2) / 2) / norm)
        return _even(x, self.half[0], self.sigma[0]) * _even(y, self.half[1], self.sigma[1])

    def pixel_size(self, x: FloatArray, y: FloatArray, reach: float) -> FloatArray:
        """Largest size of pixels at places in the plane whose corners are within `reach`, with which the density is seen."""
        a, b = self.sigma
        if self.half is None:
            # Distance in the plane from the ellipse where the density is high, measured along each axis.
            beyond = np.hypot(
                np.maximum(np.abs(x) - reach - _REACH * a, 0.0), np.maximum(np.abs(y) - reach - _REACH * b, 0.0)
            )
            return np.maximum(_SIGMA_SHARE * min(a, b), _DISTANCE_SHARE * beyond)
        # Distance from the edges, where alone an even density changes.
        across, along = np.abs(x) - self.half[0], np.abs(y) - self.half[1]
        outside = np.hypot(np.maximum(across, 0.0), np.maximum(along, 0.0))
        edge = np.where((across < 0) & (along < 0), np.minimum(-across, -along), outside)
        beyond = np.maximum(edge - reach - _REACH * max(a, b), 0.0)
        finest = max(_EDGE_SHARE * min(self.half), _BLUR_SHARE * max(a, b))
        return np.maximum(finest, _DISTANCE_SHARE * beyond)


def _even(x: FloatArray, half: float, sigma: float) -> FloatArray:
    """Density on a line that is even within `half` of zero, folded with a Gaussian."""
    if sigma == 0.0:
        return np.where(np.abs(x) <= half, 0.5 / half, 0.0)
    from scipy.special import ndtr

    return np.asarray((ndtr((x + half) / sigma) - ndtr((x - half) / sigma)) * (0.5 / half))


@dataclass(frozen=True, slots=True)
class Localisation:
    """A localisation as a density on the sphere."""

    centre: FloatArray
    """Unit vector, shape (3,)."""
    first: FloatArray
    """Unit vector of the first axis in the tangent plane, shape (3,)."""
    second: FloatArray
    components: tuple[Component, ...]

    def plane(self, vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coordinates of unit vectors (…, 3) in the equal-area plane; the antipode lies on its rim."""
        # |v - c| is the chord 2 sin(θ/2), exact for small angles where 1 - cos θ is not.
        chord = np.linalg.norm(vectors - self.centre, axis=-1)
        x, y = vectors @ self.first, vectors @ self.second
        across = np.hypot(x, y)
        scale = np.divide(chord, across, out=np.zeros_like(chord), where=across > 0)
        return x * scale, y * scale

    def density(self, vectors: FloatArray) -> FloatArray:
        """Density at unit vectors (…, 3), sr⁻¹, up to the components' normalisation far around the sphere."""
        x, y = self.plane(vectors)
        return np.asarray(sum(one.weight * one.density(x, y) for one in self.components))

    def holds(self, ra: float, dec: float) -> bool:
        """Whether a position, deg, has more than a thousandth of the density at the centre: it may lie outside of a rectangle."""
        there, centre = self.density(np.stack([unit_vectors(ra, dec), self.centre]))
        return bool(there > 1e-3 * centre)


def sigma_of(radius_deg: float, containment: float) -> float:
    """The s of the Fisher density that holds `containment` within `radius_deg`, dimensionless.

    Raises SkyMapError where the sphere's even density would hold more within that radius, so that no such density exists.
    """
    rho2 = (2 * math.sin(math.radians(min(radius_deg, 180.0)) / 2)) ** 2
    if rho2 / 4 >= containment:
        raise SkyMapError(
            f"a radius of {radius_deg:g} deg for {containment:.3g} is no localisation: the sky itself holds more"
        )

    def inside(kappa: float) -> float:
        return math.expm1(-kappa * rho2 / 2) / math.expm1(-2 * kappa)

    low, high = 1e-9, -2 * math.log1p(-containment) / rho2
    # Without the normalisation to the sphere kappa is `high`; with it, it is smaller.
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < containment else (low, middle)
    return 1 / math.sqrt((low + high) / 2)


def localisation(shape: Shape) -> Localisation:
    """The density of a shape; raises SkyMapError if no density has its errors."""
    half: tuple[float, float] | None = None
    sigma = 0.0, 0.0
    if shape.corners:
        centre, first, stated = _rectangle(shape)
        half = stated[0] / math.sqrt(shape.containment), stated[1] / math.sqrt(shape.containment)
    else:
        centre = unit_vectors(shape.ra, shape.dec)
        east, north = _axes(centre)
        angle = math.radians(shape.position_angle)
        first = math.sin(angle) * east + math.cos(angle) * north
        sigma = _elliptical_sigma(shape)
    second = np.cross(centre, first)
    added = shape.systematic or ((1.0, 0.0, 0.5),)
    components = []
    for weight, radius, containment in added:
        more = sigma_of(radius, containment) if radius > 0 else 0.0
        axes = math.hypot(sigma[0], more), math.hypot(sigma[1], more)
        whole = axes if half is None else (math.hypot(half[0], more), math.hypot(half[1], more))
        if max(whole) > _LONGEST * min(whole):
            raise SkyMapError("the stated error is too narrow for a map: one axis is sixty times the other")
        components.append(Component(weight, axes, half))
    return Localisation(centre, first, second, tuple(components))


def localise(shape: Shape, meta: Mapping[str, Any] | None = None) -> SkyMap:
    """The multi-order map of a shape; raises SkyMapError if it has none.

    Pixels are fine where the density changes and coarse elsewhere, some thousand rows whatever the size of the error; each
    holds the mean density over its children. The map integrates to one.
    """
    found = localisation(shape)
    order, ipix = _pixels(found)
    extra = np.minimum(_CHILDREN, MAX_ORDER - order)
    density = np.empty(len(order))
    for step in np.unique(extra):
        rows = np.flatnonzero(extra == step)
        children = (ipix[rows, None] << (2 * step)) + np.arange(1 << (2 * step))
        vectors = centres(np.broadcast_to((order[rows] + step)[:, None], children.shape).ravel(), children.ravel())
        density[rows] = found.density(vectors).reshape(children.shape).mean(axis=1)
    area = np.pi / 3.0 / 4.0**order
    total = float((density * area).sum())
    if not math.isfinite(total) or total <= 0:
        raise SkyMapError("the localisation is too small for a map")
    return SkyMap(order_ipix_to_uniq(order, ipix), density / total, meta=MappingProxyType(dict(meta or {})), total=1.0)


def _pixels(found: Localisation) -> tuple[IntArray, IntArray]:
    """Order and NESTED index of the pixels, ascending along the curve."""
    import healpy

    order, ipix = _FIRST_ORDER, np.arange(12 << (2 * _FIRST_ORDER), dtype=np.int64)
    done: list[tuple[IntArray, IntArray]] = []
    while len(ipix):
        size = math.sqrt(math.pi / 3.0) / 2.0**order
        reach = float(healpy.max_pixrad(1 << order))
        x, y = found.plane(centres(np.full(len(ipix), order), ipix))
        wanted = np.full(len(ipix), np.inf)
        for one in found.components:
            wanted = np.minimum(wanted, one.pixel_size(x, y, reach))
        fine = size <= wanted
        if order == MAX_ORDER:
            fine[:] = True
        done.append((np.full(int(fine.sum()), order, dtype=np.int64), ipix[fine]))
        ipix = ((ipix[~fine, None] << 2) + np.arange(4)).ravel()
        order += 1
    orders, indices = (np.concatenate([part[k] for part in done]) for k in (0, 1))
    sort = np.argsort(indices << (2 * (MAX_ORDER - orders)), kind="stable")
    return orders[sort], indices[sort]


def _elliptical_sigma(shape: Shape) -> tuple[float, float]:
    if shape.semi_major == shape.semi_minor:
        sigma = sigma_of(shape.semi_major, shape.containment)
        return sigma, sigma
    scale = 1 / math.sqrt(-2 * math.log1p(-shape.containment))
    first, second = (2 * math.sin(math.radians(axis) / 2) * scale for axis in (shape.semi_major, shape.semi_minor))
    return first, second


def _rectangle(shape: Shape) -> tuple[FloatArray, FloatArray, tuple[float, float]]:
    """Centre, first axis and half lengths (dimensionless) of the rectangle that fits four corners best."""
    corners = unit_vectors(*np.transpose(np.asarray(shape.corners)))
    centre = corners.mean(axis=0)
    length = float(np.linalg.norm(centre))
    if length < 0.5:
        raise SkyMapError("the corners of the rectangle lie all around the sky")
    centre = centre / length
    east, north = _axes(centre)
    frame = Localisation(centre, east, north, ())
    x, y = frame.plane(corners)
    points = np.stack([x, y], axis=-1)
    # Opposite sides of a rectangle in the plane are parallel but for its curvature: take their mean.
    side = (points[1] - points[0] + points[2] - points[3]) / 2
    other = (points[2] - points[1] + points[3] - points[0]) / 2
    lengths = float(np.linalg.norm(side)), float(np.linalg.norm(other))
    if min(lengths) < 1e-7 or abs(float(side @ other)) > 0.3 * lengths[0] * lengths[1]:
        raise SkyMapError("the four corners are no rectangle")
    first = (side[0] * east + side[1] * north) / lengths[0]
    return centre, first, (lengths[0] / 2, lengths[1] / 2)


def _axes(centre: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Unit vectors to the east and the north at a direction; at a pole those of right ascension zero."""
    x, y, z = centre
    across = math.hypot(x, y)
    ra_cos, ra_sin = (x / across, y / across) if across > 1e-15 else (1.0, 0.0)
    east = np.array([-ra_sin, ra_cos, 0.0])
    return east, np.array([-z * ra_cos, -z * ra_sin, across])
