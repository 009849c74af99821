"""A pointing of a telescope for an event: planned, completed or cancelled, and the Treasure Map's rows of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import finite
from mma_pipeline.notices.footprints import Footprint, parse_footprint
from mma_pipeline.notices.text import clean_text

#: Longest text of a field; the rest of it is cut.
_LONGEST = 100
_POINT = re.compile(r"\s*POINT\s*\(\s*(\S+)\s+(\S+)\s*\)\s*", re.IGNORECASE)
#: AB magnitude of 1 Jy.
_ZERO_POINT_JY = 8.90
#: Source of the Treasure Map's pointings.
TREASURE_MAP = "gwtm"
#: Source of the observation requests of the TOM.
TOM = "tom"


class Status(StrEnum):
    """What became of a pointing; spelled as the Treasure Map spells it."""

    PLANNED = "planned"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Pointing:
    """One pointing, as a source tells it."""

    source: str
    """Who tells: `gwtm`, `tom`, or `own` for files."""
    source_id: str
    """Its name there."""
    instrument: str
    status: Status
    time: datetime | None
    """When it was done or is planned, UTC."""
    ra: float
    """Right ascension ICRS, deg, 0 to 360."""
    dec: float
    """Declination ICRS, deg."""
    pos_angle: float = 0.0
    """By what the footprint is turned, deg from north through east."""
    band: str | None = None
    depth: float | None = None
    """Limit, in the unit below."""
    depth_unit: str | None = None
    """`ab_mag`, `vega_mag`, `flux_jy` (Jy) or `flux_erg` (erg cm⁻² s⁻¹)."""
    footprint: Footprint | None = None
    """None where it is not known."""

    @property
    def limiting_magnitude(self) -> float | None:
        """The limit as a magnitude: AB, or Vega taken as it is; None for a limit of another kind."""
        return limiting_magnitude(self.depth, self.depth_unit)


def limiting_magnitude(depth: float | None, unit: str | None) -> float | None:
    """A limit as a magnitude: AB, or Vega taken as it is; None where it is absent or of another kind."""
    if depth is None or unit in {None, "ab_mag", "vega_mag"}:
        return depth
    return _ZERO_POINT_JY - 2.5 * math.log10(depth) if unit == "flux_jy" and depth > 0 else None


def checked_pointing(pointing: Pointing) -> Pointing:
    """The same, with its right ascension from 0 to 360; raises NoticeError where a value cannot be."""
    if not (math.isfinite(pointing.ra) and -360 <= pointing.ra <= 720 and abs(pointing.dec) <= 90):
        raise NoticeError(f"the position RA {pointing.ra:g}, Dec {pointing.dec:g} is not on the sphere")
    if not math.isfinite(pointing.pos_angle):
        raise NoticeError("the position angle is no number")
    if pointing.time is not None and not 2000 <= pointing.time.year < 2100:
        raise NoticeError(f"the time {pointing.time.isoformat()} is not of this century")
    values = {name: getattr(pointing, name) for name in Pointing.__slots__}
    return Pointing(**{**values, "ra": pointing.ra % 360.0, "pos_angle": pointing.pos_angle % 360.0})


def of_treasure_map(row: Mapping[str, Any], footprint: Footprint | None) -> Pointing:
    """A row of the Treasure Map's `pointings`; raises NoticeError where it has no usable id, position or status.

    The site turns footprints by `pos_angle` from north through west; here the angle goes through east.
    """
    if not isinstance(row.get("id"), int):
        raise NoticeError("a pointing has no id")
    instrument = _text(row.get("instrument_name")) or f"instrument {row.get('instrumentid')}"
    return _of_row(row, TREASURE_MAP, instrument, footprint)


def of_tom(row: Mapping[str, Any]) -> Pointing:
    """A row of the TOM's pointings, in the Treasure Map's form with its own `footprint`; raises NoticeError as above."""
    if not _text(row.get("id")):
        raise NoticeError("a pointing has no id")
    shape = row.get("footprint")
    footprint = None if shape is None else parse_footprint(str(shape))
    return _of_row(row, TOM, _text(row.get("instrument_name")) or "unknown", footprint)


def _of_row(row: Mapping[str, Any], source: str, instrument: str, footprint: Footprint | None) -> Pointing:
    match = _POINT.fullmatch(str(row.get("position") or ""))
    if match is None:
        raise NoticeError(f"pointing {row['id']} has no position such as POINT(10.5 -20)")
    try:
        ra, dec = float(match[1]), float(match[2])
    except ValueError as error:
        raise NoticeError(f"pointing {row['id']} has no position such as POINT(10.5 -20)") from error
    try:
        status = Status(str(row.get("status")))
    except ValueError as error:
        raise NoticeError(f"pointing {row['id']} has the unknown status {str(row.get('status'))[:40]!r}") from error
    depth, angle = row.get("depth"), row.get("pos_angle")
    return checked_pointing(
        Pointing(
            source=source,
            source_id=clean_text(str(row["id"]))[:_LONGEST],
            instrument=instrument,
            status=status,
            time=moment(row.get("time")),
            ra=ra,
            dec=dec,
            pos_angle=0.0 if angle is None else -finite(angle, "pos_angle"),
            band=_text(row.get("band")),
            depth=None if depth is None else finite(depth, "depth"),
            depth_unit=_text(row.get("depth_unit")),
            footprint=footprint,
        )
    )


def moment(value: object) -> datetime | None:
    """A time as ISO 8601, without zone UTC; None for None. Raises NoticeError for anything else."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise NoticeError(f"{str(value)[:40]!r} is not a time of ISO 8601") from error
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _text(value: object) -> str | None:
    return clean_text(str(value))[:_LONGEST].strip() or None if value is not None else None
