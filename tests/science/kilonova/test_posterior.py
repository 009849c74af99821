"""Sky factor, prior and posterior against closed forms and ligo.skymap."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mma_pipeline.science.healpix import order_ipix_to_uniq
from mma_pipeline.science.kilonova import posterior as post
from mma_pipeline.science.kilonova.assess import sky_factor_of
from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap

#: NGC 4993, the host of GW170817: ICRS, degrees; heliocentric redshift of Hjorth et al. (2017, ApJL 848 L31).
NGC4993 = (197.448776, -23.383831)
NGC4993_REDSHIFT = 0.009783
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


def test_distance_of_a_host_is_that_of_astropy():
    """A host's distance is astropy's for the cosmology that is stated; its error is what 300 km/s change in it."""
    from astropy.cosmology import FlatLambdaCDM

    cosmology = FlatLambdaCDM(H0=70, Om0=0.3)
    for redshift in (0.0005, NGC4993_REDSHIFT, 0.05, 0.7, 3.0, 10.0):
        distance, error = post.host_distance(redshift)
        assert distance == pytest.approx(cosmology.luminosity_distance(redshift).value, rel=2e-4)
    near = cosmology.luminosity_distance([0.01, 0.01 + 300 / 299792.458]).value
    assert error == pytest.approx(near[1] - near[0], rel=0.02)
    # D_z = 40.4 ± 3.4 Mpc, with a flow model and H0 = 73.24.
    assert post.host_distance(NGC4993_REDSHIFT)[0] == pytest.approx(40.4, abs=3.4)


def test_redshift_makes_the_factor_three_dimensional():
    """With a redshift the factor is p · N · Gauss(d, 300 km/s) · V, V to where contaminants are counted: 631 Mpc."""
    from astropy.cosmology import FlatLambdaCDM

    mu, sigma, norm = 200.0, 40.0, 2.4e-5
    m = flat_map((mu, sigma, norm))
    factor, distance = sky_factor_of(m, (10, 80), 500.0, 0.04)
    expected = FlatLambdaCDM(H0=70, Om0=0.3).luminosity_distance(0.04).value
    width = math.hypot(sigma, 300 / 70)
    gauss = math.exp(-0.5 * ((expected - mu) / width) ** 2) / (math.sqrt(2 * math.pi) * width)
    volume = 500.0 * (math.pi / 180) ** 2 * 10 ** (3 * 2.8) / 3
    assert distance == pytest.approx(expected, rel=2e-4)
    assert factor.dimensions == 3
    assert factor.value == pytest.approx(float(m.probdensity.max()) * norm * gauss * volume, rel=1e-3)


def test_volume_factor_averages_to_one():
    """Averaged over the searched volume, the 3-D factor is one: what a ratio of two normalised densities must be."""
    mu, sigma = 150.0, 30.0
    # Of d² N(d; mu, sigma) over all distances, with a negligible part below zero.
    m = flat_map((mu, sigma, 1 / (mu**2 + sigma**2)))
    steps = np.arange(0.5, 400.0)
    shells = steps**2 / (steps**2).sum()
    north = [post.sky_factor(m, 10, 80, host_distance_mpc=d, search_distance_mpc=400.0).value for d in steps]
    # Over the directions, only the density differs, and its mean is that of the uniform map.
    mean = 1 / (4 * math.pi) / float(m.probdensity.max())
    assert float(np.dot(shells, north)) * mean == pytest.approx(1.0, rel=1e-3)


def test_map_without_distance_stays_flat():
    """Without distances in the map, or in the row, or without a redshift, the factor is the 2-D one, and no error."""
    flat = flat_map()
    solid = flat_map((100.0, 20.0, 1e-4))
    expected = post.sky_factor(flat, 10, 80, area_deg2=500.0)
    assert sky_factor_of(flat, (10, 80), 500.0, None) == (expected, None)
    assert sky_factor_of(solid, (10, 80), 500.0, None) == (expected, None)
    assert sky_factor_of(flat, (10, 80), 500.0, 0.02) == (expected, post.host_distance(0.02)[0])
    for mu, sigma, norm in ((np.inf, 1.0, 0.0), (np.nan, np.nan, np.nan), (100.0, 0.0, 1.0), (100.0, 20.0, np.nan)):
        empty = replace(solid, distmu=np.full(48, mu), distsigma=np.full(48, sigma), distnorm=np.full(48, norm))
        assert sky_factor_of(empty, (10, 80), 500.0, 0.02)[0] == expected


def test_host_in_the_map_raises_and_one_behind_lowers():
    """A host at the map's distance makes the posterior larger than without one, a host far behind smaller, nearly zero."""
    m = flat_map((100.0, 20.0, 1 / (100.0**2 + 20.0**2)))
    p = post.prior(has_remnant=1.0, terrestrial=0.0, area_deg2=500.0)
    assert p is not None
    after = {
        redshift: post.posterior(0.9, sky_factor_of(m, (10, 80), 500.0, redshift)[0].value, p.value).posterior
        for redshift in (None, 0.0231, 0.05, 0.3, 3.0)
    }
    assert after[0.0231] > after[None] > after[0.05] > after[0.3] == after[3.0] == 0.0


