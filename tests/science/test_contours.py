"""Outlines of credible regions: what they enclose, where they are cut, how the site reads them."""

from __future__ import annotations

import base64
import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_pipeline.science.regions.contours import credible_regions, regions_geojson
from mma_pipeline.science.regions.outlines import closed_lines, densify, enclosed_area, simplify
from mma_pipeline.science.skymaps.credible import credible_areas
from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap
from tests.science.maps import MISSING, SHARED, gaussian_map, real_maps, rows_for_tools, table_bytes

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
            x2 -= 360 * round((x2 - x1) / 360)  # the short way, also across RA 0
            if x1 > x2:
                x1, y1, x2, y2 = x2, y2, x1, y1
            for turn in (-360, 0, 360):
                first, last = np.searchsorted(x, [x1 + turn, x2 + turn])
                if last > first:
                    at = y1 + (y2 - y1) * (x[first:last] - turn - x1) / (x2 - x1)
                    count[first:last] += y[first:last] > at
    out = np.empty_like(count)
    out[by] = count
    return out


def check(
    skymap: SkyMap, *, accuracy: float = 0.005, excess: float = 0.03, share: int | None = None
) -> dict[str, object]:
    """The file of a map: valid, complete, enclosing what it says, no larger than the smallest region by excess."""
    share = share or (256 if len(skymap.uniq) < 12_000 else 16)
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
            assert points.shape[0] >= 4
            assert points.shape[1] == 2
            assert (points[:, 0] >= 0).all()
            assert (points[:, 0] < 360).all()
            assert (np.abs(points[:, 1]) <= 90).all()
            assert (points[0] == points[-1]).all(), "the site would close the line by a chord"
        prob, area = enclosed(skymap, lines, share)
        assert region.is_sound
        assert feature["properties"]["within_tolerance"] is True
        assert prob == pytest.approx(region.level, rel=accuracy)
        assert region.probability == pytest.approx(prob, rel=0.003)
        assert area == pytest.approx(region.area, rel=2 * accuracy)
        assert smallest * (1 - accuracy) < area < smallest * (1 + excess)
    return document


@pytest.mark.parametrize("name", NAMES)
def test_real_maps_enclose_their_levels(name: str) -> None:
    """On every real map the outline must hold 50 and 90 % within 0.5 %, and be near the smallest such region."""
    document = check(decode_skymap(rows_for_tools(name)))
    again = regions_geojson(credible_regions(decode_skymap(rows_for_tools(name))))
    assert len(again) < 120_000
    assert json.loads(again) == document


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


FRINGED = SHARED / "data" / "faults" / "alerts" / "S240114n-preliminary-cwb.json"


@pytest.mark.skipif(not FRINGED.is_file(), reason=MISSING)
def test_real_fringed_map() -> None:
    """A real cWB map with fringes one to three rows wide: 1,618 and 6,130 deg², the smallest regions, within 3 %."""
    alert = json.loads(FRINGED.read_text())
    document = check(decode_skymap(base64.b64decode(alert["event"]["skymap"])))
    areas = [feature["properties"]["area"] for feature in document["features"]]
    assert areas == pytest.approx([1618, 6130], rel=0.03)


def flat_map(density: np.ndarray) -> SkyMap:
    """A map of the pixels of a whole flat sky, NESTED, of any total."""
    nside = round((len(density) / 12) ** 0.5)
    return decode_skymap(table_bytes({"PROB": density / density.sum()}, ORDERING="NESTED", NSIDE=nside))


@pytest.mark.parametrize(("width", "seed"), [(2.0, 1), (3.0, 2), (5.0, 3)])
def test_random_fringes(width: float, seed: int) -> None:
    """Fringes two to five rows wide with nothing between them, anywhere: level and smallest area."""
    import healpy

    rng = np.random.default_rng(seed)
    x = np.stack(healpy.pix2vec(32, np.arange(12 * 32**2), nest=True))
    pole, across = rng.normal(size=(2, 3))
    distance = np.degrees(np.arccos(np.clip(pole @ x / np.linalg.norm(pole), -1, 1)))
    density = np.exp(-((across @ x) ** 2) / 0.1) * np.maximum(np.cos(np.pi * distance / (2 * width)), 0) ** 2
    check(flat_map(np.where(density < 0.15 * density.max(), 0, density)))


@pytest.mark.parametrize("power", [1, 3])
def test_noise(power: int) -> None:
    """Rows without any relation to their neighbours."""
    check(flat_map(np.random.default_rng(power).exponential(size=12 * 16**2) ** power))


@pytest.mark.parametrize("order", [8, 17, 24, 29])
def test_single_pixel_of_any_order(order: int) -> None:
    """All probability in one pixel: one tiny closed line around its centre with the level's share of its area."""
    import healpy

    ipix = 5 * 4**order + 123
    skymap = decode_skymap(
        table_bytes({"UNIQ": np.array([4 * 4**order + ipix]), "PROBDENSITY": np.array([12 * 4**order / (4 * np.pi)])})
    )
    regions = credible_regions(skymap)
    pixel = 41252.9612 / (12 * 4**order)
    for region, feature in zip(regions, json.loads(regions_geojson(regions))["features"], strict=True):
        assert region.is_sound
        assert region.area == pytest.approx(region.level * pixel, rel=1e-4)
        (line,) = feature["geometry"]["coordinates"]
        assert line[0] == line[-1]
        lon, lat = healpy.pix2ang(1 << order, ipix, nest=True, lonlat=True)
        ring = np.asarray(line[:-1]) - [lon, lat]
        ring[:, 0] *= np.cos(np.radians(lat))
        x, y = ring.T
        shoelace = 0.5 * abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))
        assert shoelace == pytest.approx(region.level * pixel, rel=0.01)


