"""Real transients other than kilonovae, placed after fictitious mergers, for training and evaluation.

A real supernova has no merger, so it is given a fictitious one: shortly before its first detection, like a new transient in
a searched region, or in the middle of its life, like an old one without earlier images. The event's distance is drawn as
for simulated contaminants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.kilonova.bands import EXTINCTION, band_index
from mma_pipeline.science.kilonova.lightcurve import (
    MAG_RANGE,
    MAX_AGE_DAYS,
    NIGHT_DAYS,
    LightCurve,
    Points,
    distance_modulus,
)
from mma_pipeline.training.simulation.population import OTHER, Sample
from mma_pipeline.training.simulation.survey import Reported

#: Fraction of the objects that training may hold out for evaluation, chosen by name alone.
HELD_OUT_SHARE = 0.4


@dataclass(frozen=True, eq=False)
class RealTransient:
    """A real light curve with its origin."""

    name: str
    source: str
    """Collection it comes from, such as `ztf-bts`."""
    kind: str
    """Claimed type, empty if unknown."""
    curve: LightCurve
    ebv: float | None
    """Galactic E(B-V), mag."""


def held_out(name: str) -> bool:
    """Whether an object belongs to the part that can be held out from training; the same for every seed."""
    first = hashlib.sha256(name.encode()).digest()[:4]
    return int.from_bytes(first, "big") / 2**32 < HELD_OUT_SHARE


def after_mergers(
    transients: Sequence[RealTransient],
    seed: int,
    *,
    new_share: float = 0.6,
    distance_mpc: float | None = None,
    distance_sigma_mpc: float | None = None,
) -> Sample:
    """Place each transient after one fictitious merger; those without a detection in griz are left out.

    `new_share` of them are new (merger 0.05 to 1.5 days before the first detection), the rest old (before any other
    one; what came earlier is dropped as it would be for a real event). A `distance_mpc` holds for all; without it
    distances are log-uniform from 20 to 400 Mpc, known to 8 to 40 %, one in eight unknown.
    """
    rng = np.random.default_rng(seed)
    columns: list[tuple[npt.NDArray[Any], ...]] = []
    kinds: list[str] = []
    moduli: list[tuple[float, float]] = []
    for transient in transients:
        c = transient.curve
        band = np.array([band_index(b) for b in c.band], dtype=np.int64)
        usable = np.isfinite(c.mjd) & (c.magnitude > MAG_RANGE[0]) & (c.magnitude < MAG_RANGE[1])
        seen = np.sort(c.mjd[~c.upper_limit & (band >= 0) & usable])
        chance, pick, lead, wide = rng.random(), rng.random(), rng.random(), rng.random()
        distance, unknown, noise = rng.uniform(np.log(20), np.log(400)), rng.random() < 0.125, rng.uniform(0.08, 0.4)
        if not seen.size:
            continue
        new = chance < new_share
        at = seen[0] if new else seen[int(pick * len(seen))]
        merger = at - (0.05 + 1.45 * lead if new else 0.05 + 1.95 * wide)
        t = c.mjd - merger
        rows = np.flatnonzero((t >= 0) & (t <= MAX_AGE_DAYS) & usable)
        rows = rows[np.argsort(t[rows], kind="stable")]
        dust = np.where(band >= 0, EXTINCTION[np.maximum(band, 0)], 0.0) * (transient.ebv or 0.0)
        owner = np.full(len(rows), len(kinds))
        columns.append((owner, t[rows], (c.magnitude - dust)[rows], c.error[rows], band[rows], c.upper_limit[rows]))
        if distance_mpc is not None:
            moduli.append(distance_modulus(distance_mpc, distance_sigma_mpc))
        else:
            value = float(np.exp(distance))
            moduli.append(distance_modulus(None if unknown else value, value * noise))
        kinds.append(transient.source)
    if not columns:
        empty = np.empty(0)
        nobody = Reported(empty.astype(int), empty, empty, empty, empty.astype(int), empty.astype(bool))
        return Sample(nobody, empty.astype(int), (), empty, empty)
    owner, t, mag, err, band, limit = (np.concatenate(column) for column in zip(*columns, strict=True))
    both = np.array(moduli)
    return Sample(
        points=Reported(owner.astype(np.int64), t, mag, err, band.astype(np.int64), limit.astype(bool)),
        label=np.full(len(kinds), OTHER, dtype=np.int64),
        kind=tuple(kinds),
        modulus=both[:, 0],
        modulus_err=both[:, 1],
    )


def with_gross_error(p: Points, seed: int, size_mag: float) -> Points:
    """The points with one detection of each snapshot's last night shifted by `size_mag` (mag, fainter if positive).

    The detection is drawn at random; its error is unchanged, so that the wrong point looks reliable.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(~p.limit)
    last = np.full(p.count, -np.inf)
    np.maximum.at(last, p.snapshot[rows], p.t[rows])
    rows = rows[p.t[rows] > last[p.snapshot[rows]] - NIGHT_DAYS]
    rows = rows[rng.permutation(len(rows))]
    _, first = np.unique(p.snapshot[rows], return_index=True)
    mag = p.mag.copy()
    mag[rows[first]] += size_mag
    return replace(p, mag=mag)
