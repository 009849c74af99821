"""Host galaxies of candidates, by the probability of a chance coincidence.

Bloom, Kulkarni & Djorgovski (2002, AJ 123 1111), section 6.1: P = 1 - exp(-π r² σ(≤ m)), with σ the number of galaxies per
arcsec² at least as bright as the galaxy in R (counts of Hogg et al. 1997, MNRAS 288 404) and r the effective radius,
max(3 σ_R, √(R² + 4 R_h²)): R the separation, σ_R the error of the position, R_h the galaxy's half-light radius.

Catalogs of near galaxies often lack R and R_h. Then R follows from the stellar mass (or the luminosity) and the
distance, and R_h from the mass as is typical; each host says which it is. A galaxy with none of these has no probability and is
ranked behind those that have one, by separation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.galaxies.catalog import DescribedCatalog
from mma_pipeline.science.kilonova.simulation.radiation import redshift_at
from mma_pipeline.science.sphere import unit_vectors
from mma_pipeline.science.vetting.places import neighbours

#: Radius in which hosts are looked for, deg.
SEARCH_DEG = 10 / 60
#: Galaxies nearer than this, Mpc, are looked for out to `_REACH_MPC` in projection: they may be wider than SEARCH_DEG.
_NEAR_MPC, _REACH_MPC, _WIDEST_DEG = 20.0, 0.1, 5.0
#: The Sun's absolute magnitude in r (AB) and in B (Vega) (Willmer 2018, ApJS 236 47).
_SUN_R, _SUN_B = 4.65, 5.44
#: Stellar mass to light in r, solar units: that of galaxies with g - r = 0.6 (Bell et al. 2003, ApJS 149 289, table 7).
_MASS_TO_LIGHT = 2.0
#: B - R of a galaxy of type Sb (Fukugita et al. 1995, PASP 107 945).
_B_MINUS_R = 1.3


@dataclass(frozen=True, slots=True)
class Host:
    """The likeliest host of a candidate."""

    name: str
    catalog: str
    separation_arcsec: float
    chance: float | None
    """Probability that an unrelated galaxy as bright as this one lies as near, 0 to 1; None where nothing gives it."""
    distance_mpc: float | None
    distance_error_mpc: float | None
    """As the catalog gives it; None where it does not."""
    offset_kpc: float | None
    """Separation in projection at the galaxy's distance."""
    magnitude: float | None
    """R or r."""
    magnitude_from: str | None
    """`catalog`, `mass` or `luminosity`."""
    half_light_arcsec: float | None
    half_light_from: str | None
    """`catalog` or `mass`."""
    others: int
    """Galaxies that were compared with it."""


def galaxies_per_arcsec2(magnitude: npt.ArrayLike) -> FloatArray:
    """Galaxies per arcsec² at least as bright in R as a magnitude (Bloom et al. 2002, equation 1).

    The counts hold for R of 20 to 26. Continued to brighter galaxies they are too high, so that P is an upper bound there.
    """
    m = np.asarray(magnitude, dtype=np.float64)
    return np.asarray(10.0 ** (0.334 * (m - 22.963) + 4.320) / (3600.0**2 * 0.334 * np.log(10.0)))


def effective_radius(
    separation_arcsec: npt.ArrayLike, half_light_arcsec: npt.ArrayLike, error_arcsec: npt.ArrayLike
) -> FloatArray:
    """max(3 σ, √(R² + 4 R_h²)) in arcsec, broadcast shape; a half-light radius of NaN counts as none."""
    half = np.nan_to_num(np.asarray(half_light_arcsec, dtype=np.float64), nan=0.0)
    apart = np.asarray(separation_arcsec, dtype=np.float64)
    return np.maximum(3.0 * np.asarray(error_arcsec, dtype=np.float64), np.sqrt(apart**2 + 4.0 * half**2))


def chance_coincidence(magnitude: npt.ArrayLike, radius_arcsec: npt.ArrayLike) -> FloatArray:
    """Probability of a galaxy at least as bright in R within an effective radius (arcsec), 0 to 1."""
    radius = np.asarray(radius_arcsec, dtype=np.float64)
    return np.asarray(-np.expm1(-np.pi * radius**2 * galaxies_per_arcsec2(magnitude)))


def typical_half_light_kpc(mass_msun: npt.ArrayLike) -> FloatArray:
    """Median half-light radius of late-type galaxies of a stellar mass, kpc (Shen et al. 2003, MNRAS 343 978, equation 18)."""
    mass = np.asarray(mass_msun, dtype=np.float64)
    return np.asarray(0.10 * mass**0.14 * (1.0 + mass / 3.98e10) ** (0.39 - 0.14))


