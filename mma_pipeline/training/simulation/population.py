"""The simulated sky: classes and their shares, distances, and random surveys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.kilonova.simulation import shells, villar
from mma_pipeline.science.kilonova.simulation.radiation import (
    lnu_to_absolute,
    luminosity_distance,
    modulus,
    redshift_at,
)
from mma_pipeline.training.simulation import kasen, variables
from mma_pipeline.training.simulation.afterglow import afterglow, of_own_burst, with_supernova
from mma_pipeline.training.simulation.survey import Reported, Visits, observe, schedule
from mma_pipeline.training.simulation.transients import FAST_IBC, FBOT, IBC, IIN, SLSN, tde, type_ii, type_iib
from mma_pipeline.training.simulation.type_ia import type_ia

Contaminant = Callable[[np.random.Generator, FloatArray, FloatArray, FloatArray], FloatArray]

CLASSES: tuple[str, ...] = ("kilonova", "afterglow", "other", "afterglow with supernova")
KILONOVA, AFTERGLOW, OTHER, AFTERGLOW_SUPERNOVA = range(4)
#: Shares of the classes in a sky without, and with, supernovae that follow gamma-ray bursts; before detection.
SHARES = (0.45, 0.1, 0.45)
SHARES_WITH_SUPERNOVAE = (0.43, 0.1, 0.41, 0.06)

#: Contaminants and their shares among "other".
CONTAMINANTS: Mapping[str, tuple[float, Contaminant]] = MappingProxyType(
    {
        "Ia": (0.28, type_ia), "II": (0.12, type_ii), "IIn": (0.05, IIN), "IIb": (0.09, type_iib), "Ibc": (0.08, IBC),
        "fast Ibc": (0.05, FAST_IBC), "SLSN": (0.04, SLSN), "TDE": (0.04, tde), "fast blue": (0.04, FBOT),
        "CV": (0.07, variables.cataclysmic), "flare": (0.03, variables.flare),
        "AGN": (0.06, variables.active_nucleus), "variable star": (0.02, variables.variable_star),
        "asteroid": (0.03, variables.asteroid),
    }
)  # fmt: skip
_BURSTS: Mapping[int, Contaminant] = MappingProxyType({AFTERGLOW: afterglow, AFTERGLOW_SUPERNOVA: with_supernova})
#: Share of the kilonovae beside the afterglow of their own burst, as in GRB 211211A (Rastinejad et al. 2022, Nature 612 223).
BESIDE_AFTERGLOW = 0.15
#: Families of kilonovae that need no data file.
FAMILIES: tuple[str, ...] = ("villar", "shells")
_CHUNK = 3000
#: In the broad sky: factor for the contaminants most like kilonovae, and share of light curves from several telescopes.
_BROAD_FACTORS = {"fast Ibc": 1.6, "fast blue": 1.25}
_BROAD_COLLECTED = 0.1


@dataclass(frozen=True, eq=False)
class Sample:
    """N simulated objects and their reported points."""

    points: Reported
    label: IntArray
    """Index into CLASSES, shape (N,)."""
    kind: tuple[str, ...]
    """Family or contaminant of each object, length N."""
    modulus: FloatArray
    """Distance modulus of the event, mag, shape (N,); NaN where the map has no distance."""
    modulus_err: FloatArray
    """Its deviation, mag, shape (N,)."""


def event_distance(rng: np.random.Generator, depth: FloatArray, peak_abs: FloatArray) -> FloatArray:
    """Distances in Mpc (N,) at which a kilonova of peak absolute magnitude (N,) is found at 5-sigma depth (N,)."""
    peak_mag = depth + 0.3 - rng.exponential(np.where(rng.random(len(depth)) < 0.6, 1.0, 2.5))
    return np.asarray(10 ** np.clip((peak_mag - peak_abs - 25) / 5, 1.0, 2.85))


def kilonova_magnitudes(
    rng: np.random.Generator, visits: Visits, family: str, tables: kasen.Tables | None = None, *, broad: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Apparent AB magnitudes (N, E) of kilonovae of one family and their distances in Mpc (N,)."""
    n = len(visits.t)
    if family == "villar":
        components = villar.draw(rng, n, broad=broad)
        light = villar.lnu(components, visits.t, visits.wavelength_um)
    elif family == "shells":
        light = shells.lnu(shells.draw(rng, n, broad=broad), visits.t, visits.wavelength_um)
    elif family == "kasen" and tables is not None:
        first, second, share = kasen.draw(tables, rng, n)
        light = kasen.lnu(tables, first, visits.t, visits.wavelength_um)
        light = light + share[:, None] * kasen.lnu(tables, second, visits.t, visits.wavelength_um)
    else:
        raise ValueError(f"no kilonova family {family!r}" + (" without its tables" if family == "kasen" else ""))
    absolute = lnu_to_absolute(light)
    # No model is exact: each band has a constant offset and a drift, about as large as the differences between families.
    offset = rng.normal(0, 0.15, (n, 4)) + rng.normal(0, 0.12, (n, 1))
    drift = rng.normal(0, 0.05, (n, 4))
    rows = np.arange(n)[:, None]
    absolute = absolute + offset[rows, visits.band] + drift[rows, visits.band] * (visits.t - 2)
    brightest = np.min(np.where(visits.real, absolute, 99.0), axis=1)
    distance = event_distance(rng, visits.typical_depth, np.clip(brightest, -18, -8))
    dust = np.where(rng.random(n) < 0.5, rng.exponential(0.12, n), 0.0)[:, None]
    z = redshift_at(distance)
    # The redshift (below 0.15) changes colours less than the offsets above; only its dimming is applied.
    mags = absolute + modulus(luminosity_distance(z))[:, None] + dust * (visits.wavelength_um / 0.55) ** -1.3
    return of_own_burst(rng, mags, visits, dust, share=BESIDE_AFTERGLOW), distance


