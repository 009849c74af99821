"""Turns scikit-learn's boosted trees into the arrays that `mma_pipeline.science.kilonova.trees` evaluates."""

from __future__ import annotations

from typing import Any

import numpy as np

from mma_pipeline.science.kilonova.trees import DEPTH, INNER, LEAVES, Trees


def export(classifier: Any, features: int) -> Trees:
    """Arrays of a fitted HistGradientBoostingClassifier grown no deeper than DEPTH.

    Raises ValueError for a deeper tree or a categorical split. scikit-learn has no public view of its trees; the
    test suite compares the result with its `predict_proba`.
    """
    columns, thresholds, values = [], [], []
    for iteration in classifier._predictors:
        for predictor in iteration:
            column = np.zeros(INNER, dtype=np.int32)
            threshold = np.full(INNER, np.inf, dtype=np.float32)
            value = np.zeros(LEAVES, dtype=np.float32)
            stack = [(0, 0, 0)]
            while stack:
                source, target, depth = stack.pop()
                node = predictor.nodes[source]
                if node["is_leaf"]:
                    # An unused node compares with +infinity, so that every value goes left.
                    value[((target + 1) << (DEPTH - depth)) - LEAVES] = node["value"]
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
