"""Outlines of credible regions: what they enclose, where they are cut, how the site reads them."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_pipeline.science.contours import credible_regions, regions_geojson
from mma_pipeline.science.outlines import densify, enclosed_area, simplify, split_at_meridian
from mma_pipeline.science.skymap import SkyMap, decode_skymap
from mma_pipeline.science.stats import credible_areas
from tests.science.maps import MISSING, gaussian_map, real_maps, table_bytes

NAMES = list(real_maps()) or [pytest.param("", marks=pytest.mark.skip(reason=MISSING))]
LEVELS = (0.5, 0.9)


def fineness(sigma: float) -> int:
    """Order whose pixels are a fourteenth of sigma (deg) or smaller: 11 for 10 deg², as BAYESTAR makes maps."""
    return int(np.clip(np.ceil(np.log2(814 / sigma)), 6, 11))


def gaussians(*places: tuple[float, float, float], **options: int) -> SkyMap:
    """Equal Fisher distributions, each (ra, dec, sigma) in degrees, on one set of rows fine around all of them."""
    maps = [
        decode_skymap(table_bytes(dict(zip(("UNIQ", "PROBDENSITY"), gaussian_map(*place, **options), strict=True))))
        for place in places
    ]
    starts = np.unique(np.concatenate([m.start29 for m in maps]))
    width = np.diff(np.append(starts, 12 << 58))
    uniq = (4 << (2 * 29)) // width + starts // width  # 4·4^order + ipix, as the width is 4^(29 - order)
    density = sum(m.probdensity[m.row_of(starts)] for m in maps) / len(maps)
    return decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": density}))


def enclosed(skymap: SkyMap, lines: list[list[list[float]]], share: int = 16) -> tuple[float, float]:
    """Probability and solid angle (deg²) inside GeoJSON lines, by counting the lines south of fine samples of the map.

    Independent of how the lines were made: even-odd rule along the meridian in RA and Dec, from the south pole, whose
    own side is told by the least dense row, which lies outside of any region.
    """
    import healpy

    depth = int(np.log2(share)) // 2
    rows = np.repeat(np.arange(len(skymap.uniq)), share)
    ipix = (skymap.ipix[rows] << (2 * depth)) + np.tile(np.arange(share), len(skymap.uniq))
    order = skymap.order[rows] + depth
    lon, lat = healpy.pix2ang(2**order, ipix, nest=True, lonlat=True)
    inside = _south_crossings(lon, lat, lines) % 2 == 1
    outskirts = share * int(np.argmin(skymap.probdensity))
    inside ^= inside[outskirts]
    area = np.degrees(1) ** 2 * np.pi / 3 / 4.0**order
    return float((skymap.prob[rows] / share)[inside].sum()), float(area[inside].sum())


def _south_crossings(lon: np.ndarray, lat: np.ndarray, lines: list[list[list[float]]]) -> np.ndarray:
    by = np.argsort(lon)
    x, y = lon[by], lat[by]
    count = np.zeros(len(x), dtype=int)
    for line in lines:
        for (x1, y1), (x2, y2) in pairwise(line):
            if x1 > x2:
                x1, y1, x2, y2 = x2, y2, x1, y1
            first, last = np.searchsorted(x, [x1, x2])
            if last > first:
                at = y1 + (y2 - y1) * (x[first:last] - x1) / (x2 - x1)
                count[first:last] += y[first:last] > at
    out = np.empty_like(count)
    out[by] = count
    return out


def check(skymap: SkyMap, *, accuracy: float = 0.005, excess: float = 0.05) -> dict[str, object]:
    """The file of a map: valid, complete, enclosing what it says, no larger than the smallest region by excess."""
    regions = credible_regions(skymap, LEVELS)
    document = json.loads(regions_geojson(regions))
    assert document["type"] == "FeatureCollection"
    assert [f["properties"]["credible_level"] for f in document["features"]] == [50, 90]
    for feature, region, smallest in zip(document["features"], regions, credible_areas(skymap, LEVELS), strict=True):
        assert feature["type"] == "Feature"
        assert feature["geometry"]["type"] == "MultiLineString"
        lines = feature["geometry"]["coordinates"]
        assert lines
        for line in lines:
            points = np.asarray(line)
            assert points.shape[0] >= 2
            assert points.shape[1] == 2
            assert (points[:, 0] >= 0).all()
            assert (points[:, 0] <= 360).all()
            assert (np.abs(points[:, 1]) <= 90).all()
            assert (np.abs(np.diff(points[:, 0])) <= 180).all(), "a step jumps across RA 0"
            ends = points[[0, -1]]
            assert (ends[0] == ends[1]).all() or np.isin(ends[:, 0], (0, 360)).all(), "a line ends in the sky"
        prob, area = enclosed(skymap, lines)
        assert prob == pytest.approx(region.level, rel=accuracy)
        assert area == pytest.approx(region.area, rel=2 * accuracy)
        assert smallest * (1 - accuracy) < area < smallest * (1 + excess)
    return document


@pytest.mark.parametrize("name", NAMES)
def test_real_maps_enclose_their_levels(name: str) -> None:
    """On every real map the outline must hold 50 and 90 % within 0.5 %, and be near the smallest such region."""
    body = regions_geojson(credible_regions(decode_skymap(real_maps()[name])))
    assert len(body) < 120_000
    assert body == regions_geojson(credible_regions(decode_skymap(real_maps()[name])))
    check(decode_skymap(real_maps()[name]))


@pytest.mark.parametrize(
    "places",
    [
        [(150.0, 30.0, 0.826)],  # 90 % in 9.9 deg² at order 11
        [(0.0, 10.0, 1.0)],  # on RA 0
        [(359.9, -60.0, 0.3)],
        [(40.0, 90.0, 0.7)],  # the poles, exactly and nearly
        [(200.0, -90.0, 0.7)],
        [(123.0, 89.5, 1.0)],
        [(10.0, 5.0, 0.5), (190.0, -5.0, 0.5), (100.0, 70.0, 0.5)],  # islands
        [(0.0, 45.0, 0.4), (2.5, 45.0, 0.4)],  # that touch
        [(77.0, -12.0, 40.0)],  # most of the sky
    ],
    ids=str,
)
def test_gaussians_anywhere(places: list[tuple[float, float, float]]) -> None:
    """Small, large, on the seam, on the poles, several: always the level, and close to the smallest region."""
    skymap = gaussians(*places, order=fineness(min(p[2] for p in places)), reach=4.5)
    check(skymap, excess=0.02)


def test_islands_are_separate_outlines() -> None:
    """Three equal islands far apart must give three outlines."""
    regions = credible_regions(gaussians((10.0, 5.0, 0.5), (190.0, -5.0, 0.5), (100.0, 70.0, 0.5)))
    assert [len(region.outlines) for region in regions] == [3, 3]


@settings(max_examples=3, deadline=None)
@given(st.floats(0, 360), st.floats(-90, 90), st.floats(0.3, 3.0))
def test_gaussian_is_a_circle_of_the_right_area(ra: float, dec: float, sigma: float) -> None:
    """The outline of a small Gaussian must have the closed-form area 2πσ² ln(1/(1-p)), and be round."""
    regions = credible_regions(gaussians((ra, dec, sigma), order=fineness(sigma), reach=4.5), LEVELS)
    centre = np.array(
        [
            np.cos(np.radians(dec)) * np.cos(np.radians(ra)),
            np.cos(np.radians(dec)) * np.sin(np.radians(ra)),
            np.sin(np.radians(dec)),
        ]
    )
    for region in regions:
        area = -2 * np.pi * sigma**2 * np.log1p(-region.level)
        assert region.area == pytest.approx(area, rel=0.01)
        (outline,) = region.outlines
        assert enclosed_area(outline) == pytest.approx(area, rel=0.01)
        radius = np.degrees(np.arccos(outline @ centre))
        assert radius == pytest.approx(np.full(len(radius), np.sqrt(area / np.pi)), rel=0.05)


@pytest.mark.parametrize("order", [0, 2, 6])
def test_single_pixel(order: int) -> None:
    """All probability in one pixel, which no real map has: the outline stays around it and holds its level to 3 %."""
    density = 12 * 4**order / (4 * np.pi)
    skymap = decode_skymap(
        table_bytes({"UNIQ": np.array([4 * 4**order + 4 * 4**order + 1]), "PROBDENSITY": np.array([density])})
    )
    for region, feature in zip(
        credible_regions(skymap), json.loads(regions_geojson(credible_regions(skymap)))["features"], strict=True
    ):
        prob, _ = enclosed(skymap, feature["geometry"]["coordinates"], share=4096)
        assert prob == pytest.approx(region.level, rel=0.03)
        assert region.area < 1.3 * region.level * 41252.96 / (12 * 4**order)


def test_uniform_sky_has_some_region() -> None:
    """A sky without information must still give regions of the right size, although no place is better."""
    skymap = decode_skymap(table_bytes({"PROB": np.full(768, 1 / 768)}, ORDERING="NESTED", NSIDE=8))
    regions = credible_regions(skymap)
    assert [r.area for r in regions] == pytest.approx([0.5 * 41252.96, 0.9 * 41252.96], rel=0.01)


def test_cut_at_the_meridian() -> None:
    """A square across RA 0 must become two lines that end on 360 and 0 at the same declinations."""
    lon, lat = np.radians([1.0, 359.0, 359.0, 1.0]), np.radians([1.0, 1.0, -1.0, -1.0])
    square = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    lines = split_at_meridian(square)
    assert len(lines) == 2
    ends = sorted((line[0][0], line[-1][0]) for line in lines)
    assert ends == [(0.0, 0.0), (360.0, 360.0)]
    assert {line[k][1] for line in lines for k in (0, -1)} == {1.0002, -1.0002}


def test_area_of_an_octant() -> None:
    """An eighth of the sphere has a sixteenth of 8π sr, anticlockwise positive."""
    octant = np.eye(3)
    assert enclosed_area(octant) == pytest.approx(360**2 / np.pi / 8)
    assert enclosed_area(octant[::-1]) == pytest.approx(-(360**2) / np.pi / 8)
    assert enclosed_area(densify(octant)) == pytest.approx(360**2 / np.pi / 8)


@given(st.integers(8, 500), st.floats(1e-4, 1e-2))
def test_simplified_outline_stays_close(points: int, tolerance: float) -> None:
    """No point of a circle may lie farther from the thinned outline than the tolerance."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radius = 0.1
    circle = np.column_stack([np.cos(angle) * radius, np.sin(angle) * radius, np.full(points, np.sqrt(1 - radius**2))])
    thin = simplify(circle, tolerance)
    assert 3 <= len(thin) <= points
    gaps = np.linalg.norm(np.roll(thin, -1, axis=0) - thin, axis=1)
    sagitta = radius - np.sqrt(radius**2 - gaps**2 / 4)
    step = 2 * np.pi * radius / points
    assert (sagitta <= tolerance + radius * (1 - np.cos(np.pi / points)) + step**2).all()
