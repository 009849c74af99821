"""Units that a catalog file states for its columns: FITS (TUNITn) and ECSV; other tables state none."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, cast

from mma_pipeline.adapters.errors import ConfigurationError

_FITS = {".fits", ".fit"}
_ECSV = "# %ECSV"


def stated_units(path: Path) -> dict[str, str]:
    """Units by column; columns without one are absent. A file that cannot be read states none: who reads its rows says so."""
    try:
        if Path(path.name.removesuffix(".gz")).suffix.lower() in _FITS:
            from astropy.io import fits

            with fits.open(path) as hdus:
                return {str(column.name): str(column.unit) for column in hdus[1].columns if column.unit}
        with cast("IO[bytes]", gzip.open(path) if path.suffix == ".gz" else path.open("rb")) as lines:
            return _of_ecsv(lines)
    except (OSError, IndexError, AttributeError):
        return {}


def _of_ecsv(lines: Iterable[bytes]) -> dict[str, str]:
    from astropy.table import meta

    header: list[str] = []
    for line in lines:
        text = line.decode(errors="replace").rstrip("\r\n")
        if not text.startswith("#") or (not header and not text.startswith(_ECSV)):
            break
        header.append(text.removeprefix("# "))
    if not header:
        return {}
    columns = meta.get_header_from_yaml(header[1:])["datatype"]
    return {str(column["name"]): str(column["unit"]) for column in columns if column.get("unit")}


def factor(stated: Mapping[str, str], column: str | None, ours: str, file: str) -> float:
    """What values of a column are multiplied by to be in our unit; 1 where the file states none, or one that astropy does not know.

    Hours are hours of angle. Raises ConfigurationError where the stated unit measures something else.
    """
    import astropy.units as u

    text = stated.get(column or "")
    unit = None if text is None else u.Unit(text, parse_strict="silent")
    if unit is None or isinstance(unit, u.UnrecognizedUnit) or unit == u.dimensionless_unscaled:
        return 1.0
    try:
        return float((u.hourangle if unit == u.hour else unit).to(u.Unit(ours)))
    except u.UnitConversionError as error:
        raise ConfigurationError(f"{file}: column {column} is in {text}, which is not converted to {ours}") from error
