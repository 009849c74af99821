"""Galactic and recurrent contaminants: cataclysmic variables, flares, active nuclei, variable stars, asteroids.

All take t in days since the merger and observed wavelength in um, both (N, E), and the survey's 5-sigma depth in
mag, shape (N,), and return apparent AB magnitudes (N, E).
"""

from __future__ import annotations

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.kilonova.simulation.radiation import DARK_MAG
from mma_pipeline.training.simulation.transients import thermal_colour, uniform


def _brightness(rng: np.random.Generator, depth: FloatArray) -> FloatArray:
    return np.asarray(depth - rng.exponential(1.8, len(depth)) + 0.3)


def cataclysmic(rng: np.random.Generator, t: FloatArray, um: FloatArray, depth: FloatArray) -> FloatArray:
    """Dwarf novae (fast rise, outburst of 2 to 20 days, decline 0.3 to 1.2 mag/day to quiescence) and some novae."""
    n = len(t)
    peak, amplitude = _brightness(rng, depth)[:, None], uniform(rng, 2, 8, n)[:, None]
    nova = (rng.random(n) < 0.2)[:, None]
    length = np.where(nova, 0.5, np.exp(uniform(rng, np.log(2), np.log(20), n))[:, None])
    start = -uniform(rng, -2, 1, n)[:, None] - rng.random((n, 1)) * (length + 2)
    age = t - start
    rise = np.clip(-age / uniform(rng, 0.2, 1.5, n)[:, None], 0, 1) * amplitude
    slow, fast = uniform(rng, 0.0, 0.16, n)[:, None], uniform(rng, 0.3, 1.2, n)[:, None]
    fast = np.where(nova, uniform(rng, 0.03, 0.4, n)[:, None], fast)
    fall = slow * np.clip(age, 0, length) + fast * np.maximum(age - length, 0)
    temperature = uniform(rng, 8e3, 3e4, n)[:, None] * np.ones_like(t)
    temperature = np.maximum(temperature - 1500 * np.maximum(age - length, 0), 5000)
    return np.asarray(
        peak + np.minimum(rise + fall, amplitude) + thermal_colour(temperature, um, np.zeros((n, 1))), dtype=float
    )


def flare(rng: np.random.Generator, t: FloatArray, um: FloatArray, depth: FloatArray) -> FloatArray:
    """Flares of cool stars: rise in minutes, decay in hours (Davenport et al. 2014, ApJ 797 122), hot, sometimes repeated."""
    n = len(t)
    peak = (_brightness(rng, depth) - 1.0)[:, None]
    decay = np.exp(uniform(rng, np.log(0.01), np.log(0.25), n))[:, None]
    # A flare is a candidate only if an exposure caught it, so it begins shortly before one of the visits.
    caught = t[np.arange(n), rng.integers(0, t.shape[1], n)][:, None]
    age = t - (caught - rng.random((n, 1)) * decay)
    second = t - (caught + uniform(rng, 1, 8, n)[:, None])
    repeats = (rng.random((n, 1)) < 0.2).astype(float)

    def light(x: FloatArray) -> FloatArray:
        return np.asarray(np.where(x > 0, np.exp(-np.maximum(x, 0) / decay), 0.0))

    flux = light(age) + repeats * light(second)
    temperature = uniform(rng, 7e3, 1.2e4, n)[:, None] * np.ones_like(t)
    with np.errstate(divide="ignore"):
        mag = peak - 2.5 * np.log10(flux)
    return np.minimum(mag + thermal_colour(temperature, um, np.zeros((n, 1))), DARK_MAG)


