"""The probability of one candidate night by night."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mma_pipeline.science.kilonova.lightcurve import MAX_AGE_DAYS, NIGHT_DAYS, Event, LightCurve, prepare
from mma_pipeline.science.kilonova.model import Model
from mma_pipeline.science.kilonova.nights import night_numbers

#: Candidates scored together: bounds memory.
_TOGETHER = 200


def until(curve: LightCurve, mjd: float) -> LightCurve:
    """The part of a light curve up to and including an MJD (days)."""
    keep = curve.mjd <= mjd
    return LightCurve(
        curve.mjd[keep], curve.magnitude[keep], curve.error[keep],
        [b for b, k in zip(curve.band, keep, strict=True) if k], curve.upper_limit[keep],
    )  # fmt: skip


def nightly_scores(model: Model, curve: LightCurve, event: Event) -> list[dict[str, Any]]:
    """Score after each night with a detection in griz, oldest first.

    Each entry: mjd (days, end of the night's data), days since the merger, nights, p_phot, p_afterglow, p_other,
    p_all_points (p_phot if no point were doubted), sufficient (False: insufficient data, the value is provisional) and slope_err (mag/day, None without a slope).
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
    ends = [_ends(curve, event) for curve, event in zip(curves, events, strict=True)]
    parts = [
        until(curve, event.merger_mjd + end)
        for curve, event, some in zip(curves, events, ends, strict=True)
        for end, _ in some
    ]
    if not parts:
        return [[] for _ in curves]
    scores = model.score(parts, [event for event, some in zip(events, ends, strict=True) for _ in some])
    found: list[list[dict[str, Any]]] = []
    k = 0
    for event, some in zip(events, ends, strict=True):
        history = []
        for _, last in some:
            history.append(
                {
                    "mjd": event.merger_mjd + last,
                    "days": last,
                    "nights": int(scores.nights[k]),
                    "p_phot": float(scores.probability[k, 0]),
                    "p_afterglow": float(scores.probability[k, 1]),
                    "p_other": float(scores.probability[k, 2]),
                    "p_all_points": float(scores.all_points[k]),
                    "sufficient": bool(scores.sufficient[k]),
                    "slope_err": float(scores.slope_err[k]) if np.isfinite(scores.slope_err[k]) else None,
                }
            )
            k += 1
        found.append(history)
    return found


def _ends(curve: LightCurve, event: Event) -> list[tuple[float, float]]:
    """Of each night with a detection: where its data end, and when its last detection was, days since the merger."""
    points = prepare([curve], [event])
    t = points.t[~points.limit]
    if not len(t):
        return []
    number = night_numbers(np.zeros(len(t), dtype=np.int64), t)
    starts = np.array([t[number == k].min() for k in range(int(number.max()) + 1)])
    # Everything up to the next night's first detection belongs to the night, including limits.
    ends = np.minimum(starts + NIGHT_DAYS, np.append(starts[1:] - 1e-9, MAX_AGE_DAYS))
    return [(float(end), float(t[number <= k].max())) for k, end in enumerate(ends)]
