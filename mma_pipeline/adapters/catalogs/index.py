"""A galaxy catalog as an index, built once and then memory-mapped.

An index is a folder: one NumPy file per column, rows in order of their order-29 HEALPix index (NESTED), and a
manifest. Opening it reads the manifest only; a ranking touches just the pages that its sky region needs.
Not here: fetching and reading the files that catalogs come in (`files`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mma_pipeline.adapters.catalogs.files import Columns, read_columns
from mma_pipeline.adapters.errors import ConfigurationError, NotFoundError, PermanentError

FORMAT = 1
MANIFEST = "manifest.json"
_ORDER = 29
_UNITS = {
    "index29": "",
    "ra": "deg",
    "dec": "deg",
    "distance": "Mpc",
    "mass": "Msun",
    "luminosity": "Lsun",
    "distance_error": "Mpc",
    "magnitude": "mag",
    "half_light": "arcsec",
    "name": "",
}


@dataclass(frozen=True)
class CatalogIndex:
    """An opened index; arrays have shape (G,), are read-only and memory-mapped. NaN where a value is absent."""

    folder: Path
    manifest: Mapping[str, Any] = field(repr=False)

    @classmethod
    def open(cls, folder: Path | str) -> CatalogIndex:
        """Open an index.

        Raises NotFoundError if the folder holds none, PermanentError if it is damaged or of another format.
        """
        folder = Path(folder)
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
        except FileNotFoundError:
            raise NotFoundError(
                f"no galaxy catalog index in {folder}: make one with `mma catalog import FILE`"
            ) from None
        except (OSError, ValueError) as error:
            raise PermanentError(f"the manifest of the galaxy catalog in {folder} cannot be read: {error}") from error
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise PermanentError(f"the galaxy catalog in {folder} has another format: import it again")
        return cls(folder, manifest)

    @property
    def label(self) -> str:
        """Name of the catalog, for people."""
        return str(self.manifest["label"])

    @property
    def digest(self) -> str:
        """SHA-256 of the file that the index was made from; identifies the catalog in metadata."""
        return str(self.manifest["source_sha256"])

    def __len__(self) -> int:
        return int(self.manifest["rows"])

    @cached_property
    def index29(self) -> npt.NDArray[np.int64]:
        """Order-29 NESTED HEALPix index, ascending."""
        return self._column("index29")

    @cached_property
    def ra(self) -> npt.NDArray[np.float64]:
        """Right ascension, deg."""
        return self._column("ra")

    @cached_property
    def dec(self) -> npt.NDArray[np.float64]:
        """Declination, deg."""
        return self._column("dec")

    @cached_property
    def distance(self) -> npt.NDArray[np.float32]:
        """Luminosity distance, Mpc."""
        return self._column("distance")

    @cached_property
    def name(self) -> npt.NDArray[np.bytes_]:
        """Name, UTF-8 bytes."""
        return self._column("name")

    def weight(self, kind: str) -> npt.NDArray[np.float32] | None:
        """Column `mass` (M☉) or `luminosity` (L☉), None if the catalog has none."""
        return self._column(kind) if kind in self.manifest["columns"] else None

    def optional(self, name: str) -> npt.NDArray[np.float32] | None:
        """Column `distance_error` (Mpc), `magnitude` (R or r) or `half_light` (arcsec), None if the catalog has none."""
        return self._column(name) if name in self.manifest["columns"] else None

    def _column(self, name: str) -> npt.NDArray[Any]:
        try:
            values: npt.NDArray[Any] = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise PermanentError(
                f"column {name} of the galaxy catalog in {self.folder} cannot be read ({error}): import it again"
            ) from error
        if values.shape != (len(self),):
            raise PermanentError(f"column {name} of the galaxy catalog in {self.folder} is cut short: import it again")
        # A plain view: np.memmap's own class makes every small operation on it ten times slower.
        return values.view(np.ndarray)


def build_index(
    source: Path | str, folder: Path | str, *, columns: Columns | None = None, label: str | None = None
) -> CatalogIndex:
    """Read a catalog and write its index; an existing index is replaced only when the new one is complete.

    `columns` maps the file's columns; None recognises NED-LVS, GLADE+ and the 50 Mpc Galaxy Catalog.
    Rows without a usable position are dropped and counted in the manifest.

    Raises NotFoundError for a missing file, ConfigurationError for columns that are not in it or hold no galaxy.
    """
    source, folder = Path(source), Path(folder)
    columns, values = read_columns(source, columns)
    ra, dec = values["ra"], values["dec"]
    usable = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90.0)
    if not usable.any():
        raise ConfigurationError(f"{source} holds no row with a position in degrees: check the column mapping")
    import healpy

    index = healpy.ang2pix(1 << _ORDER, ra[usable], dec[usable], nest=True, lonlat=True).astype(np.int64)
    order = np.argsort(index, kind="stable")
    kept = np.flatnonzero(usable)[order]
    table = {"index29": index[order]} | {name: column[kept] for name, column in values.items()}
    manifest = {
        "format": FORMAT,
        "label": label or columns.label or source.name,
        "source": source.name,
        "source_sha256": _sha256(source),
        "rows": int(kept.size),
        "rows_without_position": int(usable.size - kept.size),
        "columns": {name: {"unit": _UNITS[name], "dtype": str(column.dtype)} for name, column in table.items()},
        "mapping": columns.as_dict(),
    }
    _write(folder, table, manifest)
    return CatalogIndex.open(folder)


def _write(folder: Path, table: Mapping[str, npt.NDArray[Any]], manifest: Mapping[str, Any]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists() and not (folder / MANIFEST).exists() and any(folder.iterdir()):
        raise ConfigurationError(f"{folder} holds other files: name an empty folder for the index")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        for name, column in table.items():
            np.save(new / f"{name}.npy", column, allow_pickle=False)
        (new / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        if folder.exists():  # readers that have the old files mapped keep them
            folder.rename(Path(scratch) / "old")
        shutil.move(new, folder)


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
