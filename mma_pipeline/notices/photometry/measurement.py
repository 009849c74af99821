"""A measurement of a transient, and the checks that measurements of every source must pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import finite, kind_of
from mma_pipeline.notices.photometry.brightness import is_weak
from mma_pipeline.notices.positions import angle
from mma_pipeline.notices.surveys import PacketFacts

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:+\-]{0,63}", re.ASCII)
_BAND = re.compile(r"[^\x00-\x1f\x7f]{1,32}")
#: 1900 to 2132; a time outside this range is in another unit (JD, Unix seconds).
_MJD_RANGE = (15020.0, 100000.0)
_MAX_MEASUREMENTS = 20_000
_MAX_REDSHIFT = 10.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A transient with measurements."""

    name: str
    ra: float
    """Right ascension ICRS, deg."""
    dec: float
    """Declination ICRS, deg."""
    ebv: float | None = None
    """Galactic E(B-V), mag; None if the source does not give it."""
    redshift: float | None = None
    """Heliocentric redshift of the candidate or its host; None if the source does not give it."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One magnitude or upper limit, and the flux behind it where the source measured one."""

    candidate: Candidate
    mjd: float
    """Middle of the exposure, MJD in days (UTC), double precision."""
    band: str
    magnitude: float
    """AB magnitude as sent (not corrected for extinction), or limiting magnitude."""
    error: float | None
    """One standard deviation, mag; None for a limit or where unknown."""
    upper_limit: bool = False
    telescope: str | None = None
    instrument: str | None = None
    flux_njy: float | None = None
    """Difference flux as sent, nJy, negative below the reference; None where the source gives a magnitude alone."""
    flux_error_njy: float | None = None
    """One standard deviation, nJy."""
    origin: str | None = None
    """Of a survey's point: `alert`, `previous` (both detections), `forced` or `limit`; None for other sources."""

    @property
    def detected(self) -> bool:
        """Whether it is a detection: a magnitude with a signal-to-noise ratio of 3 or more, or with unknown error."""
        return not self.upper_limit and not is_weak(self.error)


@dataclass(frozen=True, slots=True)
class PhotometryNotice:
    """Content of one message."""

    measurements: tuple[Measurement, ...]
    schema: str
    """Format of the message."""
    event_id: str | None = None
    """The event that the sender names: a hint, never used without checking the map."""
    simulated: bool = False
    skipped: tuple[str, ...] = ()
    """Rows that could not be used, each with its reason."""
    facts: Mapping[str, PacketFacts] = field(default_factory=dict)
    """What a survey's packet says beside the light curve, by the object's name as sent."""


def check_name(value: object) -> str:
    """Return `value` if it is a valid candidate name; raises NoticeError otherwise (names become keys and file names)."""
    if not isinstance(value, str) or _NAME.fullmatch(value) is None or ".." in value or value != value.strip():
        shown = repr(value)[:60]
        raise NoticeError(f"candidate is {shown}: use up to 64 letters, digits, spaces or . _ : + - and begin with one")
    return value


def complete(
    found: Sequence[Measurement], skipped: Sequence[str], schema: str, event_id: str | None, *, simulated: bool = False
) -> PhotometryNotice:
    """A notice with the given measurements; raises NoticeError if there are none."""
    if not found:
        reason = skipped[0] if skipped else "it lists no measurement"
        raise NoticeError(f"the message holds no photometry that can be used: {reason}")
    return PhotometryNotice(tuple(found), schema, event_id, simulated, tuple(skipped))


def candidate_of(
    name: object, ra: object, dec: object, ebv: float | None = None, redshift: float | None = None
) -> Candidate:
    """Checked name and position (deg, or sexagesimal text); raises NoticeError."""
    checked = check_name(name)
    longitude, latitude = angle(ra, "ra", hours=True), angle(dec, "dec", hours=False)
    if not 0 <= longitude <= 360:
        raise NoticeError(f"ra is {longitude:g}, outside 0 to 360 degrees")
    if not -90 <= latitude <= 90:
        raise NoticeError(f"dec is {latitude:g}, outside -90 to 90 degrees")
    return Candidate(checked, longitude % 360.0, latitude, ebv, redshift)