@pytest.mark.parametrize("redshift", [0.0231, 0.03])
def test_posterior_does_not_depend_on_the_search(redshift):
    """To whatever depth and in whatever area contaminants are counted, also short of the host: the posterior is one."""
    m = flat_map((100.0, 20.0, 1e-4))
    distance, error = post.host_distance(redshift)
    found = []
    for depth, area in ((21.5, 500.0), (24.0, 500.0), (15.0, 500.0), (21.5, 20.0)):
        reach = post.search_distance_mpc(depth)
        counted = post.contaminants_per_deg2(depth)
        p = post.prior(has_remnant=0.8, terrestrial=0.1, area_deg2=area, contaminants=counted)
        factor = post.sky_factor(m, 10, 80, area_deg2=area, host_distance_mpc=distance, host_sigma_mpc=error,
                                 search_distance_mpc=reach)  # fmt: skip
        assert p is not None
        found.append(post.posterior(0.9, factor.value, p.value).posterior)
    assert post.search_distance_mpc(15.0) < distance < post.search_distance_mpc(21.5)
    assert 0.01 < found[0] < 0.999
    assert found == pytest.approx([found[0]] * 4, rel=1e-9)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real maps of ../shared are not here")
def test_host_of_gw170817_by_its_redshift():
    """On GW170817's map, NGC 4993's redshift gives ligo.skymap's density smeared by 300 km/s, and a larger factor."""
    import astropy.units as u
    from astropy.coordinates import SkyCoord
    from ligo.skymap.io import read_sky_map
    from ligo.skymap.postprocess import crossmatch

    path = SHARED / "GW170817_bayestar_flat_nside128.fits.gz"
    m = decode_skymap(path.read_bytes())
    factor, distance = sky_factor_of(m, NGC4993, 30.0, NGC4993_REDSHIFT)
    assert distance is not None
    width = 300 / 70
    offsets = np.linspace(-5, 5, 201)
    along = SkyCoord(
        np.full(201, NGC4993[0]) * u.deg,
        np.full(201, NGC4993[1]) * u.deg,
        distance=(distance + width * offsets) * u.Mpc,
    )
    densities = crossmatch(read_sky_map(str(path), moc=True, distances=True), along).probdensity_vol
    weights = np.exp(-0.5 * offsets**2)
    assert factor.density == pytest.approx(float((densities * weights).sum() / weights.sum()), rel=0.02)
    assert factor.value > 10 * sky_factor_of(m, NGC4993, 30.0, None)[0].value


def test_errors_say_what_is_wrong():
    """No distances in the map, no search distance, or an impossible position: one clear error each."""
    with pytest.raises(post.SkyFactorError, match="no distances"):
        post.sky_factor(flat_map(), 0, 0, host_distance_mpc=10, search_distance_mpc=100)
    with pytest.raises(post.SkyFactorError, match="positive search distance"):
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
