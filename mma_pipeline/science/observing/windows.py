"""What of a map a site can observe in 24 hours, and when: darkness, airmass, Moon.

A row of the map counts as observable at a time if the Sun is low enough, the row's centre is between the site's lowest and
highest altitude, and the Moon is down or far enough away. Altitudes are without refraction. The clock is an argument: the
same arguments give the same answer. Positions (galaxies, candidates) are in `targets`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.healpix import centres
from mma_pipeline.science.observing.ephemeris import Sky, altitude, degrees_between, illumination, sky, unit
from mma_pipeline.science.observing.sites import Limits, Site
from mma_pipeline.science.skymaps.model import SkyMap

HOURS = 24.0
STEP_MINUTES = 5
#: Where Sun and horizon are looked for, s from the begin: a night of the 24 h may have begun before and end after them.
_NIGHTS_S = (-24 * 3600.0, 48 * 3600.0, 900.0)
#: A site's window is the time in which at least this part of its best probability is above its limits.
EDGE = 0.1
#: Altitude of the Sun's centre when its upper edge seems to touch the horizon, deg (refraction 34', radius 16').
_SUNRISE_DEG = -0.833
#: Rows near the Moon that are looked at together.
_CHUNK = 2048


BoolArray = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Night:
    """The night of a site's window, or the first of the 24 h where it has none; times UTC.

    None where the Sun does not go there within a day of the 24 h.
    """

    sunset: datetime | None
    dusk: datetime | None
    """The Sun sinks below the site's limit."""
    dawn: datetime | None
    sunrise: datetime | None
    dark: bool
    """Whether it is dark at any time of the 24 h."""


@dataclass(frozen=True, eq=False)
class SiteWindows:
    """What one site can observe of a map in 24 h; T times on a common grid, N rows of the map."""

    site: Site
    limits: Limits
    lowest: float
    """Lowest altitude at which the site observes, deg."""
    highest: float
    """deg"""
    night: Night
    dark: BoolArray
    """Whether it is dark, shape (T,)."""
    curve: FloatArray
    """Probability of the map above the site's limits at each time, zero by day, shape (T,)."""
    rows: BoolArray
    """Whether each row is observable at some time, shape (N,)."""
    probability: float
    """Probability of the map that is observable at some time, 0 to 1."""
    airmass: FloatArray
    """Airmass of the most probable pixel at each time, infinite below the horizon, shape (T,)."""
    moon_separation: FloatArray
    """Angle between the Moon and the most probable pixel as seen from the site, deg, shape (T,)."""
    moon_altitude: FloatArray
    """Altitude of the Moon, deg, shape (T,)."""
    moon_illumination: FloatArray
    """Share of the Moon's disk that is lit, shape (T,)."""

    @property
    def spells(self) -> list[tuple[int, int]]:
        """First and last index of each spell in which at least a tenth of the best probability is above the limits."""
        return _spells(self.curve)

    @property
    def window(self) -> tuple[int, int] | None:
        """The spell with the most probability, summed over its times; None where nothing is observable."""
        return _fullest(self.curve)

    @property
    def best(self) -> int | None:
        """Index of the time in `window` at which most probability is above the limits."""
        if self.window is None:
            return None
        first, last = self.window
        return first + int(np.argmax(self.curve[first : last + 1]))


@dataclass(frozen=True, eq=False)
class Windows:
    """What several sites can observe in the 24 h from `begins`."""

    begins: datetime
    minutes: FloatArray
    """Minutes since `begins` of the common grid, shape (T,)."""
    sites: tuple[SiteWindows, ...]
    """In the order of the configured sites."""
    probability: float
    """Probability of the map that at least one site can observe, 0 to 1."""
    heavens: Sky
    """Earth, Sun and Moon on the grid."""

    def time(self, index: int) -> datetime:
        """The time of an index of the grid, UTC."""
        return self.begins + timedelta(minutes=float(self.minutes[index]))


def windows(
    m: SkyMap,
    sites: Sequence[Site],
    begins: datetime,
    *,
    limits: Limits | None = None,
    ut1_utc: float = 0.0,
    pole: tuple[float, float] = (0.0, 0.0),
    step_minutes: float = STEP_MINUTES,
) -> Windows:
    """When each site can observe how much of a map in the 24 h from `begins` (timezone-aware).

    `ut1_utc` (s) and `pole` (arcsec) are the Earth's orientation; without them altitudes are off by up to 0.004 deg.
    Raises SiteError for a site whose limits no sky meets.
    """
    usual = limits or Limits()
    grid = np.arange(0.0, HOURS * 60 + step_minutes / 2, step_minutes)
    heavens = sky(begins, grid * 60, ut1_utc=ut1_utc, pole=pole)
    nights = sky(begins, np.arange(*_NIGHTS_S), ut1_utc=ut1_utc, pole=pole)
    field = _Field.of(heavens, m)
    found = tuple(_site(site, usual, heavens, nights, field) for site in sites)
    anywhere = np.zeros(m.prob.size, dtype=bool)
    for one in found:
        anywhere |= one.rows
    return Windows(heavens.start, grid, found, _total(m.prob, anywhere), heavens)


