"""Fits the calibration curves that `mma_pipeline.science.kilonova.calibration` applies."""

from __future__ import annotations

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.kilonova.calibration import GROUPS, REFERENCE, Calibration, group, logit

#: Number of knots. Few, so that the curve is cautious near certainty: with more, more contaminants exceed 0.9 in late nights.
_KNOTS = 10


def reference_weights(label: IntArray, groups: IntArray) -> FloatArray:
    """Weights (S,) that give every group of nights the class shares REFERENCE; they sum to S."""
    weight = np.ones(len(label))
    for g in np.unique(groups):
        inside = groups == g
        for c, share in enumerate(REFERENCE):
            rows = inside & (label == c)
            if rows.any():
                weight[rows] = share * inside.sum() / rows.sum()
    return np.asarray(weight * len(label) / weight.sum())


def fit(probability: FloatArray, is_kilonova: IntArray, nights: IntArray, weight: FloatArray) -> Calibration:
    """Fit the curves on held-out raw kilonova probabilities (S,) with their truth, nights and weights (S,).

    Isotonic regression (Zadrozny & Elkan 2002) smoothed by averaging over quantiles of the score, so that the
    curve stays strictly monotone and does not jump to certainty on a handful of objects.
    """
    from sklearn.isotonic import IsotonicRegression

    x, which = logit(probability), group(nights)
    scores, curves = [], []
    for g in range(len(GROUPS)):
        rows = which == g
        order = np.argsort(x[rows], kind="stable")
        xs, ys, ws = x[rows][order], is_kilonova[rows][order].astype(float), weight[rows][order]
        parts = np.array_split(np.arange(len(xs)), _KNOTS)
        centre = np.array([np.average(xs[i], weights=ws[i]) for i in parts])
        # One pseudo-object with even odds in each bin keeps the log-odds finite.
        pseudo = np.average(ws)
        share = np.array([(np.sum(ys[i] * ws[i]) + 0.5 * pseudo) / (ws[i].sum() + pseudo) for i in parts])
        total = np.array([ws[i].sum() for i in parts])
        centre = centre + 1e-6 * np.arange(_KNOTS)
        smooth = IsotonicRegression().fit(centre, share, sample_weight=total).predict(centre)
        scores.append(centre)
        curves.append(logit(smooth))
    return Calibration(np.stack(scores), np.stack(curves))
