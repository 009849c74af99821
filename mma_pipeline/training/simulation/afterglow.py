"""Afterglows of gamma-ray bursts: broken power laws in time and frequency, on-axis and off-axis."""

from __future__ import annotations

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.kilonova.simulation.radiation import DARK_MAG
from mma_pipeline.training.simulation.transients import uniform


def afterglow(rng: np.random.Generator, t: FloatArray, um: FloatArray, depth: FloatArray) -> FloatArray:
    """Apparent AB magnitudes (N, E) of afterglows; t in days since the merger, um in um, depth in mag (N,).

    Before the jet break F ∝ t^-a with a = 3(p-1)/4 (interstellar medium, slow cooling; Sari et al. 1998, ApJL 497
    L17), after it t^-p (Sari et al. 1999, ApJL 519 L17), F ∝ ν^-(p-1)/2 or ν^-p/2. One in six is off-axis and
    rises first; half belong to an unrelated burst that began before or after the merger.
    """
    n = len(t)
    p = uniform(rng, 2.05, 2.8, n)
    beta = np.where(rng.random(n) < 0.6, (p - 1) / 2, p / 2)[:, None]
    early, late = (0.75 * (p - 1) + rng.normal(0, 0.1, n))[:, None], p[:, None]
    jet_break = np.exp(uniform(rng, np.log(0.2), np.log(15), n))[:, None]
    start = np.where(rng.random(n) < 0.5, 0.0, uniform(rng, -1.5, 1.5, n))[:, None]
    age = t - start
    safe = np.maximum(age, 1e-3)
    # Beuermann et al. 1999 smooth break; sharpness 3.
    x = safe / jet_break
    decline = 2.5 / 3 * np.log10(x ** (3 * early) + x ** (3 * late))
    off_axis = (rng.random(n) < 1 / 6)[:, None]
    peak = np.exp(uniform(rng, np.log(1), np.log(20), n))[:, None]
    y = safe / peak
    rising = 2.5 / 2 * np.log10(y ** (-2 * uniform(rng, 1, 3, n)[:, None]) + y ** (2 * late))
    shape = np.where(off_axis, rising, decline)
    dust = np.where(rng.random(n) < 0.5, rng.exponential(0.2, n), 0.0)[:, None] * (um / 0.55) ** -1.3
    first = np.min(np.where(age > 0, shape, np.inf), axis=1, keepdims=True)
    bright = (depth - rng.exponential(1.6, n) + 0.2)[:, None]
    mag = bright + shape - np.where(np.isfinite(first), first, 0.0) + 2.5 * beta * np.log10(um / 0.6215) + dust
    return np.where(age > 0, np.minimum(mag, DARK_MAG), DARK_MAG)
