"""Radioactive heating of merger ejecta and the share of it that becomes heat."""

from __future__ import annotations

import numpy as np

from mma_pipeline.notices.times import DAY_S
from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.kilonova.simulation.radiation import MSUN_G

# Barnes et al. 2016, ApJ 829 110, table 1 (random magnetic fields): coefficients a, b, d of the analytic fit.
_LOG_MASS = np.log10([1e-3, 5e-3, 1e-2, 5e-2])
_VELOCITY = np.array([0.1, 0.2, 0.3])
_A = np.array([[2.01, 4.52, 8.16], [0.81, 1.90, 3.20], [0.56, 1.31, 2.19], [0.27, 0.55, 0.95]])
_B = np.array([[0.28, 0.62, 1.19], [0.19, 0.28, 0.45], [0.17, 0.21, 0.31], [0.10, 0.13, 0.15]])
_D = np.array([[1.12, 1.39, 1.52], [0.86, 1.21, 1.39], [0.74, 1.13, 1.32], [0.60, 0.90, 1.13]])


def heating_rate(t_day: FloatArray) -> FloatArray:
    """Specific heating by the r-process, erg/s/g, at t in days (Korobkin et al. 2012, MNRAS 426 1940, eq. 4)."""
    seconds = t_day * DAY_S
    return np.asarray(4e18 * (0.5 - np.arctan((seconds - 1.3) / 0.11) / np.pi) ** 1.3)


def _bilinear(table: FloatArray, mass: FloatArray, velocity: FloatArray) -> FloatArray:
    row = np.interp(np.log10(mass), _LOG_MASS, np.arange(len(_LOG_MASS)))
    column = np.interp(velocity, _VELOCITY, np.arange(len(_VELOCITY)))
    i, j = np.minimum(row.astype(int), 2), np.minimum(column.astype(int), 1)
    u, v = row - i, column - j
    return np.asarray(
        table[i, j] * (1 - u) * (1 - v) + table[i + 1, j] * u * (1 - v) + table[i, j + 1] * (1 - u) * v
        + table[i + 1, j + 1] * u * v
    )  # fmt: skip


def thermalisation(t_day: FloatArray, mass_msun: FloatArray, velocity_c: FloatArray) -> FloatArray:
    """Share of the decay energy that heats the ejecta, 0 to 1, shape (N, T).

    t_day has shape (T,), mass (solar masses) and velocity (units of c) shape (N,). Barnes et al. 2016, eq. 34;
    the coefficients are interpolated in log mass and velocity and held beyond the table.
    """
    a, b, d = (_bilinear(table, mass_msun, velocity_c)[:, None] for table in (_A, _B, _D))
    x = 2 * b * t_day[None, :] ** d
    return np.asarray(0.36 * (np.exp(-a * t_day[None, :]) + np.log1p(x) / x))


def heating_luminosity(t_day: FloatArray, mass_msun: FloatArray, velocity_c: FloatArray) -> FloatArray:
    """Heating times thermalisation times mass, erg/s, shape (N, T); arguments as in `thermalisation`."""
    per_gram = heating_rate(t_day)[None, :] * thermalisation(t_day, mass_msun, velocity_c)
    return np.asarray(per_gram * mass_msun[:, None] * MSUN_G)
