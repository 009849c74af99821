"""Fermi's pointing, from the weekly FT2 pointing files, preliminary or final. Fetched files are kept in the store.

Source: the Fermi Science Support Center's timeline (`FERMI_POINTING_{FINAL|PRELIM}_{week}_{from}_{to}_{version}.fits`,
days as YYYYDDD). Preliminary files appear some weeks before the time that they cover, final ones afterwards; a final file
replaces the preliminary one of its week as soon as it exists.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mma_pipeline.adapters.errors import NotFoundError, PermanentError
from mma_pipeline.adapters.http import fetch
from mma_pipeline.adapters.store import Store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FSSC = "https://fermi.gsfc.nasa.gov/ssc/observations/timeline/ft2/files/"
_NAME = re.compile(r"FERMI_POINTING_(FINAL|PRELIM)_(\d+)_(\d{7})_(\d{7})_(\d+)\.fits")
_KEPT = "mma/pointing/fermi/"
#: Unix time of the mission's time zero, 2001-01-01 00:00:00 UTC.
_ZERO = datetime(2001, 1, 1, tzinfo=UTC).timestamp()
#: Leap seconds after time zero: from each moment on, mission time is so many seconds ahead of UTC.
_LEAPS = (
    (datetime(2006, 1, 1, tzinfo=UTC).timestamp(), 1),
    (datetime(2009, 1, 1, tzinfo=UTC).timestamp(), 2),
    (datetime(2012, 7, 1, tzinfo=UTC).timestamp(), 3),
    (datetime(2015, 7, 1, tzinfo=UTC).timestamp(), 4),
    (datetime(2017, 1, 1, tzinfo=UTC).timestamp(), 5),
)


@dataclass(frozen=True, eq=False)
class PointingTable:
    """Samples of a pointing file in order of time, arrays of shape (N,)."""

    start: npt.NDArray[np.float64]
    """Unix time, s."""
    stop: npt.NDArray[np.float64]
    """Unix time, s."""
    ra: npt.NDArray[np.float64]
    """Right ascension of the boresight at `start`, deg."""
    dec: npt.NDArray[np.float64]
    """Declination, deg."""
    in_saa: npt.NDArray[np.bool_] | None
    source: str


@dataclass(frozen=True)
class _File:
    name: str
    final: bool
    version: int
    start: datetime
    end: datetime

    @classmethod
    def of(cls, name: str) -> _File | None:
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        kind, _, start, end, version = match.groups()
        try:
            days = [datetime.strptime(day, "%Y%j").replace(tzinfo=UTC) for day in (start, end)]
        except ValueError:
            return None
        return cls(name, kind == "FINAL", int(version), days[0], days[1])


def met_to_unix(met: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Unix time, s, of Fermi mission elapsed time, s since 2001-01-01 00:00 UTC counting leap seconds."""
    import numpy as np

    unix = np.asarray(met, dtype=np.float64) + _ZERO
    leaps = np.zeros(unix.shape)
    for moment, count in _LEAPS:
        leaps = np.where(unix - count >= moment, count, leaps)
    return np.asarray(unix - leaps)


def read_ft2(data: bytes, name: str) -> PointingTable:
    """Read an FT2 file. Raises PermanentError if it is not one or has no sample."""
    import numpy as np
    from astropy.io import fits

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # units that are not in the FITS standard
            with fits.open(io.BytesIO(data)) as hdus:
                table: Any = hdus["SC_DATA"].data
                columns = {c: np.asarray(table[c], dtype=np.float64) for c in ("START", "STOP", "RA_SCZ", "DEC_SCZ")}
                saa = np.asarray(table["IN_SAA"], dtype=bool) if "IN_SAA" in table.columns.names else None
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise PermanentError(f"{name} is not an FT2 pointing file: {error}") from error
    good = np.all([np.isfinite(c) for c in columns.values()], axis=0)
    if not good.any():
        raise PermanentError(f"{name} holds no pointing")
    by = np.flatnonzero(good)[np.argsort(columns["START"][good], kind="stable")]
    return PointingTable(
        start=met_to_unix(columns["START"][by]),
        stop=met_to_unix(columns["STOP"][by]),
        ra=columns["RA_SCZ"][by],
        dec=columns["DEC_SCZ"][by],
        in_saa=None if saa is None else saa[by],
        source=name,
    )


class FermiPointing:
    """Finds the pointing file of a time.

    Args:
        store: where fetched files are kept.
        source: address (ends in `/`) or folder that lists the files; None: only what is kept.
    """

    def __init__(self, store: Store, source: str | None = FSSC) -> None:
        self._store = store
        self._source = source

    def at(self, time: datetime) -> PointingTable | None:
        """The best file that covers a time (timezone-aware): final before preliminary, newest version first.

        Queries the source only if no final file is stored. None if there is no file anywhere. Raises TransientError or
        PermanentError if the source fails and nothing is kept either.
        """
        kept = [Path(entry.key).name for entry in self._store.ls(_KEPT)]
        best = _best(kept, time)
        if (best is None or not best.final) and self._source is not None:
            try:
                better = _best([*kept, *self._listed(self._source)], time)
            except NotFoundError:
                better = best
            if better is not None and better.name not in kept:
                data = fetch(f"{self._source}{'' if self._source.endswith('/') else '/'}{better.name}")
                table = read_ft2(data, better.name)
                self._store.put(_KEPT + better.name, data, content_type="application/fits")
                return table
        return None if best is None else read_ft2(self._store.get(_KEPT + best.name), best.name)

    def _listed(self, source: str) -> Iterable[str]:
        if source.startswith(("http://", "https://")):
            return {match.group(0) for match in _NAME.finditer(fetch(source).decode("utf-8", "replace"))}
        folder = Path(source.removeprefix("file://"))
        if not folder.is_dir():
            raise NotFoundError(f"there is no folder {folder} of pointing files")
        return {path.name for path in folder.iterdir()}


def _best(names: Iterable[str], time: datetime) -> _File | None:
    files = [file for file in map(_File.of, names) if file is not None]
    # The last day in the name is the first day of the next file.
    covering = [file for file in files if file.start <= time < file.end]
    return max(covering, key=lambda f: (f.final, f.version), default=None)
