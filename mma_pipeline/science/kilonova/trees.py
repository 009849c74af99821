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
_BLOCK = 12_000
#: Levels at whose nodes every row is compared, and the answer of its own node then chosen: dearer in comparisons, but without looking
#: anything up. That of many rows, and that of fewer than `_WIDE`, for which a call costs more than what it does.
_TOP, _TOP_OF_FEW = 4, 2
_WIDE = 3_000


def both_ways(matrix: FloatArray) -> npt.NDArray[np.float32]:
    """The table that trees compare with, shape (2F, S), of features (S, F): NaN as -infinity, then the same with it as +infinity."""
    features = matrix.shape[1]
    table = np.empty((2 * features, len(matrix)), dtype=np.float32)
    low, high = table[:features], table[features:]
    low[:] = matrix.T
    high[:] = low
    missing = np.isnan(low)
    low[missing] = -np.inf
    high[missing] = np.inf
    return table


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
        return self.decision_of(both_ways(matrix))

    def decision_of(self, table: npt.NDArray[np.float32]) -> FloatArray:
        """The same of a table (2F, S) made by `both_ways`, which several sets of trees may share."""
        rows = table.shape[1]
        if rows < _MANY:
            return self._all_trees(np.ascontiguousarray(table.T)) + self.baseline
        parts = [
            self._tree_by_tree(np.ascontiguousarray(table[:, begin : begin + _BLOCK]))
            for begin in range(0, rows, _BLOCK)
        ]
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

    def _tree_by_tree(self, table: npt.NDArray[np.float32]) -> FloatArray:
        """The same of many rows (2F, S): all rows descend together, one tree after the other."""
        rows, classes = table.shape[1], len(self.baseline)
        top = _TOP if rows >= _WIDE else _TOP_OF_FEW
        flat = table.ravel()
        begins = self.column[:, 2**top - 1 :].astype(np.intp) * rows
        tops = self.column[:, : 2**top - 1].tolist()
        out = np.zeros((classes, rows))
        answers = np.empty((2 ** (top - 1), rows), dtype=bool)
        bits, turns = answers.view(np.uint8), np.empty((top, rows), dtype=np.uint8)
        other = np.empty((2 ** (top - 2), rows), dtype=np.uint8)
        row = np.arange(rows, dtype=np.intp)
        small, node, at = np.empty(rows, dtype=np.uint8), np.empty(rows, dtype=np.intp), np.empty(rows, dtype=np.intp)
        x, threshold = np.empty(rows, dtype=np.float32), np.empty(rows, dtype=np.float32)
        right = np.empty(rows, dtype=bool)
        for tree in range(len(tops)):
            thresholds, columns = self.threshold[tree], tops[tree]
            for level in range(top):
                width = 2**level
                for k in range(width):
                    np.greater(table[columns[width - 1 + k]], thresholds[width - 1 + k], out=answers[k])
                # Each turn taken above leaves one half of the level's nodes.
                for turn in turns[:level]:
                    width //= 2
                    left, differs = bits[:width], other[:width]
                    np.bitwise_xor(left, bits[width : 2 * width], out=differs)
                    differs &= turn
                    left ^= differs
                turns[level] = bits[0]
            small[:] = turns[0]
            for turn in turns[1:]:
                small += small
                small += turn
            for level in range(top, DEPTH):
                first, end = 2**level - 1, 2 ** (level + 1) - 1
                node[:] = small
                # Every index is in range, so clipping changes nothing; it is the mode that needs no buffer.
                begins[tree, first - 2**top + 1 : end - 2**top + 1].take(node, out=at, mode="clip")
                at += row
                flat.take(at, out=x, mode="clip")
                thresholds[first:end].take(node, out=threshold, mode="clip")
                np.greater(x, threshold, out=right)
                small += small
                small += right.view(np.uint8)
            node[:] = small
            out[tree % classes] += self.value[tree].take(node)
        return out.T

    def probabilities(self, matrix: FloatArray) -> FloatArray:
        """Class probabilities, shape (S, C), rows sum to one, of features (S, F)."""
        return self.probabilities_of(both_ways(matrix))

    def probabilities_of(self, table: npt.NDArray[np.float32]) -> FloatArray:
        """The same of a table (2F, S) made by `both_ways`."""
        score = self.decision_of(table)
        e = np.exp(score - score.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))
