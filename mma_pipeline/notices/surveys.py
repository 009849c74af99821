"""What a survey alert says: one detection of one object, its light curve, and facts that its packet carries.

Every format of every broker becomes these values (`mma_pipeline/adapters/surveys`). Units are the same for all: degrees
ICRS, MJD in days (UTC), difference flux in nJy (AB magnitude 31.4 is 1 nJy).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple

#: Surveys whose alerts are read.
Survey = Literal["ztf", "lsst"]
#: Where a point comes from: the detection that the alert is about, an earlier detection, forced photometry at its
#: position, or a limit without a detection.
Origin = Literal["alert", "previous", "forced", "limit"]

#: Name under which `PacketFacts.details` says that a packet is invented.
SIMULATED = "simulated"


class AlertHead(NamedTuple):
    """What the first look at a packet needs: which object, where and when."""

    survey: Survey
    object_id: str
    """The survey's name of the object, such as `ZTF18abudxnw` or Rubin's diaObjectId in digits."""
    alert_id: str
    """The survey's name of the detection: ZTF's candid, Rubin's diaSourceId, in digits."""
    ra: float
    """Right ascension ICRS, deg, 0 to 360."""
    dec: float
    """Declination ICRS, deg."""
    mjd: float
    """MJD of the detection that triggered the alert, days (UTC)."""


@dataclass(frozen=True, slots=True)
class FluxPoint:
    """One point of a light curve of difference fluxes."""

    mjd: float
    """Middle of the exposure, days (UTC); ZTF's own times are those of the exposure's start."""
    band: str
    """Survey and letter, such as `ztfg` or `lssti` (sncosmo's names)."""
    flux_njy: float | None
    """Difference flux, nJy; negative where the source is fainter than the reference. None for a limit alone."""
    flux_error_njy: float | None
    """One standard deviation, nJy."""
    limit_mag: float | None
    """Limiting AB magnitude (5 sigma) of the exposure; None where the packet gives none."""
    origin: Origin


class SolarSystemMatch(NamedTuple):
    """The known solar-system object that the packet names beside the detection."""

    name: str | None
    distance_arcsec: float | None
    """Separation from the predicted position, arcsec; None where the packet gives none."""


class CatalogMatch(NamedTuple):
    """An object of a catalog, or of the other survey, near the detection."""

    catalog: str
    name: str | None
    distance_arcsec: float | None
    redshift: float | None = None


@dataclass(frozen=True, slots=True)
class PacketFacts:
    """What else the packet carries and a decision may need; None: the packet does not say."""

    real_bogus: float | None = None
    """The survey's score, 0 (bogus) to 1 (real): ZTF's `drb`, else `rb`; Rubin's `reliability`."""
    real_bogus_kind: str | None = None
    """Which score that is: `drb`, `rb` or `reliability`."""
    star_score: float | None = None
    """How star-like the nearest source of the reference catalog is, 0 (galaxy) to 1 (star)."""
    star_distance_arcsec: float | None = None
    """Separation of that source, arcsec."""
    solar_system: SolarSystemMatch | None = None
    is_negative: bool = False
    """Whether the detection is fainter than the reference."""
    first_mjd: float | None = None
    """Earliest detection of the object that the packet knows of, days (UTC)."""
    redshift: float | None = None
    """Redshift of the object or its host, where it is good enough for a distance; others are among `matches`."""
    matches: tuple[CatalogMatch, ...] = ()
    details: Mapping[str, float | str | bool] = field(default_factory=lambda: MappingProxyType({}))
    """Other facts under the packet's or the broker's own names: numbers, text, flags."""


@dataclass(frozen=True, slots=True)
class SurveyAlert:
    """One alert as read in full."""

    head: AlertHead
    points: tuple[FluxPoint, ...]
    """Light curve by time, the point that triggered the alert included."""
    facts: PacketFacts
    schema: str
    """Format and its version, such as `ztf 4.02`, `lsst 10.0` or `ampel LSSTReport`."""
    broker: str
    """Who sent it: `ztf`, `rubin`, `ampel`, `babamul`, `boom`, `fink` or `lasair`."""
