"""The probability of one candidate night by night."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.kilonova.lightcurve import MAX_AGE_DAYS, NIGHT_DAYS, Event, LightCurve, Points, prepare
from mma_pipeline.science.kilonova.model import Model
from mma_pipeline.science.kilonova.nights import night_numbers

#: Candidates scored together: bounds memory.
_TOGETHER = 1000


def until(curve: LightCurve, mjd: float) -> LightCurve:
    """The part of a light curve up to and including an MJD (days)."""
    keep = curve.mjd <= mjd
    return LightCurve(
        curve.mjd[keep], curve.magnitude[keep], curve.error[keep],
        [b for b, k in zip(curve.band, keep, strict=True) if k], curve.upper_limit[keep],
    )  # fmt: skip


def nightly_scores(model: Model, curve: LightCurve, event: Event) -> list[dict[str, Any]]:
    """Score after each night with a detection in griz, oldest first.

    Each entry: mjd (days, end of the night's data), days since the merger, nights, p_phot, p_afterglow,
    p_afterglow_supernova, p_other, p_all_points (p_phot if no point were doubted), sufficient (False: insufficient data, the value is provisional) and slope_err (mag/day, None without a slope).
    """
    return nightly_scores_of(model, [curve], [event])[0]


def nightly_scores_of(
    model: Model, curves: Sequence[LightCurve], events: Sequence[Event]
) -> list[list[dict[str, Any]]]:
    """`nightly_scores` of several candidates, each against its event, in one pass of the model for many of them."""
    found: list[list[dict[str, Any]]] = []
    for start in range(0, len(curves), _TOGETHER):
        found += _scores_of(model, curves[start : start + _TOGETHER], events[start : start + _TOGETHER])
    return found


def _scores_of(model: Model, curves: Sequence[LightCurve], events: Sequence[Event]) -> list[list[dict[str, Any]]]:
    points = prepare(curves, events)
    owner, end, last = night_ends(points)
    found: list[list[dict[str, Any]]] = [[] for _ in curves]
    if not len(owner):
        return found
    scores = model.score_nights(curves, events, cut(points, owner, end), owner, end)
    columns = zip(
        owner.tolist(), last.tolist(), scores.nights.tolist(), scores.probability.tolist(),
        scores.all_points.tolist(), scores.sufficient.tolist(), scores.slope_err.tolist(), strict=True,
    )  # fmt: skip
    for candidate, days, nights, probability, all_points, sufficient, slope_err in columns:
        found[candidate].append(
            {
                "mjd": events[candidate].merger_mjd + days,
                "days": days,
                "nights": nights,
                "p_phot": probability[0],
                "p_afterglow": probability[1],
                "p_afterglow_supernova": probability[3],
                "p_other": probability[2],
                "p_all_points": all_points,
                "sufficient": sufficient,
                "slope_err": slope_err if math.isfinite(slope_err) else None,
            }
        )
    return found


def night_ends(points: Points) -> tuple[IntArray, FloatArray, FloatArray]:
    """Each night with a detection, by snapshot and time: its snapshot, where its data end, and its last detection, days (M,).

    Everything up to the next night's first detection belongs to a night, including limits.
    """
    rows = np.flatnonzero(~points.limit)
    rows = rows[np.lexsort((points.t[rows], points.snapshot[rows]))]
    owner, t = points.snapshot[rows], points.t[rows]
    if not len(rows):
        return owner, t, t
    number = night_numbers(owner, t)
    first = np.flatnonzero(np.r_[True, (owner[1:] != owner[:-1]) | (number[1:] != number[:-1])])
    last = np.r_[first[1:], len(rows)] - 1
    owner, start, latest = owner[first], t[first], t[last]
    following = np.full(len(start), MAX_AGE_DAYS)
    same = owner[1:] == owner[:-1]
    following[:-1][same] = start[1:][same] - 1e-9
    return owner, np.minimum(start + NIGHT_DAYS, following), latest


def cut(points: Points, owner: IntArray, end: FloatArray) -> Points:
    """M new snapshots: the points of snapshot `owner` (M,) up to and including `end` (M,), days since the merger."""
    begin = np.searchsorted(points.snapshot, owner, side="left")
    length = np.searchsorted(points.snapshot, owner, side="right") - begin
    snapshot = np.repeat(np.arange(len(owner), dtype=np.int64), length)
    rows = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length) + np.repeat(begin, length)
    keep = points.t[rows] <= end[snapshot]
    rows, snapshot = rows[keep], snapshot[keep]
    return Points(
        snapshot, points.t[rows], points.mag[rows], points.err[rows], points.band[rows], points.limit[rows],
        len(owner), points.modulus[owner], points.modulus_err[owner],
    )  # fmt: skip
