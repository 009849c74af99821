"""Kilonova family 3: radiative-transfer tables of Kasen et al. 2017 (Nature 551 80), if a copy is available."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.kilonova.bands import WAVELENGTH_UM


class TableError(ValueError):
    """The bytes are not a table of the expected form."""


@dataclass(frozen=True, eq=False)
class Tables:
    """M models on T times in the four bands."""

    parameters: FloatArray
    """Mass (solar masses), velocity (c), log10 lanthanide fraction; shape (M, 3)."""
    t_day: FloatArray
    """Evenly spaced, days, shape (T,)."""
    log_lnu: FloatArray
    """log10 of L_nu, erg/s/Hz; -inf where there is no light; shape (M, T, 4)."""


def read(data: bytes) -> Tables:
    """Read an .npz with arrays params, t_day and Lnu_griz (log10 erg/s/Hz); raises TableError."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            parameters, t_day, lnu = (np.asarray(archive[k], float) for k in ("params", "t_day", "Lnu_griz"))
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as problem:
        raise TableError(f"not a kilonova table (.npz with params, t_day, Lnu_griz): {problem}") from problem
    if lnu.shape != (len(parameters), len(t_day), 4) or parameters.shape[1:] != (3,):
        raise TableError(f"kilonova table has shapes {parameters.shape}, {t_day.shape}, {lnu.shape}")
    # The tables contain zero in bins without a photon packet, which happens in the noisy first bins.
    return Tables(parameters, t_day, np.where(lnu > 15, lnu, -np.inf))


def lnu(tables: Tables, model: IntArray, t_day: FloatArray, wavelength_um: FloatArray) -> FloatArray:
    """L_nu, erg/s/Hz (N, E) of models (N,) at rest-frame days and wavelengths (um), both (N, E); zero outside."""
    step = tables.t_day[1] - tables.t_day[0]
    x = (t_day - tables.t_day[0]) / step
    low = np.clip(x.astype(np.int64), 0, len(tables.t_day) - 2)
    part = np.clip(x - low, 0, 1)
    # At the redshifts of mergers, rest wavelengths lie within a few per cent of a band; the nearest band is used.
    band = np.argmin(np.abs(np.log(wavelength_um[..., None] / WAVELENGTH_UM)), axis=-1)
    rows = model[:, None]
    linear = 10.0 ** tables.log_lnu[rows, low, band] * (1 - part) + 10.0 ** tables.log_lnu[rows, low + 1, band] * part
    return np.asarray(np.where((t_day > 0) & (t_day < tables.t_day[-1]), linear, 0.0))


def draw(tables: Tables, rng: np.random.Generator, n: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Draw n kilonovae: indices of two models and the share of the second one's light (zero for a third of them)."""
    first, second = rng.integers(0, len(tables.parameters), (2, n))
    share = np.where(rng.random(n) < 0.34, 0.0, rng.uniform(0.2, 1.0, n))
    return first, second, share
