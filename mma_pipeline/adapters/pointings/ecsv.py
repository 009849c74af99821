"""Rows of an ECSV table as text in the units that pointings have, whatever units, time scales and frames the table has.

ECSV (Astropy Proposal for Enhancement 6) says what a column is: an angle in hours, a time in TAI, a place in Galactic
coordinates. astropy reads it; here it becomes degrees of ICRS, UTC, and magnitudes or fluxes of a known unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mma_pipeline.adapters.earth_orientation import use_packaged_tables
from mma_pipeline.notices.errors import NoticeError

#: First words of such a file.
MARK = "# %ECSV"


def ecsv_rows(
    path: Path, angles: Iterable[str], times: Iterable[str], depths: Iterable[str]
) -> tuple[list[str], list[list[str]]]:
    """Names of the columns in lower case, and rows of their values as text; what is masked is empty.

    Columns named in `angles` become degrees; those in `times` keep their number (days) or text; those in `depths` with a flux
    become Jy or erg cm⁻² s⁻¹, and a column `depth_unit` says so. A column of times becomes UTC, the only column of
    coordinates becomes `ra` and `dec`. Raises NoticeError where the file is no such table or a unit does not fit.
    """
    use_packaged_tables()
    import yaml
    from astropy.coordinates import SkyCoord
    from astropy.table import Table
    from astropy.time import Time

    try:
        table = Table.read(path, format="ascii.ecsv")
    except (ValueError, TypeError, KeyError, AttributeError, OSError, yaml.YAMLError) as error:
        raise NoticeError(
            f"{path.name} is no ECSV table that can be read: {' '.join(str(error).split())[:200]}"
        ) from error
    found: dict[str, list[str]] = {}
    places = [name for name in table.colnames if isinstance(table[name], SkyCoord)]
    for name in table.colnames:
        column, known = table[name], name.strip().lower()
        if getattr(column, "ndim", 1) != 1:
            raise NoticeError(f"{path.name}: column {name} has more than one value in a row")
        if isinstance(column, SkyCoord):
            continue
        if isinstance(column, Time):
            found[known] = _times(column)
        elif known in depths:
            found |= _depths(name, known, column)
        elif known in angles:
            found[known] = _texts(_angle(name, column))
        else:
            unit = getattr(column, "unit", None)
            if known in times and unit is not None and str(unit) != "d":
                raise NoticeError(f"{path.name}: column {name} is in {unit}, not in days or text")
            found[known] = _texts(column)
    if len(places) == 1 and not {"ra", "dec"} & set(found):
        found |= _place(places[0], table[places[0]])
    return list(found), [list(row) for row in zip(*found.values(), strict=True)]


def _texts(column: Any) -> list[str]:
    import numpy as np

    return ["" if np.ma.is_masked(value) else str(getattr(value, "item", lambda v=value: v)()) for value in column]


def _times(column: Any) -> list[str]:
    import numpy as np

    utc = column.utc
    utc.format, utc.precision = "isot", 6
    masked = np.broadcast_to(np.asarray(utc.mask), utc.shape)
    return ["" if away else f"{text}+00:00" for text, away in zip(np.asarray(utc.unmasked.value), masked, strict=True)]


def _angle(name: str, column: Any) -> Any:
    import astropy.units as u

    unit = getattr(column, "unit", None)
    if unit is None or unit == u.deg:
        return column
    try:
        return column * u.Unit(unit).to(u.deg)
    except (u.UnitConversionError, ValueError, TypeError) as error:
        raise NoticeError(f"column {name} is in {unit}, which is no angle") from error


def _depths(name: str, known: str, column: Any) -> dict[str, list[str]]:
    import astropy.units as u

    unit = getattr(column, "unit", None)
    if unit is None or unit in (u.mag, u.ABmag):
        return {known: _texts(column)}
    for ours, word in ((u.Jy, "flux_jy"), (u.erg / u.cm**2 / u.s, "flux_erg")):
        try:
            values = column * u.Unit(unit).to(ours)
        except (u.UnitConversionError, ValueError, TypeError):
            continue
        return {known: _texts(values), "depth_unit": [word] * len(values)}
    raise NoticeError(f"column {name} is in {unit}: a depth is a magnitude (AB) or a flux")


def _place(name: str, column: Any) -> dict[str, list[str]]:
    from astropy.coordinates import ConvertError

    try:
        icrs = column.icrs
    except (ConvertError, ValueError) as error:
        raise NoticeError(f"the coordinates {name} cannot be brought to ICRS: {str(error)[:200]}") from error
    return {"ra": [repr(float(v)) for v in icrs.ra.deg], "dec": [repr(float(v)) for v in icrs.dec.deg]}
