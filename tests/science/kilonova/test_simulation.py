"""The light-curve models against closed forms, published values and real data."""

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from scipy.integrate import quad

from mma_pipeline.science.kilonova.bands import BANDS, EXTINCTION, WAVELENGTH_UM, band_index, unused_bands
from mma_pipeline.science.kilonova.simulation import heating, radiation, shells, villar
from mma_pipeline.training.data import at2017gfo, kilonova_tables
from mma_pipeline.training.simulation import afterglow, kasen, population, type_ia
from mma_pipeline.training.simulation.survey import schedule

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "photometry"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the public photometry of ../shared is not here")


def test_blackbody_holds_its_luminosity():
    """The specific luminosity integrated over all frequencies is the luminosity."""
    c = 2.99792458e14  # um/s

    def l_nu(log_nu: float) -> float:
        nu = np.exp(log_nu)
        return float(radiation.blackbody_lnu(np.array(3e41), np.array(5500.0), np.array(c / nu))) * nu

    total, _ = quad(l_nu, np.log(1e12), np.log(2e16), limit=200)
    assert total == pytest.approx(3e41, rel=1e-4)


def test_distances_agree_with_astropy():
    """Luminosity distances are those of astropy's flat cosmology, and redshifts invert them."""
    z = np.array([0.0002, 0.001, 0.01, 0.1, 0.5, 1.0, 3.0, 10.0])
    expected = FlatLambdaCDM(H0=70, Om0=0.3).luminosity_distance(z).to_value(u.Mpc)
    assert radiation.luminosity_distance(z) == pytest.approx(expected, rel=2e-4)
    assert radiation.redshift_at(expected) == pytest.approx(z, rel=1e-3)


def test_absolute_magnitude_of_the_zero_point():
    """3631 Jy from 10 pc is absolute magnitude zero."""
    l_nu = 3631e-23 * 4 * np.pi * (10 * radiation.PC_CM) ** 2
    assert float(radiation.lnu_to_absolute(l_nu)) == pytest.approx(0.0, abs=2e-3)


def test_heating_follows_its_power_law():
    """Seconds after the merger the arctangent is its own asymptote, so a day later heating falls as t^-1.3."""
    t = np.array([0.5, 1.0, 10.0])
    seconds = t * 86400 - 1.3
    assert heating.heating_rate(t) == pytest.approx(4e18 * (0.11 / (np.pi * seconds)) ** 1.3, rel=1e-6)


def test_thermalisation_at_a_row_of_the_table():
    """At 0.01 solar masses and 0.2 c the coefficients are those of Barnes et al.'s table; at once 72 % thermalise."""
    t = np.array([1e-9, 1.0, 5.0])
    a, b, d = 1.31, 0.21, 1.13
    expected = 0.36 * (np.exp(-a * t) + np.log(1 + 2 * b * t**d) / (2 * b * t**d))
    found = heating.thermalisation(t, np.array([0.01]), np.array([0.2]))[0]
    assert found[1:] == pytest.approx(expected[1:], rel=1e-9)
    assert found[0] == pytest.approx(0.72, abs=1e-3)


def test_late_light_is_the_heating():
    """Long after diffusion ends the luminosity equals the heating of the moment."""
    c = villar.Component(np.array([0.005]), np.array([0.25]), np.array([0.5]), np.array([1000.0]))
    source = heating.heating_luminosity(villar.TIME_GRID_DAY, c.mass_msun, c.velocity_c)
    late = villar.TIME_GRID_DAY > 15
    assert villar.bolometric(c)[0, late] == pytest.approx(source[0, late], rel=0.05)


@needs_data
def test_published_fit_matches_at2017gfo():
    """Villar et al.'s best fit lies within half a magnitude (root mean square) of the real griz photometry."""
    columns = at2017gfo(SHARED).columns
    band = np.array([band_index(b) for b in columns["band"]])
    t = columns["mjd"] - 57982.5285236
    model = radiation.lnu_to_absolute(villar.lnu(villar.AT2017GFO, t[None, :], WAVELENGTH_UM[band][None, :]))[0]
    real = columns["magnitude"] - EXTINCTION[band] * 0.105 - radiation.modulus(np.array(40.7))
    assert np.sqrt(np.mean((model - real) ** 2)) < 0.5


