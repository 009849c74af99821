"""Reads the folder of public photometry that training and the benchmark may use. Missing files are skipped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mma_pipeline.adapters.errors import NotFoundError

#: File -> (source, column of the name, column of the magnitude error, whether it has limits).
_COLLECTIONS = {
    "osc_supernovae_griz.csv.gz": ("osc", "name", "e_mag", True),
    "ztf_bts_snia_gr.csv.gz": ("ztf-bts", "name", "magerr", False),
    "ztf_alert_objects.csv.gz": ("ztf-alerts", "objectId", "e_mag", True),
}
_TABLES = "kasen2017_griz_Lnu.npz"
_OBJECTS = "osc_supernovae_objects.csv"
_AT2017GFO = "AT2017gfo_DECam_griz.csv"


@dataclass(frozen=True, eq=False)
class RealRow:
    """One real transient as plain columns (lists of equal length)."""

    name: str
    source: str
    kind: str
    """Claimed type, empty if unknown."""
    ebv: float | None
    """Galactic E(B-V), mag."""
    columns: dict[str, Any]
    """Arrays mjd (days), magnitude (mag), error (mag), upper_limit (bool) and the list band."""


def kilonova_tables(folder: Path) -> bytes:
    """The radiative-transfer tables' file; raises NotFoundError."""
    return _file(folder, _TABLES).read_bytes()


def real_transients(folder: Path) -> list[RealRow]:
    """All real transients of the folder, by source and name; raises NotFoundError if there are none.

    AT2017gfo is excluded by name, so that it never enters training.
    """
    rows = [row for file in _COLLECTIONS if (folder / file).is_file() for row in _collection(folder, file)]
    if not rows:
        raise NotFoundError(f"{folder} holds none of {', '.join(_COLLECTIONS)}")
    return [row for row in rows if "2017gfo" not in row.name and "SSS17a" not in row.name]


def at2017gfo(folder: Path) -> RealRow:
    """AT2017gfo's DECam photometry (Soares-Santos et al. 2017; E(B-V) = 0.105 mag); raises NotFoundError."""
    import pandas as pd

    table = pd.read_csv(_file(folder, _AT2017GFO))
    columns = {
        "mjd": table["time"].to_numpy(float),
        "magnitude": table["magnitude"].to_numpy(float),
        "error": table["e_magnitude"].to_numpy(float),
        "band": table["band"].tolist(),
        "upper_limit": table["magnitude"].isna().to_numpy(),
    }
    return RealRow("AT2017gfo", "decam", "kilonova", 0.105, columns)


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise NotFoundError(f"{path} is not there")
    return path


def _collection(folder: Path, file: str) -> Iterator[RealRow]:
    import pandas as pd

    source, name, error, limits = _COLLECTIONS[file]
    table = pd.read_csv(folder / file, low_memory=False)
    known: dict[str, tuple[str, float | None]] = {}
    if source == "osc" and (folder / _OBJECTS).is_file():
        objects = pd.read_csv(folder / _OBJECTS)
        kinds, excess = objects["claimedtype"].fillna("").astype(str), objects["ebv"].to_numpy(float)
        for each, kind, ebv in zip(objects["name"].astype(str), kinds, excess.tolist(), strict=True):
            known[each] = (kind, None if math.isnan(ebv) else ebv)
    for key, group in table.groupby(name, sort=True):
        kind, ebv = known.get(str(key), ("Ia" if source == "ztf-bts" else "", None))
        columns = {
            "mjd": group["mjd"].to_numpy(float),
            "magnitude": group["mag"].to_numpy(float),
            "error": group[error].to_numpy(float),
            "band": group["band"].astype(str).tolist(),
            "upper_limit": (group["upperlimit"] == 1).to_numpy()
            if limits
            else (group["mjd"] != group["mjd"]).to_numpy(),
        }
        yield RealRow(str(key), source, kind, ebv, columns)
