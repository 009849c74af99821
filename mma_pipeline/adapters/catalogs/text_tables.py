"""Text tables in the layouts that archives publish: with a header line, HEASARC's TDAT, and Milliquas's lines of fixed width.

Columns are read in batches, so that memory is bounded; what a column means is decided elsewhere (`positions`).
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

#: First and last byte (from 1) of the columns of milliquas.txt, which has no header line (Flesch's ReadMe at quasars.org and
#: that of CDS's VII/294; versions 6 to 8 agree up to here).
MILLIQUAS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "RA": (1, 11), "DEC": (13, 23), "NAME": (26, 50), "TYPE": (52, 55), "RMAG": (57, 61), "BMAG": (63, 67),
        "COMMENT": (69, 71), "R": (73, 73), "B": (75, 75), "Z": (77, 82), "CITE": (84, 89), "ZCITE": (91, 96),
    }
)  # fmt: skip
_SEPARATORS = ",\t;|"


@dataclass(frozen=True)
class Layout:
    """How a text table is written."""

    columns: tuple[str, ...]
    separator: str | None
    """None: lines of fixed width, as Milliquas's."""
    skipped: int
    """Lines before the data (TDAT); a header line of other tables is not among them."""
    header: bool
    """Whether the first line that is no comment names the columns."""


def layout_of(path: Path) -> Layout:
    """The layout of a text table, perhaps gzipped; ValueError where it has no column."""
    with _opened(path) as lines:
        number, first = next(
            ((n, line) for n, line in enumerate(lines) if line.strip() and not line.startswith("#")), (0, "")
        )
        if first.strip().upper() == "<HEADER>":
            return _tdat(lines, number + 1)
    if _is_milliquas(first):
        return Layout(tuple(MILLIQUAS), None, 0, header=False)
    separator = max(_SEPARATORS, key=first.count)
    if separator not in first and len(first.split()) > 1:
        # Blanks, as astropy writes ECSV.
        return Layout(tuple(first.replace('"', "").split()), r"\s+", 0, header=True)
    names = tuple(next(csv.reader([first.strip("\r\n")], delimiter=separator), ()))
    if not names:
        raise ValueError("it is empty")
    return Layout(names, separator, 0, header=True)


def text_batches(path: Path, wanted: Sequence[str], rows: int) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Columns by name, `rows` rows at a time."""
    layout = layout_of(path)
    if layout.separator is None:
        yield from _fixed_width(path, wanted, rows)
        return
    import pandas as pd

    if layout.header:
        source = pd.read_csv(path, usecols=list(wanted), comment="#", sep=layout.separator, chunksize=rows)
    else:
        # Each line ends with a separator, and `<END>` may follow the last one.
        source = pd.read_csv(
            path, usecols=list(wanted), names=list(layout.columns), index_col=False, sep=layout.separator,
            skiprows=layout.skipped, comment="<", quoting=csv.QUOTE_NONE, chunksize=rows,
        )  # fmt: skip
    with source:
        for frame in source:
            yield {name: frame[name].to_numpy() for name in wanted}


def _opened(path: Path) -> IO[str]:
    # A catalog's names may be in any encoding; the columns that matter here are ASCII.
    if path.name.endswith(".gz"):
        return cast("IO[str]", gzip.open(path, "rt", encoding="utf-8", errors="replace"))
    return path.open(encoding="utf-8", errors="replace")


def _tdat(lines: Iterator[str], begun: int) -> Layout:
    """The layout that TDAT's header states (heasarc.gsfc.nasa.gov/docs/software/dbdocs/tdat.html)."""
    names: tuple[str, ...] = ()
    separator = "|"
    for number, line in enumerate(lines, start=begun):
        key, _, value = (part.strip() for part in line.partition("="))
        if key.upper() == "<DATA>":
            if not names:
                raise ValueError("its header names no columns (line[1])")
            return Layout(names, separator, number + 1, header=False)
        if key.lower() == "line[1]":
            names = tuple(value.split())
        elif key.lower() == "field_delimiter":
            separator = value.strip("\"'`")
    raise ValueError("it has a header, but no <DATA>")


def _is_milliquas(line: str) -> bool:
    """Whether a line has positions in degrees where Milliquas has them, and blanks between its columns."""
    if len(line.rstrip()) < MILLIQUAS["TYPE"][0] or line[11] + line[23:25] + line[50] != "    ":
        return False
    try:
        ra, dec = (float(line[first - 1 : last]) for first, last in (MILLIQUAS["RA"], MILLIQUAS["DEC"]))
    except ValueError:
        return False
    return 0 <= ra <= 360 and -90 <= dec <= 90


def _fixed_width(path: Path, wanted: Sequence[str], rows: int) -> Iterator[dict[str, npt.NDArray[Any]]]:
    with _opened(path) as lines:
        while part := list(islice(lines, rows)):
            full = [line for line in part if line.strip()]
            yield {
                name: np.array([line[MILLIQUAS[name][0] - 1 : MILLIQUAS[name][1]].strip() for line in full])
                for name in wanted
            }