def ebv_of(head: Mapping[str, Any]) -> float | None:
    """E(B-V) in mag at the key `ebv`, None if absent; raises NoticeError."""
    value = None if head.get("ebv") is None else finite(head["ebv"], "candidate.ebv")
    if value is not None and not 0 <= value <= 20:
        raise NoticeError(f"candidate.ebv is {value:g}, not a colour excess in mag")
    return value


def redshift_of(head: Mapping[str, Any]) -> float | None:
    """Redshift at the key `redshift`, None if absent; raises NoticeError."""
    return None if head.get("redshift") is None else checked_redshift(head["redshift"], "candidate.redshift")


def checked_redshift(value: object, name: str) -> float:
    """A redshift from which a distance follows, above 0 and at most 10; raises NoticeError."""
    redshift = finite(value, name)
    if not 0 < redshift <= _MAX_REDSHIFT:
        raise NoticeError(f"{name} is {redshift:g}, not a redshift above 0 and at most {_MAX_REDSHIFT:g}: leave it out")
    return redshift


def lenient_redshift(value: object, name: str) -> float | None:
    """A redshift as other sources write it, also as text; raises NoticeError for text that is not a number, or above 10.

    None if absent, zero or negative: sources use this for "unknown", or for an object in the Milky Way or the Local Group,
    and it gives no distance.
    """
    if value in (None, ""):
        return None
    number = number_of(value, name)
    return checked_redshift(number, name) if number > 0 else None


def checked_mjd(value: object, name: str) -> float:
    """A plausible MJD in days; raises NoticeError."""
    mjd = finite(value, name)
    if not _MJD_RANGE[0] <= mjd <= _MJD_RANGE[1]:
        raise NoticeError(f"{name} is {mjd:g}, not an MJD in days")
    return mjd


def checked_band(value: object) -> str:
    """A filter name; raises NoticeError."""
    if not isinstance(value, str) or _BAND.fullmatch(value) is None:
        raise NoticeError(f"band is {value!r:.40}, not the name of a filter")
    return value


def number_of(value: object, name: str) -> float:
    """A number, also as text (Hermes forms send text)."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError as error:
            raise NoticeError(f"{name} is {value!r:.40}, not a number") from error
    return finite(value, name)


def error_of(value: object, name: str) -> float | None:
    """An error in mag; None if absent, zero or negative, which sources write for "unknown"."""
    if value in (None, ""):
        return None
    number = number_of(value, name)
    return number if number > 0 else None


def rows_of(value: object, name: str) -> list[Any]:
    """A list of bounded length; raises NoticeError."""
    if not isinstance(value, list):
        raise NoticeError(f"{name} is a {kind_of(value)} where a list belongs")
    if len(value) > _MAX_MEASUREMENTS:
        raise NoticeError(f"{name} has {len(value)} entries, more than {_MAX_MEASUREMENTS}")
    return value


def grouped(problems: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Each reason once with its number of rows, in order of appearance, from pairs of (place, reason)."""
    found: dict[str, list[str]] = {}
    for place, reason in problems:
        found.setdefault(reason, []).append(place)
    return tuple(
        f"{places[0]}: {reason}" if len(places) == 1 else f"{len(places)} rows, the first {places[0]}: {reason}"
        for reason, places in found.items()
    )


def each(
    rows: Sequence[Any], name: str, read: Callable[[Mapping[str, Any]], Measurement]
) -> tuple[list[Measurement], list[str]]:
    """Read every row; returns the measurements and, for each row that could not be read, where and why."""
    found: list[Measurement] = []
    skipped: list[str] = []
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            skipped.append(f"{name} {number}: it is a {kind_of(row)} where an object belongs")
            continue
        try:
            found.append(read(row))
        except NoticeError as problem:
            skipped.append(f"{name} {number}: {problem}")
    return found, skipped
