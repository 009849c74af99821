"""What others have planned and done, from the Treasure Map: `pointings`, `instruments`, `footprints` of its API v1.

Reading needs no token. The site has no paging and answers an event that it does not know with an empty list; a planned
pointing that was completed comes twice, so rows are told apart by their id. Every request has a limit and is made once:
the next poll is the retry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from mma_pipeline.adapters.errors import ConfigurationError, PermanentError, TransientError
from mma_pipeline.adapters.http import download
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.footprints import Footprint, of_polygons, parse_footprint
from mma_pipeline.notices.pointings import Pointing, of_treasure_map
from mma_pipeline.notices.text import clean_text

#: 10,000 pointings are 4 MB.
_MOST_BYTES = 50_000_000


@dataclass(frozen=True)
class Instrument:
    """An instrument of the site."""

    source_id: str
    name: str
    footprint: Footprint | None
    """None where the site has none that can be used."""


@dataclass(frozen=True)
class Answer:
    """The pointings of an event."""

    pointings: tuple[Pointing, ...]
    problems: tuple[str, ...]
    """What could not be used, in sentences."""


class TreasureMap:
    """The site below one address that ends in `/api/v1/`.

    Args:
        base: the address.
        seconds: that one request may take.
    """

    def __init__(self, base: str, *, seconds: float = 15.0) -> None:
        if not base.startswith(("http://", "https://")):
            raise ConfigurationError("the Treasure Map's address must be http or https and end in /api/v1/")
        self._base = base if base.endswith("/") else f"{base}/"
        self._seconds = seconds

    def rows(self, event_id: str) -> list[dict[str, Any]]:
        """Rows of the pointings of an event, each once, by ascending id."""
        by_id = {row.get("id"): row for row in self._get("pointings", graceid=event_id)}
        return [by_id[key] for key in sorted(by_id, key=str)]

    def instruments(self, ids: Sequence[int]) -> list[Instrument]:
        """Instruments with their footprints; those that the site does not know are absent."""
        if not ids:
            return []
        wanted = sorted(set(ids))
        names = self._get("instruments", ids=json.dumps(wanted))
        # One request for all where that is less trouble for the site than one for each.
        shapes = self._get("footprints", **({"id": str(wanted[0])} if len(wanted) == 1 else {}))
        rings: dict[Any, list[str]] = {}
        for shape in shapes:
            rings.setdefault(shape.get("instrumentid"), []).append(str(shape.get("footprint")))
        return [
            Instrument(
                str(row["id"]),
                clean_text(str(row.get("nickname") or row.get("instrument_name") or f"instrument {row['id']}"))[:100],
                _footprint(rings.get(row["id"], ())),
            )
            for row in names
            if row.get("id") in wanted
        ]

    def _get(self, path: str, **query: str) -> list[dict[str, Any]]:
        address = f"{self._base}{path}" + (f"?{urlencode(query)}" if query else "")
        data = download(address, most_bytes=_MOST_BYTES, seconds=self._seconds)
        try:
            rows = json.loads(data)
        except ValueError as error:
            raise TransientError(f"the Treasure Map answered {path} with something that is no JSON") from error
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise PermanentError(f"the Treasure Map answered {path} with something else than rows")
        return rows


def _footprint(texts: Iterable[str]) -> Footprint | None:
    try:
        rings = [ring for text in texts for ring in parse_footprint(text).polygons]
        return of_polygons(rings) if rings else None
    except NoticeError:
        return None


def pointings_of(rows: Sequence[dict[str, Any]], footprint: Callable[[int], Footprint | None]) -> Answer:
    """Pointings of the site's rows; `footprint` gives that of an instrument's id. Bad rows are named and left out."""
    found: list[Pointing] = []
    problems: list[str] = []
    for row in rows:
        number = row.get("instrumentid")
        try:
            found.append(of_treasure_map(row, footprint(number) if isinstance(number, int) else None))
        except NoticeError as error:
            problems.append(str(error))
    return Answer(tuple(found), tuple(problems))
