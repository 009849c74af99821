"""Light curves as the classifier takes them, and their cleaning into flat, sorted arrays.

Everything that must not influence the result is removed here: the order of rows, repeated points, points before the merger,
bands outside griz, values that are not numbers. Later steps use only the cleaned arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mma_pipeline.notices.photometry.brightness import DETECTION_SNR, LIMIT_SNR, SNR_MAG
from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.kilonova.bands import BANDS, EXTINCTION, band_index

BoolArray = npt.NDArray[np.bool_]

#: Days after the merger beyond which a point is left out: kilonovae have faded in griz by then.
MAX_AGE_DAYS = 30.0
#: Added in quadrature to every error, mag: zero points of different telescopes differ by about this much.
ERROR_FLOOR = 0.03
#: Replaces an error that is missing, zero, negative or not finite, mag: the point gets a low weight.
UNKNOWN_ERROR = 0.3
#: Magnitudes with a larger error (signal-to-noise ratio below 1.2) are ignored, mag.
MAX_ERROR = 0.9
#: Magnitudes outside this range are mistakes of the source (a flux, a placeholder such as 99 or -999).
MAG_RANGE = (5.0, 30.0)
#: Detections at least this far apart belong to different nights, days.
NIGHT_DAYS = 0.6


@dataclass(frozen=True, eq=False)
class LightCurve:
    """Photometry of one candidate; all arrays of shape (N,), in any order."""

    mjd: FloatArray
    """Time of the exposure's middle, MJD in days (UTC)."""
    magnitude: FloatArray
    """AB magnitude, or the limiting magnitude where `upper_limit` is true; not corrected for extinction."""
    error: FloatArray
    """One standard deviation of the magnitude, mag; NaN where unknown."""
    band: Sequence[str]
    """Band names as the source wrote them."""
    upper_limit: BoolArray
    """True for a non-detection."""


@dataclass(frozen=True)
class Event:
    """The classifier's input about the merger and the line of sight."""

    merger_mjd: float
    """Time of the merger, MJD in days (UTC)."""
    distance_mpc: float | None = None
    """Luminosity distance, Mpc; None if the map has none."""
    distance_sigma_mpc: float | None = None
    """Its standard deviation, Mpc."""
    ebv: float | None = None
    """Galactic E(B-V) towards the candidate, mag; None leaves the photometry uncorrected."""


@dataclass(frozen=True, eq=False)
class Points:
    """Cleaned points of S snapshots, sorted by snapshot, band, kind and time; arrays of shape (N,)."""

    snapshot: IntArray
    """Index of the snapshot, 0 to S-1."""
    t: FloatArray
    """Days since the merger."""
    mag: FloatArray
    """AB magnitude corrected for Galactic extinction, or limit."""
    err: FloatArray
    """Error with the floor added, mag; meaningless for limits."""
    band: IntArray
    """Index into BANDS."""
    limit: BoolArray
    """True for a non-detection."""
    count: int
    """S, the number of snapshots."""
    modulus: FloatArray
    """Distance modulus at the event's distance, mag, shape (S,); NaN where unknown."""
    modulus_err: FloatArray
    """Its standard deviation, mag, shape (S,); NaN where unknown."""


def joined(one: Points, other: Points) -> Points:
    """The snapshots of both, those of the first before those of the other."""
    return Points(
        snapshot=np.concatenate([one.snapshot, other.snapshot + one.count]),
        t=np.concatenate([one.t, other.t]),
        mag=np.concatenate([one.mag, other.mag]),
        err=np.concatenate([one.err, other.err]),
        band=np.concatenate([one.band, other.band]),
        limit=np.concatenate([one.limit, other.limit]),
        count=one.count + other.count,
        modulus=np.concatenate([one.modulus, other.modulus]),
        modulus_err=np.concatenate([one.modulus_err, other.modulus_err]),
    )


def split(points: Points, most: int) -> Iterator[Points]:
    """The snapshots in turn, at most so many at a time; one part without any if there are none."""
    for begin in range(0, max(points.count, 1), most):
        of = slice(begin, min(begin + most, points.count))
        rows = slice(*np.searchsorted(points.snapshot, [of.start, of.stop]).tolist())
        yield Points(
            points.snapshot[rows] - begin, points.t[rows], points.mag[rows], points.err[rows], points.band[rows],
            points.limit[rows], of.stop - of.start, points.modulus[of], points.modulus_err[of],
        )  # fmt: skip


