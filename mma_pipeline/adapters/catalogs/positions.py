"""Tables of stars and of active nuclei on disk, to be searched by position: built once, then memory-mapped.

A table is a folder: `index29.npy`, the order-29 HEALPix indices (NESTED) in ascending order; `rows.npy`, one record per
object in that order, so that a match touches one page of the disk; and a manifest. Building one takes bounded memory
whatever the size of its sources: rows go to scratch files by large pixel first, and each of these is sorted alone.
Galaxies have an index of their own (`index`), because rankings read whole columns of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mma_pipeline.adapters.catalogs.batches import batches, column_names
from mma_pipeline.adapters.catalogs.folder import CatalogFolder, read_manifest, replaced, write_manifest
from mma_pipeline.adapters.catalogs.units import factor, stated_units
from mma_pipeline.adapters.errors import ConfigurationError, NotFoundError

Kind = Literal["stars", "agn"]
FORMAT = 1
_ORDER = 29
#: Order of the pixels by which rows are first put apart: 768 of them.
_COARSE = 3
#: Reference epoch of Gaia DR3's positions, Julian years (Lindegren et al. 2021, A&A 649 A2).
GAIA_EPOCH = 2016.0

_STAR = np.dtype(
    [
        ("ra", "f8"), ("dec", "f8"), ("magnitude", "f4"), ("parallax", "f4"), ("parallax_error", "f4"),
        ("pmra", "f4"), ("pmra_error", "f4"), ("pmdec", "f4"), ("pmdec_error", "f4"), ("name", "S30"),
    ]
)  # fmt: skip
_AGN = np.dtype([("ra", "f8"), ("dec", "f8"), ("magnitude", "f4"), ("redshift", "f4"), ("type", "S8"), ("name", "S30")])
RECORDS: Mapping[Kind, np.dtype[Any]] = {"stars": _STAR, "agn": _AGN}
UNITS = {
    "ra": "deg", "dec": "deg", "magnitude": "mag", "parallax": "mas", "parallax_error": "mas", "pmra": "mas/yr",
    "pmra_error": "mas/yr", "pmdec": "mas/yr", "pmdec_error": "mas/yr", "redshift": "", "type": "", "name": "",
}  # fmt: skip

#: Names of columns that need no mapping, in lower case, the likeliest first: among them Gaia DR3's, and Milliquas's by its author,
#: by CDS (RAJ2000, DEJ2000) and by HEASARC (broad_type, whose `class` is a number).
_KNOWN: Mapping[str, tuple[str, ...]] = {
    "ra": ("ra", "ra_icrs", "raj2000", "radeg", "_raj2000"),
    "dec": ("dec", "de_icrs", "dej2000", "dedeg", "decdeg", "_dej2000"),
    "magnitude": ("phot_g_mean_mag", "gmag", "rmag", "magnitude", "mag"),
    "parallax": ("parallax", "plx"),
    "parallax_error": ("parallax_error", "e_plx"),
    "pmra": ("pmra",),
    "pmra_error": ("pmra_error", "e_pmra"),
    "pmdec": ("pmdec", "pmde"),
    "pmdec_error": ("pmdec_error", "e_pmde"),
    "redshift": ("z", "redshift"),
    "type": ("type", "broad_type", "class"),
    "name": ("name", "source_id", "source", "designation"),
}


@dataclass(frozen=True)
class PositionTable(CatalogFolder):
    """An opened table; arrays have shape (G,), are read-only and memory-mapped."""

    kind: Kind

    @classmethod
    def open(cls, folder: Path | str, kind: Kind) -> PositionTable:
        """Open a table; NotFoundError if the folder holds none, PermanentError if it is damaged or of another kind."""
        folder = Path(folder)
        command = f"mma catalog import --kind {kind} FILE"
        return cls(folder, read_manifest(folder, f"table of {kind}", command, kind=kind, format=FORMAT), kind)

    @property
    def epoch(self) -> float:
        """Time of the positions, Julian years."""
        return float(self.manifest["epoch"])

    @cached_property
    def rows(self) -> npt.NDArray[Any]:
        """The records (`RECORDS`), NaN and empty bytes where a value is absent."""
        return self._array("rows", RECORDS[self.kind])


def build_table(
    sources: Sequence[Path],
    folder: Path | str,
    kind: Kind,
    *,
    columns: Mapping[str, str] | None = None,
    label: str | None = None,
    epoch: float = GAIA_EPOCH,
) -> PositionTable:
    """Read files and write their table; an existing one is replaced when it is complete.

    FITS, CSV, ECSV, TSV, HEASARC's TDAT and Milliquas's lines of fixed width, all also gzipped, and Parquet are read.

    Args:
        sources: files with the same columns.
        folder: where the table goes.
        kind: `stars` or `agn`.
        columns: our name of a column to the files'; those of Gaia and Milliquas need none.
        label: name of the table, for people.
        epoch: time of the positions, Julian years.

    Raises NotFoundError for a missing file, ConfigurationError for columns that are not in it, that hold no position, or
    for stars without proper motion, parallax and their errors.
    """
    folder = Path(folder)
    with replaced(folder) as (new, parts):
        digest = hashlib.sha256()
        mapping: dict[str, str] = {}
        dropped = 0
        counts = np.zeros(12 << (2 * _COARSE), dtype=np.int64)
        for source in sources:
            mapping = _mapping(source, kind, columns or {})
            with _opened(source) as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
            for records, bad in _records(source, mapping, RECORDS[kind]):
                dropped += bad
                if records.size:
                    _put_apart(records, parts, counts)
        total = int(counts.sum())
        if not total:
            raise ConfigurationError(f"{sources[0]} holds no row with a position in degrees: check the column mapping")
        _write_sorted(parts, counts, new, RECORDS[kind])
        manifest = {
            "format": FORMAT,
            "kind": kind,
            "label": label or sources[0].name,
            "source": [source.name for source in sources],
            "source_sha256": digest.hexdigest(),
            "rows": total,
            "rows_without_position": dropped,
            "epoch": epoch,
            "columns": {name: {"unit": UNITS[name], "from": mapping[name]} for name in sorted(mapping)},
        }
        write_manifest(new, manifest)
    return PositionTable.open(folder, kind)


def _opened(source: Path) -> Any:
    try:
        return source.open("rb")
    except FileNotFoundError:
        raise NotFoundError(f"there is no catalog file {source}") from None


def _mapping(source: Path, kind: Kind, named: Mapping[str, str]) -> dict[str, str]:
    """Our columns to those of a file."""
    if not source.is_file():
        raise NotFoundError(f"there is no catalog file {source}")
    present = {name.lower(): name for name in column_names(source)}
    found: dict[str, str] = {}
    for ours in RECORDS[kind].names or ():
        asked = named.get(ours)
        if asked is not None and asked.lower() not in present:
            raise ConfigurationError(
                f"{source.name} has no column {asked!r}: it has {', '.join(sorted(present.values())[:40])}"
            )
        theirs = (asked.lower(),) if asked is not None else _KNOWN[ours]
        name = next((present[n] for n in theirs if n in present), None)
        if name is not None:
            found[ours] = name
    needed = ["ra", "dec"]
    if kind == "stars":
        # Without them nothing tells a star from the core of a galaxy.
        needed += ["parallax", "parallax_error", "pmra", "pmra_error", "pmdec", "pmdec_error"]
    missing = [name for name in needed if name not in found]
    if missing:
        raise ConfigurationError(
            f"{source.name} has no column for {', '.join(missing)}: name them with --column {missing[0]}=…; "
            f"it has {', '.join(sorted(present.values())[:40])}"
        )
    return found


def _records(source: Path, mapping: Mapping[str, str], dtype: np.dtype[Any]) -> Iterator[tuple[npt.NDArray[Any], int]]:
    """Batches of records with usable positions, each with how many rows had none; angles and proper motions in our units."""
    stated = stated_units(source)
    factors = {
        ours: factor(stated, mapping[ours], UNITS[ours], source.name)
        for ours in mapping
        if UNITS[ours] not in {"", "mag"}
    }
    for batch in batches(source, sorted(set(mapping.values()))):
        size = len(next(iter(batch.values())))
        records = np.zeros(size, dtype=dtype)
        for ours in dtype.names or ():
            text = dtype[ours].kind == "S"
            if ours not in mapping:
                records[ours] = b"" if text else np.nan
            elif text:
                records[ours] = _text(batch[mapping[ours]], dtype[ours])
            else:
                records[ours] = _numbers(batch[mapping[ours]]) * factors.get(ours, 1.0)
        for ours in ("parallax_error", "pmra_error", "pmdec_error", "redshift"):
            if ours in (dtype.names or ()):
                records[ours][~(records[ours] > 0)] = np.nan
        # Milliquas writes 0 where a magnitude is not known.
        records["magnitude"][records["magnitude"] == 0] = np.nan
        usable = np.isfinite(records["ra"]) & np.isfinite(records["dec"]) & (np.abs(records["dec"]) <= 90.0)
        yield records[usable], int(size - usable.sum())


def _numbers(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    if values.dtype.kind in "fiu":
        return np.asarray(values, dtype=np.float64)
    import pandas as pd

    return np.asarray(pd.to_numeric(pd.Series(values), errors="coerce"), dtype=np.float64)


def _text(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[np.bytes_]:
    if values.dtype.kind == "S":
        return np.char.strip(values).astype(dtype)
    if values.dtype.kind == "U":
        return np.char.encode(np.char.strip(values), "utf-8").astype(dtype)
    if values.dtype.kind in "iu":
        return values.astype(dtype)
    texts = ["" if v is None or v != v else str(v).strip() for v in values.tolist()]  # NaN differs from itself
    return np.array([t.encode() for t in texts], dtype=dtype)


def _put_apart(records: npt.NDArray[Any], parts: Path, counts: npt.NDArray[np.int64]) -> None:
    """Append records with their indices to the scratch file of their coarse pixel."""
    import healpy

    index = healpy.ang2pix(1 << _ORDER, records["ra"] % 360.0, records["dec"], nest=True, lonlat=True).astype(np.int64)
    coarse = index >> (2 * (_ORDER - _COARSE))
    order = np.argsort(coarse, kind="stable")
    first, begin = np.unique(coarse[order], return_index=True)
    for pixel, places in zip(first, np.split(order, begin[1:]), strict=True):
        with (parts / f"{pixel}.index").open("ab") as out:
            out.write(index[places].tobytes())
        with (parts / f"{pixel}.rows").open("ab") as out:
            out.write(records[places].tobytes())
        counts[pixel] += places.size


def _write_sorted(parts: Path, counts: npt.NDArray[np.int64], new: Path, dtype: np.dtype[Any]) -> None:
    total = int(counts.sum())
    with (new / "index29.npy").open("wb") as indices, (new / "rows.npy").open("wb") as rows:
        for out, kind in ((indices, np.dtype(np.int64)), (rows, dtype)):
            header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (total,)}
            np.lib.format.write_array_header_1_0(out, header)
        for pixel in np.flatnonzero(counts):
            index = np.fromfile(parts / f"{pixel}.index", dtype=np.int64)
            order = np.argsort(index, kind="stable")
            indices.write(index[order].tobytes())
            records = np.fromfile(parts / f"{pixel}.rows", dtype=dtype)
            rows.write(records[order].tobytes())
            for part in (parts / f"{pixel}.index", parts / f"{pixel}.rows"):
                part.unlink()
