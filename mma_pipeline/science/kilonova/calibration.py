"""Calibration: one monotone curve per number of nights from the trees' score to a calibrated probability.

Here the curves are applied; `mma_pipeline.training.calibration` fits them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray

#: First night of each calibration group; the last group includes all later nights.
GROUPS: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
#: Limit of the odds from a light curve alone: a thousand to one.
CLIP = (0.001, 0.999)
#: Class shares to which the photometric probability refers: kilonova, afterglow, other.
REFERENCE: tuple[float, float, float] = (0.5, 0.1, 0.4)


def group(nights: IntArray) -> IntArray:
    """Calibration group of each number of nights, same shape; zero nights count as one."""
    return np.asarray(np.searchsorted(np.array(GROUPS), np.maximum(nights, 1), side="right") - 1)


def logit(p: FloatArray) -> FloatArray:
    """Log-odds of a probability, finite at 0 and 1 (clipped at 1e-6)."""
    q = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(q / (1 - q)))


@dataclass(frozen=True, eq=False)
class Calibration:
    """Knots of the curves, in log-odds, one row per group of nights; arrays of shape (G, K)."""

    score: FloatArray
    probability: FloatArray

    def apply(self, probability: FloatArray, nights: IntArray) -> FloatArray:
        """Calibrated class probabilities (S, 3) from raw ones (S, 3) after `nights` (S,), kilonova clipped.

        The kilonova's probability follows its curve; the other two share the rest in the same ratio as before.
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
