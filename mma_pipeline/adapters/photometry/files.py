"""Files of photometry: the Open Astronomy Catalog's JSON, tables with a column mapping, and messages in our own format.

A row that cannot be used is reported and left out; a file in which nothing can be used raises NoticeError.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mma_pipeline.adapters.photometry.table import (
    COLUMNS,
    Defaults,
    candidate_at,
    measurement_of,
    optional,
    read_table,
)
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.brightness import Brightness, check_system, one_error
from mma_pipeline.notices.photometry.measurement import (
    Candidate,
    Measurement,
    checked_redshift,
    grouped,
    lenient_redshift,
)
from mma_pipeline.notices.photometry.message import parse
from mma_pipeline.notices.times import mjd_of

#: Greatest number of reasons that an error about a whole file lists.
_SHOWN = 3

__all__ = ["COLUMNS", "Defaults", "NoPhotometryError", "PhotometryFile", "read_photometry"]


class NoPhotometryError(NoticeError):
    """A readable file without any usable photometry."""


@dataclass(frozen=True)
class PhotometryFile:
    """Content of a file."""

    measurements: tuple[Measurement, ...]
    """Sorted by candidate and time."""
    skipped: tuple[str, ...]
    """Reasons why rows were left out, each with its number of rows."""
    event_id: str | None = None
    """The event named in a message of our own format."""
    simulated: bool = False
    """Whether a message of our own format says that it is simulated."""


def read_photometry(
    path: Path, *, mapping: Mapping[str, str] | None = None, defaults: Defaults | None = None
) -> PhotometryFile:
    """Read a file according to its content: JSON (Open Astronomy Catalog or our own message) or a table.

    `mapping` goes from our field (a key of COLUMNS) to the column's name. Raises NoticeError if the file cannot
    be read, a needed column is missing or the default redshift is none, NoPhotometryError if no row can be used.
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
        found, problems = read_table(data, mapping or {}, given, path.stem)
        skipped = grouped(problems)
    if not found:
        shown = "; ".join(skipped[:_SHOWN]) or "it is empty"
        raise NoPhotometryError(f"{path.name} holds no photometry that can be used: {shown}")
    found.sort(key=lambda m: (m.candidate.name, m.mjd, m.band, m.magnitude))
    return PhotometryFile(tuple(found), skipped, event_id, simulated)


def _json(data: bytes, defaults: Defaults) -> tuple[list[Measurement], tuple[str, ...], str | None, bool]:
    try:
        record = json.loads(data)
    except ValueError as error:
        raise NoticeError(f"the file is not JSON: {error}") from error
    if "schema" in record or "candidate" in record or "data" in record:
        notice = parse(data)
        return list(notice.measurements), notice.skipped, notice.event_id, notice.simulated
    found: list[Measurement] = []
    skipped: list[tuple[str, str]] = []
    for name, entry in record.items():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("photometry"), list):
            raise NoticeError(
                "the JSON is neither a photometry message nor from the Open Astronomy Catalog: it has no photometry list"
            )
        candidate = _catalog_candidate(name, entry, defaults)
        for number, row in enumerate(entry["photometry"]):
            try:
                found.append(_catalog_row(candidate, row))
            except NoticeError as problem:
                skipped.append((f"{name}, entry {number}", str(problem)))
    return found, grouped(skipped), None, False


def _first(entry: Mapping[str, Any], key: str) -> Any:
    """The catalog writes quantities as a list of {value, source}; the first is its preferred one."""
    values = entry.get(key)
    if isinstance(values, list) and values and isinstance(values[0], Mapping):
        return values[0].get("value")
    return None


def _catalog_candidate(name: str, entry: Mapping[str, Any], defaults: Defaults) -> Candidate:
    ra, dec, ebv = _first(entry, "ra"), _first(entry, "dec"), _first(entry, "ebv")
    return candidate_at(name, ra, dec, ebv, _catalog_redshift(entry), defaults)


def _catalog_redshift(entry: Mapping[str, Any]) -> float | None:
    """The first usable redshift: the catalog lists several kinds, its preferred one first.

    One in the frame of the microwave background counts only if there is no other. Limits, photometric redshifts and those
    of a cluster are not used: their error in distance exceeds that of a host's peculiar velocity.
    """
    values = entry.get("redshift")
    usable: list[tuple[bool, float]] = []
    for one in values if isinstance(values, list) else []:
        if not isinstance(one, Mapping) or one.get("upperlimit") or one.get("lowerlimit"):
            continue
        kind = str(one.get("kind", "")).lower()
        try:
            redshift = lenient_redshift(one.get("value"), "redshift")
        except NoticeError:
            # The catalog contains whatever was published; the next value may be usable.
            continue
        if redshift is not None and "photometric" not in kind and "cluster" not in kind:
            usable.append(("cmb" in kind, redshift))
    return min(usable, key=lambda found: found[0])[1] if usable else None


def _catalog_row(candidate: Candidate, row: Any) -> Measurement:
    if not isinstance(row, Mapping):
        raise NoticeError("it is not an object")
    if row.get("model") or row.get("realization"):
        raise NoticeError("it comes from a model, not from a measurement")
    value = optional(row.get("magnitude"), "magnitude")
    if value is None:
        raise NoticeError("it has no magnitude (a flux, a count rate or an X-ray point)")
    check_system(row.get("system"))
    time = row.get("time")
    # The catalog writes a range of times as a list.
    when = [mjd_of(t) for t in time] if isinstance(time, list) and time else [mjd_of(time)]
    error = one_error(
        *(optional(row.get(key), key) for key in ("e_magnitude", "e_upper_magnitude", "e_lower_magnitude"))
    )
    limit = row.get("upperlimit") is True or str(row.get("upperlimit")).lower() in ("true", "1", "t")
    return measurement_of(
        candidate, sum(when) / len(when), row.get("band"), Brightness(value, error, limit), row.get("telescope"),
        row.get("instrument"),
    )  # fmt: skip
