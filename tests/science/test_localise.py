"""Maps from error circles, ellipses and rectangles hold what closed forms say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr

from mma_pipeline.notices.gcn.localisation import Shape
from mma_pipeline.science.healpix import centres
from mma_pipeline.science.skymaps.localise import localisation, localise, sigma_of
from mma_pipeline.science.skymaps.model import SkyMap, SkyMapError, decode_skymap, encode_skymap
from mma_pipeline.science.sphere import cap_rows, separation, unit_vectors

#: RoboBA's long bursts: weight, radius in degrees, containment.
ROBOBA = ((0.579, 1.86, 0.6827), (0.421, 4.14, 0.6827))


def inside(skymap: SkyMap, ra: float, dec: float, radius: float) -> float:
    """Probability within a radius, deg."""
    return float((skymap.prob * cap_rows(skymap.order, skymap.ipix, ra, dec, radius, depth=5)).sum())


def fisher(radius: float, kappa: float) -> float:
    """Probability of the von Mises-Fisher density within a radius, deg."""
    return math.expm1(-kappa * (1 - math.cos(math.radians(radius)))) / math.expm1(-2 * kappa)


def kappa_of(radius: float, containment: float) -> float:
    """Kappa of small errors: 1 - exp(-kappa (1 - cos r)) = p."""
    return -math.log1p(-containment) / (1 - math.cos(math.radians(radius)))


@pytest.mark.parametrize(
    ("ra", "dec", "radius", "containment"),
    [(200.0, -40.0, 0.02, 0.9), (10.0, 89.9, 0.5, 0.9), (0.01, 0.0, 10.0, 0.683), (359.99, 41.8, 4e-4, 0.5)],
)
def test_a_circle_is_a_fisher_density(ra: float, dec: float, radius: float, containment: float) -> None:
    """The stated radius holds the stated probability, and others what the closed form says, at the pole and at RA 0 too."""
    skymap, kappa = localise(Shape(ra, dec, radius, radius, 0.0, containment)), kappa_of(radius, containment)
    assert inside(skymap, ra, dec, radius) == pytest.approx(containment, abs=2e-3)
    for factor in (0.4, 1.5, 2.5):
        assert inside(skymap, ra, dec, factor * radius) == pytest.approx(fisher(factor * radius, kappa), abs=2e-3)
    assert len(skymap.uniq) < 20_000
    assert decode_skymap(encode_skymap(skymap)).total == pytest.approx(1.0, abs=1e-12)


def test_a_wide_circle_heeds_that_the_sphere_is_closed() -> None:
    """With 60 deg the normalisation over the sphere matters; a radius within which even an even sky holds more is refused."""
    kappa = 1 / sigma_of(60.0, 0.9) ** 2
    assert fisher(60.0, kappa) == pytest.approx(0.9, abs=1e-9)
    assert inside(localise(Shape(0.0, 30.0, 60.0, 60.0, 0.0, 0.9)), 0.0, 30.0, 60.0) == pytest.approx(0.9, abs=2e-3)
    with pytest.raises(SkyMapError, match="no localisation"):
        sigma_of(120.0, 0.5)


def test_core_and_tail() -> None:
    """GBM's systematic error is a sum of two Fisher densities, each with the statistical error in quadrature."""
    shape = Shape(90.56, -67.87, 1.08, 1.08, 0.0, 0.6827, (), ROBOBA, "Goldstein et al. 2020")
    skymap = localise(shape)
    for radius in (1.0, 2.0, 4.0, 8.0):
        expected = sum(
            weight * fisher(radius, 1 / (1 / kappa_of(1.08, 0.6827) + 1 / kappa_of(size, level)))
            for weight, size, level in ROBOBA
        )
        assert inside(skymap, 90.56, -67.87, radius) == pytest.approx(expected, abs=2e-3)


def test_an_ellipse_holds_its_share_and_lies_along_its_angle() -> None:
    """Within the ellipse p, and in all 1 - exp(-q/2); the first axis lies at the position angle, east of north."""
    shape = Shape(120.0, 45.0, 2.0, 0.5, 30.0, 0.9)
    skymap, found = localise(shape), localisation(shape)
    children = (skymap.ipix[:, None] << 6) + np.arange(64)
    x, y = found.plane(centres(np.repeat(skymap.order + 3, 64), children.ravel()))
    prob = np.repeat(skymap.prob / 64, 64)
    scale = math.sqrt(-2 * math.log(0.1))
    a, b = (2 * math.sin(math.radians(axis) / 2) / scale for axis in (2.0, 0.5))
    for q in (1.0, scale**2, 9.0):
        assert prob[(x / a) ** 2 + (y / b) ** 2 < q].sum() == pytest.approx(1 - math.exp(-q / 2), abs=2e-3)
    # Two degrees to the north-east lies on the edge; the same to the north-west is far outside.
    vectors = unit_vectors(*np.transpose([_offset(120.0, 45.0, 2.0, 30.0), _offset(120.0, 45.0, 2.0, -60.0)]))
    on, off = found.density(vectors)
    peak = found.density(unit_vectors(120.0, 45.0)[None])[0]
    assert on / peak == pytest.approx(0.1, rel=1e-3)
    assert off < 1e-6 * on


