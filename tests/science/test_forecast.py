"""The kilonova forecast against closed forms, ligo.skymap, and real kilonovae."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from astropy.io.votable import parse_single_table
from astropy.table import Table
from astropy.time import Time

from mma_pipeline.science.forecast import afterglow, ejecta
from mma_pipeline.science.forecast.bands import BANDS, EXTINCTION, WAVELENGTH_UM
from mma_pipeline.science.forecast.distance import distance_quantiles
from mma_pipeline.science.forecast.forecast import DEPTH_HOURS, HOURS, LEVELS, Forecast, even_shares, forecast
from mma_pipeline.science.forecast.models import light
from mma_pipeline.science.forecast.outlook import ChirpMasses, outlook
from mma_pipeline.science.forecast.plot import forecast_png
from mma_pipeline.science.forecast.tables import document, table
from mma_pipeline.science.skymaps.model import decode_skymap
from mma_pipeline.science.tables import ecsv, votable
from tests.alerts import fits_map

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real photometry and maps: {SHARED} is not there")
#: GW170817, and E(B-V) towards NGC 4993 (Schlafly & Finkbeiner 2011).
MERGER_MJD, EBV = 57982.5285236, 0.105
GW170817 = ChirpMasses((1.1, 1.2, 1.3), (0.9, 0.1))
#: GRB 211211A: trigger, distance and its error in Mpc (z = 0.076).
BURST, BURST_MPC, BURST_ERR_MPC = "2021-12-11T13:09:59", 348.0, 5.0


@pytest.fixture(scope="module")
def at_40() -> Forecast:
    """A forecast for exactly 40 Mpc, without redshift."""
    return forecast(np.array([40.0]), redshifted=False)


# -- closed forms ----------------------------------------------------------------------------------------------------


def test_twice_as_far_is_fainter_by_the_distance_modulus(at_40: Forecast) -> None:
    """Without redshift, every quantile and every depth is fainter by 5 log10(2) = 1.505 mag at twice the distance."""
    far = forecast(np.array([80.0]), redshifted=False)
    assert far.kilonova.quantiles - at_40.kilonova.quantiles == pytest.approx(5 * np.log10(2), abs=1e-9)
    near, distant = (f.kilonova.depth(0.9, 24)["r"] for f in (at_40, far))
    assert distant - near == pytest.approx(1.505, abs=1e-3)


def test_redshift_stretches_time_and_wavelength() -> None:
    """At z, the light at (1 + z) times hours and wavelengths is that at rest, brighter per frequency by 2.5 log10(1 + z)."""
    z = 0.2
    rest = light(np.random.default_rng(3), 50, HOURS, WAVELENGTH_UM, np.zeros(50))
    seen = light(np.random.default_rng(3), 50, HOURS * (1 + z), WAVELENGTH_UM * (1 + z), np.full(50, z))
    assert rest - seen == pytest.approx(2.5 * np.log10(1 + z), abs=1e-9)


def test_at_one_distance_the_quantiles_are_the_families_own(at_40: Forecast) -> None:
    """A known distance adds nothing: quantiles in apparent magnitude are those of the absolute ones plus the modulus."""
    rng = np.random.default_rng(20170817)
    rng.permutation(1500)
    absolute = light(rng, 1500, HOURS, WAVELENGTH_UM, np.zeros(1500))
    expected = [np.sort(absolute, axis=0)[int(level * 1500)] + 5 * np.log10(40.0) + 25 for level in LEVELS]
    # The next in order instead of a value between two: 1500 models lie close.
    assert np.median(np.abs(at_40.kilonova.quantiles - expected)) < 0.01


def test_two_distances_are_a_mixture() -> None:
    """Half at 10 Mpc and half at 10 Gpc: the fainter half is the far one, so the quarter point is the near one's median."""
    mixed = forecast(np.array([10.0, 10_000.0]), redshifted=False).kilonova.quantiles
    near = forecast(np.array([10.0]), redshifted=False).kilonova.quantiles
    day = int(np.searchsorted(HOURS, 24))
    assert mixed[1, :, day] == pytest.approx(near[2, :, day], abs=0.25)


def test_deeper_shows_more(at_40: Forecast) -> None:
    """Quantiles rise with their share in every band at every hour, so depths do; the median is the depth for half."""
    assert (np.diff(at_40.kilonova.quantiles, axis=0) > 0).all()
    for hours in DEPTH_HOURS:
        half, most = at_40.kilonova.depth(0.5, hours), at_40.kilonova.depth(0.9, hours)
        assert all(half[band] < most[band] for band in BANDS)
        assert half["r"] == pytest.approx(at_40.kilonova.at("r", hours)[LEVELS.index(0.5)])