@dataclass(frozen=True, eq=False)
class _Field:
    """N rows of a map as the moving Earth sees them."""

    directions: FloatArray
    """Unit vectors, axes of the ICRS, shape (N, 3)."""
    ra: FloatArray
    """Right ascension of date from the intermediate origin, rad, shape (N,)."""
    sin_dec: FloatArray
    cos_dec: FloatArray
    prob: FloatArray
    peak: FloatArray
    """Direction of the most probable pixel, shape (3,)."""

    @classmethod
    def of(cls, heavens: Sky, m: SkyMap) -> _Field:
        seen = heavens.apparent(centres(m.order, m.ipix))
        x, y, z = (seen @ heavens.to_icrs).T
        return cls(seen, np.arctan2(y, x), z, np.hypot(x, y), m.prob, seen[int(np.argmax(m.probdensity))])


def _spells(curve: FloatArray) -> list[tuple[int, int]]:
    if not curve.any():
        return []
    inside = np.flatnonzero(curve >= EDGE * curve.max())
    return [(int(run[0]), int(run[-1])) for run in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1)]


def _fullest(curve: FloatArray) -> tuple[int, int] | None:
    return max(_spells(curve), key=lambda run: float(curve[run[0] : run[1] + 1].sum()), default=None)


def _total(prob: FloatArray, rows: BoolArray) -> float:
    return float(min(np.sum(prob[rows]), 1.0))


def _site(site: Site, usual: Limits, heavens: Sky, nights: Sky, field: _Field) -> SiteWindows:
    limits, where = site.limits(usual), (site.latitude_deg, site.longitude_deg)
    overhead, place = heavens.zenith(*where), heavens.observer(*where, site.altitude_m)
    moon = unit(heavens.moon - place)
    moon_altitude = altitude(moon, overhead)
    dark = altitude(unit(heavens.sun - place), overhead) < limits.sun_max_deg
    shining = np.flatnonzero(dark & (moon_altitude > 0))
    near = _near(moon[shining], field.directions, limits.moon_min_deg)
    low, high = site.altitudes(usual)
    curve, rows = _by_hour_angle(heavens, overhead[0], dark, field, ~near, (low, high))
    if near.any():
        inside = np.flatnonzero(near)
        bright = np.zeros(dark.size, dtype=bool)
        bright[shining] = True
        more, some = _one_by_one(
            overhead, moon, dark, bright, field.directions[inside], field.prob[inside], (low, high, limits.moon_min_deg)
        )
        curve += more
        rows[inside] = some
    sine = overhead @ field.peak
    # Sums over intervals leave rounding where nothing is left.
    curve = np.where(curve > 1e-12, np.minimum(curve, 1.0), 0.0)
    return SiteWindows(
        site=site,
        limits=limits,
        lowest=low,
        highest=high,
        night=_night(heavens, nights, site, limits.sun_max_deg, dark, _fullest(curve)),
        dark=dark,
        curve=curve,
        rows=rows,
        probability=_total(field.prob, rows),
        airmass=np.where(sine > 0, 1 / np.maximum(sine, 1e-9), np.inf),
        moon_separation=degrees_between(moon, field.peak),
        moon_altitude=moon_altitude,
        moon_illumination=illumination(heavens.sun, heavens.moon),
    )


def _near(moon: FloatArray, directions: FloatArray, moon_min: float) -> BoolArray:
    """Rows that the Moon may come too near to at one of M times, shape (N,): within a cap around the middle of its way."""
    if not moon.size or moon_min <= 0:
        return np.zeros(len(directions), dtype=bool)
    middle = unit(moon.mean(axis=0))
    reach = np.radians(moon_min) + np.arccos(np.clip(np.min(moon @ middle), -1, 1)) + 1e-6
    return np.asarray(directions @ middle >= np.cos(min(reach, np.pi)))


