"""Fetches files of galaxy catalogs, and reads their columns.

Known layouts: NED-LVS (Cook et al. 2023, ApJS 268 14), GLADE+ (Dálya et al. 2022, MNRAS 514 1403) and the 50 Mpc
Galaxy Catalog (Ohlson et al. 2024, AJ 167 31). Any other table is read with a column mapping.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mma_pipeline.adapters.catalogs.units import factor, stated_units
from mma_pipeline.adapters.errors import ConfigurationError, NotFoundError, PermanentError, TransientError
from mma_pipeline.adapters.http import error_type, receive, without_secrets
from mma_pipeline.adapters.retry import attempts

NED_LVS_URL = "https://ned.ipac.caltech.edu/NED::LVS/fits/Current/"
#: Absolute B magnitude of the Sun, Vega (Willmer 2018, ApJS 236 47).
_SUN_B = 5.44
_FITS = {".fits", ".fit"}
_ATTEMPTS = 3
#: Greatest duration of an attempt to fetch a catalog, seconds, and its greatest size, bytes.
_ATTEMPT_S, _MOST_BYTES = 3600.0, 20_000_000_000


@dataclass(frozen=True)
class Columns:
    """Names of a table's columns; columns of a table without a header are numbered from one."""

    ra: str
    """Right ascension, deg."""
    dec: str
    """Declination, deg."""
    distance: str
    """Luminosity distance, Mpc."""
    name: str | None = None
    mass: str | None = None
    """Stellar mass."""
    mass_scale: str = "linear"
    """`linear` (M☉), `log10` (of M☉) or `1e10` (10¹⁰ M☉)."""
    luminosity: str | None = None
    """Luminosity."""
    luminosity_scale: str = "linear"
    """`linear` (L☉), `log10` (of L☉) or `B` (absolute B magnitude)."""
    label: str | None = None
    header: bool = True
    """Whether a text table names its columns in the first line."""
    distance_error: str | None = None
    """Error of the distance, Mpc."""
    magnitude: str | None = None
    """Apparent magnitude in R or r."""
    half_light: str | None = None
    """Radius that holds half of the light, arcsec."""

    def __post_init__(self) -> None:
        """Raises ConfigurationError for an unknown scale."""
        if self.mass_scale not in {"linear", "log10", "1e10"}:
            raise ConfigurationError(f"mass scale {self.mass_scale!r} is unknown: linear, log10 or 1e10")
        if self.luminosity_scale not in {"linear", "log10", "B"}:
            raise ConfigurationError(f"luminosity scale {self.luminosity_scale!r} is unknown: linear, log10 or B")

    def as_dict(self) -> dict[str, Any]:
        """The mapping as stored in a manifest."""
        return asdict(self)


NED_LVS = Columns("ra", "dec", "DistMpc", name="objname", mass="Mstar", label="NED-LVS", distance_error="DistMpc_unc")
MGC50 = Columns(
    "ra",
    "dec",
    "bestdist",
    name="objname",
    mass="logmass",
    mass_scale="log10",
    label="50MGC",
    distance_error="bestdist_error",
)
#: GLADE+ is a text table without header; column 4 (HyperLEDA) is the name that most rows have.
GLADE_PLUS = Columns(
    "9",
    "10",
    "33",
    name="4",
    mass="36",
    mass_scale="1e10",
    luminosity="14",
    luminosity_scale="B",
    label="GLADE+",
    header=False,
)
KNOWN = {"ned-lvs": NED_LVS, "50mgc": MGC50, "glade+": GLADE_PLUS}