def test_the_same_input_gives_the_same_forecast() -> None:
    """No chance is left: a replay makes the same bytes."""
    first, second = (forecast(np.array([100.0, 120.0]), chirp=GW170817, classes={"BNS": 1.0}) for _ in range(2))
    assert np.array_equal(first.kilonova.quantiles, second.kilonova.quantiles)
    assert forecast_png(first, title="a", words="b") == forecast_png(second, title="a", words="b")


# -- distance --------------------------------------------------------------------------------------------------------


def test_a_narrow_map_has_the_distance_of_its_ansatz() -> None:
    """All rows at 100 ± 20 Mpc: density r² N(r), whose distribution function a fine sum gives."""
    found = distance_quantiles(decode_skymap(fits_map()), np.array([0.05, 0.5, 0.95]))
    r = np.linspace(0, 300, 300_001)
    cdf = np.cumsum(r**2 * np.exp(-0.5 * ((r - 100) / 20) ** 2))
    assert found == pytest.approx(np.interp([0.05, 0.5, 0.95], cdf / cdf[-1], r), rel=1e-3)


def test_a_map_without_distance_has_none() -> None:
    """A burst search's map has no layers."""
    assert distance_quantiles(decode_skymap(fits_map(layers=False)), np.array([0.5])) is None


@needs_data
@pytest.mark.parametrize("name", ["GW170817_bayestar_flat_nside128.fits.gz", "S240605a_bayestar.multiorder.fits"])
def test_quantiles_are_those_of_ligo_skymap(name: str) -> None:
    """On real maps the quantiles agree with ligo.skymap's marginal distribution to half a per cent."""
    from ligo.skymap.distance import marginal_cdf

    skymap = decode_skymap((SHARED / "gw_maps" / name).read_bytes())
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    found = distance_quantiles(skymap, levels)
    assert found is not None
    assert skymap.distmu is not None
    usable = np.isfinite(skymap.distmu) & (skymap.prob > 0)
    layers = [np.asarray(v[usable]) for v in (skymap.prob, skymap.distmu, skymap.distsigma, skymap.distnorm)]  # type: ignore[index]
    whole = float(marginal_cdf(1e5, *layers))
    for factor, sign in ((0.995, 1), (1.005, -1)):
        below = np.array([float(marginal_cdf(r * factor, *layers)) for r in found]) / whole
        assert (sign * (levels - below) > 0).all()


# -- masses ----------------------------------------------------------------------------------------------------------


def test_the_heavier_mass_has_the_chirp_mass() -> None:
    """Chirp mass (m1 m2)^0.6 / (m1 + m2)^0.2, inverted for one mass."""
    chirp, lighter = np.array([0.9, 1.188, 2.0, 3.6, 0.3]), np.array([1.4, 1.2, 1.4, 1.9, 1.1])
    m = ejecta.heavier(chirp, lighter)
    assert (m * lighter) ** 0.6 / (m + lighter) ** 0.2 == pytest.approx(chirp, rel=1e-9)


def test_last_stable_orbits_of_the_textbook() -> None:
    """6 without spin, 2.3209 at 0.9 and 8.7173 at -0.9 (Bardeen et al. 1972)."""
    spin = np.array([0.0, 0.9, -0.9])
    assert ejecta.last_stable_orbit(spin) == pytest.approx([6.0, 2.3209, 8.7174], abs=2e-4)


def test_what_a_hole_leaves_outside() -> None:
    """A heavy hole without spin swallows the star whole; the faster it spins, the more stays outside."""
    hole, star, c = np.full(4, 7.0), np.full(4, 1.4), np.full(4, 0.176)
    left = ejecta.outside_of_hole(hole, star, c, np.array([0.0, 0.5, 0.7, 0.9]))
    assert left[0] == 0
    assert (np.diff(left) >= 0).all()
    assert 0.1 < left[3] < 0.4
    assert ejecta.dynamical_of_hole(hole, star, c, np.array([0.0, 0.5, 0.7, 0.9]))[0] == 0


def test_discs_and_ejecta_of_two_stars_by_hand() -> None:
    """1.4 + 1.2 solar masses of 12 km: the fits' terms worked out on paper."""
    c1, c2 = 0.17227, 0.14766
    assert ejecta.compactness(np.array([1.4, 1.2]), np.array([12.0, 12.0])) == pytest.approx([c1, c2], rel=1e-4)
    # -8.1324 × 0.14766 + 1.4820 = 0.28117; its power 1.7784 is 0.10469
    assert ejecta.disc_of_stars(np.array([1.2]), np.array([c2])) == pytest.approx(1.2 * 0.10469, rel=1e-3)
    # 1.4 (-54.18 + 89.95 - 58.15) + 1.2 (-63.21 + 144.90 - 49.84) = 6.88
    thrown = ejecta.dynamical_of_stars(*(np.array([v]) for v in (1.4, 1.2, c1, c2)))
    assert thrown == pytest.approx(6.88e-3, rel=0.01)


