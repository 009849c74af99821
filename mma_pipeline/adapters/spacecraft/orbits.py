"""Fetches, checks and stores orbital elements of satellites, so that an old event gets the elements of its time.

Every element set ever fetched is kept in the store, one object per epoch (`mma/orbits/{norad}/{YYYYDDD.dddddddd}.tle`).
A further source, such as a file or an address with many past sets, may be configured.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from mma_pipeline.adapters.errors import AdapterError, NotFoundError, PermanentError
from mma_pipeline.adapters.http import fetch
from mma_pipeline.adapters.store import Store

_log = logging.getLogger(__name__)
#: CelesTrak's newest elements of one object; `{norad}` is filled in.
CELESTRAK = "https://celestrak.org/NORAD/elements/gp.php?CATNR={norad}&FORMAT=tle"
_LINE = re.compile(r"^[12] [ 0-9A-Z]{5}.{62}$")


@dataclass(frozen=True, order=True)
class TwoLineElements:
    """One element set, in order of epoch."""

    epoch: datetime
    """UTC."""
    norad_id: int
    line1: str
    line2: str


def parse_tle(text: str, norad_id: int | None = None) -> list[TwoLineElements]:
    """Every intact element set in a text, of one object or of all; titles, blank lines and any line ends are skipped.

    Sets with a wrong length, number or checksum are left out. Raises PermanentError if not one set is intact.
    """
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    found: dict[tuple[int, str], TwoLineElements] = {}
    for first, second in pairwise(lines):
        if not (_intact(first, "1") and _intact(second, "2") and first[2:7] == second[2:7]):
            continue
        try:
            number, epoch = int(first[2:7]), _epoch(first)
        except ValueError:
            continue
        if norad_id is None or number == norad_id:
            found[number, first[18:32]] = TwoLineElements(epoch, number, first, second)
    if not found:
        wanted = "" if norad_id is None else f" of object {norad_id}"
        raise PermanentError(f"no intact two-line elements{wanted} in a text of {len(text)} characters")
    return sorted(found.values())


def _intact(line: str, number: str) -> bool:
    if not (line.startswith(number) and _LINE.match(line)):
        return False
    from sgp4.io import verify_checksum

    try:
        verify_checksum(line)
    except ValueError:
        return False
    return line[68].isdigit()


def _epoch(line1: str) -> datetime:
    year, day = int(line1[18:20]), float(line1[20:32])
    return datetime(year + (1900 if year >= 57 else 2000), 1, 1, tzinfo=UTC) + timedelta(days=day - 1)


class TleArchive:
    """The stored elements, and the sources of more.

    Args:
        store: where fetched sets are kept.
        sources: files, or addresses with `{norad}` in them, asked in order.
    """

    def __init__(self, store: Store, sources: Iterable[str] = (CELESTRAK,)) -> None:
        self._store = store
        self._sources = tuple(sources)

    def nearest(self, norad_id: int, time: datetime) -> TwoLineElements | None:
        """The stored element set whose epoch is nearest to a time (timezone-aware); None if none is stored."""
        keys = [entry.key for entry in self._store.ls(_prefix(norad_id))]
        names = [key for key in keys if key.endswith(".tle")]
        if not names:
            return None
        best = min(names, key=lambda key: abs(_key_epoch(key) - time))
        return parse_tle(self._store.get(best).decode("ascii", "replace"), norad_id)[-1]

    def keep(self, sets: Iterable[TwoLineElements]) -> int:
        """Store element sets; existing ones cost one look-up. Returns how many were new."""
        new = 0
        for one in sets:
            key = f"{_prefix(one.norad_id)}{one.epoch:%Y%j}.{one.line1[24:32]}.tle"
            new += self._store.put(key, f"{one.line1}\n{one.line2}\n".encode(), content_type="text/plain").written
        return new

    def refresh(self, norad_id: int) -> int:
        """Query every source and store new sets; returns how many were new.

        A source that fails does not stop the others. Raises NotFoundError if no source is configured, and the last
        source's error if all of them failed.
        """
        if not self._sources:
            raise NotFoundError("no source of orbital elements is configured: set MMA_TLE_SOURCE")
        new, failure = 0, None
        answered = False
        for source in self._sources:
            try:
                text = fetch(source.format(norad=norad_id)).decode("ascii", "replace")
                new += self.keep(parse_tle(text, norad_id))
                answered = True
            except AdapterError as error:
                _log.warning("orbital elements of %d: %s", norad_id, error)
                failure = error
        if not answered and failure is not None:
            raise failure
        return new


def _prefix(norad_id: int) -> str:
    return f"mma/orbits/{norad_id}/"


def _key_epoch(key: str) -> datetime:
    name = Path(key).name.removesuffix(".tle")
    return datetime.strptime(name[:7], "%Y%j").replace(tzinfo=UTC) + timedelta(days=float(name[7:]))
