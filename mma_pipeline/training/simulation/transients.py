"""Extragalactic contaminants with a light-curve shape in r and a cooling black body for the colours.

The shapes cover the observed ranges (rise times, decline rates, peak magnitudes, temperatures) generously instead of
following observed rates, because the classifier must not learn a survey's selection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.kilonova.simulation.radiation import (
    DARK_MAG,
    blackbody_lnu,
    lnu_to_absolute,
    luminosity_distance,
    modulus,
    redshift_at,
)

_REFERENCE_UM = 0.6215
_MAX_REDSHIFT = 1.0


@dataclass(frozen=True, eq=False)
class Sightline:
    """Positions of N transients in time and distance; arrays of shape (N,)."""

    redshift: FloatArray
    start: FloatArray
    """Time of the explosion, days since the merger (mostly negative)."""
    host_av: FloatArray
    """Extinction in the host, mag in V."""


def uniform(rng: np.random.Generator, low: float, high: float, n: int) -> FloatArray:
    """Draws of shape (n,), uniform between low and high (any unit)."""
    return rng.uniform(low, high, n)


def place(rng: np.random.Generator, peak_abs: FloatArray, depth: FloatArray, life_days: FloatArray) -> Sightline:
    """Put transients of peak absolute magnitude (N,) where a survey of 5-sigma depth (mag, (N,)) finds them.

    Most lie near the limit, as in any volume. Half begin within days of the merger (new when first detected), half are at a
    random time of their life: an old supernova without earlier images is the most common false alarm.
    """
    n = len(peak_abs)
    scale = np.where(rng.random(n) < 0.6, 0.8, 2.0)
    peak_mag = depth + 0.6 - rng.exponential(scale)
    distance = 10 ** np.clip((peak_mag - peak_abs - 25) / 5, 0.7, 3.9)
    redshift = np.minimum(redshift_at(distance), _MAX_REDSHIFT)
    young = rng.random(n) < 0.5
    start = np.where(young, uniform(rng, -6, 2, n), -rng.random(n) * life_days * (1 + redshift))
    return Sightline(redshift, start, np.where(rng.random(n) < 0.7, rng.exponential(0.25, n), 0.0))


def apparent(absolute: FloatArray, where: Sightline, rest_um: FloatArray) -> FloatArray:
    """Apparent AB magnitude (N, E) of absolute magnitudes at rest-frame wavelengths (um), dimmed by the host."""
    z = where.redshift[:, None]
    dust = where.host_av[:, None] * (rest_um / 0.55) ** -1.3
    return np.minimum(absolute + dust + modulus(luminosity_distance(z)) - 2.5 * np.log10(1 + z), DARK_MAG)


def rest_frame(t: FloatArray, um: FloatArray, where: Sightline) -> tuple[FloatArray, FloatArray]:
    """Rest-frame days since explosion and wavelengths (um), both (N, E)."""
    stretch = 1 + where.redshift[:, None]
    return (t - where.start[:, None]) / stretch, um / stretch


def thermal_colour(temperature: FloatArray, rest_um: FloatArray, blanketing: FloatArray) -> FloatArray:
    """Magnitude at a wavelength minus that in r for a black body (K); blanketing in mag per 0.1 um below 0.45 um."""
    one = np.ones_like(temperature)
    colour = lnu_to_absolute(blackbody_lnu(one * 1e42, temperature, rest_um)) - lnu_to_absolute(
        blackbody_lnu(one * 1e42, temperature, one * _REFERENCE_UM)
    )
    return np.asarray(colour + blanketing * np.clip(0.45 - rest_um, 0, 0.25) / 0.1)


def rise_and_fall(age: FloatArray, rise: FloatArray, drop15: FloatArray, late: FloatArray) -> FloatArray:
    """Magnitudes below peak, shape (N, E): parabolic rise in flux over `rise` days, `drop15` mag in 15 days after
    the peak, then `late` mag per day; parameters (N,), age in rest-frame days (N, E)."""
    r, x = rise[:, None], age - rise[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        flux = 1 - (1 - age / r) ** 2
        rising = np.where(flux > 1e-6, -2.5 * np.log10(flux), DARK_MAG)
    after = np.maximum(x, 0)
    falling = late[:, None] * after + np.maximum(drop15 - 15 * late, 0)[:, None] * (
        1 - np.exp(-((after / 10) ** 2))
    ) / (1 - np.exp(-2.25))
    return np.where(age <= 0, DARK_MAG, np.where(x < 0, rising, falling))


def cooling(age: FloatArray, day_one_k: FloatArray, power: FloatArray, floor_k: FloatArray) -> FloatArray:
    """Temperature in K, shape (N, E): day_one_k · age^-power down to floor_k; parameters (N,), age in days."""
    value = day_one_k[:, None] * np.maximum(age, 0.05) ** -power[:, None]
    return np.clip(value, floor_k[:, None], 6e4)


@dataclass(frozen=True)
class Peaked:
    """A class of transients that rise and fall once; pairs are the ends of uniform ranges."""

    peak: tuple[float, float]
    """Mean and deviation of the peak absolute magnitude in r."""
    rise: tuple[float, float]
    """Days."""
    drop15: tuple[float, float]
    """Magnitudes in 15 days."""
    late: tuple[float, float]
    """Magnitudes per day."""
    hot: tuple[float, float]
    """Temperature one day after explosion, K."""
    power: tuple[float, float]
    floor: tuple[float, float]
    """Lowest temperature, K."""
    blanketing: tuple[float, float]
    life: float
    """Days during which it may be found."""

    def __call__(self, rng: np.random.Generator, t: FloatArray, um: FloatArray, depth: FloatArray) -> FloatArray:
        """Apparent AB magnitudes (N, E) at t (days since merger) and um (observed), for 5-sigma depths (N,)."""
        n = len(t)
        peak = rng.normal(*self.peak, n)
        where = place(rng, peak, depth, np.full(n, self.life))
        age, rest = rest_frame(t, um, where)
        shape = rise_and_fall(
            age, uniform(rng, *self.rise, n), uniform(rng, *self.drop15, n), uniform(rng, *self.late, n)
        )
        temperature = cooling(
            age, uniform(rng, *self.hot, n), uniform(rng, *self.power, n), uniform(rng, *self.floor, n)
        )
        colour = thermal_colour(temperature, rest, uniform(rng, *self.blanketing, n)[:, None])
        return apparent(peak[:, None] + shape + colour, where, rest)


IIN = Peaked((-18.8, 1.2), (8, 40), (0.1, 0.8), (0.005, 0.03), (2e4, 5e4), (0.3, 0.45), (6500, 1e4), (0, 1), 150)
IBC = Peaked((-17.4, 0.9), (8, 25), (0.4, 1.3), (0.012, 0.025), (1e4, 2e4), (0.25, 0.4), (4200, 6000), (0.5, 3), 70)
FAST_IBC = Peaked((-16.5, 1.1), (4, 15), (1.0, 3.6), (0.015, 0.06), (1e4, 2e4), (0.3, 0.45), (4000, 6000), (0, 3), 40)
SLSN = Peaked((-21.2, 0.8), (18, 70), (0.1, 0.5), (0.01, 0.04), (4e4, 6e4), (0.3, 0.42), (6000, 1e4), (0, 1.5), 200)
FBOT = Peaked((-18.5, 1.7), (1, 6), (1.2, 4.0), (0.02, 0.12), (2e4, 4e4), (0.2, 0.4), (5500, 1.6e4), (0, 1), 30)


def type_ii(rng: np.random.Generator, t: FloatArray, um: FloatArray, depth: FloatArray) -> FloatArray:
    """Type II (plateau and linear): fast rise, cooling, plateau of 70 to 130 days, drop, cobalt tail.

    Arguments and result as in `Peaked.__call__`.
    """
    n = len(t)
    peak = rng.normal(-16.9, 1.0, n)
    where = place(rng, peak, depth, np.full(n, 150.0))
    age, rest = rest_frame(t, um, where)
    rise, slope, plateau = uniform(rng, 2, 12, n), uniform(rng, 0.0, 0.035, n), uniform(rng, 70, 130, n)
    shape = rise_and_fall(age, rise, 15 * slope, slope)
    shape = shape + 1.8 / (1 + np.exp(-np.clip((age - plateau[:, None]) / 4, -50, 50)))
    temperature = cooling(age, uniform(rng, 1.8e4, 3.5e4, n), uniform(rng, 0.4, 0.6, n), uniform(rng, 4800, 6500, n))
    late = np.clip((age - 15) / 30, 0, 1) * uniform(rng, 0.5, 3, n)[:, None]
    return apparent(peak[:, None] + shape + thermal_colour(temperature, rest, late), where, rest)


def type_iib(rng: np.random.Generator, t: FloatArray, um: FloatArray, depth: FloatArray) -> FloatArray:
    """Type IIb: an extended envelope cools for days before the nickel takes over (Piro 2015, ApJL 808 L51).

    The cooling light falls as exp(-(t/t_p)²) for 1 to 7 days, faster than most contaminants: the closest of the
    supernovae to a kilonova. Arguments and result as in `Peaked.__call__`.
    """
    n = len(t)
    peak = rng.normal(-17.3, 0.7, n)
    where = place(rng, peak, depth, np.full(n, 60.0))
    age, rest = rest_frame(t, um, where)
    nickel = peak[:, None] + rise_and_fall(
        age, uniform(rng, 14, 24, n), uniform(rng, 0.5, 1.2, n), uniform(rng, 0.012, 0.025, n)
    )
    warm = cooling(age, uniform(rng, 1.1e4, 2e4, n), uniform(rng, 0.25, 0.4, n), uniform(rng, 4500, 6000, n))
    nickel = nickel + thermal_colour(warm, rest, uniform(rng, 0.5, 2.5, n)[:, None])
    shock_peak, width = peak + rng.normal(0.2, 0.9, n), uniform(rng, 1.0, 6.0, n)
    safe = np.maximum(age, 0.02)
    x = safe / width[:, None]
    # t·exp(-(t/tp)²/2)-like rise and fall normalised to one at its peak, x = 1.
    flux = np.maximum(x, 1e-3) * np.exp((1 - x**2) / 2)
    hot = cooling(age, uniform(rng, 1.5e4, 3e4, n), uniform(rng, 0.4, 0.6, n), uniform(rng, 5000, 8000, n))
    shock = shock_peak[:, None] - 2.5 * np.log10(np.maximum(flux, 1e-30)) + thermal_colour(hot, rest, np.zeros((n, 1)))
    both = -2.5 * np.log10(10 ** (-0.4 * nickel) + 10 ** (-0.4 * np.where(age > 0, shock, DARK_MAG)))
    return apparent(both, where, rest)


def tde(rng: np.random.Generator, t: FloatArray, um: FloatArray, depth: FloatArray) -> FloatArray:
    """Tidal disruption: hot at constant temperature, rise 10 to 40 days, decline t^(-5/3).

    Arguments and result as in `Peaked.__call__`.
    """
    n = len(t)
    peak = rng.normal(-19.3, 1.3, n)
    where = place(rng, peak, depth, np.full(n, 200.0))
    age, rest = rest_frame(t, um, where)
    rise, clock = uniform(rng, 10, 40, n)[:, None], uniform(rng, 20, 80, n)[:, None]
    before = np.where(age > 0, 3.0 * np.clip(1 - age / rise, 0, 1) ** 2, DARK_MAG)
    after = 2.5 * 5 / 3 * np.log10(np.maximum(1 + (age - rise) / clock, 1))
    temperature = uniform(rng, 1.2e4, 3.5e4, n)[:, None] * np.ones_like(age)
    colour = thermal_colour(temperature, rest, np.zeros((n, 1)))
    return apparent(peak[:, None] + np.where(age < rise, before, after) + colour, where, rest)
