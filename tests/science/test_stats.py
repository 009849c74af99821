"""Figures of sky maps, against closed forms, ligo.skymap, astropy and the golden values of real events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_pipeline.science.skymaps import statistics as stats
from mma_pipeline.science.skymaps.credible import Ranking, credible_areas
from mma_pipeline.science.skymaps.crossmatch import crossmatch
from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap
from tests.science.maps import MISSING, gaussian_map, real_maps, rows_for_tools, table_bytes

NAMES = list(real_maps()) or [pytest.param("", marks=pytest.mark.skip(reason=MISSING))]
SMALL = ["GW170817_bayestar_flat_nside128"] if real_maps() else NAMES
SKY = 360**2 / np.pi


def uniform() -> SkyMap:
    """Twelve equal pixels."""
    return decode_skymap(table_bytes({"UNIQ": np.arange(4, 16), "PROBDENSITY": np.full(12, 1 / (4 * np.pi))}))


def gaussian(ra: float, dec: float, sigma: float, **options: int) -> SkyMap:
    """Fisher distribution of width sigma (deg)."""
    uniq, density = gaussian_map(ra, dec, sigma, **options)
    return decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": density}))


@pytest.mark.skipif(not real_maps(), reason=MISSING)
@pytest.mark.parametrize(
    ("name", "area90", "area50"),
    [
        ("GW170817_bayestar_flat_nside128", 31.898, 9.203),
        ("S230518h-PRELIMINARY-2023-05-18T133818", 1002.05, 265.81),
        ("S230518h-INITIAL-2023-05-18T160718", 665.97, 179.68),
        ("MS181101ab-earlywarning", 30.98, 8.90),
    ],
)
def test_golden_areas(name: str, area90: float, area50: float) -> None:
    """Areas of real events must agree with the published figures to 0.1 %."""
    found = credible_areas(decode_skymap(rows_for_tools(name)), (0.9, 0.5))
    assert found == pytest.approx([area90, area50], rel=1e-3)


@pytest.mark.skipif(not real_maps(), reason=MISSING)
def test_golden_gw170817() -> None:
    """NGC 4993 on the map of GW170817: searched area and probability, offset from the mode, 90 % volume."""
    skymap = decode_skymap(real_maps()["GW170817_bayestar_flat_nside128"])
    ra, dec = 197.450374, -23.381495
    found = crossmatch(skymap, ra, dec)
    assert found.searched_area == pytest.approx(8.603, abs=5e-4)
    assert found.searched_prob == pytest.approx(0.4774, abs=5e-5)
    assert stats.credible_volumes(skymap, (0.9,)) == pytest.approx([554.98], rel=1e-3)
    from astropy.coordinates import SkyCoord

    mode = SkyCoord(*stats.peak(skymap), unit="deg")
    assert mode.separation(SkyCoord(ra, dec, unit="deg")).deg == pytest.approx(5.899, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_crossmatch(name: str, tmp_path: Path) -> None:
    """Areas must equal those of ligo.skymap's crossmatch on every real map, volumes agree to the grid it uses."""
    from ligo.skymap.io import read_sky_map
    from ligo.skymap.postprocess.crossmatch import crossmatch as reference

    body = rows_for_tools(name)
    path = tmp_path / "map.fits"
    path.write_bytes(body)
    table = read_sky_map(str(path), moc=True)
    if name not in SMALL:  # volumes take it seconds
        table.keep_columns(["UNIQ", "PROBDENSITY"])
    skymap = decode_skymap(body)
    truth = reference(table, contours=(0.2, 0.5, 0.9, 0.99))
    assert credible_areas(skymap, (0.2, 0.5, 0.9, 0.99)) == pytest.approx(truth.contour_areas, rel=1e-6)
    if name in SMALL:
        assert stats.credible_volumes(skymap, (0.5, 0.9)) == pytest.approx(truth.contour_vols[1:3], rel=5e-3)


@pytest.mark.parametrize("name", NAMES)
def test_distance_is_what_the_producer_wrote(name: str) -> None:
    """Distance from the layers must be near DISTMEAN and DISTSTD, which come from the posterior itself."""
    found = stats.describe(decode_skymap(rows_for_tools(name)))
    if found.header_distance_mean is None:
        assert found.distance_mean is None
        assert found.volume90 is None
        return
    assert found.distance_mean == pytest.approx(found.header_distance_mean, rel=0.01)
    assert found.distance_std == pytest.approx(found.header_distance_std, rel=0.02)
    assert found.volume50 is not None
    assert found.volume90 is not None
    assert 0 < found.volume50 < found.volume90