def _offset(ra: float, dec: float, distance: float, angle: float) -> tuple[float, float]:
    """The position at a distance and position angle, deg: the spherical law of cosines."""
    d, r, t = math.radians(dec), math.radians(distance), math.radians(angle)
    there = math.asin(math.sin(d) * math.cos(r) + math.cos(d) * math.sin(r) * math.cos(t))
    turn = math.atan2(math.sin(t) * math.sin(r) * math.cos(d), math.cos(r) - math.sin(d) * math.sin(there))
    found = ra + math.degrees(turn), math.degrees(there)
    assert separation(ra, dec, *found)[()] == pytest.approx(distance)
    return found


#: MAXI's published example, and a box whose sides lie along the parallels, which are no great circles.
BOXES = [
    ((345.72, 19.547), (345.464, 19.29), (347.309, 17.634), (347.566, 17.889)),
    ((10.0, -60.0), (10.0, -59.9), (12.0, -59.9), (12.0, -60.0)),
]


def in_plane(shape: Shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places in the plane of a shape, along its axes, and the probability of its map there."""
    skymap, found = localise(shape), localisation(shape)
    children = (skymap.ipix[:, None] << 6) + np.arange(64)
    x, y = found.plane(centres(np.repeat(skymap.order + 3, 64), children.ravel()))
    return x, y, np.repeat(skymap.prob / 64, 64)


@pytest.mark.parametrize("corners", BOXES)
def test_a_rectangle_is_even_and_holds_its_share(corners: tuple[tuple[float, float], ...]) -> None:
    """Within f times the box lies p f² of the probability and all within 1/√p, whatever corner comes first."""
    shape = Shape(346.56, 18.61, 0.0, 0.0, 0.0, 0.9, corners)
    x, y, prob = in_plane(shape)
    whole = localisation(shape).components[0].half
    assert whole is not None
    half = np.asarray(whole) * math.sqrt(0.9)
    for f in (0.3, 0.7, 1.0, 1.02, 1.1):
        assert prob[(np.abs(x) < f * half[0]) & (np.abs(y) < f * half[1])].sum() == pytest.approx(
            min(1.0, 0.9 * f * f), abs=3e-3
        )
    # Each half of the box holds half, so that it is even and not only symmetric: a quarter of the length, a quarter.
    for axis, one in ((x, half[0]), (y, half[1])):
        assert prob[(axis > 0) & (axis < 0.5 * one)].sum() == pytest.approx(0.25 * math.sqrt(0.9), abs=3e-3)
    sides = sorted(np.degrees(half) * 2)
    ends = separation(
        *np.transpose([corners[0], corners[1]]).tolist(), *np.transpose([corners[1], corners[2]]).tolist()
    )
    assert sides == pytest.approx(sorted(ends), rel=5e-3)
    skymap = localise(shape)
    assert len(skymap.uniq) < 25_000
    turned = localise(Shape(346.56, 18.61, 0.0, 0.0, 0.0, 0.9, (*corners[1:], corners[0])))
    centre = tuple(np.mean(corners, axis=0))
    assert inside(turned, *centre, 0.1) == pytest.approx(inside(skymap, *centre, 0.1), abs=2e-3)


@pytest.mark.parametrize("corners", BOXES)
def test_a_rectangle_with_a_systematic_error(corners: tuple[tuple[float, float], ...]) -> None:
    """The even density folded with a Gaussian: on each axis that of a sum of an even and a normal number."""
    shape = Shape(346.56, 18.61, 0.0, 0.0, 0.0, 0.9, corners, ((1.0, 0.1, 0.9),), "MAXI")
    x, y, prob = in_plane(shape)
    (one,) = localisation(shape).components
    sigma = 2 * math.sin(math.radians(0.1) / 2) / math.sqrt(-2 * math.log(0.1))
    assert one.sigma == pytest.approx((sigma, sigma), rel=1e-3)
    assert one.half is not None
    for f in (0.5, 1.0, 1.5):
        expected = 1.0
        for half in one.half:
            even = np.linspace(-half, half, 20_001)
            expected *= float(np.mean(ndtr((f * half - even) / sigma) - ndtr((-f * half - even) / sigma)))
        got = prob[(np.abs(x) < f * one.half[0]) & (np.abs(y) < f * one.half[1])].sum()
        assert got == pytest.approx(expected, abs=4e-3)


@pytest.mark.parametrize(
    "corners",
    [
        ((0.0, 0.0), (90.0, 0.0), (180.0, 0.0), (270.0, 0.0)),
        ((10.0, 0.0), (11.0, 0.0), (12.0, 1e-9), (13.0, 0.0)),
        ((10.0, 0.0), (11.0, 1.0), (11.0, 0.0), (10.0, 1.0)),
    ],
)
def test_four_points_need_not_be_a_rectangle(corners: tuple[tuple[float, float], ...]) -> None:
    """Corners around the sky, on a line or crossed are refused with a reason."""
    with pytest.raises(SkyMapError, match=r"rectangle"):
        localise(Shape(10.0, 0.0, 0.0, 0.0, 0.0, 0.9, corners))


def test_a_needle_is_refused() -> None:
    """An ellipse a hundred times longer than wide would take more rows than any map."""
    with pytest.raises(SkyMapError, match="too narrow"):
        localisation(Shape(10.0, 0.0, 50.0, 0.01, 0.0, 0.9))