def active_nucleus(rng: np.random.Generator, t: FloatArray, um: FloatArray, depth: FloatArray) -> FloatArray:
    """Active nuclei and blazars: a damped random walk (Kelly et al. 2009, ApJ 698 895), as total or difference flux.

    Times in days, wavelengths in µm, shape (n, visits); magnitudes of the same shape.
    """
    n, visits = t.shape
    blazar = rng.random(n) < 0.3
    tau = np.where(blazar, uniform(rng, 2, 20, n), np.exp(uniform(rng, np.log(20), np.log(300), n)))
    sigma = np.where(blazar, uniform(rng, 0.3, 1.0, n), uniform(rng, 0.08, 0.4, n))
    order = np.argsort(t, axis=1, kind="stable")
    when = np.take_along_axis(t, order, axis=1)
    walk = np.empty_like(t)
    walk[:, 0] = rng.normal(0, 1, n) * sigma
    for k in range(1, visits):
        keep = np.exp(-(when[:, k] - when[:, k - 1]) / tau)
        walk[:, k] = walk[:, k - 1] * keep + rng.normal(0, 1, n) * sigma * np.sqrt(1 - keep**2)
    value = np.empty_like(walk)
    np.put_along_axis(value, order, walk, axis=1)
    colour = uniform(rng, -0.3, 0.9, n)[:, None] * (0.6215 - um) / 0.13
    reference = (rng.normal(0, 1, n) * sigma)[:, None]
    # A source below its reference is a negative detection, which no candidate list contains.
    difference = np.maximum(10 ** (-0.4 * value) - 10 ** (-0.4 * reference), 0.0)
    subtracted = rng.random((n, 1)) < 0.5
    flux = np.where(subtracted, difference, 10 ** (-0.4 * value))
    # The host is so much brighter than its changes that these are just visible.
    base = _brightness(rng, depth)[:, None] - np.where(subtracted, 1.5 * (1 - sigma[:, None]), 0.0)
    return np.minimum(base + colour - 2.5 * np.log10(np.maximum(flux, 1e-12)), DARK_MAG)


def variable_star(rng: np.random.Generator, t: FloatArray, um: FloatArray, depth: FloatArray) -> FloatArray:
    """Pulsating and eclipsing stars in difference images: periods of hours to a year."""
    n = len(t)
    period = np.exp(uniform(rng, np.log(0.2), np.log(400), n))[:, None]
    amplitude, phase = uniform(rng, 0.1, 1.0, n)[:, None], rng.random((n, 1))
    value = amplitude * np.sin(2 * np.pi * (t / period + phase)) * (um / 0.62) ** -0.8
    flux = np.maximum(10 ** (-0.4 * value) - 10 ** (0.4 * amplitude * (2 * rng.random((n, 1)) - 1)), 1e-9)
    temperature = uniform(rng, 3000, 9000, n)[:, None] * np.ones_like(t)
    colour = thermal_colour(temperature, um, np.zeros((n, 1)))
    return np.minimum(_brightness(rng, depth)[:, None] - 2.5 * np.log10(flux) + colour, DARK_MAG)


def asteroid(rng: np.random.Generator, t: FloatArray, um: FloatArray, depth: FloatArray) -> FloatArray:
    """Asteroids at one position: present for the visits of one night, rarely (another one) in a second night."""
    n = len(t)
    visit = rng.integers(0, t.shape[1], (n, 2))
    rows = np.arange(n)
    stay = uniform(rng, 0.01, 0.15, n)[:, None]
    again = rng.random((n, 1)) < 0.15
    here = np.abs(t - t[rows, visit[:, 0]][:, None]) < stay
    here |= again & (np.abs(t - t[rows, visit[:, 1]][:, None]) < stay)
    colour = thermal_colour(uniform(rng, 5200, 6200, n)[:, None] * np.ones_like(t), um, np.zeros((n, 1)))
    spin = 0.2 * rng.random((n, 1)) * np.sin(2 * np.pi * (t / uniform(rng, 0.1, 0.5, n)[:, None] + rng.random((n, 1))))
    return np.where(here, (_brightness(rng, depth) - 0.3)[:, None] + colour + spin, DARK_MAG)
