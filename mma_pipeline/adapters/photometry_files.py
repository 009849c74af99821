"""Files of photometry: the Open Astronomy Catalog's JSON, tables with a column mapping, and our own messages.

A row that cannot be used is reported and left out; a file in which nothing can be used raises NoticeError.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.measurement import Candidate, Measurement, check_name, checked_redshift, foreign_redshift
from mma_pipeline.notices.photometry import parse
from mma_pipeline.notices.positions import angle
from mma_pipeline.notices.times import mjd_of

#: Our field -> column names that are recognised without a mapping, compared in lower case.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "candidate": ("candidate", "event", "name", "object", "objectid", "transient"),
    "time": ("time", "mjd", "date", "jd", "obsmjd", "date_obs"),
    "magnitude": ("magnitude", "mag", "m"),
    "error": ("e_magnitude", "magerr", "e_mag", "mag_err", "error", "err", "sigma"),
    "band": ("band", "filter", "flt", "bandpass"),
    "upper_limit": ("upperlimit", "upper_limit", "limit", "islimit"),
    "telescope": ("telescope", "tel"),
    "instrument": ("instrument", "inst"),
    "system": ("system", "magsys"),
    "ra": ("ra", "raj2000", "ra_deg"),
    "dec": ("dec", "dej2000", "dec_deg"),
    "ebv": ("ebv", "e(b-v)"),
    # Not "z", which is a band's name too.
    "redshift": ("redshift", "host_redshift"),
}
_REQUIRED = ("time", "magnitude", "band")


@dataclass(frozen=True)
class PhotometryFile:
    """What a file holds."""

    measurements: tuple[Measurement, ...]
    """Sorted by candidate and time."""
    skipped: tuple[str, ...]
    """Rows left out, each with its reason."""
    event_id: str | None = None
    """The event that a message of ours names."""
    simulated: bool = False
    """Whether a message of ours says that it is simulated."""


@dataclass(frozen=True)
class Defaults:
    """Values for what a file does not say."""

    candidate: str | None = None
    ra: float | None = None
    """Right ascension ICRS, deg."""
    dec: float | None = None
    """Declination ICRS, deg."""
    ebv: float | None = None
    """Galactic E(B-V), mag."""
    redshift: float | None = None
    """Heliocentric redshift of the candidate or its host, above 0."""


def read_photometry(
    path: Path, *, mapping: Mapping[str, str] | None = None, defaults: Defaults | None = None
) -> PhotometryFile:
    """Read a file by its content: JSON (Open Astronomy Catalog or a message of ours) or a table.

    `mapping` goes from our field (a key of COLUMNS) to the column's name. Raises NoticeError where the file cannot
    be read, a needed column is missing, no row can be used or the default redshift is none.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NoticeError(f"{path} cannot be read: {error.strerror}") from error
    given = defaults or Defaults()
    if given.redshift is not None:
        checked_redshift(given.redshift, "redshift")
    event_id, simulated = None, False
    if data.lstrip()[:1] == b"{":
        found, skipped, event_id, simulated = _json(data, given)
    else:
        found, skipped = _table(data, mapping or {}, given, path.stem)
    if not found:
        raise NoticeError(
            f"{path.name} holds no photometry that can be used: {skipped[0] if skipped else 'it is empty'}"
        )
    found.sort(key=lambda m: (m.candidate.name, m.mjd, m.band, m.magnitude))
    return PhotometryFile(tuple(found), tuple(skipped), event_id, simulated)


def _json(data: bytes, defaults: Defaults) -> tuple[list[Measurement], list[str], str | None, bool]:
    try:
        record = json.loads(data)
    except ValueError as error:
        raise NoticeError(f"the file is not JSON: {error}") from error
    if "schema" in record or "candidate" in record or "data" in record:
        notice = parse(data)
        return list(notice.measurements), list(notice.skipped), notice.event_id, notice.simulated
    found: list[Measurement] = []
    skipped: list[str] = []
    for name, entry in record.items():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("photometry"), list):
            raise NoticeError(
                "the JSON is neither a message of ours nor the Open Astronomy Catalog's: no photometry list"
            )
        candidate = _catalog_candidate(name, entry, defaults)
        for number, row in enumerate(entry["photometry"]):
            try:
                found.append(_catalog_row(candidate, row))
            except NoticeError as problem:
                skipped.append(f"{name}, entry {number}: {problem}")
    return found, skipped, None, False


def _first(entry: Mapping[str, Any], key: str) -> Any:
    """The catalog writes quantities as a list of {value, source}; the first is its preferred one."""
    values = entry.get(key)
    if isinstance(values, list) and values and isinstance(values[0], Mapping):
        return values[0].get("value")
    return None


def _catalog_candidate(name: str, entry: Mapping[str, Any], defaults: Defaults) -> Candidate:
    ra, dec, ebv = _first(entry, "ra"), _first(entry, "dec"), _first(entry, "ebv")
    return _candidate(name, ra, dec, ebv, _catalog_redshift(entry), defaults)


def _catalog_redshift(entry: Mapping[str, Any]) -> float | None:
    """The first usable redshift: the catalog lists several kinds, its preferred one first.

    One in the frame of the microwave background counts only where there is no other. Limits, photometric redshifts and
    those of a cluster say less of the distance than a host's peculiar velocity allows.
    """
    values = entry.get("redshift")
    usable: list[tuple[bool, float]] = []
    for one in values if isinstance(values, list) else []:
        if not isinstance(one, Mapping) or one.get("upperlimit") or one.get("lowerlimit"):
            continue
        kind = str(one.get("kind", "")).lower()
        try:
            redshift = foreign_redshift(one.get("value"), "redshift")
        except NoticeError:
            # The catalog holds whatever was published; the next value may do.
            continue
        if redshift is not None and "photometric" not in kind and "cluster" not in kind:
            usable.append(("cmb" in kind, redshift))
    return min(usable, key=lambda found: found[0])[1] if usable else None