def read_columns(path: Path, columns: Columns | None) -> tuple[Columns, dict[str, npt.NDArray[Any]]]:
    """Read a catalog: the mapping used, and arrays of shape (G,) by our names, in M☉, L☉, Mpc and degrees.

    FITS, ECSV, Parquet and text tables (commas or blanks) are told by their suffix. Units that FITS and ECSV state for positions,
    distances and radii are converted. Values that are absent, masked or not positive become NaN in distance, mass and luminosity.

    Raises NotFoundError for a missing file, ConfigurationError for a layout that is neither known nor mapped, and for a unit that
    measures something else.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no catalog file {path}")
    if columns is None:
        columns = _recognise(path)
    extra = {name: getattr(columns, name) for name in ("distance_error", "magnitude", "half_light")}
    own = (columns.ra, columns.dec, columns.distance, columns.name, columns.mass, columns.luminosity)
    wanted = [c for c in (*own, *extra.values()) if c]
    try:
        raw = _read_fits(path, wanted) if path.suffix.lower() in _FITS else _read_table(path, wanted, columns.header)
    except KeyError as error:
        raise ConfigurationError(f"{path.name} has no column {error}: check the column mapping") from error
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigurationError(f"{path.name} cannot be read as a table: {error}") from error
    stated = stated_units(path)

    def converted(column: str, ours: str) -> npt.NDArray[np.float64]:
        return _numbers(raw[column]) * factor(stated, column, ours, path.name)

    result: dict[str, npt.NDArray[Any]] = {
        "ra": converted(columns.ra, "deg"),
        "dec": converted(columns.dec, "deg"),
        "distance": _positive(converted(columns.distance, "Mpc")),
    }
    if columns.mass:
        mass = _numbers(raw[columns.mass])
        mass = 10.0**mass if columns.mass_scale == "log10" else mass * (1e10 if columns.mass_scale == "1e10" else 1.0)
        result["mass"] = _positive(mass)
    if columns.luminosity:
        light = _numbers(raw[columns.luminosity])
        if columns.luminosity_scale == "B":
            light = 10.0 ** (-0.4 * (light - _SUN_B))
        elif columns.luminosity_scale == "log10":
            light = 10.0**light
        result["luminosity"] = _positive(light)
    for name, column in extra.items():
        if column:
            if name == "magnitude":
                values = _numbers(raw[column])
                # A magnitude may be negative; catalogs write -99 and 99 for those that are not known.
                result[name] = np.where(np.abs(values) < 50, values, np.nan).astype(np.float32)
            else:
                result[name] = _positive(converted(column, "Mpc" if name == "distance_error" else "arcsec"))
    result["name"] = _names(raw[columns.name]) if columns.name else np.zeros(result["ra"].size, dtype="S1")
    return columns, result


def _recognise(path: Path) -> Columns:
    if path.name.lower().startswith("glade+"):
        return GLADE_PLUS
    present = set(_column_names(path))
    for known in (NED_LVS, MGC50):
        if {known.ra, known.dec, known.distance, known.mass} <= present:
            # Shortened copies of these catalogs go without the errors.
            return known if known.distance_error in present else replace(known, distance_error=None)
    raise ConfigurationError(
        f"the layout of {path.name} is not known: name its columns (--ra, --dec, --distance, --name, --mass); "
        f"it has {', '.join(sorted(present)[:40])}"
    )


def _column_names(path: Path) -> Iterable[str]:
    try:
        if path.suffix.lower() in _FITS:
            from astropy.io import fits

            with fits.open(path) as hdus:
                return list(hdus[1].columns.names)
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet

            return list(pyarrow.parquet.read_schema(path).names)
        import pandas as pd

        return [str(c) for c in pd.read_csv(path, nrows=5, comment="#", sep=None, engine="python").columns]
    except (OSError, ValueError, IndexError, AttributeError, csv.Error) as error:
        raise ConfigurationError(f"{path.name} cannot be read as a table: {error}") from error


def _read_fits(path: Path, wanted: list[str]) -> dict[str, npt.NDArray[Any]]:
    from astropy.io import fits

    with fits.open(path, memmap=True) as hdus:
        table = hdus[1].data
        return {name: np.array(table[name]) for name in wanted}


def _read_table(path: Path, wanted: list[str], header: bool) -> dict[str, npt.NDArray[Any]]:
    import pandas as pd

    if path.suffix.lower() == ".parquet":
        frame = pd.read_parquet(path, columns=wanted)
        return {name: frame[name].to_numpy() for name in wanted}
    if header:
        frame = pd.read_csv(path, comment="#", sep=None if path.suffix.lower() != ".csv" else ",", engine="python")
        return {name: frame[name].to_numpy() for name in wanted}
    numbers = sorted(int(name) - 1 for name in set(wanted))
    frame = pd.read_csv(path, sep=r"\s+", header=None, usecols=numbers, na_values=["null"], engine="c")
    return {name: frame[int(name) - 1].to_numpy() for name in wanted}


def _numbers(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    import pandas as pd

    if values.dtype.kind in "fiu":
        return np.asarray(values, dtype=np.float64)
    return np.asarray(pd.to_numeric(pd.Series(values), errors="coerce"), dtype=np.float64)


def _positive(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(np.isfinite(values) & (values > 0), values, np.nan).astype(np.float32)


def _names(values: npt.NDArray[Any]) -> npt.NDArray[np.bytes_]:
    if values.dtype.kind == "S":
        return np.asarray(values)
    text = ["" if v is None or v != v else str(v).strip() for v in values.tolist()]  # NaN differs from itself
    return np.array([t.encode() for t in text])


def download(url: str, path: Path) -> Path:
    """Fetch a catalog to `path`, which appears only when complete; three attempts, each with timeouts.

    Raises TransientError if the server does not answer or breaks the connection, PermanentError if it refuses or sends a
    web page instead of a catalog.
    """
    partial = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        attempts(_ATTEMPTS)(_fetch, url, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _fetch(url: str, partial: Path) -> None:
    begin = bytearray()
    try:
        with partial.open("wb") as out:

            def write(block: bytes) -> None:
                if len(begin) < 256:
                    begin.extend(block[:256])
                out.write(block)

            status = receive(
                url, write, f"the server of {without_secrets(url)}", most_bytes=_MOST_BYTES, seconds=_ATTEMPT_S
            )
    except OSError as error:
        raise PermanentError(f"the catalog could not be written to {partial.parent}: {error}") from error
    kind = error_type(status, changes=False)
    if kind is not None:
        hint = "try again later" if issubclass(kind, TransientError) else "check the address"
        raise kind(f"the catalog server answered {status} for {without_secrets(url)}: {hint}")
    if not begin or begin.lstrip()[:1] == b"<":
        raise PermanentError(
            f"{without_secrets(url)} sent a web page or nothing instead of a catalog: check the address"
        )
