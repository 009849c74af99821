"""Where a satellite is, from a two-line element set: SGP4 and the frames around it.

SGP4 gives TEME coordinates (Vallado et al. 2006, AIAA 2006-6753). They become GCRS by the equation of the equinoxes
and the precession-nutation matrix of the IAU (ERFA), and longitudes by Greenwich mean sidereal time with UT1 = UTC
(wrong by less than 0.004 deg). Nothing here needs Earth orientation tables, so nothing is downloaded.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.sphere import to_radec

#: Mean radius of the Earth, km (IUGG): gives the Earth angle that the GBM data files carry.
EARTH_RADIUS = 6371.009


class OrbitError(ValueError):
    """An element set that SGP4 cannot propagate; the message says why."""


@dataclass(frozen=True)
class ElementSet:
    """Two lines of orbital elements of one object."""

    line1: str
    line2: str

    @property
    def norad_id(self) -> int:
        """Catalogue number."""
        return int(self.line1[2:7])

    @property
    def epoch(self) -> datetime:
        """Time for which the elements hold, UTC; two-digit years as the format has them (57 to 99 are 19xx)."""
        year, day = int(self.line1[18:20]), float(self.line1[20:32])
        year += 1900 if year >= 57 else 2000
        return datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=day - 1)


@dataclass(frozen=True, eq=False)
class SatellitePosition:
    """A satellite at one moment."""

    gcrs: FloatArray
    """Geocentric position, km, shape (3,)."""
    latitude: float
    """Geocentric latitude below the satellite, deg."""
    longitude: float
    """East longitude, deg, -180 to 180."""

    @property
    def earth_centre(self) -> tuple[float, float]:
        """Right ascension and declination of the Earth's centre as seen from the satellite, deg."""
        return to_radec(-self.gcrs)

    @property
    def earth_radius(self) -> float:
        """Angular radius of the Earth's disk as seen from the satellite, deg."""
        return float(np.degrees(np.arcsin(EARTH_RADIUS / np.linalg.norm(self.gcrs))))


def propagate(elements: ElementSet, time: datetime) -> SatellitePosition:
    """Position at a time (timezone-aware). Raises OrbitError if SGP4 refuses the elements or the orbit decayed."""
    import erfa
    from sgp4.api import SGP4_ERRORS, Satrec, jday

    utc = time.astimezone(UTC)
    jd1, jd2 = jday(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second + utc.microsecond * 1e-6)
    try:
        satellite = Satrec.twoline2rv(elements.line1, elements.line2)
    except (ValueError, IndexError) as error:
        raise OrbitError(f"not a two-line element set: {error}") from error
    code, position, _ = satellite.sgp4(jd1, jd2)
    if code or not np.isfinite(position).all():
        raise OrbitError(
            f"the orbit cannot be propagated to {utc:%Y-%m-%d %H:%M}: {SGP4_ERRORS.get(code, 'no result')}"
        )
    teme = np.asarray(position, dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", erfa.ErfaWarning)  # "dubious year": leap seconds beyond the table
        tt = erfa.taitt(*erfa.utctai(jd1, jd2))
        equation = erfa.eqeq94(*tt)
        to_true = erfa.pnm06a(*tt)
        sidereal = erfa.gmst82(jd1, jd2)
    true_of_date = erfa.rz(-equation, np.eye(3)) @ teme
    longitude = np.degrees(np.arctan2(teme[1], teme[0]) - sidereal)
    return SatellitePosition(
        gcrs=np.asarray(to_true.T @ true_of_date),
        latitude=float(np.degrees(np.arcsin(teme[2] / np.linalg.norm(teme)))),
        longitude=float((longitude + 180.0) % 360.0 - 180.0),
    )
