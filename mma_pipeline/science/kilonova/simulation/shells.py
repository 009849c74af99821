"""Kilonova family 2: homologous shells with their own diffusion, and a cooling cocoon.

Independent of family 1 in the treatment of diffusion (shell by shell, no Arnett integral), of the photosphere
(optical depth two thirds, no temperature floor) and of the opacity. Metzger 2019, LRR 23 1, section 4; the early
blue light of the cocoon after Piro & Kollmeier 2018, ApJ 855 103, eqs. 24, 31 and 32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mma_pipeline.notices.times import DAY_S
from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.kilonova.simulation.heating import heating_rate, thermalisation
from mma_pipeline.science.kilonova.simulation.radiation import (
    C_CGS,
    MSUN_G,
    SIGMA_SB,
    blackbody_lnu,
    row_interp,
)

_LOG_T0, _LOG_STEP = np.log(0.005), 0.05
TIME_GRID_DAY = np.exp(_LOG_T0 + _LOG_STEP * np.arange(180))
_SHELLS = 24


@dataclass(frozen=True, eq=False)
class Ejecta:
    """Ejecta of N mergers, arrays of shape (N,)."""

    mass_msun: FloatArray
    velocity_c: FloatArray
    """Slowest velocity of the mass distribution, M(>v) ∝ v^-steepness, units of c."""
    steepness: FloatArray
    opacity: FloatArray
    """Grey opacity, cm²/g."""
    cocoon_msun: FloatArray
    """Shocked mass around the jet; zero means no cocoon."""
    cocoon_velocity_c: FloatArray
    cocoon_opacity: FloatArray


def light_curve(e: Ejecta) -> tuple[FloatArray, FloatArray]:
    """Luminosity (erg/s) and effective temperature (K) on TIME_GRID_DAY, both (N, T)."""
    n = len(e.mass_msun)
    edge = np.linspace(0.0, 1.0, _SHELLS + 1)
    speed = np.minimum(e.velocity_c[:, None] * (0.6 / e.velocity_c[:, None]) ** edge[None, :], 0.6)
    outside = (speed / e.velocity_c[:, None]) ** -e.steepness[:, None]
    outside[:, -1] = 0.0
    mass = e.mass_msun[:, None] * MSUN_G * (outside[:, :-1] - outside[:, 1:])
    v = np.sqrt(speed[:, :-1] * speed[:, 1:]) * C_CGS
    above = e.mass_msun[:, None] * MSUN_G * outside[:, :-1]
    # Column of a homologous shell at one second; it thins as t^-2.
    column = mass / (4 * np.pi * v**2)
    depth = np.cumsum(column[:, ::-1], axis=1)[:, ::-1] * e.opacity[:, None]
    t = TIME_GRID_DAY * DAY_S
    heat = heating_rate(TIME_GRID_DAY)[None, :] * thermalisation(TIME_GRID_DAY, e.mass_msun, 1.3 * e.velocity_c)
    luminosity = np.empty((n, len(t)))
    radius = np.empty_like(luminosity)
    energy = mass * heat[:, :1] * t[0] * 0.5
    rows = np.arange(n)
    for k, now in enumerate(t):
        step = now - t[k - 1] if k else t[0] * 0.05
        # Diffusion through the layers above, plus the light travel time (Metzger 2019, eq. 26 and 28).
        escape = 3 * above * e.opacity[:, None] / (4 * np.pi * 13.7 / 3 * v * C_CGS * now) + v * now / C_CGS
        energy = (energy + step * mass * heat[:, k : k + 1]) / (1 + step * (1 / now + 1 / escape))
        luminosity[:, k] = (energy / escape).sum(1)
        opaque = depth / now**2 > 2 / 3
        shell = np.where(opaque.any(1), _SHELLS - 1 - np.argmax(opaque[:, ::-1], axis=1), 0)
        radius[:, k] = v[rows, shell] * now
    temperature = (luminosity / (4 * np.pi * SIGMA_SB * radius**2)) ** 0.25
    # Below about 1500 to 3000 K the lanthanides recombine, the opacity falls and the photosphere moves inward.
    return luminosity, np.maximum(temperature, 1200.0 + 900.0 / np.sqrt(e.opacity)[:, None])


def lnu(e: Ejecta, t_day: FloatArray, wavelength_um: FloatArray) -> FloatArray:
    """L_nu in erg/s/Hz at rest-frame times (days) and wavelengths (um), both (N, E); zero before the merger."""
    luminosity, temperature = light_curve(e)
    safe = np.maximum(t_day, 1e-3)
    x = np.log(safe)
    lum = np.exp(row_interp(x, _LOG_T0, _LOG_STEP, np.log(luminosity)))
    temp = np.exp(row_interp(x, _LOG_T0, _LOG_STEP, np.log(temperature)))
    main = blackbody_lnu(lum, temp, wavelength_um)
    with np.errstate(divide="ignore", invalid="ignore"):
        m, v = e.cocoon_msun[:, None] / 0.01, e.cocoon_velocity_c[:, None] / 0.1
        kappa = e.cocoon_opacity[:, None] / 0.1
        t_diffusion = 1.7 * (kappa * m / v) ** 0.5
        peak = 6.3e41 * kappa**-0.6 * m**0.4 * v**1.6
        cocoon_l = peak * safe ** (-4 / 3) * np.exp(-((safe / np.maximum(t_diffusion, 1e-3)) ** 2) / 2)
        cocoon_t = 6.2e3 * kappa**-0.26 * np.maximum(m, 1e-6) ** 0.02 * v**0.07 * safe**-0.6
    shine = blackbody_lnu(cocoon_l, np.clip(cocoon_t, 1500.0, 4e4), wavelength_um)
    return np.asarray(np.where(t_day > 0, main + np.where(e.cocoon_msun[:, None] > 0, shine, 0.0), 0.0))


def draw(rng: np.random.Generator, n: int, *, broad: bool = False) -> Ejecta:
    """Draw n mergers: 0.003 to 0.09 solar masses, 0.06 to 0.22 c at the base, opacity 0.4 to 20; 40 % have a cocoon.

    `broad` widens every range, down to 0.03 c and up to an opacity of 40 cm²/g.
    """

    def logu(low: float, high: float) -> FloatArray:
        return np.asarray(np.exp(rng.uniform(np.log(low), np.log(high), n)))

    has_cocoon = rng.random(n) < 0.4
    return Ejecta(
        mass_msun=logu(2e-3, 0.1) if broad else logu(3e-3, 0.09),
        velocity_c=logu(0.03, 0.25) if broad else logu(0.06, 0.22),
        steepness=rng.uniform(2.5, 4.5, n),
        opacity=logu(0.3, 40.0) if broad else logu(0.4, 20.0),
        cocoon_msun=np.where(has_cocoon, logu(1e-3, 0.02), 0.0),
        cocoon_velocity_c=rng.uniform(0.1, 0.3, n),
        cocoon_opacity=logu(0.1, 1.0),
    )
