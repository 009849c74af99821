"""Masses of ejecta of mergers with a neutron star, from the chirp mass and fits to numerical relativity.

Krüger & Foucart 2020 (PRD 101 103002, arXiv:2002.07728) for the disc of two neutron stars (eq. 4) and for what the merger
itself ejects (eqs. 6 and 9); Foucart et al. 2018 (PRD 98 081501, eq. 4) for what a black hole leaves outside.
Masses in solar masses, radii in km.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.forecast.outlook import ChirpMasses

#: G M_sun / c², km.
_SUN_KM = 1.476625
#: Radius of a neutron star whatever its mass: 11.75 (+0.86, -0.81 at 90 %) km, Dietrich et al. 2020, Science 370 1450.
RADIUS_KM, RADIUS_ERR_KM = 11.75, 0.51
#: Masses that count as a neutron star's, and from where on as a black hole's. Between them nothing is drawn.
NEUTRON_STAR, BLACK_HOLE = (1.0, 2.2), 3.0
#: Share of the disc that leaves as a wind: 0.1 to 0.5, flat (Fernández et al. 2019, MNRAS 482 3373, and references there).
WIND_SHARE = (0.1, 0.5)
#: Standard deviation of log10 of each mass: the fits and their inputs are good to a factor of about 1.8.
SCATTER_DEX = 0.25
#: Least mass that counts as ejecta: fainter than any kilonova seen, and below what the fits resolve.
LEAST_MASS = 1e-3
_TRIES = 40


@dataclass(frozen=True, eq=False)
class EjectaMasses:
    """Masses of N mergers that eject something, solar masses, arrays of shape (N,)."""

    dynamical: FloatArray
    """Thrown out by the merger itself."""
    wind: FloatArray
    """Blown off the disc."""
    neutron_stars: FloatArray
    """1 where both were neutron stars, 0 where one was a black hole."""
    share: float
    """Share of the mergers drawn that ejected `LEAST_MASS` or more; only those are kept."""


def compactness(mass: FloatArray, radius_km: FloatArray) -> FloatArray:
    """G M / (R c²), dimensionless."""
    return np.asarray(_SUN_KM * mass / radius_km)


def disc_of_stars(lighter: FloatArray, compact: FloatArray) -> FloatArray:
    """Disc after the merger of two neutron stars, by mass and compactness of the lighter (Krüger & Foucart, eq. 4)."""
    return np.asarray(lighter * np.maximum(5e-4, np.maximum(-8.1324 * compact + 1.4820, 0.0) ** 1.7784))


def dynamical_of_stars(m1: FloatArray, m2: FloatArray, c1: FloatArray, c2: FloatArray) -> FloatArray:
    """Mass that the merger of two neutron stars throws out, by masses and compactnesses (Krüger & Foucart, eq. 6)."""

    def half(m: FloatArray, other: FloatArray, c: FloatArray) -> FloatArray:
        return np.asarray((-9.3335 / c + 114.17 * (other / m) ** 1.5465 - 337.56 * c) * m)

    return np.asarray(np.maximum(1e-3 * (half(m1, m2, c1) + half(m2, m1, c2)), 0.0))


def last_stable_orbit(spin: FloatArray) -> FloatArray:
    """Radius of the innermost stable circular orbit in units of the black hole's mass (Bardeen et al. 1972)."""
    z1 = 1 + (1 - spin**2) ** (1 / 3) * ((1 + spin) ** (1 / 3) + (1 - spin) ** (1 / 3))
    z2 = np.sqrt(3 * spin**2 + z1**2)
    return np.asarray(3 + z2 - np.sign(spin) * np.sqrt((3 - z1) * (3 + z1 + 2 * z2)))


def baryonic(mass: FloatArray, compact: FloatArray) -> FloatArray:
    """Baryonic mass of a neutron star, solar masses (Lattimer & Prakash 2001, ApJ 550 426)."""
    return np.asarray(mass * (1 + 0.6 * compact / (1 - 0.5 * compact)))


def outside_of_hole(hole: FloatArray, star: FloatArray, compact: FloatArray, spin: FloatArray) -> FloatArray:
    """Mass, solar masses, that a black hole leaves outside after it met a neutron star (Foucart et al. 2018, eq. 4)."""
    eta = hole * star / (hole + star) ** 2
    base = 0.40642158 * (1 - 2 * compact) / np.cbrt(eta) - 0.13885773 * last_stable_orbit(spin) * compact / eta
    return np.asarray(baryonic(star, compact) * np.maximum(base + 0.25512517, 0.0) ** 1.761250847)


