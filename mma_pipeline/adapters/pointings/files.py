"""Pointings from files of one's own: CSV with a header, or ECSV, whose units, time scales and frames are converted.

Columns are recognised by their names in any order and case. A row that cannot be used is named and left out.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mma_pipeline.adapters.pointings.ecsv import MARK, ecsv_rows
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import finite
from mma_pipeline.notices.footprints import Footprint, parse_footprint
from mma_pipeline.notices.pointings import Pointing, Status, checked_pointing
from mma_pipeline.notices.positions import angle
from mma_pipeline.notices.text import clean_text
from mma_pipeline.notices.times import datetime_of_mjd, mjd_of

#: Source of pointings from files.
OWN = "own"
#: Our field -> names of columns that are recognised.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "pointing_id", "observation_id", "obs_id", "expnum"),
    "time": ("time", "obstime", "obs_time", "date_obs", "date-obs", "mjd", "jd", "date", "start_time"),
    "ra": ("ra", "ra_deg", "raj2000", "target_ra"),
    "dec": ("dec", "dec_deg", "dej2000", "target_dec"),
    "instrument": ("instrument", "instrument_name", "camera", "telescope"),
    "footprint": ("footprint", "field_of_view", "fov"),
    "band": ("band", "filter", "flt", "bandpass"),
    "depth": ("depth", "limmag", "limiting_magnitude", "limiting_mag", "maglim", "mag_lim", "lim_mag"),
    "depth_unit": ("depth_unit",),
    "pos_angle": ("pos_angle", "position_angle", "pa", "rotation", "rot"),
    "status": ("status",),
}
_ANGLES = (*COLUMNS["ra"], *COLUMNS["dec"], *COLUMNS["pos_angle"])
_STATUS = {"done": Status.COMPLETED, "observed": Status.COMPLETED, "canceled": Status.CANCELLED, "": Status.COMPLETED}


@dataclass(frozen=True)
class PointingsFile:
    """What a file holds."""

    pointings: tuple[Pointing, ...]
    skipped: tuple[str, ...]
    """Rows that were left out, and why."""


def read_pointings(
    path: Path,
    *,
    footprints: Mapping[str, Footprint],
    instrument: str | None = None,
    footprint: Footprint | None = None,
) -> PointingsFile:
    """Pointings of a file.

    A row's footprint is that of its column `footprint` (`circle 0.5`, `box 2 1`, WKT), else the one given, else that of the
    instrument of its name among `footprints` (names in lower case). Without a status a row is completed. `instrument` is
    the name where the file has none. Position angles go from north through east.
    Raises NoticeError where the file cannot be read or no row of it can be used.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NoticeError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise NoticeError(f"{path} is not UTF-8 text (byte {error.start})") from error
    if text.startswith(MARK):
        names, table = ecsv_rows(path, _ANGLES, COLUMNS["time"], COLUMNS["depth"])
        rows = [(f"row {n}", row) for n, row in enumerate(table, start=1)]
    else:
        names, rows = _plain_rows(path, text)
    columns = {
        field: next(names.index(name) for name in known if name in names)
        for field, known in COLUMNS.items()
        if any(name in names for name in known)
    }
    for needed in ("ra", "dec"):
        if needed not in columns:
            raise NoticeError(f"{path.name} has no column {needed}: recognised are {', '.join(COLUMNS[needed])}")
    found: dict[str, Pointing] = {}
    skipped: list[str] = []
    for where, row in rows:
        cell = {field: row[i].strip() for field, i in columns.items() if i < len(row)}
        try:
            one = _pointing(cell, footprints, instrument, footprint)
        except NoticeError as error:
            skipped.append(f"{where}: {error}")
            continue
        found[one.source_id] = one
    if not found:
        raise NoticeError(f"{path.name} holds no pointing that can be used: {'; '.join(skipped[:3])}")
    return PointingsFile(tuple(found.values()), tuple(skipped))


def _plain_rows(path: Path, text: str) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Names and rows of a table of text with a header, by comma, semicolon, tab or blanks."""
    numbered = [
        (n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip() and not line.startswith("#")
    ]
    if len(numbered) < 2:
        raise NoticeError(f"{path.name} holds no pointings: it needs a header and rows")
    head = numbered[0][1]
    separator = next((s for s in (",", ";", "\t") if s in head), " ")
    rows = list(csv.reader((line for _, line in numbered), delimiter=separator, skipinitialspace=True))
    names = [name.strip().lower() for name in rows[0]]
    return names, [(f"line {line}", row) for (line, _), row in zip(numbered[1:], rows[1:], strict=True)]


def _pointing(
    cell: Mapping[str, str], footprints: Mapping[str, Footprint], instrument: str | None, given: Footprint | None
) -> Pointing:
    name = clean_text(cell.get("instrument") or instrument or "own")[:100]
    own = parse_footprint(cell["footprint"]) if cell.get("footprint") else given
    shape = own or footprints.get(name.lower())
    if shape is None:
        raise NoticeError(f"the footprint of {name} is not known: give a column footprint or --footprint")
    word = cell.get("status", "").lower()
    try:
        status = _STATUS.get(word) or Status(word)
    except ValueError as error:
        raise NoticeError(f"{word[:40]!r} is no status: planned, completed or cancelled") from error
    depth = _number(cell.get("depth"), "depth")
    pointing = Pointing(
        source=OWN,
        source_id="",
        instrument=name,
        status=status,
        time=_time(cell.get("time")),
        ra=angle(cell["ra"], "ra", hours=True),
        dec=angle(cell["dec"], "dec", hours=False),
        pos_angle=_number(cell.get("pos_angle"), "position angle") or 0.0,
        band=clean_text(cell.get("band", ""))[:100] or None,
        depth=depth,
        depth_unit=None if depth is None else (cell.get("depth_unit") or "ab_mag"),
        footprint=shape,
    )
    return checked_pointing(_named(pointing, cell.get("id")))


def _named(pointing: Pointing, given: str | None) -> Pointing:
    """With the id of the file, or one of what never changes of a pointing: the same row read again is the same pointing."""
    what = [pointing.instrument, pointing.time, round(pointing.ra, 5), round(pointing.dec, 5), pointing.band]
    digest = hashlib.sha256(repr(what).encode()).hexdigest()[:16]
    values = {name: getattr(pointing, name) for name in Pointing.__slots__}
    named = f"{pointing.instrument} {given}" if given else digest
    return Pointing(**{**values, "source_id": clean_text(named)[:100]})


def _time(text: str | None) -> datetime | None:
    return datetime_of_mjd(mjd_of(text)).astimezone(UTC) if text else None


def _number(text: str | None, name: str) -> float | None:
    if not text or text.lower() in {"nan", "none", "null", "--"}:
        return None
    try:
        return finite(float(text), name)
    except ValueError as error:
        raise NoticeError(f"{name} is {text[:40]!r}, not a number") from error
