"""Surveys: times, bands and depths of exposures, and the noise, errors, limits and extinction that they report.

Every property that varies between real surveys is drawn at random for each object. Otherwise the classifier would learn the
cadence of the simulation, and accept real supernovae.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.kilonova.bands import EXTINCTION, WAVELENGTH_UM
from mma_pipeline.science.kilonova.lightcurve import MAX_AGE_DAYS, N_BANDS, BoolArray

_NIGHTS = 12
_REPEATS = 3
#: Sets of filters of surveys, and their frequency here.
_FILTER_SETS = ((1, 1, 1, 1), (1, 1, 0, 0), (1, 1, 1, 0), (0, 1, 0, 0), (0, 1, 1, 1), (0, 0, 1, 1), (1, 0, 1, 0))
_FILTER_WEIGHTS = (0.34, 0.2, 0.16, 0.06, 0.1, 0.08, 0.06)
#: Number of telescopes of a collected light curve.
_TELESCOPES = 3


@dataclass(frozen=True, eq=False)
class Visits:
    """Exposures of N objects, padded to E; shape (N, E) unless said otherwise."""

    t: FloatArray
    """Days since the merger."""
    band: IntArray
    """Index into BANDS."""
    depth: FloatArray
    """5-sigma limiting magnitude."""
    real: BoolArray
    """False for padding."""
    typical_depth: FloatArray
    """The survey's usual depth in r, mag, shape (N,)."""

    @property
    def wavelength_um(self) -> FloatArray:
        """Observed wavelength of each exposure, um."""
        return np.asarray(WAVELENGTH_UM[self.band])


@dataclass(frozen=True, eq=False)
class Reported:
    """Points as a survey reports them, flat and sorted by object and time; shape (P,)."""

    owner: IntArray
    """Index of the object."""
    t: FloatArray
    mag: FloatArray
    """AB magnitude after the survey's own correction for Galactic extinction, or limit."""
    err: FloatArray
    band: IntArray
    limit: BoolArray


def schedule(rng: np.random.Generator, n: int) -> Visits:
    """Draw the exposures of n objects over up to 12 nights within 30 days of the merger."""
    step = np.where(rng.random(n) < 0.55, 1.0, np.where(rng.random(n) < 0.6, 2.0, rng.uniform(2.5, 4.0, n)))
    late_start = rng.random(n) < 0.15
    first = np.where(late_start, rng.uniform(1, 4, n), rng.uniform(0.03, 1.3, n))
    night = first[:, None] + step[:, None] * np.arange(_NIGHTS) + rng.normal(0, 0.05, (n, _NIGHTS))
    open_dome = rng.random((n, _NIGHTS)) > rng.uniform(0, 0.4, n)[:, None]
    # Bad weather and moon come in runs.
    gap_start, gap_length = rng.integers(0, _NIGHTS, n), rng.integers(1, 5, n)
    has_gap = rng.random(n) < 0.25
    index = np.arange(_NIGHTS)
    in_gap = (index >= gap_start[:, None]) & (index < (gap_start + gap_length)[:, None])
    open_dome &= ~(in_gap & has_gap[:, None])
    filters = np.array(_FILTER_SETS, dtype=bool)[rng.choice(len(_FILTER_SETS), n, p=_FILTER_WEIGHTS)]

    pattern = rng.choice(4, n, p=[0.4, 0.15, 0.2, 0.25])
    used = np.broadcast_to(filters[:, None, :], (n, _NIGHTS, N_BANDS)).copy()
    # One filter a night in rotation; bluer and redder pairs in rotation; each filter with a chance of its own.
    rank = np.cumsum(filters, axis=1) - 1
    turn = (index[None, :] + rng.integers(0, 4, n)[:, None]) % filters.sum(1)[:, None]
    used[pattern == 1] &= (rank[:, None, :] == turn[:, :, None])[pattern == 1]
    group = np.array([0, 0, 1, 2])
    pair_turn = (index[None, :] + rng.integers(0, 3, n)[:, None]) % 3
    paired = group[None, None, :] == pair_turn[:, :, None]
    used[pattern == 2] &= paired[pattern == 2]
    chance = rng.uniform(0.3, 0.9, (n, 1, N_BANDS))
    used[pattern == 3] &= (rng.random(used.shape) < chance)[pattern == 3]
    used &= open_dome[:, :, None]

    repeats = rng.choice([1, 2, 3], n, p=[0.6, 0.3, 0.1])
    shape = (n, _NIGHTS, N_BANDS, _REPEATS)
    real = used[..., None] & (np.arange(_REPEATS) < repeats[:, None, None, None])
    within = rng.uniform(0.0, 0.02, shape) + np.arange(_REPEATS) * rng.uniform(0.01, 0.12, (n, 1, 1, 1))
    t = night[:, :, None, None] + within + rng.uniform(0, 0.1, (n, 1, N_BANDS, 1))
    real &= (t > 0.005) & (t < MAX_AGE_DAYS)

    depth0 = np.where(rng.random(n) < 0.3, rng.uniform(19.0, 21.0, n), rng.uniform(20.5, 24.7, n))
    per_band = np.array([0.2, 0.0, -0.3, -0.9]) + rng.normal(0, 0.25, (n, N_BANDS))
    depth = depth0[:, None, None, None] + per_band[:, None, :, None] + rng.normal(0, 0.3, (n, _NIGHTS, 1, 1))
    depth = np.broadcast_to(depth, shape)

    band = np.broadcast_to(np.arange(N_BANDS)[:, None], shape)
    flat = real.reshape(n, -1)
    width = max(int(flat.sum(1).max()), 1) if n else 1
    front = np.argsort(~flat, axis=1, kind="stable")[:, :width]

    def taken(values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values.reshape(n, -1), front, axis=1)

    return Visits(taken(t), taken(band), taken(depth), taken(real), depth0)


