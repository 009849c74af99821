"""What one point, or one brightening band, may say: no probability stands on a single measurement that nothing supports.

A bad subtraction, a satellite's trail or a mistyped digit makes a fading transient of any supernova. Each point is
compared with the line through all others (every band with its own offset, one slope for all), against days and against
their logarithm. One that lies far off both is left out in turn, and where the rest speaks against a kilonova, it is
believed. One that nothing can be compared with, and that makes a jump in its band or an extreme colour with the next, holds the
probability below HELD; unless the line through all others, uncertain as it is, leads to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.kilonova import calibration
from mma_pipeline.science.kilonova.features import FEATURE_NAMES, Features
from mma_pipeline.science.kilonova.lightcurve import MAX_AGE_DAYS, N_BANDS, NIGHT_DAYS, BoolArray, Points

#: A point this far off all others, mag, and by so many of its deviations is suspect. Kilonovae fade by a magnitude a day,
#: each band at its pace; the errors meant here are larger.
FAR_MAG = 1.6
FAR_SIGMA = 3.0
#: A jump in a band that needs support, and the colour of a band's only point with a neighbouring band that does, mag.
FAR_JUMP = 1.3
FAR_COLOUR = 1.8
#: A jump this close to where the line of all others leads, mag, and within one of its deviations, is no surprise.
EXPECTED_MAG = 0.4
#: Detections of two bands up to so many days apart make a colour where no night has both.
MATCH_DAYS = 1.3
#: Added in quadrature to every error for this, mag: no light curve is a line.
CURVATURE = 0.1
#: The rest speaks against a kilonova where its probability is below this.
AGAINST = 0.7
#: In up to so many nights any of the points that contradict each other may be the wrong one, so that none is believed above HELD.
FEW_NIGHTS = 3
#: What an unsupported jump may reach.
HELD = 0.89
#: Points left out of one candidate: if more are far off, it is the source that varies and not a point that is wrong.
MOST = 4
#: Factor on the odds of what was seen in one band and only brightens. Its brightness alone speaks then, and of such young
#: supernovae a search meets far more than the class shares of the training say.
RISING_ODDS = 0.3
#: A fade from the brightest night that still counts as brightening, mag.
_FADED = 0.2


@dataclass(frozen=True, eq=False)
class Doubts:
    """K points without which their snapshots are scored again; arrays of shape (K,)."""

    rows: IntArray
    """Rows of the points; the same may stand twice."""
    jump: BoolArray
    """Whether it is a jump that nothing can be compared with; else it contradicts all others."""


def leave_out(p: Points, rows: IntArray) -> Points:
    """One snapshot for each of the `rows` (K,): the points of its snapshot without that row."""
    owner = p.snapshot[rows]
    begin, end = np.searchsorted(p.snapshot, owner, side="left"), np.searchsorted(p.snapshot, owner, side="right")
    length = end - begin
    snapshot = np.repeat(np.arange(len(rows), dtype=np.int64), length)
    taken = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length) + np.repeat(begin, length)
    keep = taken != np.repeat(rows, length)
    taken, snapshot = taken[keep], snapshot[keep]
    return Points(
        snapshot, p.t[taken], p.mag[taken], p.err[taken], p.band[taken], p.limit[taken], len(rows),
        p.modulus[owner], p.modulus_err[owner],
    )  # fmt: skip


def _off(p: Points, detected: IntArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Distance of each detection from the line through its snapshot's others, and its deviation, mag, both (N,).

    Least squares with an offset for each band and one slope, against x (N,). Leaving one out needs no second fit: the
    residual divided by what of the point is free of its own pull. An infinite deviation where nothing else speaks.
    """
    s = p.snapshot[detected]
    cell, cells = s * N_BANDS + p.band[detected], p.count * N_BANDS
    variance = p.err[detected] ** 2 + CURVATURE**2
    w, mag = 1 / variance, p.mag[detected]

    def mean(values: FloatArray) -> FloatArray:
        total = np.bincount(cell, weights=w * values, minlength=cells)
        return np.asarray(total[cell] / weight[cell])

    weight = np.bincount(cell, weights=w, minlength=cells)
    dx, dy = x - mean(x), mag - mean(mag)
    sxx = np.bincount(s, weights=w * dx * dx, minlength=p.count)[s]
    sxy = np.bincount(s, weights=w * dx * dy, minlength=p.count)[s]
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(sxx > 0, sxy / sxx, 0.0)
        free = 1 - w / weight[cell] - np.where(sxx > 0, w * dx * dx / sxx, 0.0)
        alone = free < 1e-6
        return (
            np.where(alone, 0.0, (dy - slope * dx) / free),
            np.where(alone, np.inf, np.sqrt(variance / np.maximum(free, 1e-6))),
        )


def _jump(p: Points, detected: IntArray) -> FloatArray:
    """Smaller of the differences to the detections before and after in the band, mag, (N,); zero without any."""
    cell, mag = p.snapshot[detected] * N_BANDS + p.band[detected], p.mag[detected]
    step = np.where(cell[1:] == cell[:-1], np.abs(np.diff(mag)), np.inf)
    nearest = np.minimum(np.r_[np.inf, step], np.r_[step, np.inf]) if len(detected) else np.empty(0)
    return np.where(np.isfinite(nearest), nearest, 0.0)


