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
#: From so many rows on, one tree at a time descends with all rows of a block: its nodes stay in the processor's nearest cache.
_MANY = 500
_BLOCK = 10_000


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
        single = matrix.astype(np.float32)
        missing = np.isnan(single)
        both = np.concatenate([np.where(missing, -np.inf, single), np.where(missing, np.inf, single)], axis=1)
        both = both.astype(np.float32)
        if len(both) < _MANY:
            return self._all_trees(both) + self.baseline
        parts = [self._tree_by_tree(both[begin : begin + _BLOCK]) for begin in range(0, len(both), _BLOCK)]
        return np.concatenate(parts) + self.baseline

    def _all_trees(self, both: npt.NDArray[np.float32]) -> FloatArray:
        """Sums of the leaves by class, shape (S, C), of few rows (S, 2F): all trees descend together."""
        out = np.empty((len(both), len(self.baseline)))
        trees = len(self.column)
        inner, leaf = (np.arange(trees, dtype=np.int32) * n for n in (INNER, LEAVES))
        column, threshold, value = self.column.ravel(), self.threshold.ravel(), self.value.ravel()
        for begin in range(0, len(both), _CHUNK):
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
            # One tree after the other, as below: a candidate scores the same alone and among many.
            out[begin : begin + _CHUNK] = np.add.accumulate(found.reshape(len(x), -1, len(self.baseline)), axis=1)[
                :, -1
            ]
        return out

    def _tree_by_tree(self, both: npt.NDArray[np.float32]) -> FloatArray:
        """The same of many rows: all rows descend together, one tree after the other."""
        rows, classes = len(both), len(self.baseline)
        flat = np.ascontiguousarray(both.T).ravel()
        column = self.column.astype(np.intp) * rows
        out = np.zeros((classes, rows))
        row = np.arange(rows, dtype=np.intp)
        node, at = np.empty(rows, dtype=np.intp), np.empty(rows, dtype=np.intp)
        x, threshold = np.empty(rows, dtype=np.float32), np.empty(rows, dtype=np.float32)
        right = np.empty(rows, dtype=bool)
        for tree in range(len(column)):
            columns, thresholds = column[tree], self.threshold[tree]
            np.greater(flat[columns[0] : columns[0] + rows], thresholds[0], out=right)
            np.add(right, 1, out=node)
            for _ in range(DEPTH - 1):
                # Every index is in range, so clipping changes nothing; it is the mode that needs no buffer.
                columns.take(node, out=at, mode="clip")
                at += row
                flat.take(at, out=x, mode="clip")
                thresholds.take(node, out=threshold, mode="clip")
                np.greater(x, threshold, out=right)
                node += node
                node += 1
                node += right
            node -= INNER
            out[tree % classes] += self.value[tree].take(node)
        return out.T

    def probabilities(self, matrix: FloatArray) -> FloatArray:
        """Class probabilities, shape (S, C), rows sum to one, of features (S, F)."""
        score = self.decision(matrix)
        e = np.exp(score - score.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))
