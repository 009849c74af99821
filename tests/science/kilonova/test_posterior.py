"""Sky factor, prior and posterior against closed forms and ligo.skymap."""

import math
from pathlib import Path

import numpy as np
import pytest

from mma_pipeline.science.kilonova import posterior as post
from mma_pipeline.science.skymap import SkyMap, decode_skymap, order_ipix_to_uniq

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "gw_maps"


def flat_map(distance=None):
    """Two hemispheres with probabilities 0.9 (north) and 0.1 (south), order 1."""
    ipix = np.arange(48)
    import healpy

    z = np.cos(healpy.pix2ang(2, ipix, nest=True)[0])
    area = np.pi / 12
    prob = np.where(z > 0, 0.9, 0.1)
    prob = prob / (prob.sum() * area)
    layers = {}
    if distance is not None:
        mu, sigma, norm = distance
        layers = {"distmu": np.full(48, mu), "distsigma": np.full(48, sigma), "distnorm": np.full(48, norm)}
    return SkyMap(order_ipix_to_uniq(np.ones(48, int), ipix), prob, **layers)


def test_uniform_map_says_nothing():
    """On a uniform map over the whole sky, the factor is one anywhere."""
    m = SkyMap(order_ipix_to_uniq(np.zeros(12, int), np.arange(12)), np.full(12, 1 / (4 * math.pi)))
    for ra, dec in ((0, 0), (359.99, 89.0), (720.5, -45)):
        assert post.sky_factor(m, ra, dec).value == pytest.approx(1.0)


def test_factor_is_density_times_area():
    """The 2-D factor is the density times the searched area, and averages to one over an area that holds all."""
    m = flat_map()
    north, south = post.sky_factor(m, 10, 80), post.sky_factor(m, 10, -80)
    assert north.value / south.value == pytest.approx(9.0)
    assert (m.prob / m.probdensity).sum() == pytest.approx(4 * math.pi)
    assert float((m.probdensity * m.area).sum()) == pytest.approx(1.0)
    assert post.sky_factor(m, 10, 80, area_deg2=100.0).value == pytest.approx(north.density * 100)


def test_volume_factor_in_closed_form():
    """The 3-D factor is p · N · Gauss(d) · A · dmax³/3; a host error widens the Gaussian in quadrature."""
    mu, sigma, norm = 100.0, 20.0, 1e-4
    m = flat_map((mu, sigma, norm))
    found = post.sky_factor(m, 10, 80, area_deg2=500.0, host_distance_mpc=90.0, host_sigma_mpc=15.0,
                            search_distance_mpc=200.0)  # fmt: skip
    width = 25.0
    gauss = math.exp(-0.5 * (10 / width) ** 2) / (math.sqrt(2 * math.pi) * width)
    volume = 500.0 * (math.pi / 180) ** 2 * 200.0**3 / 3
    assert found.value == pytest.approx(float(m.probdensity.max()) * norm * gauss * volume)
    assert found.dimensions == 3


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real maps of ../shared are not here")
def test_density_agrees_with_ligo_skymap():
    """At NGC 4993 on GW170817's map, densities per sr and per Mpc³ agree with ligo.skymap (whose voxels cost 0.5 %)."""
    import astropy.units as u
    from astropy.coordinates import SkyCoord
    from ligo.skymap.io import read_sky_map
    from ligo.skymap.postprocess import crossmatch

    path = SHARED / "GW170817_bayestar_flat_nside128.fits.gz"
    host = SkyCoord(197.450374 * u.deg, -23.381495 * u.deg, distance=40.7 * u.Mpc)
    independent = crossmatch(read_sky_map(str(path), moc=True, distances=True), host)
    m = decode_skymap(path.read_bytes())
    flat = post.sky_factor(m, 197.450374, -23.381495)
    assert flat.density * (180 / math.pi) ** 2 == pytest.approx(float(independent.probdensity), rel=1e-6)
    solid = post.sky_factor(m, 197.450374, -23.381495, host_distance_mpc=40.7, search_distance_mpc=100.0)
    assert solid.density == pytest.approx(float(independent.probdensity_vol), rel=0.01)


def test_errors_say_what_is_wrong():
    """No distances in the map, no search distance, or an impossible position: one clear error each."""
    with pytest.raises(post.SkyFactorError, match="no distances"):
        post.sky_factor(flat_map(), 0, 0, host_distance_mpc=10, search_distance_mpc=100)
    with pytest.raises(post.SkyFactorError, match="distance to which"):
        post.sky_factor(flat_map((1, 1, 1)), 0, 0, host_distance_mpc=10)
    with pytest.raises(post.SkyFactorError, match="not a position"):
        post.sky_factor(flat_map(), 0, 91)


def test_prior_is_source_over_all():
    """One source against ten contaminants in 100 deg² is 1 in 11; no HasRemnant, no prior."""
    found = post.prior(has_remnant=1.0, terrestrial=0.0, area_deg2=100, contaminants=0.1)
    assert found is not None
    assert found.value == pytest.approx(1 / 11)
    half = post.prior(has_remnant=0.5, terrestrial=0.2, area_deg2=100, contaminants=0.1)
    assert half is not None
    assert half.source == pytest.approx(0.4)
    assert post.prior(has_remnant=None, terrestrial=0.0, area_deg2=100) is None


def test_contaminants_follow_the_depth():
    """A magnitude deeper doubles the distance twice over: 10^0.6 more; about 0.28 per deg² at 21.5."""
    assert post.contaminants_per_deg2(22.5) / post.contaminants_per_deg2(21.5) == pytest.approx(10**0.6)
    assert post.contaminants_per_deg2(21.5) == pytest.approx(0.28, abs=0.01)


def test_posterior_is_bayes():
    """Nothing learned and no position known leaves the prior; odds multiply; the searched area cancels."""
    assert post.posterior(0.5, 1.0, 0.2).posterior == pytest.approx(0.2)
    assert post.posterior(0.9, 2.0, 0.5).posterior == pytest.approx(18 / 19)
    assert post.posterior(0.9, 0.0, 0.5).posterior == 0.0
    m = flat_map()
    values = []
    for area in (50.0, 500.0):
        p = post.prior(has_remnant=1.0, terrestrial=0.0, area_deg2=area, contaminants=0.3)
        assert p is not None
        values.append(post.posterior(0.99, post.sky_factor(m, 10, 80, area_deg2=area).value, p.value).posterior)
    assert values[0] == pytest.approx(values[1])
