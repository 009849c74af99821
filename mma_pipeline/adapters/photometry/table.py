"""Tables of photometry: recognises their columns, applies a mapping, and turns rows into measurements.

Recognised without a mapping: columns of the Open Astronomy Catalog, SkyPortal, ATLAS forced photometry, Fink for ZTF and
Rubin, Rubin's own tables of difference sources, and NMMA's tables without a header.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.brightness import (
    ZERO_POINTS,
    Brightness,
    check_system,
    is_weak,
    of_flux,
    one_error,
)
from mma_pipeline.notices.photometry.measurement import (
    Candidate,
    Measurement,
    check_name,
    checked_mjd,
    lenient_redshift,
)
from mma_pipeline.notices.positions import angle
from mma_pipeline.notices.times import mjd_of, mjd_of_tai

#: Our field -> column names that are recognised without a mapping, compared in lower case and without Fink's `i:`. The
#: first one in the table is used: ATLAS's error is `dm`, its `err` a flag.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "candidate": (
        "candidate", "event", "name", "object", "objectid", "obj_id", "object_id", "objid", "transient", "diaobjectid",
    ),
    "time": ("time", "mjd", "date", "jd", "obsmjd", "obs_mjd", "mjd_obs", "date_obs"),
    "time_tai": ("midpointmjdtai", "mjd_tai"),
    "magnitude": ("magnitude", "mag", "m", "magpsf"),
    "error": ("e_magnitude", "magerr", "e_mag", "mag_err", "dm", "sigmapsf", "error", "err", "sigma"),
    "error_up": ("e_upper_magnitude", "e_mag_upper", "e_mag_up", "magerr_up", "mag_err_up", "magerr_plus", "err_up", "err_plus"),
    "error_down": (
        "e_lower_magnitude", "e_mag_lower", "e_mag_low", "e_mag_down", "magerr_low", "magerr_down", "mag_err_low",
        "mag_err_down", "magerr_minus", "err_low", "err_down", "err_minus",
    ),
    "limiting_magnitude": (
        "limiting_magnitude", "limiting_mag", "diffmaglim", "mag5sig", "maglim", "limmag", "lim_mag", "mag_lim", "limitmag",
    ),
    "flux": ("flux", "forcediffimflux"),
    "flux_njy": ("psfflux", "flux_njy", "njy"),
    "flux_ujy": ("ujy", "flux_ujy"),
    "flux_mjy": ("flux_mjy",),
    "flux_error": ("psffluxerr", "dujy", "fluxerr", "flux_err", "flux_error", "e_flux", "forcediffimfluxunc", "flux_unc"),
    "zero_point": ("zp", "zeropoint", "zero_point", "zpdiff", "magzp"),
    "band": ("band", "filter", "flt", "bandpass", "fid"),
    "upper_limit": ("upperlimit", "upper_limit", "limit", "islimit"),
    "telescope": ("telescope", "tel"),
    "instrument": ("instrument", "instrument_name", "inst"),
    "system": ("system", "magsys", "mag_system"),
    "ra": ("ra", "raj2000", "ra_deg"),
    "dec": ("dec", "dej2000", "dec_deg"),
    "ebv": ("ebv", "e(b-v)"),
    # Not "z", which is a band's name too.
    "redshift": ("redshift", "host_redshift"),
    "quality": ("tag",),
    "positive": ("isdiffpos",),
}  # fmt: skip
#: ZTF's numbers for its filters (schema of its alert packets, `fid`).
_FID = {"1": "ztfg", "2": "ztfr", "3": "ztfi"}
#: Columns of NMMA's tables, which have no header; an infinite error says that the magnitude is a limit.
_NMMA = ("time", "band", "magnitude", "error")
_TRUE = ("1", "true", "t", "yes", ">", "u")
#: Fluxes with their unit in the field's name -> the unit.
_UNITS = {"flux_njy": "nJy", "flux_ujy": "uJy", "flux_mjy": "mJy"}


@dataclass(frozen=True)
class Defaults:
    """Values used if the file has none."""

    candidate: str | None = None
    ra: float | None = None
    """Right ascension ICRS, deg."""
    dec: float | None = None
    """Declination ICRS, deg."""
    ebv: float | None = None
    """Galactic E(B-V), mag."""
    redshift: float | None = None
    """Heliocentric redshift of the candidate or its host, above 0."""


def read_table(
    data: bytes, mapping: Mapping[str, str], defaults: Defaults, stem: str
) -> tuple[list[Measurement], list[tuple[str, str]]]:
    """Measurements of a table (UTF-8), and each row left out as (place, reason).

    `stem` names the candidate if nothing else does. Raises NoticeError if the text is not a table, or a column that
    is needed is missing.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NoticeError(f"the file is not UTF-8 text (byte {error.start})") from error
    header, rows = _parted(text)
    columns = _columns(header, mapping)
    numbered = "band" in columns and _plain(header[columns["band"]]) == "fid"
    found: list[Measurement] = []
    skipped: list[tuple[str, str]] = []
    for number, row in rows:
        cell = {field: row[i].strip() for field, i in columns.items() if i < len(row)}
        if numbered:
            cell["band"] = _FID.get(cell.get("band", "").removesuffix(".0"), f"fid {cell.get('band', '')}")
        try:
            found.append(_row(cell, defaults, stem))
        except NoticeError as problem:
            skipped.append((f"line {number}", str(problem)))
    return found, skipped