def _by_hour_angle(
    heavens: Sky,
    overhead: FloatArray,
    dark: BoolArray,
    field: _Field,
    wanted: BoolArray,
    altitudes: tuple[float, float],
) -> tuple[FloatArray, BoolArray]:
    """Probability between two altitudes at each dark time, and whether each row is so once, for the rows wanted.

    A star is above an altitude a while |H| <= h, cos h = (sin a - sin φ sin δ) / (cos φ cos δ): an interval of the grid
    around each transit, so that no row is looked at for every time.
    """
    x, y, sin_lat = overhead @ heavens.to_icrs
    cos_lat = np.hypot(x, y)
    turn = float(heavens.rotation[1] - heavens.rotation[0]) % (2 * np.pi)
    transit = ((field.ra - np.arctan2(y, x)) % (2 * np.pi)) / turn
    before = np.concatenate([[0], np.cumsum(dark)])
    curve, times = np.zeros(dark.size + 1), np.zeros(field.prob.size, dtype=np.int64)
    prob = np.where(wanted, field.prob, 0.0)
    for sign, limit in ((1, altitudes[0]), (-1, altitudes[1])):
        if limit >= 90:
            continue
        above = np.sin(np.radians(limit)) - sin_lat * field.sin_dec
        cosine = above / np.maximum(cos_lat * field.cos_dec, 1e-12)
        half = np.arccos(np.clip(cosine, -1, 1)) / turn
        always, never = cosine <= -1, cosine >= 1
        for cycle in (-1, 0, 1):
            middle = transit + cycle * 2 * np.pi / turn
            first = np.clip(np.ceil(middle - half), 0, dark.size).astype(np.int64)
            last = np.clip(np.floor(middle + half), -1, dark.size - 1).astype(np.int64) + 1
            first, last = np.where(always, 0, first), np.where(always, dark.size if cycle == 0 else 0, last)
            some = (first < last) & ~never
            first, last = first[some], last[some]
            curve += sign * np.bincount(first, prob[some], dark.size + 1)
            curve -= sign * np.bincount(last, prob[some], dark.size + 1)
            times[some] += sign * (before[last] - before[first])
    return np.where(dark, np.cumsum(curve)[:-1], 0.0), wanted & (times > 0)


def _one_by_one(
    overhead: FloatArray,
    moon: FloatArray,
    dark: BoolArray,
    bright: BoolArray,
    directions: FloatArray,
    prob: FloatArray,
    limits: tuple[float, float, float],
) -> tuple[FloatArray, BoolArray]:
    """The same for rows near the Moon, each looked at for every dark time; `bright` is when the Moon is up."""
    low, high, near = limits
    curve, rows = np.zeros(dark.size), np.zeros(prob.size, dtype=bool)
    at, shines = np.flatnonzero(dark), bright[dark]
    # Single precision, 1e-7 rad, and few rows at a time, so that the numbers stay in the processor's cache.
    up, lunar = overhead[at].astype(np.float32), moon[at][shines].astype(np.float32)
    for begin in range(0, prob.size, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        there = np.ascontiguousarray(directions[part].T, dtype=np.float32)
        sine = up @ there
        inside = (sine >= np.float32(np.sin(np.radians(low)))) & (sine <= np.float32(np.sin(np.radians(high))))
        inside[shines] &= lunar @ there <= np.float32(np.cos(np.radians(near)))
        curve[at] += inside @ prob[part]
        rows[part] = inside.any(axis=0)
    return curve, rows


def _night(
    heavens: Sky, nights: Sky, site: Site, limit: float, dark: BoolArray, window: tuple[int, int] | None
) -> Night:
    """Times at which the Sun passes the limit and the horizon, from a cubic spline through its altitudes."""
    if not dark.any():
        return Night(None, None, None, None, False)
    from scipy.interpolate import CubicSpline

    overhead = nights.zenith(site.latitude_deg, site.longitude_deg)
    place = nights.observer(site.latitude_deg, site.longitude_deg, site.altitude_m)
    curve = CubicSpline(nights.seconds, altitude(unit(nights.sun - place), overhead))
    first = float(heavens.seconds[int(np.argmax(dark)) if window is None else window[0]])
    dusk, dawn = _around(curve, limit, first)
    sunset, sunrise = _around(curve, _SUNRISE_DEG, first)
    start = heavens.start
    return Night(_moment(start, sunset), _moment(start, dusk), _moment(start, dawn), _moment(start, sunrise), True)


def _around(curve: Any, level: float, dark: float) -> tuple[float | None, float | None]:
    """When a curve last fell through a level before a time in the dark, and when it next rises through it, s."""
    times = curve.solve(level, extrapolate=False)
    slope = curve(times, 1)
    falls, rises = times[(slope < 0) & (times <= dark)], times[(slope > 0) & (times > dark)]
    return (float(falls[-1]) if falls.size else None), (float(rises[0]) if rises.size else None)


def _moment(start: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else (start + timedelta(seconds=round(seconds))).astimezone(UTC)
