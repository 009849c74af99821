"""What J, H and K say beside i and z: light too red for synchrotron emission is no afterglow.

The trees know griz alone. In F ∝ ν^-b an afterglow has b = p/2 at most, 1.5 for electrons with p = 3 (Sari et al. 1998, ApJL 497 L17),
and a magnitude of dust in V adds 0.4 to 0.6 between i or z and the infrared. Ejecta with heavy elements get redder within days:
AT2017gfo had b = 2 a week after the merger. Only the afterglow's share is lowered. So a supernova gains nothing by it, whatever its
colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from mma_pipeline.notices.photometry.brightness import SNR_MAG
from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.kilonova.bands import EXTINCTION, WAVELENGTH_UM, band_index, infrared_band
from mma_pipeline.science.kilonova.lightcurve import MAX_AGE_DAYS, NIGHT_DAYS, BoolArray, Event, LightCurve

#: Band -> effective wavelength, um (2MASS: Cohen et al. 2003, AJ 126 1090), and A / E(B-V) (Schlafly & Finkbeiner 2011, ApJ 737 103).
BANDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"J": (1.235, 0.723), "H": (1.662, 0.460), "K": (2.159, 0.310)}
)
#: Steepest index of synchrotron light, and dust of the host before it, mag in V, with A ∝ λ^-1.3 as in the training. Redder by so many
#: deviations is too red.
STEEPEST = 1.5
DUST_MAG = 1.0
SIGMA = 3.0
#: Signal-to-noise ratios that an infrared and an optical measurement need.
INFRARED_SNR, OPTICAL_SNR = 5.0, 3.0
#: A second infrared detection must be so near in time, days, and magnitude: no single measurement is believed.
SUPPORT_DAYS, SUPPORT_MAG = 3.0, 1.3
#: Factor on an afterglow's share. Not zero: the infrared light may be another source's.
EXCLUDED = 0.1
_I = 2


def too_red(curves: Sequence[LightCurve], events: Sequence[Event], owner: IntArray, end: FloatArray) -> BoolArray:
    """Of M snapshots of the curves `owner` (M,), up to `end` (M,) in days since the merger: whether one was too red for an afterglow."""
    names = {name for curve in curves for name in curve.band}
    known = {name: band for name in names if (band := infrared_band(name)) is not None}
    since = np.full(len(curves), np.inf)
    if known:
        for k, (curve, event) in enumerate(zip(curves, events, strict=True)):
            if not known.keys().isdisjoint(curve.band):
                since[k] = _since(curve, event, known)
    return np.asarray(np.isfinite(since[owner]) & (since[owner] <= end))


def _since(curve: LightCurve, event: Event, known: Mapping[str, str]) -> float:
    """Days since the merger from which on a curve is known to be too red; infinite if never."""
    t, mag, error = curve.mjd - event.merger_mjd, curve.magnitude, curve.error
    ebv = event.ebv if event.ebv is not None and np.isfinite(event.ebv) else 0.0
    with np.errstate(invalid="ignore"):
        usable = ~curve.upper_limit & (error > 0) & np.isfinite(mag) & (t > 0) & (t <= MAX_AGE_DAYS)
        sure = {snr: usable & (error * snr <= SNR_MAG) for snr in (INFRARED_SNR, OPTICAL_SNR)}
    bands = [known.get(name) for name in curve.band]
    infrared = [n for n, band in enumerate(bands) if band is not None and sure[INFRARED_SNR][n]]
    optical = [n for n, name in enumerate(curve.band) if band_index(name) >= _I and sure[OPTICAL_SNR][n]]
    found = np.inf
    for a in infrared:
        um, dust = BANDS[str(bands[a])]
        near = [
            n for n in infrared if n != a and abs(t[n] - t[a]) <= SUPPORT_DAYS and abs(mag[n] - mag[a]) <= SUPPORT_MAG
        ]
        supported = min((max(t[a], t[n]) for n in near), default=np.inf)
        for b in optical:
            if abs(t[a] - t[b]) >= NIGHT_DAYS:
                continue
            band = band_index(curve.band[b])
            lever = 2.5 * np.log10(um / WAVELENGTH_UM[band])
            colour = mag[b] - mag[a] - ebv * (EXTINCTION[band] - dust)
            reddest = STEEPEST * lever + DUST_MAG * (_dust(WAVELENGTH_UM[band]) - _dust(um))
            if colour - SIGMA * np.hypot(error[a], error[b]) > reddest:
                found = min(found, max(t[b], supported))
    return float(found)


def _dust(um: float) -> float:
    return float((um / 0.55) ** -1.3)


def without_afterglow(probability: FloatArray, all_points: FloatArray, red: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Class probabilities (S, 4) and the kilonova's with every point trusted (S,), the afterglow's share lowered where `red` (S,).

    Nothing changes where a measurement is doubted: the faint one of a colour might be that one.
    """
    use = red & (probability[:, 0] >= all_points)
    factor = np.where(use[:, None], np.array([1.0, EXCLUDED, 1.0, EXCLUDED]), 1.0)
    changed = probability * factor
    changed = np.where(use[:, None], changed / changed.sum(1, keepdims=True), probability)
    return changed, np.where(use, changed[:, 0], all_points)
