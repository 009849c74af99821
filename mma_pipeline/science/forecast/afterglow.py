"""Optical afterglow of a short gamma-ray burst seen on axis, for events that coincide with one.

Synchrotron light of the forward shock in a uniform medium, slow cooling (Granot & Sari 2002, ApJ 568 820, table 2, breaks 2
and 3), with a jet break (Sari et al. 1999, ApJL 519 L17). Energies, densities, p and opening angles are those of 103 short
bursts (Fong et al. 2015, ApJ 815 102). A jet seen off axis, as in GRB 170817A, is much fainter at first and later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.kilonova.simulation.radiation import C_CGS, PC_CM

#: Median kinetic energy 1 to 3e51 erg and density 3 to 15e-3 per cm³ (Fong et al. 2015), as log10 with a spread in dex that
#: holds 80 to 95 % of the densities below 1 per cm³.
_LOG_E52, _LOG_E52_SPREAD = np.log10(0.2), 0.7
_LOG_DENSITY, _LOG_DENSITY_SPREAD = np.log10(7e-3), 1.3
_ELECTRONS = 0.1


@dataclass(frozen=True, eq=False)
class Jets:
    """N jets, arrays of shape (N,)."""

    energy_52: FloatArray
    """Isotropic-equivalent kinetic energy, 1e52 erg."""
    density: FloatArray
    """Protons per cm³."""
    p: FloatArray
    """Index of the electrons' energies."""
    magnetic: FloatArray
    """Share of the energy in the magnetic field."""
    angle: FloatArray
    """Half opening angle, rad."""


def draw(rng: np.random.Generator, n: int) -> Jets:
    """Draw n jets: p 2.43 (-0.28, +0.36), half angle 16 ± 10 deg, magnetic share 0.01 to 0.1."""
    side = rng.normal(0, 1, n)
    return Jets(
        energy_52=10 ** rng.normal(_LOG_E52, _LOG_E52_SPREAD, n),
        density=10 ** np.clip(rng.normal(_LOG_DENSITY, _LOG_DENSITY_SPREAD, n), -6, 1.5),
        p=np.clip(2.43 + side * np.where(side > 0, 0.36, 0.28), 2.05, 3.0),
        magnetic=10 ** rng.uniform(-2, -1, n),
        angle=np.radians(np.clip(rng.normal(16, 10, n), 3, 40)),
    )


def flux_mjy(
    jets: Jets, t_day: FloatArray, wavelength_um: FloatArray, distance_mpc: FloatArray, z: FloatArray
) -> FloatArray:
    """Flux density, mJy, shape (N, E), at days of the observer and wavelengths (um), both (N, E) or broadcast to it."""
    e52, n0, p, eb = (v[:, None] for v in (jets.energy_52, jets.density, jets.p, jets.magnetic))
    ee = _ELECTRONS * (p - 2) / (p - 1)
    d28 = distance_mpc[:, None] * PC_CM * 1e6 / 1e28
    stretch = 1 + z[:, None]
    nu = C_CGS / (wavelength_um * 1e-4)
    peak = 9.93 * (p + 0.14) * stretch * np.sqrt(eb * n0) * e52 / d28**2
    typical = 3.73e15 * (p - 0.67) * np.sqrt(stretch * e52 * eb) * ee**2 * t_day**-1.5
    cooling = 6.37e13 * (p - 0.46) * np.exp(-1.16 * p) / np.sqrt(stretch * e52 * t_day) * eb**-1.5 / n0
    x = nu / typical
    flux = peak * np.where(x < 1, np.cbrt(x), x ** (-(p - 1) / 2))
    flux = flux * np.where(nu > cooling, np.sqrt(np.minimum(cooling / nu, 1.0)), 1.0)
    broken = 6.2 / 24 * stretch * np.cbrt(e52 / n0) * (jets.angle[:, None] / 0.1) ** (8 / 3)
    return np.asarray(flux * np.maximum(t_day / broken, 1.0) ** (-(p + 3) / 4))


def magnitudes(
    rng: np.random.Generator, hours: FloatArray, wavelength_um: FloatArray, distance_mpc: FloatArray, z: FloatArray
) -> FloatArray:
    """Apparent AB magnitudes, shape (N, B, T), of one jet at each distance (Mpc, shape (N,)) and redshift."""
    n, bands, times = len(distance_mpc), len(wavelength_um), len(hours)
    t = np.tile(hours / 24, bands)[None, :]
    um = np.repeat(wavelength_um, times)[None, :]
    flux = flux_mjy(draw(rng, n), t, um, distance_mpc, z)
    return np.asarray(-2.5 * np.log10(flux * 1e-3 / 3631)).reshape(n, bands, times)