def hosts_of(
    ra: FloatArray, dec: FloatArray, error_arcsec: FloatArray, galaxies: DescribedCatalog
) -> list[Host | None]:
    """The likeliest host of each position (ICRS, deg, with its error in arcsec, shape (N,)); None where no galaxy is near.

    The one with the lowest probability of a chance coincidence; where none has one, the nearest on the sky.
    """
    near = neighbours(galaxies.index29, ra, dec, SEARCH_DEG)
    wide = _wide_pairs(ra, dec, galaxies)
    position = np.concatenate([near.position, wide[0]])
    place = np.concatenate([near.place, wide[1]])
    apart = np.concatenate([near.separation, wide[2]]) * 3600.0
    if not position.size:
        return [None] * len(ra)
    known = _known(galaxies, place)
    chance = chance_coincidence(
        known["magnitude"], effective_radius(apart, known["half_light"], error_arcsec[position])
    )
    order = np.lexsort((apart, np.nan_to_num(chance, nan=2.0), position))
    first, begin, number = np.unique(position[order], return_index=True, return_counts=True)
    found: list[Host | None] = [None] * len(ra)
    for row, at, many in zip(first, begin, number, strict=True):
        k = int(order[at])
        distance = _or_none(known["distance"][k])
        found[int(row)] = Host(
            name=bytes(galaxies.name[place[k]]).decode("utf-8", "replace").strip() or "without a name",
            catalog=galaxies.label,
            separation_arcsec=float(apart[k]),
            chance=_or_none(chance[k]),
            distance_mpc=distance,
            distance_error_mpc=_or_none(known["distance_error"][k]),
            offset_kpc=None if distance is None else _offset_kpc(apart[k], distance),
            magnitude=_or_none(known["magnitude"][k]),
            magnitude_from=_source(known["magnitude_from"][k], ("catalog", "mass", "luminosity")),
            half_light_arcsec=_or_none(known["half_light"][k]),
            half_light_from=_source(known["half_light_from"][k], ("catalog", "mass")),
            others=int(many) - 1,
        )
    return found


def _offset_kpc(separation_arcsec: float, distance_mpc: float) -> float:
    """Separation in projection at a luminosity distance."""
    across = distance_mpc / (1.0 + float(redshift_at(np.array(distance_mpc)))) ** 2
    return float(np.radians(separation_arcsec / 3600.0) * across * 1e3)


def _wide_pairs(ra: FloatArray, dec: FloatArray, galaxies: DescribedCatalog) -> tuple[IntArray, IntArray, FloatArray]:
    """Positions beside near galaxies, further than SEARCH_DEG from their centre: position, place, separation in deg."""
    distance = galaxies.distance
    places = np.flatnonzero(distance < _NEAR_MPC)
    reach = np.minimum(np.degrees(_REACH_MPC / distance[places].astype(np.float64)), _WIDEST_DEG)
    cosine = unit_vectors(ra, dec) @ unit_vectors(galaxies.ra[places], galaxies.dec[places]).T
    position, column = np.nonzero((cosine >= np.cos(np.radians(reach))) & (cosine < np.cos(np.radians(SEARCH_DEG))))
    apart = np.degrees(np.arccos(np.clip(cosine[position, column], -1.0, 1.0)))
    return position, places[column], apart


def _known(galaxies: DescribedCatalog, place: IntArray) -> dict[str, npt.NDArray[Any]]:
    """What the catalog says of some galaxies, and what follows from it; NaN where nothing does."""
    nothing = np.full(place.size, np.nan)
    distance = galaxies.distance[place].astype(np.float64)
    modulus = 5.0 * np.log10(distance) + 25.0
    mass, light = (
        nothing if (column := galaxies.weight(kind)) is None else column[place].astype(np.float64)
        for kind in ("mass", "luminosity")
    )
    stated, half, error = (
        nothing if (column := galaxies.optional(name)) is None else column[place].astype(np.float64)
        for name in ("magnitude", "half_light", "distance_error")
    )
    by_mass = _SUN_R - 2.5 * np.log10(mass / _MASS_TO_LIGHT) + modulus
    by_light = _SUN_B - 2.5 * np.log10(light) - _B_MINUS_R + modulus
    typical = np.degrees(typical_half_light_kpc(mass) * 1e-3 / distance) * 3600.0
    magnitude, magnitude_from = _first([stated, by_mass, by_light])
    half_light, half_light_from = _first([half, typical])
    return {
        "distance": distance,
        "distance_error": error,
        "magnitude": magnitude,
        "magnitude_from": magnitude_from,
        "half_light": half_light,
        "half_light_from": half_light_from,
    }


def _first(choices: list[FloatArray]) -> tuple[FloatArray, IntArray]:
    """The first finite value of each row, and which one that is; NaN and -1 where there is none."""
    table = np.stack(choices)
    finite = np.isfinite(table)
    which = np.where(finite.any(axis=0), finite.argmax(axis=0), -1)
    return np.asarray(np.where(which < 0, np.nan, table[which, np.arange(table.shape[1])])), which.astype(np.int64)


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _source(which: int, names: tuple[str, ...]) -> str | None:
    return names[which] if which >= 0 else None