def weak_as_limits(mag: FloatArray, err: FloatArray, limit: BoolArray) -> tuple[FloatArray, BoolArray]:
    """Magnitudes and limits, shape (N,), in which magnitudes with a signal-to-noise ratio below 3 become limits.

    `err` in mag; without a positive error a magnitude is unchanged.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        weak = ~limit & np.isfinite(err) & (err * DETECTION_SNR > SNR_MAG)
        return np.where(weak, mag - 2.5 * np.log10(LIMIT_SNR * err / SNR_MAG), mag), limit | weak


def clean(
    snapshot: IntArray,
    t: FloatArray,
    mag: FloatArray,
    err: FloatArray,
    band: IntArray,
    limit: BoolArray,
    modulus: FloatArray,
    modulus_err: FloatArray,
) -> Points:
    """Drop points that must not count, repair errors and sort; arguments as the fields of `Points`, shape (N,) and (S,).

    `mag` is already corrected for extinction. Nothing is raised: a point that cannot be used is left out.
    """
    with np.errstate(invalid="ignore"):
        good_error = np.isfinite(err) & (err > 0)
        e = np.where(good_error, err, UNKNOWN_ERROR)
        keep = (t >= 0) & (t <= MAX_AGE_DAYS) & (mag > MAG_RANGE[0]) & (mag < MAG_RANGE[1]) & (band >= 0)
        keep &= limit | (e <= MAX_ERROR)
    rows = np.flatnonzero(keep)
    rows = rows[np.lexsort((e[rows], mag[rows], t[rows], limit[rows], band[rows], snapshot[rows]))]
    if rows.size:
        same = np.ones(rows.size, dtype=bool)
        same[0] = False
        for column in (snapshot, band, limit, t, mag):
            values = column[rows]
            same[1:] &= values[1:] == values[:-1]
        rows = rows[~same]
    return Points(
        snapshot=snapshot[rows],
        t=t[rows],
        mag=mag[rows],
        err=np.hypot(e[rows], ERROR_FLOOR),
        band=band[rows],
        limit=limit[rows],
        count=len(modulus),
        modulus=modulus,
        modulus_err=modulus_err,
    )


def distance_modulus(distance_mpc: float | None, sigma_mpc: float | None) -> tuple[float, float]:
    """Distance modulus and its deviation, both mag, NaN where the distance (Mpc) is absent or not positive.

    A distance without a deviation gets 20 %, typical of a well-measured merger.
    """
    if distance_mpc is None or not np.isfinite(distance_mpc) or distance_mpc <= 0:
        return np.nan, np.nan
    usable = sigma_mpc is not None and np.isfinite(sigma_mpc) and sigma_mpc >= 0
    relative = float(sigma_mpc) / distance_mpc if usable and sigma_mpc is not None else 0.2
    return 5.0 * float(np.log10(distance_mpc)) + 25.0, 5.0 / float(np.log(10)) * relative


def prepare(curves: Sequence[LightCurve], events: Sequence[Event]) -> Points:
    """Clean S candidates' light curves, each with its event; non-detections become limits.

    Raises ValueError if array lengths differ.
    """
    sizes = [len(c.mjd) for c in curves]
    if len(curves) != len(events):
        raise ValueError(f"{len(curves)} light curves for {len(events)} events")
    for c, n in zip(curves, sizes, strict=True):
        if not (len(c.magnitude) == len(c.error) == len(c.band) == len(c.upper_limit) == n):
            raise ValueError("a light curve's columns differ in length")
    snapshot = np.repeat(np.arange(len(curves), dtype=np.int64), sizes)
    names = [b for c in curves for b in c.band]
    lookup = {name: band_index(name) for name in set(names)}
    band = np.array([lookup[name] for name in names], dtype=np.int64)
    merger = np.array([e.merger_mjd for e in events])
    ebv = np.array([e.ebv if e.ebv is not None and np.isfinite(e.ebv) else 0.0 for e in events])
    moduli = np.array([distance_modulus(e.distance_mpc, e.distance_sigma_mpc) for e in events]).reshape(-1, 2)

    def joined(parts: list[npt.ArrayLike], dtype: type) -> npt.NDArray[np.generic]:
        return np.concatenate([np.asarray(p, dtype=dtype) for p in parts]) if parts else np.empty(0, dtype=dtype)

    t = np.asarray(joined([c.mjd for c in curves], float), dtype=float) - merger[snapshot]
    mag = np.asarray(joined([c.magnitude for c in curves], float), dtype=float)
    mag = mag - np.where(band >= 0, EXTINCTION[np.maximum(band, 0)], 0.0) * ebv[snapshot]
    err = np.asarray(joined([c.error for c in curves], float), dtype=float)
    limit = np.asarray(joined([c.upper_limit for c in curves], bool), dtype=bool)
    mag, limit = weak_as_limits(mag, np.where(err <= MAX_ERROR, err, np.nan), limit)
    return clean(snapshot, t, mag, err, band, limit, moduli[:, 0], moduli[:, 1])


N_BANDS = len(BANDS)