@pytest.mark.parametrize("order", [0, 2])
def test_single_large_pixel(order: int) -> None:
    """Also a pixel with curved sides holds its level, counted from the lines."""
    density = 12 * 4**order / (4 * np.pi)
    skymap = decode_skymap(
        table_bytes({"UNIQ": np.array([4 * 4**order + 4 * 4**order + 1]), "PROBDENSITY": np.array([density])})
    )
    regions = credible_regions(skymap)
    for region, feature in zip(regions, json.loads(regions_geojson(regions))["features"], strict=True):
        prob, _ = enclosed(skymap, feature["geometry"]["coordinates"], share=4**8)
        assert prob == pytest.approx(region.level, rel=0.005)


@pytest.mark.parametrize("sigma_arcsec", [1.0, 60.0])
def test_tiny_gaussians(sigma_arcsec: float) -> None:
    """A Gaussian of an arcsecond or an arcminute on fine rows: closed-form area and a round outline."""
    sigma = sigma_arcsec / 3600
    order = int(np.ceil(np.log2(814 / sigma)))
    uniq, density = gaussian_map(33.0, 44.0, sigma, order=order, coarse=3, reach=5)
    skymap = decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": density}))
    for region in credible_regions(skymap):
        area = -2 * np.pi * sigma**2 * np.log1p(-region.level)
        assert region.is_sound
        assert region.area == pytest.approx(area, rel=0.01)
        (outline,) = region.outlines
        around = np.degrees(np.linalg.norm(np.roll(outline, -1, axis=0) - outline, axis=1).sum())
        assert around < 1.02 * 2 * np.sqrt(np.pi * area)


def test_outline_is_smooth_where_rows_are_coarse() -> None:
    """Rows as large as half of sigma: the outline's length is within 10 % of the circle's."""
    sigma = 5.0
    for region in credible_regions(gaussians((80.0, 20.0, sigma), order=5, coarse=3, reach=3.0)):
        around = sum(
            np.degrees(np.linalg.norm(np.roll(outline, -1, axis=0) - outline, axis=1).sum())
            for outline in region.outlines
        )
        area = -2 * np.pi * sigma**2 * np.log1p(-region.level)
        assert region.is_sound
        assert around < 1.1 * 2 * np.sqrt(np.pi * area)


def test_many_islands_stay_small() -> None:
    """A map of NSIDE 256 with well over a thousand islands: sound outlines, and a file below a megabyte."""
    import healpy

    rng = np.random.default_rng(5)
    noise = healpy.smoothing(rng.normal(size=12 * 256**2), sigma=np.radians(0.4))
    x = np.stack(healpy.pix2vec(256, np.arange(12 * 256**2)))
    near = np.degrees(np.arccos(np.clip(healpy.ang2vec(120, -30, lonlat=True) @ x, -1, 1)))
    density = np.where(near < 40, np.exp(1.6 * noise / noise.std() - (near / 35) ** 2), 0.0)
    regions = credible_regions(flat_map(healpy.reorder(density, r2n=True)))
    assert all(region.is_sound for region in regions)
    assert len(regions[1].outlines) > 300
    assert len(regions_geojson(regions)) < 1_000_000


def test_uniform_sky_has_some_region() -> None:
    """A sky without information must still give regions of the right size, although no place is better."""
    skymap = decode_skymap(table_bytes({"PROB": np.full(768, 1 / 768)}, ORDERING="NESTED", NSIDE=8))
    regions = credible_regions(skymap)
    assert [r.area for r in regions] == pytest.approx([0.5 * 41252.96, 0.9 * 41252.96], rel=0.01)


def test_line_across_the_meridian_is_whole() -> None:
    """A square across RA 0 is one closed line, RA from 0 to below 360."""
    lon, lat = np.radians([1.0, 359.0, 359.0, 1.0]), np.radians([1.0, 1.0, -1.0, -1.0])
    square = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    assert closed_lines([square]) == [[[1.0, 1.0], [359.0, 1.0], [359.0, -1.0], [1.0, -1.0], [1.0, 1.0]]]


def test_area_of_an_octant() -> None:
    """An eighth of the sphere has a sixteenth of 8π sr, anticlockwise positive."""
    octant = np.eye(3)
    assert enclosed_area(octant) == pytest.approx(360**2 / np.pi / 8)
    assert enclosed_area(octant[::-1]) == pytest.approx(-(360**2) / np.pi / 8)
    assert enclosed_area(densify([octant])[0]) == pytest.approx(360**2 / np.pi / 8)


@given(st.integers(8, 500), st.floats(1e-4, 1e-2))
def test_simplified_outline_stays_close(points: int, tolerance: float) -> None:
    """No point of a circle may lie farther from the thinned outline than the tolerance."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radius = 0.1
    circle = np.column_stack([np.cos(angle) * radius, np.sin(angle) * radius, np.full(points, np.sqrt(1 - radius**2))])
    (thin,) = simplify([circle], tolerance)
    assert 3 <= len(thin) <= points
    gaps = np.linalg.norm(np.roll(thin, -1, axis=0) - thin, axis=1)
    sagitta = radius - np.sqrt(radius**2 - gaps**2 / 4)
    step = 2 * np.pi * radius / points
    assert (sagitta <= tolerance + radius * (1 - np.cos(np.pi / points)) + step**2).all()
