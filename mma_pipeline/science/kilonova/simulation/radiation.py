"""Black bodies, distances and the interpolation that the light-curve models share. CGS units unless said."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray

C_CGS = 2.99792458e10
MSUN_G = 1.98847e33
SIGMA_SB = 5.670374e-5
PC_CM = 3.0856775814913673e18
#: Fainter than anything that is detected; stands for "no light" so that arithmetic goes on.
DARK_MAG = 99.0
_H_CGS = 6.62607015e-27
_K_CGS = 1.380649e-16


def blackbody_lnu(luminosity: FloatArray, temperature: FloatArray, wavelength_um: FloatArray) -> FloatArray:
    """Specific luminosity L_nu, erg/s/Hz, of a sphere with bolometric luminosity (erg/s) and temperature (K).

    L_nu = pi B_nu(T) L / (sigma T^4); shapes broadcast.
    """
    nu = C_CGS / (np.asarray(wavelength_um) * 1e-4)
    x = np.clip(_H_CGS * nu / (_K_CGS * temperature), 1e-6, 400.0)
    b_nu = 2 * _H_CGS * nu**3 / C_CGS**2 / np.expm1(x)
    return np.asarray(np.pi * b_nu * luminosity / (SIGMA_SB * temperature**4))


def lnu_to_absolute(l_nu: npt.ArrayLike) -> FloatArray:
    """Absolute AB magnitude of L_nu (erg/s/Hz); DARK_MAG where there is no light."""
    value = np.asarray(l_nu, dtype=float)
    with np.errstate(divide="ignore"):
        mag = -2.5 * np.log10(value / (4 * np.pi * (10 * PC_CM) ** 2)) - 48.6
    return np.asarray(np.where(value > 0, np.minimum(mag, DARK_MAG), DARK_MAG))


_Z_GRID = np.linspace(0.0, 10.0, 10001)
_E_INVERSE = (0.3 * (1 + _Z_GRID) ** 3 + 0.7) ** -0.5
_COMOVING_MPC = (
    299792.458 / 70.0 * np.concatenate([[0.0], np.cumsum((_E_INVERSE[1:] + _E_INVERSE[:-1]) / 2 * np.diff(_Z_GRID))])
)


def luminosity_distance(z: FloatArray) -> FloatArray:
    """Luminosity distance in Mpc at redshift z (0 to 10), flat, H0 = 70 km/s/Mpc, Omega_m = 0.3."""
    return np.asarray((1 + z) * np.interp(z, _Z_GRID, _COMOVING_MPC))


def redshift_at(distance_mpc: FloatArray) -> FloatArray:
    """Redshift at a luminosity distance in Mpc; inverse of `luminosity_distance`."""
    return np.asarray(np.interp(distance_mpc, (1 + _Z_GRID) * _COMOVING_MPC, _Z_GRID))


def modulus(distance_mpc: FloatArray) -> FloatArray:
    """Distance modulus, mag, of a luminosity distance in Mpc."""
    return np.asarray(5 * np.log10(distance_mpc) + 25)


def row_interp(x: FloatArray, x0: float, step: float, table: FloatArray) -> FloatArray:
    """Interpolate each row of `table` (N, K), given on x0 + step * k, at x (N, E); clamped at the ends."""
    position = np.clip((x - x0) / step, 0, table.shape[1] - 1.000001)
    low = position.astype(np.int64)
    part = position - low
    rows = np.arange(len(table))[:, None]
    return np.asarray(table[rows, low] * (1 - part) + table[rows, low + 1] * part)
