"""Flat maps: conserved probability and distance, readable by the field's tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mma_pipeline.science.skymaps.credible import credible_areas
from mma_pipeline.science.skymaps.flat import encode_flat, flat_area, flat_order, flatten, probability_in_file
from mma_pipeline.science.skymaps.model import decode_skymap
from mma_pipeline.science.skymaps.statistics import distance_moments
from tests.science.maps import KINDS, MISSING, gaussian_map, real_maps, rows_for_tools, table_bytes

NAMES = list(real_maps()) or [pytest.param("", marks=pytest.mark.skip(reason=MISSING))]
SOME = [name for name in KINDS if name in real_maps()] or NAMES
ORDER11 = ["MS230425k-initial"] if real_maps() else NAMES


@pytest.mark.parametrize("name", NAMES)
def test_real_maps_keep_their_area(name: str) -> None:
    """The 90 % area of every real map is that of its flat map within 5 %."""
    skymap = decode_skymap(rows_for_tools(name))
    (truth,) = credible_areas(skymap, (0.9,))
    assert flat_area(skymap, flat_order(skymap)) == pytest.approx(truth, rel=0.05)


@pytest.mark.parametrize("name", SOME)
def test_real_maps(name: str, tmp_path: Path) -> None:
    """ligo.skymap must read the file as NESTED with its header; it sums to one and keeps areas and distance."""
    from ligo.skymap.io import read_sky_map

    skymap = decode_skymap(real_maps()[name])
    body = encode_flat(skymap)
    path = tmp_path / "flat.fits.gz"
    path.write_bytes(body)
    table = read_sky_map(str(path), nest=True)
    prob, meta = table if isinstance(table, tuple) else (table, {})
    # Beyond NSIDE 1024 the file holds 32-bit floats, each rounded by up to 6e-8 of itself.
    assert prob.sum(dtype=np.float64) == pytest.approx(1, abs=1e-9 if prob.dtype.itemsize == 8 else 1e-7)
    assert len(prob) == 12 * 4 ** flat_order(skymap)
    assert meta["nest"] is True
    ranked = np.sort(prob)[::-1]
    pixel = 41252.9612494193 / len(prob)
    area = float(np.interp(0.9, np.cumsum(ranked), np.arange(1, len(ranked) + 1))) * pixel
    (truth,) = credible_areas(skymap, (0.9,))
    assert area == pytest.approx(truth, rel=0.05)
    if skymap.is_3d:
        again = decode_skymap(body)
        assert distance_moments(again) == pytest.approx(distance_moments(skymap), rel=2e-3)
    assert body[4:8] == bytes(4), "a time in the gzip header"
    coarse = min(flat_order(skymap), 9)
    assert encode_flat(skymap, coarse) == encode_flat(skymap, coarse)


@pytest.mark.parametrize("name", ORDER11)
def test_healpy_reads_all_columns(name: str, tmp_path: Path) -> None:
    """healpy must read the four columns with finite probability everywhere."""
    import healpy

    path = tmp_path / "flat.fits.gz"
    path.write_bytes(encode_flat(decode_skymap(real_maps()[name]), order=6))
    columns = healpy.read_map(path, field=(0, 1, 2, 3), nest=None, dtype=float)
    assert np.isfinite(columns[0]).all()
    assert columns[0].sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_probability_agrees_with_ligo_rasterize(name: str, tmp_path: Path) -> None:
    """Pixels of the flat map must be those of ligo.skymap's rasterize at the same order."""
    from ligo.skymap.bayestar import rasterize
    from ligo.skymap.io import read_sky_map

    path = tmp_path / "map.fits"
    body = rows_for_tools(name)
    path.write_bytes(body)
    table = read_sky_map(str(path), moc=True)
    table.keep_columns(["UNIQ", "PROBDENSITY"])
    truth = rasterize(table, order=6)["PROB"]
    np.testing.assert_allclose(flatten(decode_skymap(body), 6)["PROB"], truth, rtol=1e-6, atol=1e-14)


def test_merged_distance_is_that_of_the_mixture() -> None:
    """Two distances in one pixel must come out with the mean and deviation of their weighted mixture."""
    from ligo.skymap.distance import moments_to_parameters, parameters_to_moments

    uniq = np.concatenate([4 * 4 + 4 * np.zeros(4, int) + np.arange(4), np.arange(5, 16)])
    mean, std = np.full(15, 100.0), np.full(15, 10.0)
    mean[0] = 200.0
    mu, sigma, norm = moments_to_parameters(mean, std)
    density = np.full(15, 1 / (4 * np.pi))
    skymap = decode_skymap(
        table_bytes({"UNIQ": uniq, "PROBDENSITY": density, "DISTMU": mu, "DISTSIGMA": sigma, "DISTNORM": norm})
    )
    flat = flatten(skymap, 0)
    merged = parameters_to_moments(flat["DISTMU"][:1], flat["DISTSIGMA"][:1])
    variance = 0.25 * (200.0**2 + 100) + 0.75 * (100.0**2 + 100) - 125.0**2
    assert merged[0][0] == pytest.approx(125.0, rel=1e-6)
    assert merged[1][0] == pytest.approx(np.sqrt(variance), rel=1e-6)
    assert flat["PROB"] == pytest.approx(np.full(12, 1 / 12))


