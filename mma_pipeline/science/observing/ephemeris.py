"""Where stars, Sun and Moon stand above a place on the ground, for many times and directions at once.

Directions are rotated instead of being transformed one by one. ERFA gives precession and nutation (IAU 2006/2000A), the
Earth's velocity (aberration) and the Sun (`epv00`, 1e-5 deg) once per interval, the Moon (`moon98`, Meeus 1998: 10") and
the Earth's rotation angle at every time. The altitude of a star is then the product of two unit vectors. Left out, as too
small for whom it is for: light deflection, diurnal aberration (0.3"), and refraction, as astropy's `AltAz` does without
pressure. Tested against astropy: altitudes 0.01 deg, Moon 0.05 deg, twilight 10 s.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from mma_pipeline.notices.times import DAY_S
from mma_pipeline.science.arrays import FloatArray

_AU_M = 149_597_870_700.0
_LIGHT_AU_PER_DAY = 173.144_632_674


@dataclass(frozen=True, eq=False)
class Sky:
    """The sky in an interval of at most some days: T times, vectors in the axes of the ICRS."""

    start: datetime
    """Begin of the interval, UTC."""
    seconds: FloatArray
    """Seconds since `start`, shape (T,)."""
    rotation: FloatArray
    """Earth rotation angle, rad, shape (T,)."""
    to_icrs: FloatArray
    """From the intermediate axes of date (CIRS) to those of the ICRS, shape (3, 3)."""
    pole: FloatArray
    """From the axes of the ground (ITRS) to those of the rotating Earth, polar motion, shape (3, 3)."""
    velocity: FloatArray
    """Velocity of the Earth as a part of that of light, shape (3,)."""
    sun: FloatArray
    """Apparent geocentric position of the Sun, au, shape (T, 3)."""
    moon: FloatArray
    """Apparent geocentric position of the Moon, au, shape (T, 3)."""

    def apparent(self, vectors: FloatArray) -> FloatArray:
        """Directions as the moving Earth sees them (annual aberration), unit vectors, shape (N, 3)."""
        shifted = vectors + self.velocity
        return np.asarray(shifted / np.linalg.norm(shifted, axis=-1, keepdims=True))

    def zenith(self, latitude: float, longitude: float) -> FloatArray:
        """Unit vectors to the geodetic zenith of a place (deg, east), shape (T, 3)."""
        lat, lon = np.radians(latitude), np.radians(longitude)
        normal = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
        return self._turned(normal)

    def observer(self, latitude: float, longitude: float, height: float) -> FloatArray:
        """Geocentric position of a place (deg, east, m above the WGS84 ellipsoid), au, shape (T, 3)."""
        import erfa

        return self._turned(np.asarray(erfa.gd2gc(1, np.radians(longitude), np.radians(latitude), height)) / _AU_M)

    def _turned(self, ground: FloatArray) -> FloatArray:
        """A vector fixed to the ground, at every time in the axes of the ICRS."""
        x, y, z = self.pole @ ground
        cos, sin = np.cos(self.rotation), np.sin(self.rotation)
        rotated = np.stack([cos * x - sin * y, sin * x + cos * y, np.full_like(cos, z)], axis=-1)
        return np.asarray(rotated @ self.to_icrs.T)


def sky(
    start: datetime, seconds: npt.ArrayLike, *, ut1_utc: float = 0.0, pole: tuple[float, float] = (0.0, 0.0)
) -> Sky:
    """The sky at `seconds` after `start` (timezone-aware).

    Args:
        start: begin of the interval.
        seconds: shape (T,), over at most some days: precession and nutation are those of the middle.
        ut1_utc: UT1 - UTC, s, from a table of the Earth's orientation.
        pole: coordinates of the pole, arcsec, from the same.
    """
    import erfa

    utc, after = start.astimezone(UTC), np.atleast_1d(np.asarray(seconds, dtype=np.float64))
    middle = float(after.min() + after.max()) / 2 / DAY_S
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", erfa.ErfaWarning)  # "dubious year": leap seconds beyond the table
        day = erfa.dtf2d("UTC", utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second + utc.microsecond * 1e-6)
        tt = erfa.taitt(*erfa.utctai(*day))
        ut1 = erfa.utcut1(*day, ut1_utc)
        at = (tt[0], tt[1] + after / DAY_S)
        heliocentric, _ = erfa.epv00(*at)
        _, barycentric = erfa.epv00(tt[0], tt[1] + middle)
        moon = erfa.moon98(*at)["p"]
    velocity = np.asarray(barycentric["v"]) / _LIGHT_AU_PER_DAY
    sun = -np.asarray(heliocentric["p"])
    arcsec = np.radians(1 / 3600)
    return Sky(
        start=utc,
        seconds=after,
        rotation=np.asarray(erfa.era00(ut1[0], ut1[1] + after / DAY_S)),
        to_icrs=np.asarray(erfa.c2i06a(tt[0], tt[1] + middle)).T,
        pole=np.asarray(erfa.pom00(pole[0] * arcsec, pole[1] * arcsec, erfa.sp00(tt[0], tt[1] + middle))).T,
        velocity=velocity,
        sun=sun + np.linalg.norm(sun, axis=-1, keepdims=True) * velocity,
        # Geocentric and geometric is apparent but for the second that its light takes: the Moon moves with the Earth.
        moon=np.asarray(moon),
    )


def unit(vectors: FloatArray) -> FloatArray:
    """Directions of vectors, shape (…, 3)."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def degrees_between(a: FloatArray, b: FloatArray) -> FloatArray:
    """Angle between unit vectors that broadcast, deg."""
    return np.asarray(np.degrees(np.arccos(np.clip(np.sum(a * b, axis=-1), -1.0, 1.0))))


def altitude(direction: FloatArray, zenith: FloatArray) -> FloatArray:
    """Altitude above the horizon of unit vectors that broadcast, deg."""
    return np.asarray(np.degrees(np.arcsin(np.clip(np.sum(direction * zenith, axis=-1), -1.0, 1.0))))


def illumination(sun: FloatArray, moon: FloatArray) -> FloatArray:
    """Share of the Moon's disk that is lit, from geocentric positions (au) of shape (…, 3); Meeus 1998, chapter 48."""
    to_sun, to_earth = unit(sun - moon), unit(-moon)
    return np.asarray((1 + np.sum(to_sun * to_earth, axis=-1)) / 2)