def test_masses_follow_the_notice() -> None:
    """Two stars of GW170817's chirp mass eject 0.005 to 0.15; a heavy chirp mass with a hole ejects seldom; else there is none."""
    rng = np.random.default_rng(1)
    stars = ejecta.draw_ejecta(rng, 500, GW170817, {"BNS": 1.0})
    assert stars is not None
    assert stars.share > 0.9
    assert (stars.neutron_stars == 1).all()
    assert 0.01 < np.median(stars.dynamical + stars.wind) < 0.1
    holes = ejecta.draw_ejecta(rng, 500, ChirpMasses((2.3, 3.0), (1.0,)), {"NSBH": 1.0})
    assert holes is not None
    assert holes.share < 0.6
    assert (holes.neutron_stars == 0).all()
    assert ejecta.draw_ejecta(rng, 500, ChirpMasses((0.1, 0.87), (1.0,)), {"BNS": 1.0}) is None
    assert ejecta.draw_ejecta(rng, 500, GW170817, {}) is None
    for edges, weights in (((1.1, 1.0), (1.0,)), ((1.1, 1.2, 1.3), (1.5, -0.5)), ((1.1, 1.2), (0.0,))):
        assert ejecta.draw_ejecta(rng, 500, ChirpMasses(edges, weights), {"BNS": 1.0}) is None


@pytest.mark.parametrize(
    ("classes", "properties", "applies", "says"),
    [
        ({"BNS": 0.9, "Terrestrial": 0.1}, {"HasNS": 1.0, "HasRemnant": 0.9}, True, "possible"),
        ({"NSBH": 0.9, "Terrestrial": 0.1}, {"HasNS": 1.0, "HasRemnant": 0.0}, True, "No kilonova is expected"),
        ({"BBH": 1.0, "BNS": 0.0}, {"HasNS": 0.0, "HasRemnant": 0.0}, False, "no neutron star"),
        ({"BBH": 1.0, "BNS": 0.0}, {}, False, "no merger with a neutron star"),
        ({}, {"HasSSM": 1.0}, True, "gives no HasRemnant"),
        ({}, {}, True, "gives no HasRemnant"),
    ],
)
def test_outlook(classes: dict[str, float], properties: dict[str, float], applies: bool, says: str) -> None:
    """What the notice says decides whether there is a forecast, and the words beside it."""
    found = outlook(classes, properties)
    assert found.applies is applies
    assert says in found.words
    both = "Terrestrial" in classes and "HasRemnant" in properties
    assert found.p_kilonova == (pytest.approx(0.9 * properties["HasRemnant"]) if both else None)


# -- afterglow -------------------------------------------------------------------------------------------------------


def test_afterglow_has_the_flux_of_the_closed_form() -> None:
    """Between the breaks, the flux of Granot & Sari 2002, table 1, segment G, which was fitted apart from table 2."""
    p, e52, n, eb, ee, t, d28 = 2.4, 0.5, 0.01, 0.01, 0.1, 1.0, 0.5
    jets = afterglow.Jets(*(np.array([v]) for v in (e52, n, p, eb, 1.0)))
    mpc = d28 * 1e28 / 3.0856775814913673e24
    found = afterglow.flux_mjy(jets, np.array([[t]]), np.array([[0.6215]]), np.array([mpc]), np.zeros(1))[0, 0]
    bar = ee * (p - 2) / (p - 1)
    nu14 = 2.99792458e14 / 0.6215 / 1e14
    expected = (
        0.461 * (p - 0.04) * np.exp(2.53 * p) * bar ** (p - 1) * eb ** ((1 + p) / 4) * np.sqrt(n) * e52 ** ((3 + p) / 4)
        * t ** (3 * (1 - p) / 4) / d28**2 * nu14 ** ((1 - p) / 2)
    )  # fmt: skip
    assert found == pytest.approx(expected, rel=0.05)


def test_afterglow_steepens_when_the_jet_spreads() -> None:
    """Long after the break the flux falls as t^-p."""
    jets = afterglow.Jets(*(np.array([v]) for v in (0.5, 0.01, 2.4, 0.01, 0.1)))
    t = np.array([[40.0, 80.0]])
    flux = afterglow.flux_mjy(jets, t, np.full((1, 2), 0.6215), np.array([100.0]), np.zeros(1))[0]
    assert np.log2(flux[0] / flux[1]) == pytest.approx(2.4, abs=1e-6)


