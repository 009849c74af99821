"""Groups detections into nights, and averages each band's magnitudes night by night."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.kilonova.lightcurve import MAX_AGE_DAYS, N_BANDS, NIGHT_DAYS, Points

#: Separates the snapshots on one time axis, days; more than any light curve spans.
_STRIDE = 4.0 * MAX_AGE_DAYS


@dataclass(frozen=True, eq=False)
class NightTable:
    """Magnitudes by night; S snapshots, B bands, K nights. NaN where the band was not detected."""

    t: FloatArray
    """Mean time of each night, days since the merger, shape (S, K)."""
    mag: FloatArray
    """Magnitude at each night, interpolated between a band's nights, constant outside, shape (S, B, K)."""
    err: FloatArray
    """Its error, mag, shape (S, B, K)."""
    gap: FloatArray
    """Days to the nearest night with a detection in the band, shape (S, B, K); infinite without one."""
    first_t: FloatArray
    first_mag: FloatArray
    last_t: FloatArray
    """Times in days since the merger and magnitudes of a band's first, last and last but one night, (S, B)."""
    last_mag: FloatArray
    last_err: FloatArray
    before_t: FloatArray
    before_mag: FloatArray
    before_err: FloatArray
    bright_t: FloatArray
    bright_mag: FloatArray
    """Time and magnitude of a band's brightest night, shape (S, B)."""
    count: IntArray
    """Nights with a detection in the band, shape (S, B)."""
    nights: IntArray
    """Nights with a detection in any band, shape (S,)."""
    scatter: FloatArray
    """Reduced chi-squared of the points about their night's mean, shape (S,); NaN with one point a night."""

    @property
    def nights_axis(self) -> int:
        """K, the length of the night axis."""
        return int(self.t.shape[1])


def night_numbers(owner: IntArray, t: FloatArray) -> IntArray:
    """Night of each detection, counted from 0 within its owner, shape (N,); t in days, both in any order.

    A night begins with a detection and includes those that follow within NIGHT_DAYS, so exposures of one night at one
    site stay together and a network around the globe does not merge days.
    """
    axis = owner * _STRIDE + t
    order = np.argsort(axis, kind="stable")
    sorted_axis, owner = axis[order], owner[order]
    night = np.zeros(len(order), dtype=np.int64)
    start = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]]) if len(order) else np.empty(0, dtype=np.int64)
    number = 0
    while start.size:
        following = np.searchsorted(sorted_axis, sorted_axis[start] + NIGHT_DAYS, side="left")
        night[start] = number
        inside = following < len(order)
        same = np.zeros(len(start), dtype=bool)
        same[inside] = owner[following[inside]] == owner[start[inside]]
        start = following[same]
        number += 1
    # Only the first detection of each night is marked so far; the others take the latest mark before them.
    change = np.zeros(len(order), dtype=np.int64)
    if len(order):
        first = np.r_[True, owner[1:] != owner[:-1]]
        marks = np.where(first | (night > 0), np.arange(len(order)), 0)
        change = night[np.maximum.accumulate(marks)]
    out = np.empty_like(change)
    out[order] = change
    return out


def _filled(values: FloatArray, present: np.ndarray) -> tuple[IntArray, IntArray]:
    """Index of the last present night at or before, and of the first at or after, each night; -1 and K if none."""
    k = values.shape[-1]
    index = np.arange(k)
    left = np.maximum.accumulate(np.where(present, index, -1), axis=-1)
    right = np.minimum.accumulate(np.where(present, index, k)[..., ::-1], axis=-1)[..., ::-1]
    return left, right


def night_table(p: Points, detected: IntArray, night: IntArray) -> NightTable:
    """Average the detections by snapshot, band and night; arguments as in `night_numbers`."""
    s, b = p.snapshot[detected], p.band[detected]
    k = int(night.max()) + 1 if len(night) else 1
    shape = (p.count, N_BANDS, k)
    cell = (s * N_BANDS + b) * k + night
    size = p.count * N_BANDS * k
    w = p.err[detected] ** -2

    def total(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(cell, weights=values, minlength=size), dtype=float)

    with np.errstate(invalid="ignore", divide="ignore"):
        sw = total(w)
        t = (total(w * p.t[detected]) / sw).reshape(shape)
        mean = total(w * p.mag[detected]) / sw
        residual = total(w * (p.mag[detected] - mean[cell]) ** 2)
        mag, err = mean.reshape(shape), np.where(sw > 0, sw**-0.5, np.nan).reshape(shape)
        number = np.bincount(cell, minlength=size)
        spare = np.maximum(number - 1, 0).reshape(p.count, -1).sum(1)
        scatter = np.where(spare > 0, residual.reshape(p.count, -1).sum(1) / np.maximum(spare, 1), np.nan)
        present = number.reshape(shape) > 0
        any_band = present.any(1)
        night_t = np.where(any_band, np.nansum(np.where(present, t, 0.0), axis=1) / present.sum(1), np.nan)
        left, right = _filled(mag, present)
        none = (left < 0) & (right >= k)
        lo = np.where(left < 0, np.minimum(right, k - 1), left)
        hi = np.where(right >= k, np.maximum(left, 0), right)

        def at(values: FloatArray, index: IntArray) -> FloatArray:
            return np.take_along_axis(values, index, axis=2)

        t_lo, t_hi, here = at(t, lo), at(t, hi), night_t[:, None, :]
        part = np.where(hi > lo, np.clip((here - t_lo) / np.where(hi > lo, t_hi - t_lo, 1.0), 0.0, 1.0), 0.0)
        filled = np.where(none, np.nan, at(mag, lo) * (1 - part) + at(mag, hi) * part)
        filled_err = np.where(none, np.nan, np.maximum(at(err, lo), at(err, hi)))
        gap = np.where(none, np.inf, np.minimum(np.abs(here - t_lo), np.abs(here - t_hi)))
        gap = np.where(np.isfinite(gap), np.where(present, 0.0, gap), np.inf)
    rows, bands = np.ogrid[: p.count, :N_BANDS]
    first = np.argmax(present, axis=2)
    last = k - 1 - np.argmax(present[:, :, ::-1], axis=2)
    earlier = present.copy()
    earlier[rows, bands, last] = False
    before = k - 1 - np.argmax(earlier[:, :, ::-1], axis=2)
    two = earlier.any(2)
    bright = np.argmin(np.where(present, mag, np.inf), axis=2)

    def pick(values: FloatArray, index: IntArray) -> FloatArray:
        return np.asarray(values[rows, bands, index], dtype=float)

    return NightTable(
        t=night_t,
        mag=filled,
        err=filled_err,
        gap=gap,
        first_t=pick(t, first),
        first_mag=pick(mag, first),
        last_t=pick(t, last),
        last_mag=pick(mag, last),
        last_err=pick(err, last),
        before_t=np.where(two, pick(t, before), np.nan),
        before_mag=np.where(two, pick(mag, before), np.nan),
        before_err=np.where(two, pick(err, before), np.nan),
        bright_t=pick(t, bright),
        bright_mag=pick(mag, bright),
        count=present.sum(2),
        nights=any_band.sum(1),
        scatter=scatter,
    )
