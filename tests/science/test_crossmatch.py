"""Cross-match of positions against ligo.skymap, golden values and closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_pipeline.science.skymaps.credible import Ranking
from mma_pipeline.science.skymaps.crossmatch import crossmatch
from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap
from mma_pipeline.science.skymaps.volume import NoDistanceError, credible_volume
from mma_pipeline.science.sphere import PositionError, cap_rows, pixel_centres, separation
from tests.science.maps import MISSING, gaussian_map, real_maps, table_bytes

MAPS_3D = [n for n in real_maps() if n.startswith(("S230518h-PRE", "GW170817"))]
needs_maps = pytest.mark.skipif(not real_maps(), reason=MISSING)
_NONE = [pytest.param("", marks=pytest.mark.skip(reason=MISSING))]


def _whole_sky(order: int = 0, mu: float = 100.0, sigma: float = 10.0) -> SkyMap:
    """The same Gaussian shell in every direction; DISTNORM so that ∫ r² norm N(r) dr = 1."""
    n = 12 * 4**order
    full = np.full(n, 1.0)
    return SkyMap(
        uniq=np.arange(4 * 4**order, 16 * 4**order),
        probdensity=full / (4 * np.pi),
        distmu=full * mu,
        distsigma=full * sigma,
        distnorm=full / (mu**2 + sigma**2),
    )


@pytest.mark.parametrize("name", MAPS_3D or _NONE)
def test_equals_ligo_skymap(name: str, tmp_path: Path) -> None:
    """Every quantity must equal ligo.skymap.postprocess.crossmatch to 1e-3 for positions all over the map."""
    from astropy.coordinates import SkyCoord
    from ligo.skymap.io import read_sky_map
    from ligo.skymap.postprocess.crossmatch import crossmatch as reference

    body = real_maps()[name]
    path = tmp_path / ("map.fits.gz" if body[:2] == b"\x1f\x8b" else "map.fits")
    path.write_bytes(body)
    table = read_sky_map(str(path), moc=True)
    sky = decode_skymap(body)
    rng = np.random.default_rng(5)
    rows = rng.choice(len(sky.prob), 300, p=sky.prob / sky.prob.sum())
    ra, dec = pixel_centres(sky.order[rows], sky.ipix[rows])
    ra = np.append(ra, rng.uniform(0, 360, 100))
    dec = np.append(dec, np.degrees(np.arcsin(rng.uniform(-1, 1, 100))))
    distance = float(table.meta["distmean"]) * rng.lognormal(0, 0.3, 400)
    expected = reference(table, SkyCoord(ra, dec, distance, unit=("deg", "deg", "Mpc")), contours=(0.5, 0.9))
    found = crossmatch(sky, ra, dec, distance)
    np.testing.assert_allclose(found.searched_prob, expected.searched_prob, atol=1e-3)
    likely = expected.searched_prob < 0.99  # beyond, rows of equal density come in any order
    np.testing.assert_allclose(found.searched_area[likely], expected.searched_area[likely], rtol=1e-3)
    np.testing.assert_allclose(found.offset, expected.offset, atol=1e-3)
    np.testing.assert_allclose(found.probdensity, expected.probdensity, rtol=1e-3)
    np.testing.assert_allclose(found.searched_prob_vol, expected.searched_prob_vol, atol=1e-3)
    middle = (expected.searched_prob_vol > 0.1) & (expected.searched_prob_vol < 0.95)
    assert middle.sum() > 50
    np.testing.assert_allclose(found.searched_vol[middle], expected.searched_vol[middle], rtol=1e-2)
    assert np.median(np.abs(found.searched_vol / expected.searched_vol - 1)[middle]) < 1e-3
    for level, volume in zip((0.5, 0.9), expected.contour_vols, strict=True):
        assert credible_volume(sky).volume(level) == pytest.approx(volume, rel=1e-3)


@needs_maps
def test_gw170817_golden_values() -> None:
    """NGC 4993 in the GW170817 map has the values that the project's facts record."""
    sky = decode_skymap(real_maps()["GW170817_bayestar_flat_nside128"])
    found = crossmatch(sky, 197.450374, -23.381495, 40.7)
    assert found.offset[0] == pytest.approx(5.899, abs=1e-3)
    assert found.searched_area[0] == pytest.approx(8.603, rel=1e-3)
    assert found.searched_prob[0] == pytest.approx(0.4774, abs=1e-3)
    assert found.searched_vol is not None
    assert found.searched_vol[0] == pytest.approx(59.75, rel=1e-3)
    assert found.searched_prob_vol is not None
    assert found.searched_prob_vol[0] == pytest.approx(0.3270, abs=1e-3)
    assert credible_volume(sky).volume(0.9) == pytest.approx(554.98, rel=1e-3)