def _row(cell: Mapping[str, str], defaults: Defaults, stem: str) -> Measurement:
    quality = cell.get("quality", "").lower()
    if quality == "badquality":
        raise NoticeError("its source calls it badquality")
    redshift = lenient_redshift(optional(cell.get("redshift"), "redshift"), "redshift")
    name = cell.get("candidate") or defaults.candidate or stem
    candidate = candidate_at(name, cell.get("ra"), cell.get("dec"), cell.get("ebv"), redshift, defaults)
    mjd = mjd_of(cell["time"]) if "time" in cell else mjd_of_tai(cell.get("time_tai"))
    limit = cell.get("upper_limit", "").lower() in _TRUE or quality == "upperlim"
    limit = limit or cell.get("error", "").lower() in ("inf", "+inf", "infinity")
    return measurement_of(
        candidate, mjd, cell.get("band"), _brightness(cell, limit=limit), cell.get("telescope"), cell.get("instrument")
    )


def _brightness(cell: Mapping[str, str], *, limit: bool) -> Brightness:
    """Magnitude, else flux, else the limiting magnitude."""
    check_system(cell.get("system"))
    magnitude = optional(cell.get("magnitude"), "magnitude")
    deepest = optional(cell.get("limiting_magnitude"), "limiting magnitude")
    error = one_error(*(optional(cell.get(f), f.replace("_", " ")) for f in ("error", "error_up", "error_down")))
    if cell.get("positive", "").lower() in ("0", "f", "false"):
        # A source that faded below its reference: the magnitude is that of the difference.
        return _limit(deepest, "the difference is negative and there is no limiting magnitude")
    if limit:
        return _limit(magnitude if magnitude is not None else deepest, "there is no magnitude")
    # ATLAS writes the magnitude of a negative flux with a minus sign.
    measured = None if magnitude is None or magnitude <= 0 else Brightness(magnitude, error, upper_limit=False)
    if measured is not None and not is_weak(error):
        return measured
    # Below the detection limit, the flux or limit is more informative than the magnitude.
    flux = _flux(cell)
    if flux is not None:
        return flux
    return _limit(deepest, "there is no magnitude") if measured is None or deepest is not None else measured


def _limit(value: float | None, otherwise: str) -> Brightness:
    if value is None:
        raise NoticeError(otherwise)
    return Brightness(value, None, upper_limit=True)


def _flux(cell: Mapping[str, str]) -> Brightness | None:
    """The brightness of the row's flux, None if it has none."""
    error = optional(cell.get("flux_error"), "flux error")
    for field, unit in _UNITS.items():
        value = optional(cell.get(field), "flux")
        if value is not None:
            return of_flux(value, error, ZERO_POINTS[unit])
    value, zero_point = optional(cell.get("flux"), "flux"), optional(cell.get("zero_point"), "zero point")
    return None if value is None or zero_point is None else of_flux(value, error, zero_point)


def _plain(name: str) -> str:
    """A column's name in lower case, without comment signs and Fink's prefix for the origin."""
    return re.sub(r"^[a-z]:", "", name.strip().lstrip("#").strip().lower())


def _split(line: str, separator: str | None) -> list[str]:
    return line.split() if separator is None else next(csv.reader([line], delimiter=separator))


