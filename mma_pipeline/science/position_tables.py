"""Positions in tables that people and programs send: CSV, ECSV and VOTable, in whatever units the table states.

What strangers send is read with care: a VOTable may otherwise name a file or an address to be read in its place.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.sphere import PositionError, check_positions

if TYPE_CHECKING:
    from astropy.table import Table

Kind = Literal["csv", "ecsv", "votable"]
#: Markup that leads out of a VOTable: other files, other addresses, definitions that grow.
#: A value of an attribute holds no <, so that the search up to the next one covers a whole tag.
_LEADING_OUT = re.compile(rb"<!(?!--|\[CDATA\[)|<[^<>\s/]*stream\b[^<]*href", re.IGNORECASE)
_ENCODING = re.compile(rb"""<\?xml[^>]*encoding\s*=\s*["']([^"']*)""")
_BOM = b"\xef\xbb\xbf"
#: Degrees or hours, minutes, seconds.
_SEXAGESIMAL = re.compile(
    r"([+-]?)(\d{1,3})(?:\s*([hd:])\s*|\s+)(\d{1,2})(?:(?:\s*[m:]\s*|\s+)(\d{1,2}(?:\.\d*)?)\s*s?|\s*m)?", re.ASCII
)
#: What tables write where a number is not known.
_ABSENT = {"", "-", "--", "nan", "na", "n/a", "null", "none"}


class TableError(ValueError):
    """What was sent is no table of positions; the message says why."""


@dataclass(frozen=True, eq=False)
class TablePositions:
    """Positions of N rows."""

    names: tuple[str | None, ...]
    ra: FloatArray
    """Right ascension as given, within ±360 deg (ICRS), shape (N,)."""
    dec: FloatArray
    """Declination, deg (ICRS), shape (N,)."""
    distance: FloatArray
    """Luminosity distance, Mpc, shape (N,); NaN where it is unknown."""


def kind_of(data: bytes) -> Kind:
    """What kind of table some bytes begin as: ECSV and VOTable say so, all else is taken as CSV."""
    begin = data[:4096].removeprefix(_BOM).lstrip()
    return "ecsv" if begin.startswith(b"# %ECSV") else "votable" if begin.startswith(b"<") else "csv"


def read_table(data: bytes, kind: Kind) -> Table:
    """A table from bytes (UTF-8, with or without a byte order mark); raises TableError where it is none.

    What begins as an ECSV table is read as one, also where it is called CSV: else the units that it states would be lost.
    """
    from astropy.table import Table

    data = data.removeprefix(_BOM)
    if kind == "csv" and kind_of(data) == "ecsv":
        kind = "ecsv"
    if kind == "votable":
        encoding = _ENCODING.match(data.lstrip())
        if _LEADING_OUT.search(data) or (encoding and encoding[1].lower() not in {b"utf-8", b"us-ascii"}):
            raise TableError("a VOTable must hold its rows itself, in UTF-8, and define no entities")
    try:
        text = data.decode()
        if kind == "votable":
            return Table.read(io.BytesIO(data), format="votable")
        if kind == "ecsv":
            return Table.read(text.splitlines(), format="ascii.ecsv")
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        return Table.read(lines, format="ascii.csv", guess=False)
    except Exception as error:  # the readers raise whatever their parsers do
        raise TableError(f"the table cannot be read: {' '.join(str(error).split())[:300]}") from error


def positions_of_table(table: Table) -> TablePositions:
    """The columns ra and dec, and if there are any name and distance, in whatever case their names are written.

    Units that the table states are converted; without one, angles are degrees and distances Mpc. A right ascension in
    hours is one in hours of angle; so is one with colons, as in 12:19:27 +49:53:49. A distance that is absent is unknown.
    Rows in which nothing stands are left out.

    Raises PositionError for a missing column, a unit that is no angle or no distance, a position off the sphere, and a
    distance that is not positive; rows are counted from 1.
    """
    import astropy.units as u

    columns = {str(name).lower(): table[name] for name in table.colnames}
    missing = {"ra", "dec"} - columns.keys()
    if missing:
        raise PositionError(f"the table has no column {', '.join(sorted(missing))}")
    filled = np.flatnonzero(~_blank(table))
    if not filled.size:
        raise PositionError("the table has no position")
    rows = (filled + 1).tolist()
    ra, dec = (_converted(columns[name], name, u.deg, "angle")[filled] for name in ("ra", "dec"))
    check_positions(ra, dec, rows)
    distance = np.full(len(rows), np.nan)
    if "distance" in columns:
        distance = _converted(columns["distance"], "distance", u.Mpc, "distance")[filled]
        wrong = np.flatnonzero(distance <= 0)
        if wrong.size:
            raise PositionError(
                f"position {rows[wrong[0]]}: the distance {distance[wrong[0]]:g} Mpc is not a positive number: leave it out "
                "where it is unknown"
            )
    names = columns["name"][filled].tolist() if "name" in columns else [None] * len(rows)
    return TablePositions(tuple(None if name is None else str(name) for name in names), ra, dec, distance)


def _blank(table: Table) -> npt.NDArray[np.bool_]:
    """Rows in which no column has anything, shape (N,): spreadsheets append them."""
    blank = np.ones(len(table), dtype=bool)
    for name in table.colnames:
        values: Any = getattr(table[name], "value", table[name])
        masked: Any = values if hasattr(values, "filled") else np.ma.asarray(values)
        empty = np.broadcast_to(np.asarray(masked.mask), masked.shape).copy()
        if masked.dtype.kind in "OSU":
            empty |= [value is None or not str(value).strip() for value in masked.tolist()]
        blank &= empty if empty.ndim == 1 else empty.all(axis=tuple(range(1, empty.ndim)))
    return blank


def angle(text: str, name: str) -> float:
    """An angle in degrees: degrees, or sexagesimal as 12:19:27 (hours if `name` is `ra`), 12h19m27s or 184d51m45s.

    Raises PositionError for what is no angle.
    """
    try:
        return float(text)
    except ValueError:
        found = _SEXAGESIMAL.fullmatch(text.strip())
    if found is None or (name == "dec" and found[3] == "h"):
        example = "12:19:27" if name == "ra" else "+49:53:49"
        raise PositionError(f"{name} {text[:40]!r} is no angle such as 187.0 or {example}")
    sign, whole, letter, *rest = found.groups()
    minutes, seconds = (float(part or 0) for part in rest)
    if minutes >= 60 or seconds >= 60:
        raise PositionError(f"{name} {text[:40]!r} has 60 minutes or seconds, or more")
    size = float(whole) + minutes / 60 + seconds / 3600
    hours = letter == "h" or (name == "ra" and letter != "d")
    return (-size if sign == "-" else size) * (15 if hours else 1)


def _converted(column: Any, name: str, ours: Any, what: str) -> FloatArray:
    """A column as floats in our unit; NaN where a value is absent."""
    import astropy.units as u

    stated = getattr(column, "unit", None)
    plain = stated is None or stated == u.dimensionless_unscaled
    values = _numbers(getattr(column, "value", column), name, sexagesimal=plain and what == "angle")
    if plain or stated is None:
        return values
    unit = u.hourangle if name == "ra" and stated == u.hour else stated
    try:
        return np.asarray(values * unit.to(ours), dtype=np.float64)
    except ValueError as error:  # one that astropy does not know has an error of its own
        example = "deg, rad or hourangle" if what == "angle" else "Mpc, kpc or Gpc"
        raise PositionError(
            f"column {name} is in {str(stated)[:40]}, which is no unit of {what} such as {example}"
        ) from error


def _numbers(values: Any, name: str, *, sexagesimal: bool) -> FloatArray:
    # Columns of astropy's Masked have `filled` as those of NumPy do.
    masked: Any = values if hasattr(values, "filled") else np.ma.asarray(values)
    if masked.dtype.kind in "fiu":
        return np.array(masked.astype(np.float64).filled(np.nan), dtype=np.float64)
    found = []
    for row, value in enumerate(masked.tolist()):
        text = "" if value is None else str(value).strip()
        try:
            absent = text.lower() in _ABSENT
            found.append(np.nan if absent else angle(text, name) if sexagesimal else float(text))
        except ValueError as error:
            raise PositionError(f"column {name} has {text[:40]!r} in row {row + 1}, which is no number") from error
    return np.array(found, dtype=np.float64)
