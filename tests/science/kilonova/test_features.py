"""Features against closed forms and numpy's own fits, and what must not change them."""

import numpy as np
import pytest

from mma_pipeline.science.kilonova.bands import EXTINCTION, WAVELENGTH_UM
from mma_pipeline.science.kilonova.features import FEATURE_NAMES, compute
from mma_pipeline.science.kilonova.lightcurve import ERROR_FLOOR, Event, LightCurve, prepare
from mma_pipeline.science.kilonova.nights import night_numbers

EVENT = Event(merger_mjd=60000.0, distance_mpc=100.0, distance_sigma_mpc=20.0)


def curve(rows):
    """Rows of (days after merger, magnitude, error, band, limit)."""
    t, mag, err, band, limit = zip(*rows, strict=True)
    return LightCurve(60000.0 + np.array(t), np.array(mag, float), np.array(err, float), band, np.array(limit, bool))


def features(rows, event=EVENT):
    """Features by name."""
    return dict(zip(FEATURE_NAMES, compute(prepare([curve(rows)], [event])).matrix[0], strict=True))


def test_slope_is_numpys_weighted_fit():
    """A band's slope and its error are those of numpy's weighted least squares."""
    rng = np.random.default_rng(2)
    t = np.array([0.4, 1.3, 1.5, 2.4, 5.2])
    mag, err = 20 + 0.5 * t + rng.normal(0, 0.1, 5), rng.uniform(0.05, 0.2, 5)
    f = features([(a, b, c, "r", False) for a, b, c in zip(t, mag, err, strict=True)])
    sigma = np.hypot(err, ERROR_FLOOR)
    fit, covariance = np.polyfit(t, mag, 1, w=1 / sigma, cov="unscaled")
    assert f["slope_r"] == pytest.approx(fit[0])
    assert f["slope_err_r"] == pytest.approx(covariance[0, 0] ** 0.5)
    missing = [name for name in FEATURE_NAMES if name.endswith("_g")]
    assert np.isnan([f[name] for name in missing]).all()


def test_colours_fades_and_absolute_magnitudes():
    """Exact points give the exact colour, its rate, the fade and the absolute magnitude at the event's distance."""
    rows = [(d + s, m + k * d, 0.05, b, False) for d in (1, 2, 3) for s, b, m, k in ((0, "g", 20.0, 1.0), (0.01, "r", 19.5, 0.4))]  # fmt: skip
    f = features(rows)
    assert f["colour_g-r"] == pytest.approx(0.5 + 3 * 0.6)
    assert f["colour_rate_g-r"] == pytest.approx(0.6)
    assert f["fade_g"] == pytest.approx(2.0)
    assert f["abs_mag_r"] == pytest.approx(19.5 + 1.2 - 35.0)
    assert f["abs_mag_brightest"] == pytest.approx(19.9 - 35.0)
    assert f["nights"] == 3
    assert f["modulus_err"] == pytest.approx(5 / np.log(10) * 0.2)
    assert np.isnan(f["colour_i-z"])


def test_limits_bound_the_fade_and_the_rise():
    """A deeper limit after the last detection bounds the fade, one before the first bounds the rise."""
    f = features([(0.5, 23.0, np.nan, "r", True), (1.5, 20.0, 0.1, "r", False), (3.5, 22.0, np.nan, "r", True)])
    assert f["limit_fade_r"] == pytest.approx(2.0)
    assert f["limit_fade_rate_r"] == pytest.approx(1.0)
    assert f["limit_rise_rate_r"] == pytest.approx(3.0)


def test_limits_bound_the_colour():
    """A limit in the same night bounds the colour against a detected band from the red or the blue side."""
    night = [(1.0, 22.0, np.nan, "g", True), (1.05, 20.5, 0.1, "r", False), (1.1, 21.0, np.nan, "i", True)]
    f = features(night)
    assert f["colour_above_g-r"] == pytest.approx(1.5)
    assert f["colour_below_r-i"] == pytest.approx(-0.5)
    assert np.isnan(f["colour_below_g-r"])
    assert np.isnan(f["colour_above_g-i"])
    later = features([(3.0, *night[0][1:]), night[1]])
    assert np.isnan(later["colour_above_g-r"])


