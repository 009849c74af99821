"""The trained model: its file format, and scoring of candidates.

The file is a numpy archive of plain arrays (pickled objects are refused), with a JSON header that describes the training
and a digest of all arrays, which is checked before the model is used.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.kilonova.calibration import CLIP, Calibration
from mma_pipeline.science.kilonova.features import FEATURE_NAMES, Features, compute
from mma_pipeline.science.kilonova.infrared import too_red, without_afterglow
from mma_pipeline.science.kilonova.lightcurve import BoolArray, Event, LightCurve, Points, joined, prepare, split
from mma_pipeline.science.kilonova.support import doubts, leave_out, less_sure, supported
from mma_pipeline.science.kilonova.trees import Trees, both_ways

FORMAT = "mma-kilonova-model/2"
#: A score is published once the error of one band's slope is at most this, mag per day.
MAX_SLOPE_ERR = 0.2
#: Afterglows with a supernova for each kilonova in the reference shares; the odds from which on they count against it, and the
#: first number of nights in which they do: no supernova shows in the first two.
SUPERNOVA_SHARE = 0.1
EVIDENT_ODDS = 0.5
EVIDENT_NIGHTS = 3
#: Snapshots whose features are computed together: their tables stay in the processor's cache, and memory is bounded.
_TOGETHER = 2_000
_TREES = ("column", "threshold", "value", "baseline")
_ARRAYS = (*_TREES, *(f"supernova_{name}" for name in _TREES), "score", "probability")


class ModelError(ValueError):
    """The file is not a usable model; the message says why."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Photometric probabilities of S candidates; they refer to the class shares `calibration.REFERENCE`."""

    probability: FloatArray
    """Kilonova, afterglow, other, afterglow with supernova; shape (S, 4), rows sum to one."""
    all_points: FloatArray
    """Probability of a kilonova if every point is trusted, shape (S,): larger than the first column of `probability` if
    that would rest on a single point."""
    sufficient: BoolArray
    """False if the data are insufficient, so that the probability is provisional. Shape (S,)."""
    nights: IntArray
    """Nights with a detection in griz, shape (S,)."""
    slope_err: FloatArray
    """Smallest error of one band's slope, mag per day, shape (S,); infinite where none."""


@dataclass(frozen=True, eq=False)
class Model:
    """Trees, calibration and their origin."""

    trees: Trees
    """Kilonova, afterglow, other."""
    supernova: Trees
    """Log-odds of an afterglow with supernova against a kilonova, at equal shares."""
    calibration: Calibration
    features: tuple[str, ...]
    info: Mapping[str, Any]
    """Seed, data and sizes of the training; JSON types only."""

    def score_points(self, points: Points) -> Scores:
        """Score cleaned points, one candidate per snapshot."""
        # All snapshots without their doubted points follow the others: one pass of the trees costs less than two.
        doubted, own = doubts(points), slice(points.count)
        p, nights, slope_err = self._with_all(joined(points, leave_out(points, doubted.rows)))
        held = supported(points, p[own], nights[own], doubted, p[points.count :, 0])
        sufficient = (slope_err[own] <= MAX_SLOPE_ERR) & (nights[own] > 0)
        return Scores(held, p[own, 0], np.asarray(sufficient), nights[own], slope_err[own])

    def _with_all(self, points: Points) -> tuple[FloatArray, IntArray, FloatArray]:
        """Class probabilities (S, 4) if every point is trusted, nights (S,), and errors of the best slope (S,)."""
        parts = [compute(part) for part in split(points, _TOGETHER)]
        f = Features(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("matrix", "nights", "best_slope_err")
            )
        )
        table = both_ways(f.matrix)
        three = self.calibration.apply(self.trees.probabilities_of(table), f.nights)
        four = with_supernova(three, self.supernova.decision_of(table)[:, 0], f.nights)
        return less_sure(four, f), f.nights, f.best_slope_err

    def score(self, curves: Sequence[LightCurve], events: Sequence[Event]) -> Scores:
        """Score S candidates, each against its event; raises ValueError if column lengths differ."""
        points = prepare(curves, events)
        return self.score_nights(curves, events, points, np.arange(len(curves)), np.full(len(curves), np.inf))

    def score_nights(
        self, curves: Sequence[LightCurve], events: Sequence[Event], points: Points, owner: IntArray, end: FloatArray
    ) -> Scores:
        """Score M snapshots, `points`, of the curves `owner` (M,) up to `end` (M,), days since the merger; the infrared included."""
        s = self.score_points(points)
        p, all_points = without_afterglow(s.probability, s.all_points, too_red(curves, events, owner, end))
        return replace(s, probability=p, all_points=all_points)