def test_many_positions_equal_one_by_one() -> None:
    """The interpolated levels of a long list must equal those computed one at a time."""
    uniq, density = gaussian_map(120.0, -40.0, 5.0, order=7)
    flat = decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": density}, ORDERING="NUNIQ"))
    mu = np.linspace(80, 120, len(flat.uniq))
    sky = SkyMap(flat.uniq, flat.probdensity, mu, mu * 0.2, 1 / (mu**2 * 1.04))
    ranking = Ranking(sky)
    rng = np.random.default_rng(0)
    ra, dec, distance = rng.normal(120, 5, 100), rng.normal(-40, 4, 100), rng.uniform(20, 200, 100)
    together = crossmatch(ranking, ra, dec, distance)
    alone = [crossmatch(ranking, *p) for p in zip(ra, dec, distance, strict=True)]
    assert together.searched_prob_vol is not None
    np.testing.assert_allclose(
        together.searched_prob_vol,
        [a.searched_prob_vol[0] for a in alone],  # type: ignore[index]
        atol=5e-4,
    )
    np.testing.assert_array_equal(together.searched_prob, [a.searched_prob[0] for a in alone])


@settings(max_examples=30, deadline=None)
@given(mu=st.floats(20, 5000), relative=st.floats(0.02, 3.0), depth=st.floats(0.01, 12.0))
def test_volume_of_a_shell_in_closed_form(mu: float, relative: float, depth: float) -> None:
    """For one Gaussian shell over the whole sky, probability and volume above a density are known integrals."""
    from scipy.integrate import quad

    sigma = mu * relative
    sky = credible_volume(_whole_sky(mu=mu, sigma=sigma))
    half = sigma * np.sqrt(2 * depth)
    low, high = max(mu - half, 0.0), mu + half
    norm = 1 / (mu**2 + sigma**2) / (sigma * np.sqrt(2 * np.pi))
    inside = quad(lambda r: norm * r**2 * np.exp(-0.5 * ((r - mu) / sigma) ** 2), low, high, epsabs=0, limit=200)[0]
    prob, volume = sky.above(sky.log_peak[0] - depth)
    assert prob == pytest.approx(inside, rel=1e-6)
    assert volume == pytest.approx(4 / 3 * np.pi * (high**3 - low**3), rel=1e-9)


@pytest.mark.parametrize("mu", [-1e2, -1e3, -2e4])
def test_rows_whose_mean_lies_behind_the_observer(mu: float) -> None:
    """A row with μ far below zero must still hold a probability of one, which the closed form loses to rounding."""
    sigma = np.sqrt(-mu) * 10
    from scipy.integrate import quad

    # ∫ r² exp(-((r-μ)² - μ²)/2σ²) dr, scaled by the density at r = 0, sets DISTNORM
    scaled = quad(lambda r: r**2 * np.exp(-(r**2 - 2 * r * mu) / (2 * sigma**2)), 0, np.inf, epsabs=0)[0]
    log_norm = 0.5 * (mu / sigma) ** 2 - np.log(scaled)
    sky = _whole_sky()
    full = np.ones(12)
    norm = np.exp(log_norm) * sigma * np.sqrt(2 * np.pi)
    sky = SkyMap(sky.uniq, sky.probdensity, full * mu, full * sigma, full * norm)
    volume = credible_volume(sky)
    assert volume.above(volume.log_peak[0] - 28)[0] == pytest.approx(1.0, rel=1e-4)


