"""The ranked galaxy list: the host of GW170817, one formula, no dependence on a resolution, limits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_pipeline.science.galaxies.depth import catalog_depth, probability_beyond
from mma_pipeline.science.galaxies.ranking import Choice, Detectability, GalaxyError, GalaxyList, rank_galaxies
from mma_pipeline.science.healpix import order_ipix_to_uniq
from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap
from tests.science.maps import MISSING, SHARED, gaussian_map, real_maps, table_bytes

MGC = SHARED / "data" / "galaxies" / "50MGC_catalog_short.fits"
needs_data = pytest.mark.skipif(not MGC.exists() or not real_maps(), reason=MISSING)


@dataclass
class Galaxies:
    """A catalog in memory, sorted as an index is, made with astropy-healpix instead of the code under test."""

    ra: np.ndarray
    dec: np.ndarray
    distance: np.ndarray
    mass: np.ndarray | None
    name: np.ndarray

    def __post_init__(self) -> None:
        import astropy.units as u
        from astropy_healpix import HEALPix

        index = HEALPix(2**29, "nested").lonlat_to_healpix(self.ra * u.deg, self.dec * u.deg)
        by = np.argsort(index)
        self.index29 = index[by]
        self.ra, self.dec, self.distance, self.name = self.ra[by], self.dec[by], self.distance[by], self.name[by]
        self.mass = None if self.mass is None else self.mass[by]

    def weight(self, kind: str) -> np.ndarray | None:
        """Mass, or nothing."""
        return self.mass if kind == "mass" else None


def _random(n: int, seed: int = 0, far: float = 300.0) -> Galaxies:
    rng = np.random.default_rng(seed)
    return Galaxies(
        ra=rng.uniform(0, 360, n),
        dec=np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
        distance=(far * rng.uniform(0, 1, n) ** (1 / 3)).astype(np.float32),
        mass=(10 ** rng.uniform(8, 11.5, n)).astype(np.float32),
        name=np.array([f"G{i}".encode() for i in range(n)]),
    )


@pytest.fixture(scope="module")
def mgc() -> Galaxies:
    """The 50 Mpc Galaxy Catalog."""
    table = Table.read(MGC)
    return Galaxies(
        ra=np.asarray(table["ra"]),
        dec=np.asarray(table["dec"]),
        distance=np.ma.filled(table["bestdist"].astype(float), np.nan),
        mass=10 ** np.ma.filled(table["logmass"].astype(float), np.nan),
        name=np.asarray(table["objname"]),
    )


def _gaussian(sigma: float = 8.0, order: int = 6, mu: float = 120.0, spread: float = 30.0) -> SkyMap:
    uniq, density = gaussian_map(200.0, -20.0, sigma, order=order, coarse=3)
    flat = decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": density}, ORDERING="NUNIQ"))
    full = np.ones(len(flat.uniq))
    return SkyMap(flat.uniq, flat.probdensity, full * mu, full * spread, full / (mu**2 + spread**2))


def _split(m: SkyMap) -> SkyMap:
    """The same map with every pixel divided in four."""
    order, ipix = np.repeat(m.order + 1, 4), (m.ipix[:, None] * 4 + np.arange(4)).ravel()
    layers = [np.repeat(layer, 4) for layer in (m.probdensity, m.distmu, m.distsigma, m.distnorm)]  # type: ignore[arg-type]
    return SkyMap(order_ipix_to_uniq(order, ipix), *layers)


def _same(a: GalaxyList, b: GalaxyList) -> None:
    assert a.name == b.name
    np.testing.assert_allclose(a.score, b.score, rtol=1e-9)
    np.testing.assert_allclose(a.level_3d, b.level_3d, atol=1e-6)


@needs_data
@pytest.mark.parametrize(("weight", "place"), [("mass", 1), (None, 6)])
def test_host_of_gw170817(mgc: Galaxies, weight: str | None, place: int) -> None:
    """NGC 4993 is first by position, distance and mass, and sixth without mass, as Arcavi's method has it."""
    found = rank_galaxies(decode_skymap(real_maps()["GW170817_bayestar_flat_nside128"]), mgc, Choice(weight=weight))
    host = [n.strip() for n in found.name].index("NGC4993")
    assert found.rank[host] == place
    assert found.level_2d[host] == pytest.approx(0.4774, abs=1e-3)
    assert found.level_3d[host] == pytest.approx(0.328, abs=5e-3)
    assert found.detectability[host] == 1.0


