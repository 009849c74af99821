"""The classifier's features: slopes, colours, fades, limits, absolute magnitudes and times of a light curve.

A feature that cannot be computed is NaN and stays so; the trees have a branch of their own for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.kilonova.bands import BANDS, WAVELENGTH_UM
from mma_pipeline.science.kilonova.lightcurve import N_BANDS, NIGHT_DAYS, Points
from mma_pipeline.science.kilonova.nights import NightTable, night_numbers, night_table

#: A line through less than this span is not a slope, days: two exposures of one visit differ by noise only.
MIN_SPAN_DAYS = 0.01
_COLOURS = ((0, 1), (1, 2), (2, 3), (0, 2), (1, 3))
_COLOUR_MATCH_DAYS = 1.3
_PER_BAND = (
    "slope", "slope_err", "recent_slope", "recent_slope_err", "fade", "rise", "abs_mag", "last_err", "limit_fade",
    "limit_fade_rate", "limit_rise_rate", "nights",
)  # fmt: skip
_COLOUR_NAMES = [f"{BANDS[a]}-{BANDS[b]}" for a, b in _COLOURS]
_GLOBAL = (
    "slope", "slope_err", "slope_snr", "power", "power_err", "chi2_line", "chi2_power", "recent_slope",
    "recent_slope_err", "t_first", "t_last", "span", "nights", "bands", "abs_mag_brightest", "modulus_err",
    "scatter_in_night", "best_slope_err", "limit_fade", "limit_fade_rate", "fade", "t_brightest", "steepest",
    "shallowest", "rebrightening", "rebrightening_snr", "acceleration", "limit_rise_rate", "unseen_before",
    "unseen_before_days", "sed_slope", "sed_slope_err", "sed_chi2",
)  # fmt: skip

FEATURE_NAMES: tuple[str, ...] = (
    *(f"{name}_{band}" for band in BANDS for name in _PER_BAND),
    *(f"colour_{c}" for c in _COLOUR_NAMES),
    *(f"colour_err_{c}" for c in _COLOUR_NAMES),
    *(f"colour_rate_{c}" for c in _COLOUR_NAMES),
    *(f"colour_above_{c}" for c in _COLOUR_NAMES),
    *(f"colour_below_{c}" for c in _COLOUR_NAMES),
    *_GLOBAL,
)


@dataclass(frozen=True, eq=False)
class Features:
    """Features of S snapshots."""

    matrix: FloatArray
    """Shape (S, len(FEATURE_NAMES)); magnitudes, mag per day, days; NaN where missing."""
    nights: IntArray
    """Nights with a detection in griz, shape (S,)."""
    best_slope_err: FloatArray
    """Smallest error of one band's slope, mag per day, shape (S,); infinite where no band has one."""


@dataclass(frozen=True, eq=False)
class _Lines:
    """Weighted straight lines through each snapshot's bands, shape (S, B) unless said otherwise."""

    slope: FloatArray
    err: FloatArray
    common: FloatArray
    common_err: FloatArray
    chi2: FloatArray
    freedom: FloatArray


def _lines(p: Points, x: FloatArray, keep: np.ndarray) -> _Lines:
    """Lines of magnitude against x (shape of p.t), each band with its own offset, and one slope for all bands."""
    s, b = p.snapshot[keep], p.band[keep]
    cell = s * N_BANDS + b
    w = p.err[keep] ** -2
    cells = p.count * N_BANDS

    def total(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(cell, weights=values, minlength=cells), dtype=float)

    with np.errstate(invalid="ignore", divide="ignore"):
        sw = total(w)
        dx = x[keep] - (total(w * x[keep]) / sw)[cell]
        dy = p.mag[keep] - (total(w * p.mag[keep]) / sw)[cell]
        # A time span of rounding errors would give an absurdly precise slope; such a cell has no line.
        sxx, sxy, syy = total(w * dx * dx), total(w * dx * dy), total(w * dy * dy)
        usable = sxx > sw * (MIN_SPAN_DAYS / 2) ** 2
        sxx = np.where(usable, sxx, 0.0)
        sxy = np.where(usable, sxy, 0.0)
        slope = np.where(usable, sxy / sxx, np.nan).reshape(-1, N_BANDS)
        err = np.where(usable, sxx**-0.5, np.nan).reshape(-1, N_BANDS)
        gxx, gxy = sxx.reshape(-1, N_BANDS).sum(1), sxy.reshape(-1, N_BANDS).sum(1)
        common = np.where(gxx > 0, gxy / gxx, np.nan)
        common_err = np.where(gxx > 0, gxx**-0.5, np.nan)
        chi2 = syy.reshape(-1, N_BANDS).sum(1) - np.where(gxx > 0, gxy**2 / gxx, 0.0)
    n = np.bincount(cell, minlength=cells).reshape(-1, N_BANDS)
    freedom = np.maximum(n - 1, 0).sum(1) - (gxx > 0)
    return _Lines(slope, err, common, common_err, chi2, freedom)