def _telescopes(rng: np.random.Generator, visits: Visits, share: float) -> FloatArray:
    """Offsets in mag, shape (N, E), of light curves put together from several telescopes; zero for the others.

    Filters, apertures and host light differ between telescopes, in old collections by tenths of a magnitude.
    """
    n = len(visits.t)
    collected = (rng.random(n) < share)[:, None]
    offset = rng.normal(0, 1, (n, _TELESCOPES, N_BANDS)) * rng.uniform(0.1, 0.6, (n, 1, 1))
    which = rng.integers(0, _TELESCOPES, visits.t.shape)
    return np.where(collected, offset[np.arange(n)[:, None], which, visits.band], 0.0)


def observe(rng: np.random.Generator, truth: FloatArray, visits: Visits, *, collected: float = 0.0) -> Reported:
    """The survey's report of apparent AB magnitudes `truth` (N, E) without Galactic extinction.

    `collected` is the share of objects whose light curve was put together from several telescopes.
    """
    n = len(truth)
    ebv = np.minimum(rng.exponential(0.06, n), 0.8)
    assumed = np.where(rng.random(n) < 0.2, 0.0, ebv * rng.normal(1.0, 0.16, n).clip(0.4, 1.6))
    coefficient = EXTINCTION[visits.band]
    zero_point = rng.normal(0, 1, truth.shape) * rng.uniform(0.005, 0.05, n)[:, None]
    faint = truth + coefficient * ebv[:, None] + zero_point
    # Flux in units of the 5-sigma limit; the sky noise is a fifth of it.
    flux = 10 ** (-0.4 * np.clip(faint - visits.depth, -12, 40))
    systematic = rng.uniform(0.003, 0.03, n)[:, None]
    noise = np.hypot(0.2, systematic * flux)
    seen = flux + noise * rng.normal(0, 1, flux.shape)
    threshold = np.where(rng.random(n) < 0.5, 5.0, rng.uniform(3.0, 5.0, n))[:, None]
    detected = visits.real & (seen > threshold * 0.2)
    # Reported errors are wrong by a quarter, for one object in ten too small by half.
    wrong = np.exp(rng.normal(0, 0.25, n)) * np.where(rng.random(n) < 0.1, 0.5, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mag = visits.depth - 2.5 * np.log10(seen)
        err = 1.0857 * noise / seen * wrong[:, None]
    outlier = rng.random(mag.shape) < 0.008
    mag = np.where(outlier, mag + rng.normal(0, 0.7, mag.shape), mag) + _telescopes(rng, visits, collected)
    limit_sigma = np.where(rng.random(n) < 0.5, 0.0, 0.55)[:, None]
    limiting = visits.depth + limit_sigma + rng.normal(0, 0.1, mag.shape)
    # A third of the surveys report no limits, others only some.
    share = np.where(rng.random(n) < 0.35, 0.0, np.where(rng.random(n) < 0.6, 1.0, rng.random(n)))[:, None]
    reported_limit = visits.real & ~detected & (rng.random(mag.shape) < share)
    keep = detected | reported_limit
    owner, column = np.nonzero(keep)
    value = np.where(detected, mag, limiting) - coefficient * assumed[:, None]
    order = np.lexsort((column, visits.t[owner, column], owner))
    owner, column = owner[order], column[order]
    return Reported(
        owner=owner.astype(np.int64),
        t=visits.t[owner, column],
        mag=value[owner, column],
        err=err[owner, column],
        band=visits.band[owner, column].astype(np.int64),
        limit=~detected[owner, column],
    )