def _parted(text: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Header and numbered rows of a table separated by commas, semicolons, tabs or blanks; raises NoticeError if empty.

    Comments and empty lines are skipped, except a comment that is the header: ATLAS's `###MJD m dm ...`.
    """
    numbered = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
    comments = [line.strip().lstrip("#").strip() for _, line in numbered if line.lstrip().startswith("#")]
    lines = [(n, line) for n, line in numbered if not line.lstrip().startswith("#")]
    first = lines[0][1] if lines else ""
    if _is_nmma(first):
        return list(_NMMA), ((n, line.split()) for n, line in lines)
    commented = next((line for line in comments if _is_header(line)), None)
    if commented is not None and not _is_header(first):
        head, body = commented, lines
    elif lines:
        head, body = first, lines[1:]
    else:
        raise NoticeError("the file is empty")
    separator = _separator(head)
    return _split(head, separator), ((n, _split(line, separator)) for n, line in body)


def _is_nmma(line: str) -> bool:
    """Whether a line is from NMMA: an ISO time, a band, a magnitude and its error, without a header above."""
    cells = line.split()
    if len(cells) != len(_NMMA) or "T" not in cells[0]:
        return False
    try:
        mjd_of(cells[0])
        float(cells[2])
        float(cells[3])
    except (NoticeError, ValueError):
        return False
    return True


def _separator(line: str) -> str | None:
    return next((s for s in (",", ";", "\t") if s in line), None)


def _is_header(line: str) -> bool:
    """Whether a header line names a time and a brightness."""
    names = {_plain(name) for name in _split(line, _separator(line))} if line else set()
    times = {*COLUMNS["time"], *COLUMNS["time_tai"]}
    values = {n for field in ("magnitude", "flux", *_UNITS) for n in COLUMNS[field]}
    return bool(names & times and names & values)


def _columns(header: Sequence[str], mapping: Mapping[str, str]) -> dict[str, int]:
    names = [_plain(name) for name in header]
    unknown = sorted(set(mapping) - set(COLUMNS))
    if unknown:
        raise NoticeError(f"no field {unknown[0]!r} can be mapped; fields are {', '.join(COLUMNS)}")
    out: dict[str, int] = {}
    for field, known in COLUMNS.items():
        wanted = (_plain(mapping[field]),) if field in mapping else known
        place = next((names.index(name) for name in wanted if name in names), None)
        if place is None and field in mapping:
            raise NoticeError(f"the table has no column {mapping[field]!r}; it has {', '.join(header)}")
        if place is not None:
            out[field] = place
    if "band" not in out and {"ujy", "f"} <= set(names):
        # ATLAS's forced photometry; elsewhere F may be a flux.
        out["band"] = names.index("f")
    has = f"(it has {', '.join(header)})"
    if "time" not in out and "time_tai" not in out:
        raise NoticeError(f"the table has no column for time: name it with --column time=NAME {has}")
    if not {"magnitude", *_UNITS} & set(out) and not {"flux", "zero_point"} <= set(out):
        if "flux" in out:
            raise NoticeError(
                f"the table has a flux {header[out['flux']]!r} without unit: name it with --column flux_njy=NAME, "
                f"flux_ujy=NAME or flux_mjy=NAME, or its AB zero points with --column zero_point=NAME {has}"
            )
        raise NoticeError(f"the table has no column for magnitude: name it with --column magnitude=NAME {has}")
    if "band" not in out:
        raise NoticeError(f"the table has no column for band: name it with --column band=NAME {has}")
    return out


def candidate_at(
    name: object, ra: object, dec: object, ebv: object, redshift: float | None, defaults: Defaults
) -> Candidate:
    """The candidate of a row, completed by the defaults; raises NoticeError."""
    ra = defaults.ra if ra in (None, "") else ra
    dec = defaults.dec if dec in (None, "") else dec
    if ra is None or dec is None:
        raise NoticeError(f"there is no position for {str(name)[:40]}: give --ra and --dec in degrees")
    excess = optional(ebv, "ebv")
    return Candidate(
        check_name(name), angle(ra, "ra", hours=True) % 360.0, angle(dec, "dec", hours=False),
        defaults.ebv if excess is None else excess, defaults.redshift if redshift is None else redshift,
    )  # fmt: skip


def measurement_of(
    candidate: Candidate, mjd: float, band: object, brightness: Brightness, telescope: object, instrument: object
) -> Measurement:
    """A measurement; raises NoticeError for a time that is not an MJD, and for a missing band."""
    if not isinstance(band, str) or not band:
        raise NoticeError("there is no band")
    return Measurement(
        candidate=candidate,
        mjd=checked_mjd(mjd, "time"),
        band=band,
        magnitude=brightness.magnitude,
        error=None if brightness.upper_limit else brightness.error,
        upper_limit=brightness.upper_limit,
        telescope=str(telescope) if telescope else None,
        instrument=str(instrument) if instrument else None,
    )


def optional(value: object, name: str) -> float | None:
    """A number or None; text such as "nan" and "" is None, other text is an error."""
    if value in (None, "") or str(value).strip().lower() in ("null", "none", "-", "--", "n/a", "na"):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise NoticeError(f"{name} is {str(value)[:30]!r}, not a number") from error
    return number if number == number and abs(number) != float("inf") else None