@pytest.mark.parametrize("name", SMALL)
def test_distance_moments_agree_with_ligo_skymap(name: str) -> None:
    """The marginal moments must be those of ligo.skymap.distance, given the same rows."""
    from ligo.skymap.distance import parameters_to_marginal_moments

    skymap = decode_skymap(rows_for_tools(name))
    known = np.isfinite(skymap.distmu)  # ligo.skymap leaves the other rows out too, but keeps their weight
    prob = skymap.prob[known] / skymap.prob[known].sum()
    truth = parameters_to_marginal_moments(prob, skymap.distmu[known], skymap.distsigma[known])
    assert stats.distance_moments(skymap) == pytest.approx(truth, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_sky_fractions_agree_with_astropy(name: str) -> None:
    """Fractions in the north and in the Galactic plane must agree with astropy's frames on a fine flat map."""
    import healpy
    from astropy.coordinates import SkyCoord

    skymap = decode_skymap(rows_for_tools(name))
    nside = 128
    ra, dec = healpy.pix2ang(nside, np.arange(12 * nside**2), nest=True, lonlat=True)
    order = 7
    # probability of each order-7 pixel: rows inside it, or its share of the row it is inside of
    fine = skymap.order >= order
    prob = np.bincount(skymap.ipix[fine] >> (2 * (skymap.order[fine] - order)), skymap.prob[fine], len(ra)).astype(
        float
    )
    holders = skymap.row_of(np.arange(len(ra)) << (2 * (29 - order)))
    coarse = skymap.order[holders] < order
    prob[coarse] = skymap.probdensity[holders[coarse]] * 4 * np.pi / len(ra)
    assert prob.sum() == pytest.approx(1)
    found = stats.describe(skymap)
    plane = np.abs(SkyCoord(ra, dec, unit="deg").galactic.b.deg) < 10
    assert found.prob_plane == pytest.approx(prob[plane].sum(), abs=0.01)
    assert found.prob_north == pytest.approx(prob[dec > 0].sum() + prob[dec == 0].sum() / 2, abs=0.01)


@settings(max_examples=6, deadline=None)
@given(st.floats(0, 360), st.floats(-90, 90), st.floats(0.2, 2.0), st.floats(0.05, 0.95))
def test_gaussian_areas(ra: float, dec: float, sigma: float, level: float) -> None:
    """A small Gaussian holds probability p within -2πσ² ln(1-p), wherever it lies."""
    skymap = gaussian(ra, dec, sigma, order=int(np.clip(np.ceil(np.log2(1000 / sigma)), 6, 11)))
    area = -2 * np.pi * sigma**2 * np.log1p(-level)
    assert credible_areas(skymap, (level,)) == pytest.approx([area], rel=4e-3)
    found = stats.describe(skymap)
    assert found.effective_area == pytest.approx(2 * np.pi * np.e * sigma**2, rel=5e-3)
    peak = np.radians([found.peak_ra, found.peak_dec])
    centre = np.radians([ra, dec])
    cosine = np.sin(peak[1]) * np.sin(centre[1]) + np.cos(peak[1]) * np.cos(centre[1]) * np.cos(peak[0] - centre[0])
    assert np.degrees(np.arccos(min(cosine, 1.0))) < 0.05
    assert found.peak_density == pytest.approx(1 / (2 * np.pi * sigma**2), rel=0.01)


def test_uniform_sky() -> None:
    """Nothing known: areas are shares of the sky, no information, half in the north, sin 10° in the plane."""
    found = stats.describe(uniform())
    assert found.area50 == pytest.approx(SKY / 2)
    assert found.area90 == pytest.approx(0.9 * SKY)
    assert found.information == pytest.approx(0, abs=1e-12)
    assert found.effective_area == pytest.approx(SKY)
    assert found.prob_north == pytest.approx(0.5, abs=1e-6)
    assert found.prob_plane == pytest.approx(np.sin(np.radians(10)), abs=2e-3)
    levels = Ranking(uniform()).searched_prob
    np.testing.assert_allclose(np.sort(levels), np.arange(1, len(levels) + 1) / len(levels))


def test_single_pixel() -> None:
    """All probability in one pixel of order 3: every area is a share of it, and its centre is the peak."""
    skymap = decode_skymap(table_bytes({"UNIQ": np.array([4 * 64 + 5]), "PROBDENSITY": np.array([192 / np.pi])}))
    assert credible_areas(skymap, (0.5, 0.9, 1.0)) == pytest.approx(np.array([0.5, 0.9, 1]) * SKY / 768)
    assert stats.describe(skymap).effective_area == pytest.approx(SKY / 768)


def test_volume_of_a_known_shell() -> None:
    """With σ ≪ μ over the whole sky, the p volume is that of the shell μ ± σ z(p): 4π μ² 2zσ to first order."""
    from scipy.special import ndtri

    mu, sigma = 100.0, 0.5
    norm = 1 / (mu**2 + sigma**2)
    body = table_bytes(
        {
            "UNIQ": np.arange(4, 16),
            "PROBDENSITY": np.full(12, 1 / (4 * np.pi)),
            "DISTMU": np.full(12, mu),
            "DISTSIGMA": np.full(12, sigma),
            "DISTNORM": np.full(12, norm),
        }
    )
    skymap = decode_skymap(body)
    expected = [8 * np.pi * mu**2 * sigma * ndtri(0.5 + p / 2) for p in (0.5, 0.9)]
    assert stats.credible_volumes(skymap, (0.5, 0.9)) == pytest.approx(expected, rel=2e-3)
    assert stats.distance_moments(skymap) == pytest.approx((mu * (1 + 2 * sigma**2 / mu**2), sigma), rel=1e-3)
