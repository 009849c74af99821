"""Trains the classifier: simulated sky, optional real negatives, boosted trees, calibration.

Deterministic: everything follows from the seed. The trees are grown with one OpenMP thread, because the sums of a
parallel reduction depend on the number of threads; the result is the same on any number of cores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.kilonova.calibration import GROUPS, REFERENCE, group
from mma_pipeline.science.kilonova.features import FEATURE_NAMES, Features, compute
from mma_pipeline.science.kilonova.lightcurve import NIGHT_DAYS, Points, clean
from mma_pipeline.science.kilonova.model import Model
from mma_pipeline.science.kilonova.nights import night_numbers
from mma_pipeline.science.kilonova.trees import DEPTH, Trees
from mma_pipeline.training.calibration import fit, reference_weights
from mma_pipeline.training.export import export
from mma_pipeline.training.negatives import RealTransient, after_mergers
from mma_pipeline.training.simulation import kasen
from mma_pipeline.training.simulation.population import FAMILIES, KILONOVA, OTHER, Sample, simulate

_CHUNK = 20_000
_MAX_NIGHT = 12
#: Number of fictitious mergers for each real negative.
_MERGERS = 8
#: Probability that a night becomes a training snapshot, and that a time up to so many days after it does.
_KEPT, _KEPT_AFTER, _AFTER_DAYS = 0.7, 0.23, 4.0
#: Weight of snapshots of the first and second night relative to later ones, because they are the hardest to classify.
_EARLY = (2.0, 1.5)


#: Fewest objects of the second model: of fewer, some feature might be missing everywhere.
_FEWEST = 2_000


@dataclass(frozen=True)
class Settings:
    """Settings of a training run; the defaults are those of the shipped model."""

    seed: int = 170817
    objects: int = 400_000
    """Simulated objects before those without a detection are dropped."""
    calibration_objects: int = 100_000
    iterations: int = 400
    learning_rate: float = 0.06
    """Low, so that what the model says of a single object depends little on which others it was trained with."""
    families: tuple[str, ...] = FAMILIES
    real_share: float = 0.3
    """Weight of all real negatives together, relative to the simulated "other"."""


@dataclass(frozen=True, eq=False)
class Table:
    """Features of S snapshots with their true classes."""

    features: Features
    label: IntArray
    """Index into CLASSES, shape (S,)."""
    owner: IntArray
    """Index of the object in its sample, shape (S,)."""


def cut(sample: Sample, owner: IntArray, until: FloatArray) -> Points:
    """Points of S snapshots: those of object `owner` (S,) before `until` (S,), days since the merger."""
    p = sample.points
    begin = np.searchsorted(p.owner, owner, side="left")
    end = np.searchsorted(p.owner, owner, side="right")
    length = end - begin
    snapshot = np.repeat(np.arange(len(owner), dtype=np.int64), length)
    rows = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length) + np.repeat(begin, length)
    keep = p.t[rows] < until[snapshot]
    rows, snapshot = rows[keep], snapshot[keep]
    return clean(
        snapshot, p.t[rows], p.mag[rows], p.err[rows], p.band[rows], p.limit[rows],
        sample.modulus[owner], sample.modulus_err[owner],
    )  # fmt: skip


def night_ends(sample: Sample) -> tuple[IntArray, IntArray, FloatArray]:
    """Object, number of nights (from 1) and end (days since the merger) of every night with a detection."""
    p = sample.points
    rows = np.flatnonzero(~p.limit & (p.t >= 0))
    number = night_numbers(p.owner[rows], p.t[rows])
    key = p.owner[rows] * 1000 + number
    values, first = np.unique(key, return_index=True)
    # Rows are sorted by object and time, so the first of a night is its earliest.
    return values // 1000, values % 1000 + 1, p.t[rows][first] + NIGHT_DAYS


def tabulate(sample: Sample, owner: IntArray, until: FloatArray) -> Table:
    """Features of snapshots, one row each (arguments as in `cut`)."""
    parts = [
        compute(cut(sample, owner[i : i + _CHUNK], until[i : i + _CHUNK])) for i in range(0, len(owner), _CHUNK)
    ] or [compute(cut(sample, owner, until))]
    joined = Features(
        matrix=np.concatenate([f.matrix for f in parts]).astype(np.float32).astype(np.float64),
        nights=np.concatenate([f.nights for f in parts]),
        best_slope_err=np.concatenate([f.best_slope_err for f in parts]),
    )
    return Table(joined, sample.label[owner], owner)


def every_night(sample: Sample, max_night: int = _MAX_NIGHT) -> Table:
    """One snapshot at the end of each of an object's nights, up to max_night."""
    owner, number, end = night_ends(sample)
    keep = number <= max_night
    return tabulate(sample, owner[keep], end[keep])