def test_score_is_the_product_of_its_columns() -> None:
    """Every score must be the normalised product of the components shown, computed here galaxy by galaxy."""
    from scipy.stats import norm

    sky, catalog = _gaussian(), _random(20_000)
    found = rank_galaxies(sky, catalog, Choice(level=0.9))
    assert len(found) > 100
    product = found.position * found.distance_density * found.weight * found.detectability
    np.testing.assert_allclose(found.score / found.score[0], product / product[0], rtol=1e-9)
    assert found.score.sum() == pytest.approx(1.0)
    assert len(found) == found.considered
    assert (np.diff(found.score) <= 0).all()
    np.testing.assert_array_equal(found.rank, np.arange(1, len(found) + 1))
    np.testing.assert_allclose(found.distance_density, norm(120, 30).pdf(found.distance) / (120**2 + 30**2), rtol=1e-6)
    limit = 22 - 5 * np.log10(found.distance * 1e5)
    expected = (10 ** (0.4 * 17) - 10 ** (-0.4 * limit)) / (10 ** (0.4 * 17) - 10 ** (0.4 * 12))
    np.testing.assert_allclose(found.detectability, np.clip(expected, 0.01, 1), rtol=1e-5)
    assert ((found.level_3d > 0) & (found.level_3d <= 0.9 + 1e-3)).all()


def test_membership_of_the_credible_volume() -> None:
    """The galaxies of the list are those whose 3-D level by ligo-style cross-match is inside, and no other."""
    from mma_pipeline.science.skymaps.crossmatch import crossmatch

    sky, catalog = _gaussian(), _random(20_000)
    found = rank_galaxies(sky, catalog, Choice(level=0.7, weight=None, detectability=None))
    levels = crossmatch(sky, catalog.ra, catalog.dec, catalog.distance).searched_prob_vol
    assert levels is not None
    names = set(found.name)
    for name, level in zip(catalog.name, levels, strict=True):
        if abs(level - 0.7) > 0.01:  # the cross-match puts the galaxy at the edge of its shell
            assert (name.decode() in names) == (level < 0.7)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), level=st.floats(0.3, 0.99))
def test_list_does_not_depend_on_a_resolution(seed: int, level: float) -> None:
    """Dividing every pixel in four changes no name, no rank and no score."""
    sky, catalog = _gaussian(), _random(5000, seed)
    choice = Choice(level=level)
    _same(rank_galaxies(sky, catalog, choice), rank_galaxies(_split(sky), catalog, choice))


def test_list_is_bounded_and_keeps_the_normalisation() -> None:
    """A short list is the head of the long one, with the same scores."""
    sky, catalog = _gaussian(), _random(20_000)
    whole, head = rank_galaxies(sky, catalog), rank_galaxies(sky, catalog, Choice(limit=25))
    assert len(head) == 25
    assert head.name == whole.name[:25]
    np.testing.assert_allclose(head.score, whole.score[:25], rtol=1e-12)
    assert head.considered == whole.considered
    assert head.score.sum() < 1


def test_map_without_distance_ranks_by_position() -> None:
    """A burst map: score follows the sky density alone, distance columns are absent, the cut leaves out the far."""
    sky = _gaussian()
    burst, catalog = SkyMap(sky.uniq, sky.probdensity), _random(20_000)
    found = rank_galaxies(burst, catalog, Choice(level=0.9, max_distance=100.0))
    assert np.isnan(found.level_3d).all()
    assert np.isnan(found.distance_density).all()
    assert (np.diff(found.position) <= 0).all()
    assert (found.distance <= 100).all()
    assert found.score.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.score / found.position, found.score[0] / found.position[0])
    everywhere = rank_galaxies(burst, catalog, Choice(level=0.9, limit=10**6))
    assert len(everywhere) > 5 * len(found)
    inside = burst.prob[burst.row_of(catalog.index29)]
    assert len(everywhere) < np.count_nonzero(inside > 0)