def dynamical_of_hole(hole: FloatArray, star: FloatArray, compact: FloatArray, spin: FloatArray) -> FloatArray:
    """Mass, solar masses, thrown out where a black hole tears a neutron star apart (Krüger & Foucart, eq. 9)."""
    q = hole / star
    share = (
        0.00711595154 * q**0.863604211 * (1 - 2 * compact) / compact
        - 0.00143636803 * q**1.68399507 * last_stable_orbit(spin)
        - 0.0276202990
    )
    return np.asarray(np.maximum(share, 0.0) * baryonic(star, compact))


def heavier(chirp: FloatArray, lighter: FloatArray) -> FloatArray:
    """Mass of the other body by chirp mass and one mass: the real root of m³ l³ = M⁵ (m + l), by Newton's rule."""
    k = chirp**5 / lighter**3
    m = np.maximum(np.sqrt(k), np.cbrt(k * lighter)) * 1.5
    for _ in range(30):
        m = m - (m**3 - k * (m + lighter)) / (3 * m**2 - k)
    return np.asarray(m)


def draw_ejecta(
    rng: np.random.Generator, n: int, chirp: ChirpMasses, shares: Mapping[str, float]
) -> EjectaMasses | None:
    """Draw n mergers that eject something; None where masses and classes allow none, or the histogram is none.

    Chirp masses follow the notice's histogram, flat within a bin; `shares` are the odds of BNS and NSBH. Two neutron
    stars: mass ratio flat in 0.7 to 1. With a black hole: the star's mass flat in 1.1 to 2, aligned spin flat in 0 to 0.8.
    """
    edges, weights = np.asarray(chirp.bin_edges), np.asarray(chirp.probabilities)
    total = shares.get("BNS", 0.0) + shares.get("NSBH", 0.0)
    sound = (np.diff(edges) > 0).all() and edges[0] >= 0 and (weights >= 0).all() and weights.sum() > 0
    if total <= 0 or not sound:
        return None
    size = _TRIES * n
    bins = rng.choice(len(weights), size, p=weights / weights.sum())
    mass = rng.uniform(edges[bins], edges[bins + 1])
    radius = np.clip(rng.normal(RADIUS_KM, RADIUS_ERR_KM, size), RADIUS_KM - 2, RADIUS_KM + 2)
    stars = rng.random(size) < shares.get("BNS", 0.0) / total
    q, spin = rng.uniform(0.7, 1.0, size), rng.uniform(0.0, 0.8, size)
    lone = rng.uniform(1.1, 2.0, size)
    m1 = np.where(stars, mass * (1 + q) ** 0.2 * q**-0.6, heavier(mass, lone))
    m2 = np.where(stars, q * m1, lone)
    low, high = NEUTRON_STAR
    possible = (m2 >= low) & (m2 <= high) & np.where(stars, m1 <= high, m1 >= BLACK_HOLE)
    if possible.sum() < _TRIES:
        return None
    m1, m2, radius, spin = (np.asarray(values[possible], dtype=float) for values in (m1, m2, radius, spin))
    stars = stars[possible]
    c1, c2 = compactness(m1, radius), compactness(m2, radius)
    thrown = dynamical_of_hole(m1, m2, c2, spin)
    left = np.maximum(outside_of_hole(m1, m2, c2, spin) - thrown, 0.0)
    thrown = np.where(stars, dynamical_of_stars(m1, m2, c1, c2), thrown)
    left = np.where(stars, disc_of_stars(m2, c2), left)
    blown = left * rng.uniform(*WIND_SHARE, len(left))
    thrown, blown = (m * 10 ** rng.normal(0, SCATTER_DEX, len(m)) for m in (thrown, blown))
    bright = np.flatnonzero(thrown + blown >= LEAST_MASS)
    if len(bright) < _TRIES:
        return None
    kept = bright[:n] if len(bright) >= n else rng.choice(bright, n)
    return EjectaMasses(thrown[kept], blown[kept], stars[kept].astype(float), len(bright) / len(stars))