def _recent(n: NightTable) -> tuple[FloatArray, FloatArray]:
    """Slope between the last two nights of each band (mag per day) and its error, shape (S, B)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        dt = n.last_t - n.before_t
        slope = (n.last_mag - n.before_mag) / dt
        return slope, np.hypot(n.last_err, n.before_err) / dt


def _limits(p: Points, n: NightTable) -> FloatArray:
    """Per band (S, B, 3): fade to a later limit (mag), its rate, and rise rate from an earlier limit (mag per day)."""
    out = np.full((p.count * N_BANDS, 3), np.nan)
    rows = np.flatnonzero(p.limit)
    cell = p.snapshot[rows] * N_BANDS + p.band[rows]
    with np.errstate(invalid="ignore"):
        after = p.t[rows] - n.last_t.ravel()[cell]
        before = n.first_t.ravel()[cell] - p.t[rows]
        fade = p.mag[rows] - n.last_mag.ravel()[cell]
        rise = p.mag[rows] - n.first_mag.ravel()[cell]
        late, early = after > 0, before > 0
        np.fmax.at(out[:, 0], cell[late], fade[late])
        np.fmax.at(out[:, 1], cell[late], fade[late] / np.maximum(after[late], 0.2))
        np.fmax.at(out[:, 2], cell[early], rise[early] / np.maximum(before[early], 0.2))
    return out.reshape(p.count, N_BANDS, 3)


def _colours(n: NightTable) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Latest colour of each pair, its error (mag) and its rate of change (mag per day), each of shape (S, pairs).

    A band that rotates through the nights is compared with the line between its neighbouring nights.
    """
    value, error, rate = [], [], []
    for a, b in _COLOURS:
        gap = np.fmax(n.gap[:, a], n.gap[:, b])
        both = gap <= _COLOUR_MATCH_DAYS
        colour = np.where(both, n.mag[:, a] - n.mag[:, b], np.nan)
        err = np.where(both, np.hypot(n.err[:, a], n.err[:, b]) + 0.1 * gap, np.nan)
        last = n.nights_axis - 1 - np.argmax(both[:, ::-1], axis=1)
        first = np.argmax(both, axis=1)
        rows = np.arange(len(colour))
        value.append(colour[rows, last])
        error.append(err[rows, last])
        with np.errstate(invalid="ignore", divide="ignore"):
            dt = n.t[rows, last] - n.t[rows, first]
            rate.append(np.where(dt > NIGHT_DAYS / 2, (colour[rows, last] - colour[rows, first]) / dt, np.nan))
    return np.stack(value, 1), np.stack(error, 1), np.stack(rate, 1)


def _colour_limits(p: Points, n: NightTable) -> tuple[FloatArray, FloatArray]:
    """Colours that one band's limit allows beside the other's detection, mag, (S, pairs): redder than, bluer than.

    Most candidates are found in one or two bands at first. Non-detections in the others in the same night are then the only
    information about the colour.
    """
    redder, bluer = (np.full((p.count, len(_COLOURS)), np.nan) for _ in range(2))
    rows = np.flatnonzero(p.limit)
    s, band = p.snapshot[rows], p.band[rows]
    away = np.abs(n.t[s] - p.t[rows, None])
    night = np.argmin(np.where(np.isfinite(away), away, np.inf), axis=1)
    near = away[np.arange(len(rows)), night] < NIGHT_DAYS
    for k, (a, b) in enumerate(_COLOURS):
        for limited, seen, out, how, sign in ((a, b, redder, np.fmax, 1.0), (b, a, bluer, np.fmin, -1.0)):
            use = near & (band == limited)
            use &= n.gap[s, seen, night] == 0
            how.at(out[:, k], s[use], sign * (p.mag[rows[use]] - n.mag[s[use], seen, night[use]]))
    return redder, bluer