def training_nights(sample: Sample, rng: np.random.Generator) -> Table:
    """A random part of all nights, and some times in the days after a night, from which later limits are learned.

    Every night has the same chance, however many nights its object has, because a search scores each night of each
    candidate too.
    """
    owner, number, end = night_ends(sample)
    keep = number <= _MAX_NIGHT
    owner, end = owner[keep], end[keep]
    at, after = rng.random(len(owner)) < _KEPT, rng.random(len(owner)) < _KEPT_AFTER
    return tabulate(
        sample,
        np.concatenate([owner[at], owner[after]]),
        np.concatenate([end[at], end[after] + rng.uniform(0, _AFTER_DAYS, after.sum())]),
    )


def _weights(simulated: Table, real: int, share: float) -> FloatArray:
    """Weights of the simulated snapshots, then of the real ones, whose sum is `share` of the weight of simulated "other"."""
    nights = simulated.features.nights
    weight = reference_weights(simulated.label, group(nights))
    weight = weight * np.array([1.0, *_EARLY, 1.0])[np.minimum(nights, len(_EARLY) + 1)]
    weight *= len(weight) / weight.sum()
    other = float(weight[simulated.label == OTHER].sum())
    return np.concatenate([weight, np.full(real, share * other / max(real, 1))])


def train(settings: Settings, *, tables: kasen.Tables | None = None, real: Sequence[RealTransient] = ()) -> Model:
    """Train a model; `tables` are those of the third kilonova family, `real` negatives join as "other".

    The caller removes objects to be held out from `real` (`negatives.held_out`).

    Raises ValueError if `settings.families` asks for "kasen" without tables.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(settings.seed + 1)
    sample = simulate(settings.seed, settings.objects, families=settings.families, tables=tables, broad=True)
    table = training_nights(sample, rng)
    # Each real object is placed after several mergers, at several distances.
    extras = [training_nights(after_mergers(real, settings.seed + 10 + k), rng) for k in range(_MERGERS if real else 0)]
    matrix = np.concatenate([table.features.matrix, *(e.features.matrix for e in extras)])
    label = np.concatenate([table.label, *(e.label for e in extras)])
    classifier = HistGradientBoostingClassifier(
        max_iter=settings.iterations, learning_rate=settings.learning_rate, max_depth=DEPTH, max_leaf_nodes=63,
        min_samples_leaf=100, l2_regularization=5.0, max_features=0.5, early_stopping=False,
        random_state=settings.seed,
    )  # fmt: skip
    with threadpool_limits(limits=1):
        classifier.fit(matrix, label, sample_weight=_weights(table, len(label) - len(table.label), settings.real_share))
    trees = export(classifier, len(FEATURE_NAMES))
    supernova = train_supernova(settings, tables=tables)
    # The tabulated family has a share of a fifth here, between skies with a third and skies without it: families
    # differ most in their first night, and one curve has to suit all.
    calibrated = (*FAMILIES, *settings.families)
    # Calibrate on the broad sky too: if the real one is easier, the probability errs on the side of caution.
    held = every_night(
        simulate(settings.seed + 2, settings.calibration_objects, families=calibrated, tables=tables, broad=True)
    )
    raw = trees.probabilities(held.features.matrix)
    weight = reference_weights(held.label, group(held.features.nights))
    curve = fit(raw[:, 0], held.label == 0, held.features.nights, weight)
    return Model(trees, supernova, curve, FEATURE_NAMES, _info(settings, label, table, real))


def train_supernova(settings: Settings, *, tables: kasen.Tables | None = None) -> Trees:
    """Trees that tell afterglows with a supernova from kilonovae, both with equal weight in each group of nights.

    A quarter of the objects and three tenths of the rounds are enough for two classes.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    sample = simulate(
        settings.seed + 5, max(settings.objects // 4, _FEWEST), families=settings.families, tables=tables, broad=True,
        shares=(0.5, 0.0, 0.0, 0.5),
    )  # fmt: skip
    table = training_nights(sample, np.random.default_rng(settings.seed + 6))
    nights, other = group(table.features.nights), table.label != KILONOVA
    number = np.bincount(2 * nights + other, minlength=2 * len(GROUPS))
    weight = 0.5 * (number[2 * nights] + number[2 * nights + 1]) / number[2 * nights + other]
    classifier = HistGradientBoostingClassifier(
        max_iter=max(3 * settings.iterations // 10, 1), learning_rate=0.15, max_depth=DEPTH, max_leaf_nodes=31,
        min_samples_leaf=100, l2_regularization=5.0, max_features=0.5, early_stopping=False, random_state=settings.seed,
    )  # fmt: skip
    with threadpool_limits(limits=1):
        classifier.fit(table.features.matrix, other, sample_weight=weight)
    return export(classifier, len(FEATURE_NAMES))


def _info(settings: Settings, label: IntArray, simulated: Table, real: Sequence[RealTransient]) -> dict[str, object]:
    """Description of the training for the model's header; JSON values."""
    names = hashlib.sha256("\n".join(sorted(r.name for r in real)).encode()).hexdigest()
    return {
        **asdict(settings),
        "families": list(settings.families),
        "snapshots": len(label),
        "snapshots_simulated": len(simulated.label),
        "real_negatives": len(real),
        "real_negatives_sha256": names if real else None,
        "reference_shares": list(REFERENCE),
    }
