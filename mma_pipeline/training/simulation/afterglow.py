"""Afterglows of gamma-ray bursts: broken power laws in time and frequency, on-axis and off-axis, alone or with a supernova."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.kilonova.simulation.radiation import DARK_MAG, luminosity_distance, modulus
from mma_pipeline.training.simulation.survey import Visits
from mma_pipeline.training.simulation.transients import (
    apparent,
    cooling,
    place,
    rest_frame,
    rise_and_fall,
    thermal_colour,
    uniform,
)

#: How much fainter than its kilonova an afterglow is in the exposure that shows the kilonova best, and how much brighter than that it
#: is at most in any exposure, mag.
FAINTER_MAG = (0.0, 3.0)
BRIGHTER_MAG = 2.0


@dataclass(frozen=True, eq=False)
class Bursts:
    """Synchrotron light of N bursts; arrays of shape (N, 1)."""

    start: FloatArray
    """Days since the merger."""
    early: FloatArray
    """Index of the decay before the jet break, and after it."""
    late: FloatArray
    jet_break: FloatArray
    """Days after the burst."""
    from_the_side: np.ndarray
    """Whether the jet points elsewhere: the light rises to a peak."""
    peak: FloatArray
    """Days after the burst."""
    rise: FloatArray
    """Index of that rise."""
    beta: FloatArray
    """Index of the spectrum."""
    dust: FloatArray
    """Extinction in the host at 0.55 um, mag."""

    def fading(self, age: FloatArray) -> FloatArray:
        """Magnitudes in r less a constant, shape (N, E), at days after the burst (N, E)."""
        safe = np.maximum(age, 1e-3)
        # Beuermann et al. 1999 smooth break; sharpness 3.
        x = safe / self.jet_break
        decline = 2.5 / 3 * np.log10(x ** (3 * self.early) + x ** (3 * self.late))
        y = safe / self.peak
        rising = 2.5 / 2 * np.log10(y ** (-2 * self.rise) + y ** (2 * self.late))
        return np.asarray(np.where(self.from_the_side, rising, decline))

    def reddened(self, magnitude: FloatArray, um: FloatArray) -> FloatArray:
        """Magnitudes in r without dust, as seen at wavelengths (um) through the host's; all (N, E). F ∝ ν^-beta, so blue is fainter."""
        spectrum, dust = -2.5 * self.beta * np.log10(um / 0.6215), self.dust * (um / 0.55) ** -1.3
        return np.asarray(magnitude + spectrum + dust)


def draw(rng: np.random.Generator, n: int, *, at_merger: float, off_axis: float) -> Bursts:
    """Draw n bursts, a share `at_merger` of them at the merger, the others within 1.5 days of it, a share `off_axis` from the side.

    Before the jet break F ∝ t^-a with a = 3(p-1)/4 (interstellar medium, slow cooling; Sari et al. 1998, ApJL 497
    L17), after it t^-p (Sari et al. 1999, ApJL 519 L17), F ∝ ν^-(p-1)/2 or ν^-p/2.
    """
    p = uniform(rng, 2.05, 2.8, n)
    beta = np.where(rng.random(n) < 0.6, (p - 1) / 2, p / 2)[:, None]
    early, late = (0.75 * (p - 1) + rng.normal(0, 0.1, n))[:, None], p[:, None]
    jet_break = np.exp(uniform(rng, np.log(0.2), np.log(15), n))[:, None]
    start = np.where(rng.random(n) < at_merger, 0.0, uniform(rng, -1.5, 1.5, n))[:, None]
    from_the_side = (rng.random(n) < off_axis)[:, None]
    peak = np.exp(uniform(rng, np.log(1), np.log(20), n))[:, None]
    rise = uniform(rng, 1, 3, n)[:, None]
    dust = np.where(rng.random(n) < 0.5, rng.exponential(0.2, n), 0.0)[:, None]
    return Bursts(start, early, late, jet_break, from_the_side, peak, rise, beta, dust)