@pytest.mark.parametrize("family", [villar, shells])
def test_nothing_shines_before_the_merger(family):
    """Both analytic families are dark before the merger, finite and positive after it."""
    drawn = family.draw(np.random.default_rng(3), 50, broad=True)
    t = np.tile([-2.0, 0.0, 0.02, 1.0, 10.0, 29.0], (50, 1))
    light = family.lnu(drawn, t, np.full(t.shape, 0.62))
    assert (light[:, :2] == 0).all()
    assert np.isfinite(light).all()
    assert (light[:, 2:5] > 0).all()


@needs_data
def test_tables_are_read_and_interpolated():
    """A table's own times give its own values; damaged bytes raise the module's error."""
    tables = kasen.read(kilonova_tables(SHARED))
    t = np.full((3, 1), tables.t_day[30])
    light = kasen.lnu(tables, np.array([0, 50, 200]), t, np.full((3, 1), WAVELENGTH_UM[1]))
    assert light[:, 0] == pytest.approx(10 ** tables.log_lnu[[0, 50, 200], 30, 1], rel=1e-5)
    with pytest.raises(kasen.TableError, match="kilonova table"):
        kasen.read(b"PK\x03\x04 nothing")


def test_type_ia_template_is_offline_and_peaks_where_it_should(socket_disabled):
    """Hsiao's template comes out of the installed package; B peaks at phase zero and the second maximum is in i."""
    mags = type_ia.template()
    phases = np.arange(-18.0, 84.0)
    blue = mags[:, round((0.44 - 0.22) / 0.005)]
    red = mags[:, round((0.77 - 0.22) / 0.005)]
    assert abs(phases[np.argmin(blue)]) <= 1
    assert blue.min() == pytest.approx(0.0, abs=0.05)
    assert blue[18 + 15] == pytest.approx(1.1, abs=0.25)  # Phillips' decline of a normal Ia
    assert red[18 + 25] < red[18 + 12]


def test_sample_is_deterministic_and_complete():
    """One seed gives one sample, with every class and every contaminant in it, all seen at least once."""
    one, two = population.simulate(5, 1500), population.simulate(5, 1500)
    assert np.array_equal(one.points.mag, two.points.mag)
    assert set(one.kind) == {"villar", "shells", "afterglow", *population.CONTAMINANTS}
    seen = np.bincount(one.points.owner[~one.points.limit], minlength=len(one.label))
    assert (seen > 0).all()
    assert np.isfinite(one.points.mag).all()
    with pytest.raises(ValueError, match="without its tables"):
        population.simulate(5, 50, families=("kasen",))


def test_surveys_differ_in_bands_and_cadence():
    """Schedules include single-band surveys, all four bands, gaps and several exposures a night."""
    visits = schedule(np.random.default_rng(1), 2000)
    bands = np.array([len(np.unique(b[r])) for b, r in zip(visits.band, visits.real, strict=True)])
    assert {1, 2, 3, 4} <= set(bands.tolist())
    span = np.array([t[r].max() - t[r].min() for t, r in zip(visits.t, visits.real, strict=True) if r.any()])
    assert span.min() < 5 < 20 < span.max()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("g", "g"), ("r'", "r"), ("ztfg", "g"), ("sdss_i", "i"), ("ps1::z", "z"), ("DECam-z", "z"), ("R", "r"), ("I", "i"),
     ("rp", "r"), ("SDSSr'", "r"), ("ZTFR", "r"), ("B", None), ("V", None), ("J", None), ("white", None), ("G", None),
     ("", None), ("u", None), ("y", None), ("clear", None), ("r_P1", "r"), ("zg", "g"), ("zr", "r"), ("zi", "i"), ("sloan_r", "r"),
     ("swope2::r", "r"), ("P48_R", "r"), ("ztfr", "r"), ("lsstr", "r"), ("DECam-r", "r"), ("g-Sloan", "g"), ("r-ZTF", "r"),
     ("SLOAN/SDSS.z", "z"), ("PAN-STARRS/PS1.i", "i"), ("desi", "i"), ("zs", "z"), ("SDSS-zp", "z"), ("bessellr", None),
     ("bessell::r", None), ("R-Cousins", None), ("atlaso", None), ("o", None), ("L", None), ("lssty", None), ("F606W", None)],
)  # fmt: skip
def test_band_names(name, expected):
    """Survey prefixes and primes are understood; bands of other systems are not taken for griz."""
    assert band_index(name) == (BANDS.index(expected) if expected else -1)


