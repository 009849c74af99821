"""How much of the distance along a line of sight a visit reaches: the share of the posterior nearer than its limit.

A source of absolute magnitude M is seen to a luminosity distance of 10^((m - M)/5 + 1) pc in a visit of limiting magnitude
m. Extinction, the fading of the source and the K-correction are left out: for sources within some hundred Mpc, and off the
plane of the Galaxy, each is smaller than what is not known of M.
"""

from __future__ import annotations

import numpy as np

from mma_pipeline.science.arrays import FloatArray

#: Absolute magnitude assumed: about the peak of AT2017gfo in the optical (Villar et al. 2017, ApJL 851 L21).
ABSOLUTE_MAGNITUDE = -16.0
#: Below this μ/σ the closed form loses its digits, and r² exp(-|μ| r/σ²) is exact enough.
_FAR_BELOW = -20.0


def reach_mpc(limiting_magnitude: FloatArray, absolute_magnitude: float) -> FloatArray:
    """Luminosity distance, Mpc, at which a source of an absolute magnitude has the limiting magnitude."""
    return np.asarray(10.0 ** ((limiting_magnitude - absolute_magnitude) / 5.0 - 5.0))


def share_within(distance: FloatArray, mu: FloatArray, sigma: FloatArray) -> FloatArray:
    """Share (0 to 1) of the distance posterior of lines of sight that is nearer than a distance; all of shape (N,), Mpc.

    The posterior is r² N(r; μ, σ) on r > 0 (Singer et al. 2016, ApJL 829 L15). Zero for lines of sight without
    distance (μ not finite) and for distances that are NaN.
    """
    from scipy.special import gammainc, ndtr

    share = np.zeros(len(distance))
    known = np.isfinite(mu) & (sigma > 0) & (distance > 0)
    r, m, s = distance[known], mu[known], sigma[known]
    a, z = -m / s, (np.minimum(r, m.clip(0) + 40 * s) - m) / s
    at_zero, at_r = np.exp(-(a**2) / 2), np.exp(-(z**2) / 2)
    root = np.sqrt(2 * np.pi)
    # ∫ r² N dr = (μ² + σ²) Φ - σ (r + μ) φ; by the upper tails, which keep their digits for μ below zero.
    below = (a**2 + 1) * (ndtr(-a) - ndtr(-z)) - ((z - 2 * a) * at_r + a * at_zero) / root
    whole = (a**2 + 1) * ndtr(-a) - a * at_zero / root
    far = -a < _FAR_BELOW
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(far, gammainc(3, np.abs(m) * r / s**2), below / whole)
    share[known] = np.clip(found, 0.0, 1.0)
    return share
