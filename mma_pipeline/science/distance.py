"""Distance along one line of sight: from the layers of a map to mean and standard deviation, and back.

The ansatz is p(r) = DISTNORM · r² N(r; DISTMU, DISTSIGMA) on r > 0 (Singer et al. 2016, ApJS 226 10). With x = μ/σ and
M_k(x) = ∫ t^k N(t; x, 1) dt over t > 0, the mean is σ M_3/M_2, the mean square σ² M_4/M_2 and DISTNORM 1 / (σ² M_2).
`ligo.skymap.distance` has the same functions, and the tests compare; it brings LALSuite along, a fifth of an image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.skymap import NO_DISTANCE, FloatArray

#: Below this x the polynomials lose their digits.
_FAR = -8.0
#: Mean over deviation is above √3 for every x; within a hundredth of it nothing is given, as ligo.skymap does.
_LEAST = np.sqrt(3.0) + 0.01
_MOST_STEPS = 60


@dataclass(frozen=True, eq=False)
class _Standard:
    """Moments for σ = 1, each of the shape of x."""

    mean: FloatArray
    std: FloatArray
    second: FloatArray
    """M_2."""
    first_to_second: FloatArray
    """M_1 / M_2."""


def parameters_to_moments(mu: FloatArray, sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation (Mpc) of the distance, shape (N,), for finite DISTMU and DISTSIGMA (Mpc)."""
    of = _standard(np.asarray(mu / sigma))
    return sigma * of.mean, sigma * of.std


def moments_to_parameters(mean: FloatArray, std: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """DISTMU, DISTSIGMA (Mpc) and DISTNORM (Mpc⁻²), shape (N,), that have this mean and standard deviation (Mpc).

    No such distribution has a mean of less than 1.742 standard deviations: those rows get `NO_DISTANCE`.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = mean / std
    known = np.isfinite(wanted) & (wanted >= _LEAST)
    mu, sigma, norm = (np.full(wanted.shape, empty, dtype=np.float64) for empty in NO_DISTANCE)
    wanted = wanted[known]
    # Right of the root of a function that rises and is convex, so Newton's steps only go down; one that does not is rounding.
    x = wanted.copy()
    left = np.arange(x.size)
    for _ in range(_MOST_STEPS):
        of = _standard(x[left])
        rise = (3 - 2 * of.mean * of.first_to_second) / of.std  # dM_k/dx = k M_(k-1)
        rise += of.mean * (of.mean - of.first_to_second * (of.mean**2 - of.std**2)) / of.std**3
        step = (of.mean / of.std - wanted[left]) / rise
        x[left] -= step
        left = left[step > 1e-9 * np.maximum(np.abs(x[left]), 1.0)]
        if not left.size:
            break
    of = _standard(x)
    scale = std[known] / of.std
    mu[known], sigma[known], norm[known] = x * scale, scale, 1 / (scale**2 * of.second)
    return mu, sigma, norm


def _standard(x: FloatArray) -> _Standard:
    """Moments at each x = μ/σ."""
    from scipy.special import log_ndtr, ndtr

    near = np.maximum(x, _FAR)
    h = np.exp(-0.5 * near**2 - log_ndtr(near)) / np.sqrt(2 * np.pi)
    m1 = near + h  # from here on in units of M_0
    m2 = 1 + near * m1
    m3 = near * m2 + 2 * m1
    # M_4 M_2 - M_3², multiplied out: the difference itself has no digits left where x is large.
    spread = near**4 + 3 + h * (2 * near**3 - 4 * near) + h**2 * (near**2 - 4)
    columns = m3 / m2, np.sqrt(spread) / m2, ndtr(near) * m2, m1 / m2
    far = x < _FAR
    if far.any():
        for column, values in zip(columns, _standard_far(-x[far]), strict=True):
            column[far] = values
    return _Standard(*columns)


def _standard_far(y: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """The same four at x = -y: M_k = k! 2^(-(k+1)/2) exp(-y²/2) U((k+1)/2, 1/2, y²/2) / √2π (DLMF 12.5.1 and 12.7.14)."""
    from scipy.special import hyperu

    z = 0.5 * y**2
    u1, u2, u3, u4 = (hyperu((k + 1) / 2, 0.5, z) for k in (1, 2, 3, 4))
    mean = 3 / np.sqrt(2) * u3 / u2
    second = u2 / np.sqrt(2) * np.exp(-z) / np.sqrt(2 * np.pi)
    return mean, np.sqrt(6 * u4 / u2 - mean**2), second, u1 / u2 / np.sqrt(2)
