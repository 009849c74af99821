"""Observatories on the ground: where they are, what they can point at, how wide and deep they look.

The shipped list is `sites.json` beside this module; each entry names the source of its figures. A list of one's own has
the same fields. Limits that an entry does not state are those of `Limits`, which are settings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib import resources
from typing import Any


class SiteError(ValueError):
    """A configured site that makes no sense; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts as observable, where a site does not say otherwise."""

    airmass_max: float = 2.5
    """Largest airmass, the secant of the zenith distance."""
    moon_min_deg: float = 20.0
    """Least angle to the Moon while it is up, deg."""
    sun_max_deg: float = -18.0
    """Altitude of the Sun below which it is dark, deg: -18 astronomical, -12 nautical twilight."""

    def __post_init__(self) -> None:
        """Raises SiteError for a limit that no sky meets."""
        if not self.airmass_max > 1:
            raise SiteError(f"the airmass limit is {self.airmass_max:g}: it must be more than 1")
        if not 0 <= self.moon_min_deg < 180:
            raise SiteError(f"the least angle to the Moon is {self.moon_min_deg:g}: it must be 0 to 180 deg")
        if not -90 <= self.sun_max_deg <= 0:
            raise SiteError(f"the Sun's altitude is {self.sun_max_deg:g}: darkness begins between -90 and 0 deg")


@dataclass(frozen=True, slots=True)
class Site:
    """One telescope, as configured. A limit of None is that of `Limits`."""

    name: str
    latitude_deg: float
    """Geodetic, north."""
    longitude_deg: float
    """East."""
    altitude_m: float = 0.0
    """Above the WGS84 ellipsoid."""
    field_deg2: float | None = None
    """Area of one exposure, deg²."""
    depth_mag: float | None = None
    """Typical depth of one exposure, AB magnitude; None where it is a matter of exposure time."""
    depth_band: str | None = None
    altitude_min_deg: float | None = None
    """Lowest altitude that it points to; the airmass limit holds beside it."""
    altitude_max_deg: float | None = None
    airmass_max: float | None = None
    moon_min_deg: float | None = None
    sun_max_deg: float | None = None
    source: str = ""
    """Where the figures come from."""

    def __post_init__(self) -> None:
        """Raises SiteError where a value cannot be."""
        if not self.name:
            raise SiteError("a site has no name")
        for field in fields(self):
            value = getattr(self, field.name)
            if str(field.type).startswith("str"):
                wrong = value is not None and not isinstance(value, str)
            else:
                wrong = value is not None and (isinstance(value, bool) or not isinstance(value, int | float))
                wrong = wrong or (isinstance(value, float) and not math.isfinite(value))
                wrong = wrong or (value is None and "None" not in str(field.type))
            if wrong:
                raise SiteError(f"{self.name}: {field.name} is {value!r:.40}")
        if not -90 <= self.latitude_deg <= 90 or not -180 <= self.longitude_deg <= 360:
            raise SiteError(f"{self.name}: {self.latitude_deg:g}, {self.longitude_deg:g} deg is no place on the Earth")
        low, high = self.altitude_min_deg or 0.0, 90.0 if self.altitude_max_deg is None else self.altitude_max_deg
        if not -5 <= low < high <= 90:
            raise SiteError(f"{self.name}: it points to no altitude between {low:g} and {high:g} deg")

    def limits(self, usual: Limits) -> Limits:
        """The site's own limits where it states them. Raises SiteError for a limit that no sky meets."""
        own = {f.name: getattr(self, f.name) for f in fields(Limits)}
        return Limits(**{name: getattr(usual, name) if value is None else value for name, value in own.items()})

    def altitudes(self, usual: Limits) -> tuple[float, float]:
        """Lowest and highest altitude at which it observes, deg: its own limits and that of the airmass."""
        lowest = math.degrees(math.asin(1 / self.limits(usual).airmass_max))
        return max(
            lowest, self.altitude_min_deg or 0.0
        ), 90.0 if self.altitude_max_deg is None else self.altitude_max_deg


def sites_from_json(text: str) -> tuple[Site, ...]:
    """Sites from a JSON list of objects with the fields of `Site`; raises SiteError with the place of the mistake."""
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise SiteError(f"the list of sites is not JSON: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise SiteError("the list of sites must be a JSON list of objects")
    found = tuple(_site(entry) for entry in entries)
    if not found:
        raise SiteError("the list of sites is empty")
    names = [site.name for site in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SiteError(f"two sites have the name {twice[0]}")
    return found


def _site(entry: Mapping[str, Any]) -> Site:
    known = {field.name: field.default is MISSING for field in fields(Site)}
    lacks = [name for name, needed in known.items() if needed and name not in entry]
    strange = [name for name in entry if name not in known]
    said = [f"lacks {', '.join(lacks)}"] * bool(lacks) + [f"has {', '.join(strange)}, which no site has"] * bool(
        strange
    )
    if said:
        raise SiteError(f"site {entry.get('name', '?')!s:.40} {' and '.join(said)[:200]}")
    try:
        return Site(**entry)
    except TypeError as error:
        raise SiteError(f"site {entry.get('name', '?')!s:.40}: {error}") from error


@cache
def shipped_sites() -> tuple[Site, ...]:
    """The sites that come with the package."""
    return sites_from_json(resources.files(__package__).joinpath("sites.json").read_text("utf-8"))


def named(sites: Sequence[Site], name: str) -> Site:
    """The site of a name, upper or lower case, or the only one whose name begins so; raises SiteError."""
    wanted = name.strip().lower()
    exact = [s for s in sites if s.name.lower() == wanted]
    found = exact or [s for s in sites if s.name.lower().startswith(wanted)]
    if len(found) != 1:
        said = "several sites are" if found else "no site is"
        raise SiteError(f"{said} named {name!r:.40}: there are {', '.join(s.name for s in (found or sites))}")
    return found[0]