def afterglow(rng: np.random.Generator, t: FloatArray, um: FloatArray, depth: FloatArray) -> FloatArray:
    """Apparent AB magnitudes (N, E) of afterglows; t in days since the merger, um in um, depth in mag (N,).

    One in six is off-axis and rises first; half belong to an unrelated burst that began before or after the merger.
    """
    bursts = draw(rng, len(t), at_merger=0.5, off_axis=1 / 6)
    age = t - bursts.start
    shape = bursts.fading(age)
    first = np.min(np.where(age > 0, shape, np.inf), axis=1, keepdims=True)
    bright = (depth - rng.exponential(1.6, len(t)) + 0.2)[:, None]
    mag = bursts.reddened(bright + shape - np.where(np.isfinite(first), first, 0.0), um)
    return np.where(age > 0, np.minimum(mag, DARK_MAG), DARK_MAG)


def with_supernova(rng: np.random.Generator, t: FloatArray, um: FloatArray, depth: FloatArray) -> FloatArray:
    """Afterglows that a broad-lined type Ic supernova joins; arguments and result as in `afterglow`.

    The supernova is like SN 1998bw within half a magnitude (Cano et al. 2017, Advances in Astronomy 2017, 8929054), at its peak 9 to
    17 days after the burst. A day after the burst, the afterglow is 3 mag brighter to 2.5 mag fainter than that peak.
    """
    n = len(t)
    peak = rng.normal(-19.1, 0.5, n)
    bursts = draw(rng, n, at_merger=0.5, off_axis=0.05)
    # Found while the afterglow is bright: the supernova itself may be fainter than others that are found.
    where = place(rng, peak, depth + uniform(rng, 0.0, 1.5, n), np.ones(n))
    where = replace(where, start=bursts.start[:, 0])
    age, rest = rest_frame(t, um, where)
    shape = rise_and_fall(age, uniform(rng, 9, 17, n), uniform(rng, 0.5, 1.2, n), uniform(rng, 0.012, 0.025, n))
    warm = cooling(age, uniform(rng, 1.1e4, 2e4, n), uniform(rng, 0.25, 0.4, n), uniform(rng, 4500, 6000, n))
    colour = thermal_colour(warm, rest, uniform(rng, 0.5, 3.0, n)[:, None])
    supernova = apparent(peak[:, None] + shape + colour, where, rest)
    brightest = (peak + modulus(luminosity_distance(where.redshift)) + uniform(rng, -3.0, 2.5, n))[:, None]
    one_day = bursts.fading(np.ones((n, 1)))
    glow = bursts.reddened(brightest + bursts.fading(t - bursts.start) - one_day, um)
    return np.where(age > 0, together(supernova, glow), DARK_MAG)


def of_own_burst(
    rng: np.random.Generator, kilonova: FloatArray, visits: Visits, dust: FloatArray, *, share: float
) -> FloatArray:
    """Magnitudes (N, E) of N kilonovae, a `share` of them with the afterglow of the burst of the same merger.

    `kilonova` (N, E) are the magnitudes without it, and `dust` (N, 1) is the host's at 0.55 um, mag, which is before both. The bursts
    point at us: from the side, most of their light comes when the kilonova is gone.
    """
    n = len(kilonova)
    bursts = replace(draw(rng, n, at_merger=1.0, off_axis=0.0), dust=dust)
    glow = bursts.reddened(bursts.fading(visits.t), visits.wavelength_um)
    # What its afterglow hides must not be called a kilonova. So the two are compared where the kilonova is best seen, in the exposure that
    # shows it with the highest signal, and no exposure shows an afterglow far brighter than that.
    signal = np.where(visits.real, visits.depth - kilonova, -np.inf)
    best = np.argmax(signal, axis=1)[:, None]
    there = np.take_along_axis(kilonova, best, axis=1)
    offset = there - np.take_along_axis(glow, best, axis=1) + uniform(rng, *FAINTER_MAG, n)[:, None]
    brightest = np.min(np.where(visits.real, glow, np.inf), axis=1, keepdims=True)
    offset = np.maximum(offset, there - BRIGHTER_MAG - brightest)
    beside = (rng.random((n, 1)) < share) & (np.take_along_axis(signal, best, axis=1) > 0)
    return np.where(beside, together(kilonova, glow + np.where(beside, offset, 0.0)), kilonova)


def together(one: FloatArray, other: FloatArray) -> FloatArray:
    """Magnitude of two lights at one place."""
    return np.asarray(np.minimum(-2.5 * np.log10(10 ** (-0.4 * one) + 10 ** (-0.4 * other)), DARK_MAG))