def test_whole_sky_and_single_pixel() -> None:
    """A uniform map ranks by mass and distance alone; a map in one pixel lists that pixel's galaxies."""
    full = np.ones(12)
    sky = SkyMap(np.arange(4, 16), full / (4 * np.pi), full * 100, full * 20, full / (100**2 + 20**2))
    catalog = _random(3000)
    assert rank_galaxies(sky, catalog, Choice(level=0.5)).considered > 50
    only = np.zeros(12)
    only[5] = 3 / np.pi
    one = dataclasses.replace(sky, probdensity=only)
    found = rank_galaxies(one, catalog, Choice(level=0.95))
    rows = one.row_of(catalog.index29)
    inside = {n.decode() for n, r in zip(catalog.name, rows, strict=True) if r == 5}
    assert 0 < len(found) < len(inside)
    assert set(found.name) <= inside
    flat = rank_galaxies(SkyMap(one.uniq, one.probdensity), catalog, Choice(level=0.95))
    assert set(flat.name) == inside


def test_galaxies_without_mass_are_counted() -> None:
    """Galaxies with no mass are left out of a ranking by mass, and the list says how many."""
    sky, catalog = _gaussian(), _random(5000)
    all_of_them = rank_galaxies(sky, catalog).considered
    assert catalog.mass is not None
    catalog.mass[::2] = np.nan
    found = rank_galaxies(sky, catalog)
    assert found.without_weight + found.considered == all_of_them
    assert found.without_weight > 10
    assert rank_galaxies(sky, catalog, Choice(weight=None)).considered == all_of_them


def test_no_galaxy_in_the_volume_is_an_empty_list() -> None:
    """Nothing to list is a list of length zero."""
    assert len(rank_galaxies(_gaussian(), _random(0))) == 0
    near = _random(500, far=1.0)
    assert len(rank_galaxies(_gaussian(), near, Choice(level=0.5))) == 0


@pytest.mark.parametrize("wrong", [{"level": 0.0}, {"level": 1.0}, {"limit": 0}, {"weight": "colour"}])
def test_choices_without_meaning_are_refused(wrong: dict[str, object]) -> None:
    """Levels outside (0, 1), empty lists and unknown weights are refused."""
    with pytest.raises(GalaxyError):
        Choice(**wrong)  # type: ignore[arg-type]


def test_missing_column_is_said() -> None:
    """A weight that the catalog lacks gives an error that says what to do."""
    with pytest.raises(GalaxyError, match="luminosity"):
        rank_galaxies(_gaussian(), _random(10), Choice(weight="luminosity"))


def test_detectability_limits() -> None:
    """Near galaxies count fully, far ones keep the floor, and the factor falls with distance between."""
    factor = Detectability(limiting_magnitude=21.0).factor(np.array([1.0, 40.0, 100.0, 200.0, 300.0, 5000.0]))
    assert factor[0] == 1.0
    assert factor[-1] == 0.01
    assert (np.diff(factor) <= 0).all()


def test_probability_beyond_a_distance() -> None:
    """The share of the posterior beyond a distance is its integral, and all of it lies beyond zero and none beyond infinity."""
    from scipy.integrate import quad

    sky = _gaussian(mu=120.0, spread=30.0)

    def posterior(r: float) -> float:
        return r**2 * np.exp(-((r - 120.0) ** 2) / (2 * 30.0**2))

    for depth in (60.0, 130.0, 200.0):
        beyond = quad(posterior, depth, 500.0)[0] / quad(posterior, 0.0, 500.0)[0]
        assert probability_beyond(sky, depth) == pytest.approx(beyond, abs=1e-6)
    assert (probability_beyond(sky, 1e-9), probability_beyond(sky, 1e5)) == (pytest.approx(1.0), pytest.approx(0.0))


@needs_data
def test_s230518h_lies_beyond_the_catalog_of_50_mpc(mgc: Galaxies) -> None:
    """The catalog of 50 Mpc reaches to about that, and nothing of S230518h (280 ± 69 Mpc) lies within it."""
    depth = catalog_depth(mgc.distance)
    assert depth == pytest.approx(50, rel=0.1)
    assert probability_beyond(decode_skymap(real_maps()["S230518h-INITIAL-2023-05-18T160718"]), depth) > 0.99
    # A map without distances tells nothing, and a catalog without distances has no depth.
    assert probability_beyond(decode_skymap(real_maps()["S240112e-PRELIMINARY-2024-01-12T010901"]), depth) is None
    assert catalog_depth(np.full(5, np.nan)) is None
