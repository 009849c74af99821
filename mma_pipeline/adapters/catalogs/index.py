"""A galaxy catalog as an index, built once and then memory-mapped.

An index is a folder: one NumPy file per column, rows in order of their order-29 HEALPix index (NESTED), and a
manifest. Opening it reads the manifest only; a ranking touches just the pages that its sky region needs.
Not here: fetching and reading the files that catalogs come in (`files`).
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mma_pipeline.adapters.catalogs.files import Columns, read_columns
from mma_pipeline.adapters.catalogs.folder import CatalogFolder, read_manifest, replaced, write_manifest
from mma_pipeline.adapters.errors import ConfigurationError

FORMAT = 1
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


class CatalogIndex(CatalogFolder):
    """An opened index; arrays have shape (G,), are read-only and memory-mapped. NaN where a value is absent."""

    @classmethod
    def open(cls, folder: Path | str) -> CatalogIndex:
        """Open an index.

        Raises NotFoundError if the folder holds none, PermanentError if it is damaged or of another format.
        """
        folder = Path(folder)
        return cls(folder, read_manifest(folder, "galaxy catalog index", "mma catalog import FILE", format=FORMAT))

    @cached_property
    def ra(self) -> npt.NDArray[np.float64]:
        """Right ascension, deg."""
        return self._array("ra")

    @cached_property
    def dec(self) -> npt.NDArray[np.float64]:
        """Declination, deg."""
        return self._array("dec")

    @cached_property
    def distance(self) -> npt.NDArray[np.float32]:
        """Luminosity distance, Mpc."""
        return self._array("distance")

    @cached_property
    def name(self) -> npt.NDArray[np.bytes_]:
        """Name, UTF-8 bytes."""
        return self._array("name")

    def weight(self, kind: str) -> npt.NDArray[np.float32] | None:
        """Column `mass` (M☉) or `luminosity` (L☉), None if the catalog has none."""
        return self._array(kind) if kind in self.manifest["columns"] else None

    def optional(self, name: str) -> npt.NDArray[np.float32] | None:
        """Column `distance_error` (Mpc), `magnitude` (R or r) or `half_light` (arcsec), None if the catalog has none."""
        return self._array(name) if name in self.manifest["columns"] else None


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
    with replaced(folder) as (new, _):
        for name, column in table.items():
            np.save(new / f"{name}.npy", column, allow_pickle=False)
        write_manifest(new, manifest)
    return CatalogIndex.open(folder)


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