def _catalog_row(candidate: Candidate, row: Any) -> Measurement:
    if not isinstance(row, Mapping):
        raise NoticeError("it is no object")
    if "magnitude" not in row:
        raise NoticeError("it has no magnitude (a flux, a count rate or an X-ray point)")
    time = row.get("time")
    # The catalog writes a range of times as a list.
    when = [mjd_of(t) for t in time] if isinstance(time, list) else [mjd_of(time)]
    return _measurement(
        candidate, sum(when) / len(when), row.get("band"), row.get("magnitude"), row.get("e_magnitude"),
        row.get("upperlimit"), row.get("telescope"), row.get("instrument"), row.get("system"),
    )  # fmt: skip


def _table(
    data: bytes, mapping: Mapping[str, str], defaults: Defaults, stem: str
) -> tuple[list[Measurement], list[str]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NoticeError(f"the file is not UTF-8 text (byte {error.start})") from error
    rows = _rows(text)
    try:
        header = next(rows)
    except StopIteration as error:
        raise NoticeError("the file is empty") from error
    columns = _columns(header, mapping)
    found: list[Measurement] = []
    skipped: list[str] = []
    for number, row in enumerate(rows, start=2):
        cell = {field: row[i].strip() for field, i in columns.items() if i < len(row)}
        try:
            name = cell.get("candidate") or defaults.candidate or stem
            candidate = _candidate(
                name,
                cell.get("ra"),
                cell.get("dec"),
                cell.get("ebv"),
                foreign_redshift(_optional(cell.get("redshift"), "redshift"), "redshift"),
                defaults,
            )
            found.append(
                _measurement(
                    candidate,
                    mjd_of(cell.get("time")),
                    cell.get("band"),
                    cell.get("magnitude"),
                    cell.get("error"),
                    cell.get("upper_limit"),
                    cell.get("telescope"),
                    cell.get("instrument"),
                    cell.get("system"),
                )
            )
        except NoticeError as problem:
            skipped.append(f"line {number}: {problem}")
    return found, skipped


def _rows(text: str) -> Iterator[list[str]]:
    """Rows of a table separated by commas, semicolons, tabs or blanks, without comments and empty lines."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return iter(())
    separator = next((s for s in (",", ";", "\t") if s in lines[0]), None)
    if separator is None:
        return iter([line.split() for line in lines])
    return csv.reader(io.StringIO("\n".join(lines)), delimiter=separator)


def _columns(header: Sequence[str], mapping: Mapping[str, str]) -> dict[str, int]:
    names = [name.strip().lower() for name in header]
    unknown = sorted(set(mapping) - set(COLUMNS))
    if unknown:
        raise NoticeError(f"no field {unknown[0]!r} can be mapped; fields are {', '.join(COLUMNS)}")
    out: dict[str, int] = {}
    for field, known in COLUMNS.items():
        wanted = (mapping[field].lower(),) if field in mapping else known
        place = next((names.index(name) for name in wanted if name in names), None)
        if place is None and field in mapping:
            raise NoticeError(f"the table has no column {mapping[field]!r}; it has {', '.join(header)}")
        if place is not None:
            out[field] = place
    missing = [field for field in _REQUIRED if field not in out]
    if missing:
        raise NoticeError(
            f"the table has no column for {missing[0]}: name it with --column {missing[0]}=NAME "
            f"(it has {', '.join(header)})"
        )
    return out


def _candidate(name: Any, ra: Any, dec: Any, ebv: Any, redshift: float | None, defaults: Defaults) -> Candidate:
    ra = defaults.ra if ra in (None, "") else ra
    dec = defaults.dec if dec in (None, "") else dec
    if ra is None or dec is None:
        raise NoticeError(f"there is no position for {str(name)[:40]}: give --ra and --dec in degrees")
    excess = _optional(ebv, "ebv")
    return Candidate(
        check_name(name), angle(ra, "ra", hours=True) % 360.0, angle(dec, "dec", hours=False),
        defaults.ebv if excess is None else excess, defaults.redshift if redshift is None else redshift,
    )  # fmt: skip


def _measurement(
    candidate: Candidate, mjd: float, band: Any, magnitude: Any, error: Any, limit: Any, telescope: Any,
    instrument: Any, system: Any,
) -> Measurement:  # fmt: skip
    value = _optional(magnitude, "magnitude")
    if value is None:
        raise NoticeError("there is no magnitude")
    if not isinstance(band, str) or not band:
        raise NoticeError("there is no band")
    if isinstance(system, str) and system.lower() in ("vega", "bessell"):
        raise NoticeError(f"the magnitude is in the {system} system, not AB")
    upper = limit is True or str(limit).strip().lower() in ("1", "true", "t", "yes", ">", "u")
    sigma = _optional(error, "error")
    return Measurement(
        candidate=candidate,
        mjd=mjd,
        band=band,
        magnitude=value,
        error=None if upper or sigma is None or sigma <= 0 else sigma,
        upper_limit=upper,
        telescope=telescope or None,
        instrument=instrument or None,
    )


def _optional(value: Any, name: str) -> float | None:
    """A number or None; text such as "nan" and "" is None, other text an error."""
    if value in (None, ""):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise NoticeError(f"{name} is {str(value)[:30]!r}, not a number") from error
    return number if number == number and abs(number) != float("inf") else None