def simulate(
    seed: int,
    n: int,
    *,
    families: tuple[str, ...] = FAMILIES,
    tables: kasen.Tables | None = None,
    shares: tuple[float, ...] = SHARES,
    broad: bool = False,
) -> Sample:
    """Simulate n objects and keep those with a detection; deterministic for a given seed.

    `shares` are those of kilonova, afterglow, other and, if there are four, afterglow with supernova, before detection. Kilonovae are split evenly over
    `families`; "kasen" needs `tables`. `broad` makes the sky harder than the real one, for training: wider ranges for every
    second chunk of kilonovae, more fast contaminants, and a tenth of the light curves from several telescopes that disagree.
    """
    rng = np.random.default_rng(seed)
    names = list(CONTAMINANTS)
    weights = np.array([CONTAMINANTS[name][0] * (_BROAD_FACTORS.get(name, 1.0) if broad else 1.0) for name in names])
    classes = rng.choice(len(shares), n, p=shares)
    kinds = np.where(
        classes == KILONOVA,
        rng.choice(list(families), n),
        np.where(classes == AFTERGLOW, "afterglow", rng.choice(names, n, p=weights / weights.sum())),
    )
    kinds = np.where(classes == AFTERGLOW_SUPERNOVA, CLASSES[AFTERGLOW_SUPERNOVA], kinds)
    parts: list[tuple[Reported, IntArray, list[str], FloatArray]] = []
    for kind in sorted(set(kinds.tolist())):
        label = int(classes[kinds == kind][0])
        total = int((kinds == kind).sum())
        for begin in range(0, total, _CHUNK):
            size = min(_CHUNK, total - begin)
            visits = schedule(rng, size)
            if label == KILONOVA:
                magnitudes, distance = kilonova_magnitudes(
                    rng, visits, kind, tables, broad=broad and begin // _CHUNK % 2 == 0
                )
            else:
                model = CONTAMINANTS[kind][1] if label == OTHER else _BURSTS[label]
                magnitudes = model(rng, visits.t, visits.wavelength_um, visits.typical_depth)
                distance = event_distance(rng, visits.typical_depth, rng.normal(-15.2, 1.1, size))
            points = observe(rng, magnitudes, visits, collected=_BROAD_COLLECTED if broad else 0.0)
            parts.append((points, np.full(size, label), [kind] * size, distance))
    return _assemble(rng, parts)


def _assemble(rng: np.random.Generator, parts: list[tuple[Reported, IntArray, list[str], FloatArray]]) -> Sample:
    """Join the parts, drop objects without a detection, and draw the distance information of the event's map."""
    offset, columns = 0, []
    for points, label, _, _ in parts:
        columns.append((points.owner + offset, points.t, points.mag, points.err, points.band, points.limit))
        offset += len(label)
    owner, t, mag, err, band, limit = (np.concatenate(c) for c in zip(*columns, strict=True))
    label = np.concatenate([p[1] for p in parts]).astype(np.int64)
    kind = [k for p in parts for k in p[2]]
    distance = np.concatenate([p[3] for p in parts])
    seen = np.bincount(owner[~limit], minlength=offset) > 0
    number = np.cumsum(seen) - 1
    keep = seen[owner]
    relative = rng.uniform(0.08, 0.4, offset)
    believed = distance * (1 + relative * rng.normal(0, 1, offset)).clip(0.25, 2.5)
    known = rng.random(offset) > 0.12
    mod = np.where(known, modulus(believed), np.nan)
    mod_err = np.where(known, 5 / np.log(10) * relative, np.nan)
    return Sample(
        points=Reported(number[owner[keep]], t[keep], mag[keep], err[keep], band[keep], limit[keep]),
        label=label[seen],
        kind=tuple(k for k, s in zip(kind, seen, strict=True) if s),
        modulus=mod[seen],
        modulus_err=mod_err[seen],
    )