@pytest.mark.parametrize(("sigma", "finest", "order"), [(10.0, 6, 7), (1.0, 9, 9), (0.3, 11, 10), (0.05, 13, 11)])
def test_resolution_follows_the_rows(sigma: float, finest: int, order: int) -> None:
    """Pixels are as small as the rows from NSIDE 128 to 1024, and smaller for a region of 0.04 deg²."""
    columns = dict(zip(("UNIQ", "PROBDENSITY"), gaussian_map(33, 44, sigma, order=finest, reach=3), strict=True))
    assert flat_order(decode_skymap(table_bytes(columns))) == order


@pytest.mark.parametrize(("sigma", "finest"), [(0.2, 12), (0.04, 13)])
def test_small_regions_keep_their_area(sigma: float, finest: int) -> None:
    """90 % areas of 0.6 and 0.02 deg² are those of the closed form within 5 %, by pixels of the order chosen."""
    columns = dict(zip(("UNIQ", "PROBDENSITY"), gaussian_map(33, 44, sigma, order=finest, reach=4.5), strict=True))
    skymap = decode_skymap(table_bytes(columns))
    truth = 2 * np.pi * sigma**2 * np.log(10)
    assert flat_area(skymap, flat_order(skymap)) == pytest.approx(truth, rel=0.05)


def test_area_is_that_of_the_file() -> None:
    """The area known without the file is what ranking the file's pixels gives."""
    columns = dict(zip(("UNIQ", "PROBDENSITY"), gaussian_map(33, 44, 1.0, order=9, reach=4), strict=True))
    skymap = decode_skymap(table_bytes(columns))
    ranked = np.sort(flatten(skymap, 7)["PROB"])[::-1]
    area = np.interp(0.9, np.cumsum(ranked), np.arange(1, len(ranked) + 1)) * 41252.9612494193 / len(ranked)
    assert flat_area(skymap, 7) == pytest.approx(area, rel=1e-9)


def test_finest_maps_are_32_bit(tmp_path: Path) -> None:
    """Beyond NSIDE 1024 a file has half the bytes for each value, and sums to one all the same."""
    import healpy

    columns = dict(zip(("UNIQ", "PROBDENSITY"), gaussian_map(33, 44, 0.05, order=12, reach=4), strict=True))
    path = tmp_path / "flat.fits.gz"
    body = encode_flat(decode_skymap(table_bytes(columns)), order=11)
    path.write_bytes(body)
    prob = healpy.read_map(path, nest=True)
    assert prob.dtype.itemsize == 4
    assert len(prob) == 12 * 2048**2
    assert prob.sum(dtype=float) == pytest.approx(1, abs=1e-6)
    assert probability_in_file(body) == pytest.approx(1, abs=1e-6)


def test_coverage_by_whole_pixels() -> None:
    """30 fields of 0.6°, counted as the site does by every pixel that they touch: within 1.3 of the exact coverage."""
    import healpy
    from astropy.coordinates import SkyCoord
    from mocpy import MOC

    from mma_pipeline.science.regions.coverage import probability_within

    columns = dict(zip(("UNIQ", "PROBDENSITY"), gaussian_map(150, -20, 2.0, order=11, reach=3), strict=True))
    skymap = decode_skymap(table_bytes(columns))
    prob = healpy.reorder(flatten(skymap, flat_order(skymap))["PROB"], n2r=True)
    nside = healpy.npix2nside(len(prob))
    rng = np.random.default_rng(30)
    counted: set[int] = set()
    covered = MOC.new_empty(16)
    for ra, dec in zip(150 + rng.normal(0, 2, 30), -20 + rng.normal(0, 2, 30), strict=True):
        x = ra + np.array([-0.3, 0.3, 0.3, -0.3]) / np.cos(np.radians(dec))
        y = dec + np.array([-0.3, -0.3, 0.3, 0.3])
        counted |= set(healpy.query_polygon(nside, healpy.ang2vec(x, y, lonlat=True), inclusive=True).tolist())
        covered = covered.union(MOC.from_polygon_skycoord(SkyCoord(x, y, unit="deg"), max_depth=16))
    truth = probability_within(skymap, covered)
    assert truth > 0.1
    assert truth <= prob[sorted(counted)].sum() < 1.3 * truth
