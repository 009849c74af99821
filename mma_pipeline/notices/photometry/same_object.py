"""When two names, or two places, are of one object.

Names: blanks and case do not count, and neither does the prefix of a designation of the Transient Name Server, which
changes when a transient is classified (AT to SN, https://www.wis-tns.org/content/tns-getting-started).
Places: an angle on the sky. A cell of a grid of directions finds what lies near by equality, whatever the pole or the
meridian, so that a table needs an ordinary index only.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import product

#: `AT2017gfo`, `SN 1987A`, `2017gfo`: prefix, year, letters. Prefixes that the Transient Name Server gives or gave.
DESIGNATION = re.compile(r"(?:(?:at|sn|slsn|tde|kn)[_.\-]?)?([12]\d{3}[a-z]{1,6})", re.ASCII)
#: Side of a cell, rad: 12.6 arcsec. Larger than a radius, so that a disc meets few cells: 2.3 on average for 2 arcsec.
_SIDE = 2.0**-14
_BITS = 16
_ARCSEC = math.pi / 180 / 3600


@dataclass(frozen=True, slots=True)
class Nearness:
    """What counts as one place, arcsec."""

    position: float = 2.0
    """Objects of any names that lie no further apart are one."""
    name: float = 10.0
    """A known name may be given this far from where it is known: sources round positions, and some are of X-rays."""


def identity_of(name: str) -> str:
    """What equal names share: `AT 2017gfo`, `at2017gfo`, `SN2017gfo` and `2017gfo` give `2017gfo`; others lose blanks and case."""
    folded = "".join(name.split()).casefold()
    match = DESIGNATION.fullmatch(folded)
    return folded if match is None else match[1]


def separation_arcsec(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Angle between two directions (RA, Dec in deg), arcsec; exact for small and for large angles."""
    a, b = _vector(*first), _vector(*second)
    cross = math.hypot(a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    return math.atan2(cross, sum(x * y for x, y in zip(a, b, strict=True))) / _ARCSEC


def cell_of(ra: float, dec: float) -> int:
    """The cell of a direction (deg), below 2**48."""
    return _code(*(_step(x) for x in _vector(ra, dec)))


def cells_around(ra: float, dec: float, radius_arcsec: float) -> list[int]:
    """The cells with any direction within a radius of one (deg); at most eight for radii up to 6 arcsec."""
    # A chord is no longer than its arc; the margin covers rounding.
    reach = radius_arcsec * _ARCSEC + 1e-13
    spans = [range(_step(x - reach), _step(x + reach) + 1) for x in _vector(ra, dec)]
    return [_code(*steps) for steps in product(*spans)]


def _vector(ra: float, dec: float) -> tuple[float, float, float]:
    longitude, latitude = math.radians(ra), math.radians(dec)
    return (
        math.cos(latitude) * math.cos(longitude),
        math.cos(latitude) * math.sin(longitude),
        math.sin(latitude),
    )


def _step(x: float) -> int:
    return math.floor((min(max(x, -1.0), 1.0) + 1.0) / _SIDE)


def _code(x: int, y: int, z: int) -> int:
    return (x << 2 * _BITS) | (y << _BITS) | z