def test_limits_before_the_first_detection_count_in_any_band():
    """The deepest limit before the first detection is compared with the first night's brightest band."""
    f = features(
        [(0.5, 23.0, np.nan, "g", True), (0.8, 22.0, np.nan, "z", True), (1.5, 20.0, 0.1, "r", False),
         (1.52, 19.5, 0.1, "i", False), (2.5, 24.0, np.nan, "g", True)]
    )  # fmt: skip
    assert f["unseen_before"] == pytest.approx(3.5)
    assert f["unseen_before_days"] == pytest.approx(0.7)
    assert np.isnan(features([(1.5, 20.0, 0.1, "r", False)])["unseen_before"])


def test_spectrum_is_numpys_weighted_fit():
    """The slope over the bands, its error and its chi-squared are those of numpy's weighted line."""
    err = np.array([0.05, 0.1, 0.08, 0.2])
    mag = 20 - 1.2 * np.log(WAVELENGTH_UM) + np.array([0.05, -0.02, 0.03, -0.1])
    f = features([(1.0, m, e, b, False) for m, e, b in zip(mag, err, "griz", strict=True)])
    sigma = np.hypot(err, ERROR_FLOOR)
    fit, covariance = np.polyfit(np.log(WAVELENGTH_UM), mag, 1, w=1 / sigma, cov="unscaled")
    residual = (mag - np.polyval(fit, np.log(WAVELENGTH_UM))) / sigma
    assert f["sed_slope"] == pytest.approx(fit[0])
    assert f["sed_slope_err"] == pytest.approx(covariance[0, 0] ** 0.5)
    assert f["sed_chi2"] == pytest.approx(np.sum(residual**2) / 2)
    assert np.isnan(features([(1.0, 20.0, 0.1, "r", False)])["sed_slope"])


def test_extinction_is_removed():
    """A colour excess makes each band brighter by its own coefficient."""
    rows = [(1.0, 20.0, 0.1, b, False) for b in "griz"]
    dusty = Event(60000.0, 100.0, 20.0, ebv=0.3)
    difference = [features(rows)[f"abs_mag_{b}"] - features(rows, dusty)[f"abs_mag_{b}"] for b in "griz"]
    assert difference == pytest.approx(EXTINCTION * 0.3)


def test_no_distance_leaves_absolute_magnitudes_missing():
    """Without a distance the absolute magnitudes are missing, not zero."""
    f = features([(1.0, 20.0, 0.1, "r", False)], Event(60000.0))
    assert np.isnan(f["abs_mag_r"])
    assert np.isnan(f["modulus_err"])


def test_nights_are_counted_per_observatory_night_and_around_the_globe():
    """Exposures of one night count once; six-hourly points of a network count about one night a day."""
    one = np.array([0.10, 0.15, 0.35, 1.05, 1.30, 4.2])
    assert night_numbers(np.zeros(6, int), one).tolist() == [0, 0, 0, 1, 1, 2]
    network = np.arange(0, 5, 0.25)
    assert night_numbers(np.zeros(20, int), network).max() + 1 in (6, 7)
    order = np.random.default_rng(0).permutation(6)
    assert night_numbers(np.zeros(6, int), one[order]).tolist() == np.array([0, 0, 0, 1, 1, 2])[order].tolist()


@pytest.mark.filterwarnings("error")
def test_odd_input_warns_of_nothing():
    """Empty curves, single points and columns of NaN go through without a warning."""
    rows = [(1.0, np.nan, np.nan, "r", False), (np.nan, 20.0, 0.1, "g", False), (1.0, 20.0, -1.0, "i", False)]
    empty = LightCurve(np.array([]), np.array([]), np.array([]), [], np.array([], bool))
    f = compute(prepare([curve(rows), empty], [EVENT, EVENT]))
    assert f.nights.tolist() == [1, 0]


def test_columns_of_different_length_are_refused():
    """A light curve whose columns differ in length raises ValueError."""
    broken = LightCurve(np.array([1.0]), np.array([1.0, 2.0]), np.array([0.1]), ["r"], np.array([False]))
    with pytest.raises(ValueError, match="differ in length"):
        prepare([broken], [EVENT])
