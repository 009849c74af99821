"""Stars and active nuclei at the places of candidates, from tables on disk.

Whether a match may be chance: P = 1 - exp(-π r² σ), with σ the table's own density around the candidate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mma_pipeline.notices.times import YEAR_DAYS
from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.vetting.places import counts_around, neighbours

#: Stars are looked for out to here, arcsec, because they move: 3 arcsec a year since Gaia's epoch are then found.
_MOVED_ARCSEC = 30.0
#: Order of the pixels in which the density is counted: with its neighbours 26 arcmin² for stars; 6,800 for nuclei.
_STAR_DENSITY_ORDER, _AGN_DENSITY_ORDER = 11, 7
_MJD_2000 = 51544.5
_ARCSEC_PER_DEG, _MAS_PER_ARCSEC = 3600.0, 1000.0


class Table(Protocol):
    """A table in order of its HEALPix index, memory-mapped or not."""

    @property
    def index29(self) -> IntArray:
        """Order-29 NESTED index, ascending, shape (G,)."""

    @property
    def rows(self) -> npt.NDArray[Any]:
        """Records of shape (G,): ra, dec (deg), magnitude, name; parallax, pmra, pmdec (mas, mas/yr) with errors; redshift, type."""

    @property
    def label(self) -> str:
        """Name of the table."""

    @property
    def epoch(self) -> float:
        """Time of the positions, Julian years."""


@dataclass(frozen=True, slots=True)
class StarMatch:
    """The star nearest to a candidate at the candidate's time."""

    name: str
    catalog: str
    separation_arcsec: float
    chance: float
    """Probability that a star of the table lies as near by chance, 0 to 1."""
    motion_significance: float | None
    """Proper motion over its error: the root of χ² of both components against rest; None without one."""
    parallax_significance: float | None
    """Parallax over its error."""
    magnitude: float | None


@dataclass(frozen=True, slots=True)
class NucleusMatch:
    """The active nucleus nearest to a candidate."""

    name: str
    catalog: str
    separation_arcsec: float
    chance: float
    """Probability that a nucleus of the table lies as near by chance, 0 to 1."""
    type: str
    """As the table gives it; empty where it does not."""
    redshift: float | None
    magnitude: float | None


def stars_at(
    ra: FloatArray, dec: FloatArray, mjd: FloatArray, radius_arcsec: FloatArray, table: Table
) -> list[StarMatch | None]:
    """The nearest star within a radius (arcsec) of each position (ICRS, deg) at its time (MJD), shape (N,); None where there is none.

    Stars are moved from the table's epoch to that time by their proper motion, where it is known.
    """
    rows = table.rows
    widest = max(float(radius_arcsec.max(initial=0.0)), _MOVED_ARCSEC)
    near = neighbours(table.index29, ra, dec, widest / _ARCSEC_PER_DEG)
    star = rows[near.place]
    years = (mjd[near.position] - _MJD_2000) / YEAR_DAYS + 2000.0 - table.epoch
    cosine = np.cos(np.radians(dec[near.position]))
    # On the tangent plane: exact to 1e-6 of half an arcminute.
    east, north = (
        np.nan_to_num(star[name].astype(np.float64), nan=0.0) * years / _MAS_PER_ARCSEC for name in ("pmra", "pmdec")
    )
    east += ((star["ra"] - ra[near.position] + 180.0) % 360.0 - 180.0) * cosine * _ARCSEC_PER_DEG
    north += (star["dec"] - dec[near.position]) * _ARCSEC_PER_DEG
    apart = np.hypot(east, north)
    chosen = _nearest(near.position, apart, radius_arcsec)
    density = counts_around(table.index29, ra, dec, _STAR_DENSITY_ORDER)
    found: list[StarMatch | None] = [None] * len(ra)
    for k in chosen:
        row, one = int(near.position[k]), star[k]
        # The star itself is one of those counted: nothing else may be there.
        found[row] = StarMatch(
            name=_text(one["name"]),
            catalog=table.label,
            separation_arcsec=float(apart[k]),
            chance=_chance(radius_arcsec[row], density[row]),
            motion_significance=_root(_ratio(one, "pmra"), _ratio(one, "pmdec")),
            parallax_significance=_ratio(one, "parallax"),
            magnitude=_known(one["magnitude"]),
        )
    return found


def nuclei_at(ra: FloatArray, dec: FloatArray, radius_arcsec: FloatArray, table: Table) -> list[NucleusMatch | None]:
    """The nearest active nucleus within a radius (arcsec) of each position (ICRS, deg), shape (N,); None where there is none."""
    rows = table.rows
    widest = float(radius_arcsec.max(initial=0.0))
    near = neighbours(table.index29, ra, dec, widest / _ARCSEC_PER_DEG)
    apart = near.separation * _ARCSEC_PER_DEG
    density = counts_around(table.index29, ra, dec, _AGN_DENSITY_ORDER)
    found: list[NucleusMatch | None] = [None] * len(ra)
    for k in _nearest(near.position, apart, radius_arcsec):
        row, one = int(near.position[k]), rows[near.place[k]]
        found[row] = NucleusMatch(
            name=_text(one["name"]),
            catalog=table.label,
            separation_arcsec=float(apart[k]),
            chance=_chance(radius_arcsec[row], density[row]),
            type=_text(one["type"], ""),
            redshift=_known(one["redshift"]),
            magnitude=_known(one["magnitude"]),
        )
    return found


def _nearest(position: IntArray, apart: FloatArray, radius_arcsec: FloatArray) -> IntArray:
    """Which pairs are the nearest of their position, within its radius."""
    inside = np.flatnonzero(apart <= radius_arcsec[position])
    order = inside[np.lexsort((apart[inside], position[inside]))]
    _, first = np.unique(position[order], return_index=True)
    return np.asarray(order[first], dtype=np.int64)


def _chance(radius_arcsec: float, per_deg2: float) -> float:
    return float(-np.expm1(-np.pi * (radius_arcsec / _ARCSEC_PER_DEG) ** 2 * per_deg2))


def _ratio(star: npt.NDArray[Any], name: str) -> float | None:
    value, error = float(star[name]), float(star[f"{name}_error"])
    return value / error if np.isfinite(value) and error > 0 else None


def _root(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else float(np.hypot(first, second))


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _text(value: bytes, otherwise: str = "without a name") -> str:
    return bytes(value).decode("utf-8", "replace").strip() or otherwise
