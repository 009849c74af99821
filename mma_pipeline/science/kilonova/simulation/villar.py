"""Kilonova family 1: three grey components with diffusion (Villar et al. 2017, ApJL 851 L21, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mma_pipeline.notices.times import DAY_S
from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.kilonova.simulation.heating import heating_luminosity
from mma_pipeline.science.kilonova.simulation.radiation import (
    C_CGS,
    MSUN_G,
    SIGMA_SB,
    blackbody_lnu,
    row_interp,
)

_BETA = 13.4
_LOG_T0, _LOG_STEP = np.log(0.01), 0.04
TIME_GRID_DAY = np.exp(_LOG_T0 + _LOG_STEP * np.arange(206))


@dataclass(frozen=True, eq=False)
class Component:
    """One ejecta component of N kilonovae, arrays of shape (N,)."""

    mass_msun: FloatArray
    velocity_c: FloatArray
    opacity: FloatArray
    """Grey opacity, cm²/g."""
    floor_k: FloatArray
    """Temperature at which the photosphere begins to recede, K."""


#: Best fit of the three-component model to AT2017gfo (Villar et al. 2017, table 2): blue, purple, red.
AT2017GFO = (
    Component(np.array([0.020]), np.array([0.266]), np.array([0.5]), np.array([674.0])),
    Component(np.array([0.047]), np.array([0.152]), np.array([3.0]), np.array([1308.0])),
    Component(np.array([0.011]), np.array([0.137]), np.array([10.0]), np.array([3745.0])),
)


def bolometric(c: Component) -> FloatArray:
    """Luminosity in erg/s on TIME_GRID_DAY, shape (N, T): Arnett's integral over the heating.

    L(t) = e^{-x²} ∫ 2 L_in ε x e^{x²} dx with x = t/t_d, t_d² = 2 κ M / (β v c), β = 13.4. Stepped forward with
    the factor e^{x1² - x2²} so that nothing overflows at late times.
    """
    t = TIME_GRID_DAY
    source = heating_luminosity(t, c.mass_msun, c.velocity_c)
    t_d = np.sqrt(2 * c.opacity * c.mass_msun * MSUN_G / (_BETA * c.velocity_c * C_CGS**2)) / DAY_S
    y = (t[None, :] / t_d[:, None]) ** 2
    out = np.empty_like(source)
    out[:, 0] = source[:, 0] * -np.expm1(-y[:, 0])
    for k in range(1, len(t)):
        decay = np.exp(y[:, k - 1] - y[:, k])
        # The heating is taken constant over a step of 4 %, where the integral is exact.
        out[:, k] = out[:, k - 1] * decay + 0.5 * (source[:, k] + source[:, k - 1]) * (1 - decay)
    return out


def component_lnu(c: Component, t_day: FloatArray, wavelength_um: FloatArray) -> FloatArray:
    """L_nu in erg/s/Hz at rest-frame times (days) and wavelengths (um), both (N, E), for one component."""
    log_l = np.log(bolometric(c))
    x = np.log(np.maximum(t_day, 1e-3))
    luminosity = np.exp(row_interp(x, _LOG_T0, _LOG_STEP, log_l))
    radius = c.velocity_c[:, None] * C_CGS * np.maximum(t_day, 1e-3) * DAY_S
    temperature = (luminosity / (4 * np.pi * SIGMA_SB * radius**2)) ** 0.25
    return blackbody_lnu(luminosity, np.maximum(temperature, c.floor_k[:, None]), wavelength_um)


def lnu(components: tuple[Component, ...], t_day: FloatArray, wavelength_um: FloatArray) -> FloatArray:
    """Sum of the components' L_nu, erg/s/Hz, shape (N, E); zero before the merger."""
    total = sum(component_lnu(c, t_day, wavelength_um) for c in components)
    return np.asarray(np.where(t_day > 0, total, 0.0))


def draw(rng: np.random.Generator, n: int, *, broad: bool = False) -> tuple[Component, ...]:
    """Draw n kilonovae over the plausible range of mergers: some lack a component, none lacks all.

    Masses are log-uniform: 0.001 to 0.05 (blue), 0.002 to 0.08 (purple), 0.001 to 0.06 (red) solar masses. `broad`
    widens masses and velocities beyond that: trained on it, the classifier follows models it has not met.
    """

    def logu(low: float, high: float) -> FloatArray:
        return np.asarray(np.exp(rng.uniform(np.log(low), np.log(high), n)))

    present = rng.random((3, n)) < np.array([[0.8], [0.75], [0.7]])
    present[1] |= ~present.any(0)
    blue, purple, red = (np.where(p, 1.0, 1e-4) for p in present)
    more, slow = (1.3, 0.55) if broad else (1.0, 1.0)
    return (
        Component(logu(1e-3, 0.05 * more) * blue, rng.uniform(0.12 * slow, 0.35, n), logu(0.3, 1.0), logu(500, 4000)),
        Component(logu(2e-3, 0.08 * more) * purple, rng.uniform(0.08 * slow, 0.3, n), logu(1.5, 5.0), logu(500, 4000)),
        Component(logu(1e-3, 0.06 * more) * red, rng.uniform(0.05 * slow, 0.25, n), logu(6.0, 20.0), logu(800, 4500)),
    )