def with_supernova(probability: FloatArray, log_odds: FloatArray, nights: IntArray) -> FloatArray:
    """Probabilities of four classes (S, 4) from those of three (S, 3) and the log-odds of supernova to kilonova (S,).

    Bayes for one more class, at SUPERNOVA_SHARE. Below EVIDENT_ODDS or EVIDENT_NIGHTS (nights: (S,)) it takes only from the rest:
    a kilonova beside its own burst's afterglow looks similar at first (GRB 211211A: Rastinejad et al. 2022, Nature 612 223).
    """
    odds = SUPERNOVA_SHARE * np.exp(np.clip(log_odds, -20.0, 20.0))
    kilonova = probability[:, 0]
    less = np.maximum(kilonova / (1 + odds * kilonova), CLIP[0])
    evident = (odds > EVIDENT_ODDS) & (nights >= EVIDENT_NIGHTS)
    left = np.where(evident, np.minimum(less, kilonova), kilonova)
    rest = np.concatenate([probability[:, 1:], (odds * kilonova)[:, None]], axis=1)
    rest *= ((1 - left) / rest.sum(1))[:, None]
    return np.concatenate([left[:, None], rest], axis=1)


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    h = hashlib.sha256()
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name])
        h.update(f"{name} {a.dtype.str} {a.shape}\n".encode())
        h.update(a.tobytes())
    return h.hexdigest()


def _arrays(model: Model) -> dict[str, np.ndarray]:
    return {
        **_arrays_of(model.trees, ""),
        **_arrays_of(model.supernova, "supernova_"),
        "score": model.calibration.score.astype("<f8"),
        "probability": model.calibration.probability.astype("<f8"),
    }


def _arrays_of(trees: Trees, prefix: str) -> dict[str, np.ndarray]:
    kinds = zip(_TREES, ("<i2", "<f4", "<f4", "<f8"), strict=True)
    return {prefix + name: getattr(trees, name).astype(kind) for name, kind in kinds}


def _trees_of(arrays: Mapping[str, np.ndarray], prefix: str) -> Trees:
    column, threshold, value, baseline = (arrays[prefix + name] for name in _TREES)
    return Trees(column.astype(np.int32), threshold, value, baseline, len(FEATURE_NAMES))


def encode(model: Model) -> bytes:
    """The model's file; the same model gives the same bytes with the same release of Python, see `digest`."""
    arrays = _arrays(model)
    header = {
        "format": FORMAT,
        "features": list(model.features),
        "info": dict(model.info),
        "sha256": _digest(arrays),
    }
    text = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
    out = io.BytesIO()
    # numpy writes every member with the same fixed date, so nothing in the archive depends on the clock.
    members: dict[str, Any] = {"header": text, **arrays}
    np.savez_compressed(out, **members)
    return out.getvalue()


def decode(data: bytes) -> Model:
    """Read a model's file; raises ModelError for another format, other features or a wrong digest."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            header = json.loads(archive["header"].tobytes())
            arrays = {name: archive[name] for name in _ARRAYS}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as problem:
        raise ModelError(f"not a kilonova model: {problem}") from problem
    if header.get("format") != FORMAT:
        raise ModelError(f"model format {header.get('format')!r}, this version reads {FORMAT!r}: train it again")
    if header.get("sha256") != _digest(arrays):
        raise ModelError("the model's digest does not fit its arrays: the file is damaged or was changed")
    if tuple(header.get("features", ())) != FEATURE_NAMES:
        raise ModelError("the model was trained with other features than this version computes: train it again")
    curves = Calibration(arrays["score"], arrays["probability"])
    return Model(_trees_of(arrays, ""), _trees_of(arrays, "supernova_"), curves, FEATURE_NAMES, header["info"])


def digest(model: Model) -> str:
    """SHA-256 of the model's arrays, hexadecimal; identifies the model in everything that is published.

    Not that of the file: Python 3.11.2 and 3.11.7 write different headers of an archive's members.
    """
    return _digest(_arrays(model))


@lru_cache(maxsize=1)
def packaged() -> Model:
    """The model that comes with the package; raises ModelError if it is damaged."""
    return decode(files("mma_pipeline.science.kilonova").joinpath("model.npz").read_bytes())
