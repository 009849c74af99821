"""Calibration: one monotone curve per number of nights from the trees' score to an honest probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.skymaps.model import FloatArray, IntArray

#: First night of each calibration group; the last takes in everything later.
GROUPS: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
#: No light curve alone says more than a thousand to one.
CLIP = (0.001, 0.999)
#: Class shares to which the photometric probability refers: kilonova, afterglow, other.
REFERENCE: tuple[float, float, float] = (0.5, 0.1, 0.4)
#: Few, so that the curve is cautious near certainty: more of them let more contaminants past 0.9 in late nights.
_KNOTS = 10


def group(nights: IntArray) -> IntArray:
    """Calibration group of each number of nights, same shape; zero nights count as one."""
    return np.asarray(np.searchsorted(np.array(GROUPS), np.maximum(nights, 1), side="right") - 1)


def logit(p: FloatArray) -> FloatArray:
    """Log-odds of a probability, finite at 0 and 1 (held within 1e-6)."""
    q = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(q / (1 - q)))


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


@dataclass(frozen=True, eq=False)
class Calibration:
    """Knots of the curves, in log-odds, one row per group of nights; arrays of shape (G, K)."""

    score: FloatArray
    probability: FloatArray

    def apply(self, probability: FloatArray, nights: IntArray) -> FloatArray:
        """Calibrated class probabilities (S, 3) of raw ones (S, 3) after so many nights (S,), kilonova clipped.

        The kilonova's share is moved along its curve; the other two share what is left as before.
        """
        x = logit(probability[:, 0])
        out = np.empty(len(x))
        which = group(nights)
        for g in range(len(self.score)):
            rows = which == g
            out[rows] = np.interp(x[rows], self.score[g], self.probability[g])
        kilonova = np.clip(1 / (1 + np.exp(-out)), *CLIP)
        rest = np.maximum(probability[:, 1:].sum(1), 1e-12)
        others = probability[:, 1:] * ((1 - kilonova) / rest)[:, None]
        return np.concatenate([kilonova[:, None], others], axis=1)


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
        # One pseudo-object at even odds in each bin keeps the log-odds finite.
        pseudo = np.average(ws)
        share = np.array([(np.sum(ys[i] * ws[i]) + 0.5 * pseudo) / (ws[i].sum() + pseudo) for i in parts])
        total = np.array([ws[i].sum() for i in parts])
        centre = centre + 1e-6 * np.arange(_KNOTS)
        smooth = IsotonicRegression().fit(centre, share, sample_weight=total).predict(centre)
        scores.append(centre)
        curves.append(logit(smooth))
    return Calibration(np.stack(scores), np.stack(curves))