def _lone_colour(p: Points, detected: IntArray, lone: BoolArray) -> FloatArray:
    """Of each lone detection, the smaller colour with a detection of a neighbouring band, mag, (N,).

    It is compared with those of its night, else with the nearest up to MATCH_DAYS away, because some surveys change the filter from
    night to night. Zero for all others, and where there is nothing to compare with.
    """
    s, band, t, mag = p.snapshot[detected], p.band[detected], p.t[detected], p.mag[detected]
    # One axis for all snapshots; rows of a band are sorted on it already.
    axis = s * 4.0 * MAX_AGE_DAYS + t
    same, near_by = np.full(len(detected), np.inf), np.full(len(detected), np.inf)
    for step in (-1, 1):
        for k in range(N_BANDS):
            near, rows = np.flatnonzero(band == k + step), np.flatnonzero(lone & (band == k))
            if not len(near) or not len(rows):
                continue
            place = np.searchsorted(axis[near], axis[rows])
            for candidate in (near[np.maximum(place - 1, 0)], near[np.minimum(place, len(near) - 1)]):
                gap = np.abs(axis[rows] - axis[candidate])
                colour = np.abs(mag[rows] - mag[candidate])
                same[rows] = np.minimum(same[rows], np.where(gap < NIGHT_DAYS, colour, np.inf))
                near_by[rows] = np.minimum(near_by[rows], np.where(gap < MATCH_DAYS, colour, np.inf))
    out = np.where(np.isfinite(same), same, near_by)
    return np.where(np.isfinite(out), out, 0.0)


def suspects(p: Points) -> tuple[IntArray, IntArray]:
    """Rows of detections that contradict all others, and of jumps in time or colour that nothing can be compared with."""
    detected = np.flatnonzero(~p.limit)
    by_days, sigma = _off(p, detected, p.t[detected])
    by_log, sigma_log = _off(p, detected, 2.5 * np.log10(np.maximum(p.t[detected], 0.05)))
    far: BoolArray = np.ones(len(detected), dtype=bool)
    for distance, deviation in ((by_days, sigma), (by_log, sigma_log)):
        far &= (np.abs(distance) > FAR_MAG) & (np.abs(distance) > FAR_SIGMA * deviation)
    jump, colour = _jump(p, detected), _lone_colour(p, detected, np.isinf(sigma))
    expected = np.isfinite(sigma) & (np.abs(by_days) < np.minimum(EXPECTED_MAG, sigma))
    unsupported = ((FAR_SIGMA * sigma > FAR_JUMP) & (jump > FAR_JUMP) & ~far & ~expected) | (colour > FAR_COLOUR)
    return (
        _largest(p, detected[far], np.abs(by_days[far])),
        _largest(p, detected[unsupported], np.maximum(jump, colour)[unsupported]),
    )


def _largest(p: Points, rows: IntArray, size: FloatArray) -> IntArray:
    """Of rows (K,) the MOST of each snapshot with the largest size (K,)."""
    order = np.lexsort((rows, -size, p.snapshot[rows]))
    s = p.snapshot[rows][order]
    rank = np.arange(len(s)) - np.searchsorted(s, s, side="left")
    return np.asarray(rows[order][rank < MOST])


def rising_alone(f: Features) -> BoolArray:
    """What was seen in one band on two nights or more and only brightens, shape (S,)."""
    bands, slope, fade = (f.matrix[:, FEATURE_NAMES.index(name)] for name in ("bands", "slope", "fade"))
    with np.errstate(invalid="ignore"):
        return np.asarray((bands == 1) & (f.nights >= 2) & (slope < 0) & (fade < _FADED))


def less_sure(probability: FloatArray, f: Features) -> FloatArray:
    """Class probabilities (S, 4) with the odds of a kilonova lowered for what only brightens in one band."""
    kilonova = probability[:, 0]
    odds = kilonova / (1 - kilonova) * RISING_ODDS
    return with_kilonova(
        probability, np.where(rising_alone(f), np.maximum(odds / (1 + odds), calibration.CLIP[0]), kilonova)
    )


def with_kilonova(probability: FloatArray, kilonova: FloatArray) -> FloatArray:
    """Class probabilities (S, 4) with another share of kilonova (S,); the others keep their proportion."""
    rest = (1 - kilonova) / (1 - probability[:, 0])
    changed = np.concatenate([kilonova[:, None], probability[:, 1:] * rest[:, None]], axis=1)
    return np.where((kilonova == probability[:, 0])[:, None], probability, changed)


def doubts(p: Points) -> Doubts:
    """The points of `suspects`, those that contradict all others first."""
    contradicted, unsupported = suspects(p)
    rows = np.concatenate([contradicted, unsupported])
    return Doubts(rows, np.arange(len(rows)) >= len(contradicted))


def supported(p: Points, probability: FloatArray, nights: IntArray, doubted: Doubts, without: FloatArray) -> FloatArray:
    """Class probabilities (S, 4) of the points with what no second point supports taken out.

    `nights` (S,) is their number, `without` (K,) the probability of a kilonova without each of the doubted points (`leave_out`).
    """
    of = p.snapshot[doubted.rows]
    held = doubted.jump | ((nights[of] <= FEW_NIGHTS) & (without >= AGAINST))
    believed = np.where(without < AGAINST, without, 1.0)
    lowest = probability[:, 0].copy()
    np.minimum.at(lowest, of, np.where(held, np.maximum(without, HELD), believed))
    return with_kilonova(probability, lowest)
