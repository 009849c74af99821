"""Boosted trees as plain arrays: exported once from scikit-learn (`mma_pipeline.training.export`), evaluated with numpy alone.

Why not a pickle: loading one runs code, binds the file to one scikit-learn version, and starts with seconds of
imports. Every tree is padded to a full binary tree, so that all trees of all candidates descend together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray

#: Depth of the padded trees; training must not grow deeper.
DEPTH = 7
#: Inner nodes and leaves of a padded tree.
INNER = 2**DEPTH - 1
LEAVES = 2**DEPTH
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
        inner, leaf = (np.arange(trees, dtype=np.int32) * n for n in (INNER, LEAVES))
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
            found = value.take(node - INNER + leaf).astype(np.float64)
            out[begin : begin + _CHUNK] = found.reshape(len(x), -1, len(self.baseline)).sum(1)
        return out + self.baseline

    def probabilities(self, matrix: FloatArray) -> FloatArray:
        """Class probabilities, shape (S, C), rows sum to one, of features (S, F)."""
        score = self.decision(matrix)
        e = np.exp(score - score.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))
