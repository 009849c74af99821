"""Type Ia supernovae from Hsiao's spectral template, which sncosmo carries inside its package.

`hsiao-subsampled` is read from sncosmo's own files; the plain `hsiao` would be downloaded.
Template: Hsiao et al. 2007, ApJ 663 1187.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.kilonova.simulation.radiation import DARK_MAG
from mma_pipeline.training.simulation.transients import apparent, place, rest_frame, uniform

_PHASE = np.arange(-18.0, 84.0, 1.0)
_WAVE_UM = np.arange(0.22, 1.0, 0.005)
#: Half width of the box that stands for a filter, as a share of its wavelength.
_HALF_WIDTH = 0.09


@lru_cache(maxsize=1)
def template() -> FloatArray:
    """AB magnitudes relative to B at maximum, shape (phases, wavelengths), averaged over a filter's width."""
    import sncosmo

    source = sncosmo.get_source("hsiao-subsampled")
    wave = np.arange(1800.0, 11500.0, 10.0)
    flux_nu = np.maximum(source.flux(_PHASE, wave), 0.0) * wave**2
    total = np.concatenate([np.zeros((len(_PHASE), 1)), np.cumsum(flux_nu, axis=1)], axis=1)
    low = np.searchsorted(wave, _WAVE_UM * 1e4 * (1 - _HALF_WIDTH))
    high = np.searchsorted(wave, _WAVE_UM * 1e4 * (1 + _HALF_WIDTH))
    mean = (total[:, high] - total[:, low]) / (high - low)
    with np.errstate(divide="ignore"):
        mag = np.where(mean > 0, -2.5 * np.log10(np.maximum(mean, 1e-300)), DARK_MAG)
    return np.asarray(mag - mag[18, int(np.argmin(np.abs(_WAVE_UM - 0.44)))])


def _lookup(phase: FloatArray, um: FloatArray) -> FloatArray:
    table = template()
    x = np.clip((phase - _PHASE[0]) / 1.0, 0, len(_PHASE) - 1.000001)
    y = np.clip((um - _WAVE_UM[0]) / 0.005, 0, len(_WAVE_UM) - 1.000001)
    i, j = x.astype(np.int64), y.astype(np.int64)
    u, v = x - i, y - j
    value = (table[i, j] * (1 - u) + table[i + 1, j] * u) * (1 - v) + (
        table[i, j + 1] * (1 - u) + table[i + 1, j + 1] * u
    ) * v
    return np.where(phase < _PHASE[0], DARK_MAG, value + 0.015 * np.maximum(phase - _PHASE[-1], 0))


def type_ia(rng: np.random.Generator, t: FloatArray, um: FloatArray, depth: FloatArray) -> FloatArray:
    """Normal, 1991bg-like (12 %) and Iax (8 %) supernovae; apparent AB magnitudes (N, E).

    t in days since the merger and observed wavelength in um, both (N, E); 5-sigma depth in mag (N,).
    """
    n = len(t)
    kind = rng.random(n)
    faint, iax = kind < 0.12, kind > 0.92
    stretch = np.where(faint, uniform(rng, 0.55, 0.78, n), rng.normal(1.0, 0.1, n).clip(0.72, 1.25))
    stretch = np.where(iax, uniform(rng, 0.55, 0.9, n), stretch)
    colour = rng.normal(0.0, 0.08, n) + rng.exponential(0.06, n) + np.where(faint, 0.35, 0.0) + np.where(iax, 0.1, 0.0)
    peak = rng.normal(-19.3, 0.15, n) + 3.0 * colour
    peak = np.where(faint, rng.normal(-17.3, 0.4, n), np.where(iax, uniform(rng, -18.3, -13.5, n), peak))
    where = place(rng, peak, depth, np.full(n, 80.0))
    age, rest = rest_frame(t, um, where)
    phase = age / stretch[:, None] - 17.0
    reddening = colour[:, None] * ((rest / 0.44) ** -1.3 - 1) * 3.5
    magnitude = peak[:, None] + _lookup(phase, rest) + reddening
    return apparent(np.where(age > 0, magnitude, DARK_MAG), where, rest)