def test_unused_bands_are_counted():
    """Every name that the classifier does not use, as it was written, with its number of points."""
    names = ["g", "bessellr", "r_P1", "o", "bessellr", "J"]
    assert unused_bands(names) == {"J": 1, "bessellr": 2, "o": 1}
    assert unused_bands([*names, "z", "2massks"]) == {"bessellr": 2, "o": 1}, "the infrared is used beside i or z"


def test_afterglows_are_red():
    """Without dust g - r is that of the power law F ∝ ν^-beta, 2.5 beta log10(λ_r / λ_g), and dust makes it redder."""
    bursts = afterglow.draw(np.random.default_rng(9), 500, at_merger=1.0, off_axis=0.0)
    g, r = (bursts.reddened(np.full((500, 1), 20.0), np.full((500, 1), WAVELENGTH_UM[band])) for band in (0, 1))
    clean = bursts.dust == 0
    expected = 2.5 * bursts.beta * np.log10(WAVELENGTH_UM[1] / WAVELENGTH_UM[0])
    assert 0 < clean.sum() < 500
    assert (g - r)[clean] == pytest.approx(expected[clean])
    assert (g - r > expected)[~clean].all()
    assert (g - r).min() > 0.1


def test_own_bursts_afterglow_does_not_hide_the_kilonova():
    """Where a kilonova is best seen it is half of the light or more, no exposure is far brighter, and an unseen one gets no afterglow."""
    rng, n = np.random.default_rng(10), 2000
    visits = schedule(rng, n)
    kilonova = 19.0 + rng.uniform(0.0, 8.0, (n, 1)) + rng.uniform(0.2, 1.5, (n, 1)) * visits.t
    dust = np.zeros((n, 1))
    both = afterglow.of_own_burst(rng, kilonova, visits, dust, share=1.0)
    margin = np.where(visits.real, visits.depth - kilonova, -np.inf)
    best, rows = margin.argmax(1), np.arange(n)
    seen = margin[rows, best] > 0
    assert 0 < seen.sum() < n
    assert np.array_equal(both[~seen], kilonova[~seen])
    # Light added in that exposure: none of it negative, at most as much again.
    added = (kilonova - both)[rows, best][seen]
    assert added.min() >= 0
    assert added.max() <= 2.5 * np.log10(2) + 1e-9
    assert np.percentile(added, 90) > 0.5
    # An afterglow two magnitudes brighter than the kilonova at its best, and the kilonova itself.
    there = np.minimum(kilonova, kilonova[rows, best][:, None])
    together = -2.5 * np.log10(10 ** (-0.4 * there) + 10 ** (-0.4 * (kilonova[rows, best][:, None] - 2.0)))
    assert (both >= together - 1e-9)[visits.real & seen[:, None]].all()
    assert np.array_equal(afterglow.of_own_burst(rng, kilonova, visits, dust, share=0.0), kilonova)


def test_supernova_of_a_burst_takes_over():
    """A burst's supernova peaks 9 to 17 rest-frame days later near SN 1998bw's -19.2, when its afterglow has faded."""
    n = 400
    t = np.broadcast_to(np.arange(0.5, 30.0, 0.5), (n, 59)).copy()
    um, depth = np.full(t.shape, float(WAVELENGTH_UM[1])), np.full(n, 24.0)
    mags = afterglow.with_supernova(np.random.default_rng(4), t, um, depth)
    at = {day: mags[:, int(2 * day) - 1] for day in (2.0, 5.0, 15.0, 29.0)}
    # The afterglow fades first, most supernovae shine near their peak on day 15, and fade to day 29.
    assert np.median(at[5.0] - at[2.0]) > 0.2
    rising_again = at[15.0] < at[5.0]
    assert 0.3 < rising_again.mean() < 0.95
    assert np.median((at[29.0] - at[15.0])[rising_again]) > 0.3


def test_sky_with_supernovae_of_bursts():
    """With a fourth share, the fourth class is in the sky, and nothing else is new in it."""
    sky = population.simulate(5, 1500, shares=population.SHARES_WITH_SUPERNOVAE)
    new = {kind for kind, label in zip(sky.kind, sky.label, strict=True) if label == population.AFTERGLOW_SUPERNOVA}
    assert new == {"afterglow with supernova"}
    assert set(sky.kind) == {"villar", "shells", "afterglow", *population.CONTAMINANTS} | new