def test_gaussian_region_in_closed_form() -> None:
    """In a Fisher map of width σ the level at distance θ is 1 - exp(-θ²/2σ²) and the area 2π(1 - cos θ)."""
    uniq, density = gaussian_map(0.0, 0.0, 2.0, order=9)
    sky = decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": density}, ORDERING="NUNIQ"))
    for theta in (1.0, 2.0, 4.0):
        for ra, dec in ((theta, 0.0), (360.0 - theta, 0.0), (-theta, 0.0), (0.0, theta)):
            found = crossmatch(sky, ra, dec)
            assert found.searched_prob[0] == pytest.approx(1 - np.exp(-(theta**2) / 8), abs=0.05)
            assert found.offset[0] == pytest.approx(theta, abs=0.15)
            assert found.searched_area[0] == pytest.approx(np.pi * theta**2, rel=0.2 / theta)


def test_whole_sky_and_poles() -> None:
    """A uniform map gives every position, poles and the meridian included, the same density and no error."""
    sky = _whole_sky(2)
    found = crossmatch(sky, [0, 0, 360, 359.9999999], [90, -90, 0, 0], [100.0, 100.0, np.nan, 5.0])
    np.testing.assert_allclose(found.probdensity, 1 / (4 * np.pi))
    assert (found.searched_prob > 0).all()
    assert found.searched_prob_vol is not None
    assert found.searched_prob_vol[0] == pytest.approx(found.searched_prob_vol[1])
    assert np.isnan(found.searched_prob_vol[2])
    assert found.searched_prob_vol[3] > 0.999


def test_map_without_distance_gives_none() -> None:
    """A burst map has no 3-D quantities: None, and a volume asked for by itself is refused."""
    sky = _whole_sky()
    burst = SkyMap(sky.uniq, sky.probdensity)
    assert crossmatch(burst, 1.0, 2.0, 40.0).searched_prob_vol is None
    with pytest.raises(NoDistanceError, match="no distance layers"):
        credible_volume(burst)


@pytest.mark.parametrize(
    ("ra", "dec", "distance"),
    [(0, 91, 1), (400, 0, 1), (np.nan, 0, 1), ([1, 2], [3], 1), (0, 0, 0), (0, 0, -3), (0, 0, 1e300)],
)
def test_bad_positions_are_refused(ra: object, dec: object, distance: float) -> None:
    """Positions off the sphere and distances that no galaxy has get an error that names them."""
    with pytest.raises(PositionError):
        crossmatch(_whole_sky(), ra, dec, distance)  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(ra=st.floats(0, 360), dec=st.floats(-90, 90), radius=st.floats(0.5, 179))
def test_caps_have_the_area_of_caps(ra: float, dec: float, radius: float) -> None:
    """The pixel fractions of a cap must add up to 2π(1 - cos r), also over poles and the meridian."""
    order = np.full(12 * 4**4, 4)
    area = cap_rows(order, np.arange(order.size), ra, dec, radius).sum() * np.pi / 3 / 4**4
    assert area == pytest.approx(2 * np.pi * (1 - np.cos(np.radians(radius))), rel=0.02)


def test_separation_is_exact_at_small_and_large_angles() -> None:
    """Milliarcseconds and antipodes must come out as they are."""
    assert separation(10, 20, 10, 20 + 1e-7) == pytest.approx(1e-7, rel=1e-6)
    assert separation(10, 20, 190, -20) == pytest.approx(180, abs=1e-9)
