"""Positions on the sphere: HEALPix indices, pixel centres and true angular separations.

Angles are degrees (ICRS) at every boundary of this module. Not here: sky maps (`skymaps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.healpix import MAX_ORDER


class PositionError(ValueError):
    """A position is not on the sphere; the message says which."""


def check_positions(
    ra: npt.ArrayLike, dec: npt.ArrayLike, numbers: Sequence[int] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Right ascension and declination, deg, as 1-D float arrays of one shape (N,); RA wrapped to [0, 360).

    `numbers` are what people call the positions, shape (N,); without them they are counted from 1. Raises PositionError if a value is not finite, a right ascension lies outside ±360, a declination outside ±90, or the
    shapes differ.
    """
    ra_deg = np.atleast_1d(np.asarray(ra, dtype=np.float64))
    dec_deg = np.atleast_1d(np.asarray(dec, dtype=np.float64))
    if ra_deg.shape != dec_deg.shape or ra_deg.ndim != 1:
        raise PositionError(f"{ra_deg.shape} right ascensions but {dec_deg.shape} declinations: give one of each")
    # NaN is within no bound.
    bad = ~((np.abs(ra_deg) <= 360.0) & (np.abs(dec_deg) <= 90.0))
    if bad.any():
        first = int(np.argmax(bad))
        raise PositionError(
            f"position {first + 1 if numbers is None else numbers[first]} (RA {ra_deg[first]}, Dec {dec_deg[first]} deg) is not on the sphere: "
            "right ascension must be within ±360 and declination within ±90"
        )
    return np.mod(ra_deg, 360.0), dec_deg


def index29(ra: npt.ArrayLike, dec: npt.ArrayLike) -> IntArray:
    """Order-29 NESTED HEALPix index of positions in degrees, shape (N,) (cells of 0.4 milliarcseconds)."""
    import healpy

    index = healpy.ang2pix(1 << MAX_ORDER, np.asarray(ra), np.asarray(dec), nest=True, lonlat=True)
    return np.asarray(index, dtype=np.int64)


def pixel_centres(order: npt.ArrayLike, ipix: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Right ascension and declination, deg, of NESTED pixel centres; the orders may differ. Shape (N,)."""
    import healpy

    nside = np.int64(1) << np.asarray(order, dtype=np.int64)
    ra, dec = healpy.pix2ang(nside, np.asarray(ipix, dtype=np.int64), nest=True, lonlat=True)
    return np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)


def unit_vectors(ra: npt.ArrayLike, dec: npt.ArrayLike) -> FloatArray:
    """Cartesian unit vectors, shape (..., 3), of positions in degrees."""
    lon, lat = np.radians(np.asarray(ra, dtype=np.float64)), np.radians(np.asarray(dec, dtype=np.float64))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def to_radec(vector: npt.ArrayLike) -> tuple[float, float]:
    """Right ascension [0, 360) and declination, deg, of one Cartesian vector of shape (3,), any length."""
    x, y, z = np.asarray(vector, dtype=np.float64)
    return float(np.degrees(np.arctan2(y, x)) % 360.0), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def separation(ra1: npt.ArrayLike, dec1: npt.ArrayLike, ra2: npt.ArrayLike, dec2: npt.ArrayLike) -> FloatArray:
    """Angle between positions, all in degrees, broadcast shape; exact for small and for antipodal angles.

    The chord form 2 atan2(|a - b|, |a + b|) is used instead of the arc cosine, which loses half the digits at
    small angles (Kahan 2006, "How futile are mindless assessments of roundoff", section 12).
    """
    a, b = unit_vectors(ra1, dec1), unit_vectors(ra2, dec2)
    chord, sum_ = np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1)
    return np.asarray(np.degrees(2.0 * np.arctan2(chord, sum_)))


def cap_rows(order: IntArray, ipix: IntArray, ra: float, dec: float, radius: float, depth: int = 4) -> FloatArray:
    """Fraction of each NESTED pixel that lies within `radius` deg of (ra, dec) deg, shape (N,), in [0, 1].

    Pixels wholly inside or outside are told by their circumscribed circle; those the circle's edge crosses are
    divided into 4^depth children and the centres counted: the error on a crossed pixel is below 2^-depth.
    """
    order, ipix = np.asarray(order, dtype=np.int64), np.asarray(ipix, dtype=np.int64)
    centre_ra, centre_dec = pixel_centres(order, ipix)
    distance = separation(centre_ra, centre_dec, ra, dec)
    reach = _pixel_radius()[order]
    fraction = (distance <= radius).astype(np.float64)
    crossed = np.flatnonzero(np.abs(distance - radius) < reach)
    # A circle much smaller than its pixel would slip between the children: divide until they resolve it.
    wanted = int(np.searchsorted(-_pixel_radius(), -radius / 25.0))
    extra = np.clip(wanted - order[crossed], depth, 9)
    extra = np.minimum(extra, MAX_ORDER - order[crossed])
    for step in np.unique(extra):
        rows = crossed[extra == step]
        for block in np.array_split(rows, max(1, (rows.size << int(2 * step)) >> 18)):
            children = (ipix[block, np.newaxis] << (2 * step)) + np.arange(np.int64(1) << (2 * step))
            child_ra, child_dec = pixel_centres((order[block] + step)[:, np.newaxis], children)
            fraction[block] = np.mean(separation(child_ra, child_dec, ra, dec) <= radius, axis=1)
    return fraction


@cache
def _pixel_radius() -> FloatArray:
    """Largest centre-to-corner angle, deg, of the pixels of each order, shape (30,)."""
    import healpy

    return np.degrees([healpy.max_pixrad(1 << k) for k in range(MAX_ORDER + 1)])
