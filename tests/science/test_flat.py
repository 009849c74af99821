"""Flat maps: conserved probability and distance, readable by the field's tools."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from mma_pipeline.science.flat import encode_flat, flat_order, flatten
from mma_pipeline.science.skymap import decode_skymap
from mma_pipeline.science.stats import credible_areas, distance_moments
from tests.science.maps import MISSING, gaussian_map, real_maps, table_bytes

NAMES = list(real_maps()) or [pytest.param("", marks=pytest.mark.skip(reason=MISSING))]
ORDER11 = ["MS230425k-initial"] if real_maps() else NAMES


@pytest.mark.parametrize("name", NAMES)
def test_real_maps(name: str, tmp_path: Path) -> None:
    """ligo.skymap must read the file as NESTED with its header; it sums to one and keeps areas and distance."""
    from ligo.skymap.io import read_sky_map

    skymap = decode_skymap(real_maps()[name])
    body = encode_flat(skymap)
    path = tmp_path / "flat.fits.gz"
    path.write_bytes(body)
    table = read_sky_map(str(path), nest=True)
    prob, meta = table if isinstance(table, tuple) else (table, {})
    assert prob.sum() == pytest.approx(1, abs=1e-9)
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
    assert encode_flat(skymap) == body


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
    body = real_maps()[name]
    path.write_bytes(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
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


@pytest.mark.parametrize(("sigma", "order"), [(0.3, 9), (1.0, 9), (2.0, 8), (10.0, 7), (40.0, 7)])
def test_resolution_follows_the_region(sigma: float, order: int) -> None:
    """A small region gets small pixels, within NSIDE 128 to 512."""
    columns = dict(zip(("UNIQ", "PROBDENSITY"), gaussian_map(33, 44, sigma, order=7, reach=3), strict=True))
    assert flat_order(decode_skymap(table_bytes(columns))) == order