def _spectrum(n: NightTable) -> FloatArray:
    """Line through the bands of the last night with two of them, shape (S, 3).

    Slope in mag per factor e in wavelength, its error, and the line's reduced chi-squared (from three bands on). It
    says in one number what the pairs of bands say with the noise of two bands each.
    """
    near = n.gap <= _COLOUR_MATCH_DAYS
    two = near.sum(1) >= 2
    last = (n.nights_axis - 1 - np.argmax(two[:, ::-1], axis=1))[:, None, None]
    mag, err, gap = (np.take_along_axis(v, last, axis=2)[:, :, 0] for v in (n.mag, n.err, n.gap))
    used = np.take_along_axis(near, last, axis=2)[:, :, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        w = np.where(used, (err + 0.1 * gap) ** -2, 0.0)
        x, y = np.log(WAVELENGTH_UM), np.where(used, mag, 0.0)
        total = w.sum(1)
        dx = x - ((w * x).sum(1) / total)[:, None]
        dy = y - ((w * y).sum(1) / total)[:, None]
        sxx = (w * dx**2).sum(1)
        slope = (w * dx * dy).sum(1) / sxx
        bands = used.sum(1)
        chi2 = (w * (dy - slope[:, None] * dx) ** 2).sum(1) / (bands - 2)
    out = np.stack([slope, sxx**-0.5, np.where(bands > 2, chi2, np.nan)], axis=1)
    return np.where(two.any(1)[:, None], out, np.nan)


def _unseen_before(p: Points, n: NightTable, first: FloatArray) -> FloatArray:
    """What limits in any band before the first detection (days, (S,)) say, shape (S, 2).

    Mag from the brightest band of the first night to the deepest such limit, and days since the last of them.
    """
    out = np.full((p.count, 2), np.nan)
    rows = np.flatnonzero(p.limit)
    rows = rows[p.t[rows] < first[p.snapshot[rows]]]
    s = p.snapshot[rows]
    brightest = _nan_reduce(np.where(n.gap[:, :, 0] == 0, n.mag[:, :, 0], np.nan), np.fmin)
    np.fmax.at(out[:, 0], s, p.mag[rows] - brightest[s])
    np.fmin.at(out[:, 1], s, first[s] - p.t[rows])
    return out


def _rebrightening(n: NightTable) -> tuple[FloatArray, FloatArray]:
    """Largest return towards brightness after having been fainter, in any band: mag and in units of its error, (S,).

    Zero for a source that only fades, as a kilonova does from its second day; active nuclei and variable stars brighten again.
    """
    faintest = np.fmax.accumulate(n.mag, axis=2)
    back = faintest - n.mag
    size = _nan_reduce(_nan_reduce(back, np.fmax), np.fmax)
    return size, _nan_reduce(_nan_reduce(back / n.err, np.fmax), np.fmax)


def _nan_reduce(values: FloatArray, how: np.ufunc) -> FloatArray:
    """Reduce the last axis leaving NaN out; NaN where nothing is left."""
    return np.asarray(how.reduce(values, axis=-1))


def compute(p: Points) -> Features:
    """Features of every snapshot of cleaned points; units as in `Features`."""
    detected = np.flatnonzero(~p.limit)
    night = night_numbers(p.snapshot[detected], p.t[detected])
    n = night_table(p, detected, night)
    line = _lines(p, p.t, detected)
    power = _lines(p, 2.5 * np.log10(np.maximum(p.t, 0.05)), detected)
    recent, recent_err = _recent(n)
    limits = _limits(p, n)
    colour, colour_err, colour_rate = _colours(n)
    redder, bluer = _colour_limits(p, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        fade, rise = n.last_mag - n.bright_mag, n.first_mag - n.bright_mag
        abs_mag = n.last_mag - p.modulus[:, None]
        per_band = np.stack(
            [line.slope, line.err, recent, recent_err, fade, rise, abs_mag, n.last_err, *np.moveaxis(limits, 2, 0),
             np.where(n.count > 0, n.count, np.nan)],
            axis=2,
        ).reshape(p.count, -1)  # fmt: skip
        weight = np.where(np.isfinite(recent_err), recent_err**-2, 0.0)
        total = weight.sum(1)
        recent_all = np.where(total > 0, np.nansum(np.where(weight > 0, recent, 0.0) * weight, axis=1) / total, np.nan)
        brightest = _nan_reduce(n.bright_mag, np.fmin)
        has = np.isfinite(n.bright_mag)
        band_of_peak = np.argmin(np.where(has, n.bright_mag, np.inf), axis=1)
        best = _nan_reduce(line.err, np.fmin)
        back, back_snr = _rebrightening(n)
        first, last = _nan_reduce(n.first_t, np.fmin), _nan_reduce(n.last_t, np.fmax)
        unseen = _unseen_before(p, n, first)
        overall = np.stack(
            [
                line.common, line.common_err, line.common / line.common_err, power.common, power.common_err,
                np.where(line.freedom > 0, line.chi2 / np.maximum(line.freedom, 1), np.nan),
                np.where(line.freedom > 0, (power.chi2 - line.chi2) / np.maximum(line.freedom, 1), np.nan),
                recent_all, np.where(total > 0, total**-0.5, np.nan), first, last, last - first,
                n.nights.astype(float), has.sum(1).astype(float), brightest - p.modulus, p.modulus_err,
                n.scatter, best, _nan_reduce(limits[:, :, 0], np.fmax), _nan_reduce(limits[:, :, 1], np.fmax),
                _nan_reduce(fade, np.fmax), n.bright_t[np.arange(p.count), band_of_peak],
                _nan_reduce(line.slope, np.fmax), _nan_reduce(line.slope, np.fmin), back, back_snr,
                recent_all - line.common, _nan_reduce(limits[:, :, 2], np.fmax), unseen[:, 0], unseen[:, 1],
                *_spectrum(n).T,
            ],
            axis=1,
        )  # fmt: skip
    matrix = np.concatenate([per_band, colour, colour_err, colour_rate, redder, bluer, overall], axis=1)
    return Features(matrix, n.nights, np.where(np.isfinite(best), best, np.inf))
