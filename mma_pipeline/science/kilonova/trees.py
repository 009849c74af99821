"""Boosted trees as plain arrays: exported once from scikit-learn, evaluated with numpy alone.

Why not a pickle: loading one runs code, binds the file to one scikit-learn version, and starts with seconds of
imports. Every tree is padded to a full binary tree, so that all trees of all candidates descend together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.skymaps.model import FloatArray

#: Depth of the padded trees; training must not grow deeper.
DEPTH = 7
_INNER = 2**DEPTH - 1
_LEAVES = 2**DEPTH
_CHUNK = 32


@dataclass(frozen=True, eq=False)
class Trees:
    """T trees for C classes; tree k adds to class k modulo C."""

    column: npt.NDArray[np.int32]
    """Column compared at each inner node, shape (T, 127). Columns F to 2F-1 are the same features with NaN as
    +infinity, so that a missing value goes right; columns 0 to F-1 have it as -infinity."""
    threshold: npt.NDArray[np.float32]
    """A value above goes right, shape (T, 127)."""
    value: npt.NDArray[np.float32]
    """Leaf values, log-odds, shape (T, 128)."""
    baseline: FloatArray
    """Log-odds before the first tree, shape (C,)."""
    features: int
    """F, the number of features."""

    def decision(self, matrix: FloatArray) -> FloatArray:
        """Raw scores, shape (S, C), of features (S, F); rows do not influence each other."""
        out = np.empty((len(matrix), len(self.baseline)))
        single = matrix.astype(np.float32)
        missing = np.isnan(single)
        both = np.concatenate([np.where(missing, -np.inf, single), np.where(missing, np.inf, single)], axis=1)
        both = both.astype(np.float32)
        trees = len(self.column)
        inner, leaf = (np.arange(trees, dtype=np.int32) * n for n in (_INNER, _LEAVES))
        column, threshold, value = self.column.ravel(), self.threshold.ravel(), self.value.ravel()
        for begin in range(0, len(matrix), _CHUNK):
            x = both[begin : begin + _CHUNK]
            row = (np.arange(len(x), dtype=np.int32) * x.shape[1])[:, None]
            flat = x.ravel()
            node = np.zeros((len(x), trees), dtype=np.int32)
            for _ in range(DEPTH):
                at = node + inner
                right = flat.take(column.take(at) + row) > threshold.take(at)
                node += node
                node += 1
                node += right
            found = value.take(node - _INNER + leaf).astype(np.float64)
            out[begin : begin + _CHUNK] = found.reshape(len(x), -1, len(self.baseline)).sum(1)
        return out + self.baseline

    def probabilities(self, matrix: FloatArray) -> FloatArray:
        """Class probabilities, shape (S, C), rows sum to one, of features (S, F)."""
        score = self.decision(matrix)
        e = np.exp(score - score.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))


def export(classifier: Any, features: int) -> Trees:
    """Arrays of a fitted multi-class HistGradientBoostingClassifier grown no deeper than DEPTH.

    Raises ValueError for a deeper tree or a categorical split. scikit-learn has no public view of its trees; the
    test suite compares the result with its `predict_proba`.
    """
    columns, thresholds, values = [], [], []
    for iteration in classifier._predictors:
        for predictor in iteration:
            column = np.zeros(_INNER, dtype=np.int32)
            threshold = np.full(_INNER, np.inf, dtype=np.float32)
            value = np.zeros(_LEAVES, dtype=np.float32)
            stack = [(0, 0, 0)]
            while stack:
                source, target, depth = stack.pop()
                node = predictor.nodes[source]
                if node["is_leaf"]:
                    # An unused branch compares with +infinity, which always goes left.
                    value[((target + 1) << (DEPTH - depth)) - _LEAVES] = node["value"]
                    continue
                if depth >= DEPTH or node["is_categorical"]:
                    raise ValueError("only numerical trees of the padded depth can be exported")
                cut = np.float32(node["num_threshold"])
                # Rounded down, so that every single-precision value falls on the side it had in double precision. A
                # split "missing or not" has an infinite threshold, which must stay below a missing value's infinity.
                cut = np.nextafter(cut, np.float32(-np.inf)) if cut > node["num_threshold"] else cut
                threshold[target] = min(cut, np.finfo(np.float32).max)
                column[target] = node["feature_idx"] + (0 if node["missing_go_to_left"] else features)
                stack.append((int(node["left"]), 2 * target + 1, depth + 1))
                stack.append((int(node["right"]), 2 * target + 2, depth + 1))
            columns.append(column)
            thresholds.append(threshold)
            values.append(value)
    baseline = np.asarray(classifier._baseline_prediction, dtype=float).ravel()
    return Trees(np.stack(columns), np.stack(thresholds), np.stack(values), baseline, features)