# -- real kilonovae --------------------------------------------------------------------------------------------------


def _at2017gfo() -> list[tuple[float, str, float]]:
    """Days, band and magnitude (as observed, not corrected for dust) of both files, detections of 0.4 to 10.6 days."""
    folder, points = SHARED / "photometry", []
    with (folder / "AT2017gfo_DECam_griz.csv").open() as file:
        points += [(float(r["time"]) - MERGER_MJD, r["band"], float(r["magnitude"])) for r in csv.DictReader(file)]
    for line in (folder / "AT2017gfo_ugrizyJHKs.dat").read_text().splitlines()[1:]:
        time, band, magnitude, error = line.split()
        if error != "inf":
            points.append((float(Time(time).mjd) - MERGER_MJD, band, float(magnitude)))
    return [p for p in points if 0.4 < p[0] < 10.6]


def _inside(found: Forecast, points: list[tuple[float, str, float]], ebv: float) -> float:
    """Share of the points inside the 90 % band, corrected for dust of E(B-V)."""
    inside = 0
    for days, band, magnitude in points:
        q = found.kilonova.at(band, 24 * days)
        inside += q[0] <= magnitude - ebv * EXTINCTION[BANDS.index(band)] <= q[-1]
    return inside / len(points)


@needs_data
def test_at2017gfo_lies_in_the_forecast_of_its_map() -> None:
    """95 % of AT2017gfo's points to 10 days lie in the 90 % band made of GW170817's map alone, in griz and in all bands."""
    skymap = decode_skymap((SHARED / "gw_maps" / "GW170817_bayestar_flat_nside128.fits.gz").read_bytes())
    distance = distance_quantiles(skymap, even_shares())
    assert distance is not None
    points = _at2017gfo()
    griz = [p for p in points if p[1] in "griz"]
    assert len(griz) > 95
    assert len(points) > 140
    for found in (forecast(distance), forecast(distance, chirp=GW170817, classes={"BNS": 1.0})):
        for ebv in (0.0, EBV):
            assert _inside(found, griz, ebv) >= 0.95
            assert _inside(found, points, ebv) >= 0.95
        # A band that holds everything would be no forecast: its width a day after the merger.
        q = found.kilonova.at("r", 24)
        assert q[-1] - q[0] < 5
        assert q[3] - q[1] < 2


@needs_data
def test_a_second_kilonova_lies_in_its_forecast() -> None:
    """GRB 211211A at 348 Mpc: its points after 1.5 days are the kilonova's and in its band, those before in the afterglow's."""
    rng = np.random.default_rng(5)
    found = forecast(np.sort(rng.normal(BURST_MPC, BURST_ERR_MPC, 1500)), burst=True)
    assert found.afterglow is not None
    names = {"ps1::g": "g", "ps1::r": "r", "ps1::i": "i", "ps1::z": "z", "2massj": "J", "2massks": "K"}
    points = set()
    for line in (SHARED / "photometry" / "GRB211211A.txt").read_text().splitlines():
        time, band, magnitude, error = line.split()
        if band in names and error != "inf":
            points.add((float(Time(time).mjd - Time(BURST).mjd) * 24, names[band], float(magnitude)))
    assert len(points) >= 14
    for hours, band, magnitude in points:
        q = (found.kilonova if hours > 36 else found.afterglow).at(band, hours)
        assert q[0] <= magnitude <= q[-1], (hours, band, magnitude)


# -- tables ----------------------------------------------------------------------------------------------------------


def test_tables_and_document_say_the_same(at_40: Forecast) -> None:
    """ECSV and VOTable read back with units; the document has the same numbers."""
    made = table(at_40, words="as said")
    written = Table.read(ecsv(made).decode(), format="ascii.ecsv")
    votable_rows = parse_single_table(io.BytesIO(votable(made))).to_table()
    body = document(at_40, outlook({}, {}))
    assert len(written) == len(votable_rows) == len(BANDS) * len(HOURS)
    assert str(written["mag_50"].unit) == "mag"
    assert str(written["hours"].unit) == "h"
    r = written[(written["band"] == "r") & (written["hours"] == 24)]
    k = body["hours"].index(24.0)
    assert body["kilonova"]["r"]["mag_50"][k] == pytest.approx(float(r["mag_50"][0]), abs=0.006)
    assert np.allclose(votable_rows["mag_90"], written["mag_90"])
    assert {(d["hours"], d["seen"]) for d in body["depths"]} == {(h, s) for h in DEPTH_HOURS for s in (0.5, 0.9)}
