"""Distance along a line of sight: the ansatz integrated numerically, and ligo.skymap's own functions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from mma_pipeline.science.distance import moments_to_parameters, parameters_to_moments
from mma_pipeline.science.skymap import NO_DISTANCE

#: DISTMU, DISTSIGMA (Mpc): usual layers, narrow ones, and those whose peak lies far behind the observer.
LAYERS = [(150.0, 40.0), (40.0, 0.4), (10.0, 90.0), (0.0, 50.0), (-100.0, 40.0), (-480.0, 60.5), (-800.0, 60.0)]


def integral(power: int, mu: float, sigma: float) -> float:
    """∫ r^power N(r; mu, sigma) dr over r > 0, to a constant that is the same for each power where mu is negative."""
    scale = sigma if mu > -sigma else sigma**2 / -mu
    shift = 0.5 * min(mu / sigma, 0.0) ** 2  # keeps the integrand from vanishing
    begin, end = max(mu - 12 * sigma, 0.0), max(mu, 0.0) + (12 if mu > -sigma else 60) * scale
    value, _ = quad(
        lambda r: (r / sigma) ** power * np.exp(shift - 0.5 * ((r - mu) / sigma) ** 2),
        begin,
        end,
        epsabs=0,
        epsrel=1e-12,
        limit=500,
    )
    return float(value)


@pytest.mark.parametrize(("mu", "sigma"), LAYERS)
def test_moments_are_those_of_the_integrated_ansatz(mu: float, sigma: float) -> None:
    """Mean and deviation must be those of r² N(r; mu, sigma) integrated numerically."""
    second, third, fourth = (integral(power, mu, sigma) for power in (2, 3, 4))
    mean, std = (float(v[0]) for v in parameters_to_moments(np.array([mu]), np.array([sigma])))
    assert mean == pytest.approx(sigma * third / second, rel=1e-8)
    assert std == pytest.approx(sigma * np.sqrt(fourth / second - (third / second) ** 2), rel=1e-6)


@pytest.mark.parametrize(("mu", "sigma"), LAYERS)
def test_parameters_come_back_and_are_normalised(mu: float, sigma: float) -> None:
    """Layers must survive the way to moments and back, and DISTNORM must make the integral one."""
    moments = parameters_to_moments(np.array([mu]), np.array([sigma]))
    found_mu, found_sigma, norm = (float(v[0]) for v in moments_to_parameters(*moments))
    assert found_mu == pytest.approx(mu, rel=1e-5, abs=1e-6)
    assert found_sigma == pytest.approx(sigma, rel=1e-5)
    if mu / sigma > -8:
        unshift = np.exp(-0.5 * min(mu / sigma, 0.0) ** 2) / np.sqrt(2 * np.pi)
        assert norm * sigma * integral(2, mu, sigma) * unshift == pytest.approx(1, rel=1e-4)


def test_agrees_with_ligo_skymap() -> None:
    """Both ways must give what ligo.skymap.distance gives, over all ratios that maps have."""
    from ligo.skymap import distance as reference

    mean = np.full(400, 120.0)
    std = mean / np.geomspace(1.8, 1000, 400)
    truth = reference.moments_to_parameters(mean, std)
    found = moments_to_parameters(mean, std)
    for ours, theirs in zip(found[:2], truth[:2], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        found[2], truth[2], rtol=1e-4
    )  # DISTNORM goes as exp(x²/2) where x = mu/sigma is negative
    for ours, theirs in zip(parameters_to_moments(*found[:2]), (mean, std), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_moments_of_no_such_distribution_give_no_distance() -> None:
    """A spread too wide for its mean, a spread of zero or an unknown mean must give the layers of 'no distance'."""
    mean, std = np.array([17.3, 0.0, 100.0, np.inf, np.nan]), np.array([10.0, 10.0, 0.0, 1.0, 1.0])
    for column, empty in zip(moments_to_parameters(mean, std), NO_DISTANCE, strict=True):
        assert (column == empty).all()
