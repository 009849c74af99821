"""Simulated kilonovae of both semi-analytic families, seen from their distances.

Half are three grey components (Villar et al. 2017), half homologous shells with a cocoon (Metzger 2019). Where the
masses of the ejecta are known, they take the place of the families' own ranges; everything else is drawn as always.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.forecast.ejecta import EjectaMasses
from mma_pipeline.science.kilonova.simulation import shells, villar
from mma_pipeline.science.kilonova.simulation.radiation import lnu_to_absolute, modulus, redshift_at

#: No model is exact: each band is off by a constant and drifts in time, mag and mag per day (one standard deviation). The
#: same numbers as in the training of the classifier, about as the families differ between themselves.
BAND_ERROR, GREY_ERROR, DRIFT = 0.15, 0.12, 0.05


def light(
    rng: np.random.Generator,
    n: int,
    hours: FloatArray,
    wavelength_um: FloatArray,
    redshift: FloatArray,
    masses: EjectaMasses | None = None,
) -> FloatArray:
    """Absolute AB magnitudes, shape (n, B, T), in bands and at hours of the observer, for sources at redshift (n,).

    A source at redshift z is bluer by 1 + z and younger by the same factor; the factor 1 + z in its brightness is
    included, the distance is not.
    """
    bands, times = len(wavelength_um), len(hours)
    stretch = 1 + redshift[:, None]
    t = np.tile(hours / 24, bands)[None, :] / stretch
    um = np.repeat(wavelength_um, times)[None, :] / stretch
    half = n // 2
    first, second = slice(0, half), slice(half, n)
    components, ejecta = villar.draw(rng, half), shells.draw(rng, n - half)
    if masses is not None:
        components, ejecta = _weigh(rng, components, masses, first), _weigh_shells(ejecta, masses, second)
    total = np.concatenate([villar.lnu(components, t[first], um[first]), shells.lnu(ejecta, t[second], um[second])])
    absolute = lnu_to_absolute(total * stretch).reshape(n, bands, times)
    offset = rng.normal(0, BAND_ERROR, (n, bands, 1)) + rng.normal(0, GREY_ERROR, (n, 1, 1))
    drift = rng.normal(0, DRIFT, (n, bands, 1)) * (hours / 24 / stretch[:, :, None] - 2)
    return np.asarray(absolute + offset + drift)


def apparent(absolute: FloatArray, distance_mpc: FloatArray) -> FloatArray:
    """Apparent magnitudes (N, B, T) of absolute ones at luminosity distances (N,) in Mpc; without dust."""
    return np.asarray(absolute + modulus(distance_mpc)[:, None, None])


def redshifts(distance_mpc: FloatArray) -> FloatArray:
    """Redshifts of luminosity distances in Mpc: flat, H0 = 70 km/s/Mpc, Omega_m = 0.3."""
    return redshift_at(distance_mpc)


def _weigh(
    rng: np.random.Generator, drawn: tuple[villar.Component, ...], masses: EjectaMasses, rows: slice
) -> tuple[villar.Component, ...]:
    """Three components of given masses.

    Two neutron stars: up to half of what is thrown out is shocked and blue, the rest red; of the wind 0.1 to 0.6 is blue
    (irradiated by neutrinos), the rest purple. With a black hole nothing thrown out is blue, and of the wind 0 to 0.3.
    """
    thrown, blown, stars = (values[rows] for values in (masses.dynamical, masses.wind, masses.neutron_stars))
    n = len(thrown)
    shocked = stars * rng.uniform(0, 0.5, n)
    irradiated = np.where(stars > 0, rng.uniform(0.1, 0.6, n), rng.uniform(0.0, 0.3, n))
    blue, purple, red = drawn
    least = 1e-5
    return (
        replace(blue, mass_msun=np.maximum(thrown * shocked + blown * irradiated, least)),
        replace(purple, mass_msun=np.maximum(blown * (1 - irradiated), least)),
        replace(red, mass_msun=np.maximum(thrown * (1 - shocked), least)),
    )


def _weigh_shells(drawn: shells.Ejecta, masses: EjectaMasses, rows: slice) -> shells.Ejecta:
    return replace(drawn, mass_msun=masses.dynamical[rows] + masses.wind[rows])
