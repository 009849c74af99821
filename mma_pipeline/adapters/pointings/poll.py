"""Asks the Treasure Map or the TOM for the pointings of one event, and archives what it says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.pointings import PointingArchive, RecordedPointings
from mma_pipeline.adapters.pointings.tom import TomRequests
from mma_pipeline.adapters.pointings.treasure_map import Instrument, TreasureMap, pointings_of
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.footprints import Footprint
from mma_pipeline.notices.pointings import TREASURE_MAP, of_tom

#: Footprints change rarely: after this they are asked for again.
FOOTPRINTS_FRESH = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Polled:
    """What a poll brought."""

    recorded: RecordedPointings
    problems: tuple[str, ...]
    """Rows that could not be used, in sentences."""


def poll(archive: Archive, site: TreasureMap, event_id: str, now: datetime) -> Polled:
    """Archive the site's pointings for an event; with instruments not known yet, in two further requests.

    Raises TransientError or PermanentError where the site does not answer or refuses; nothing is recorded then.
    """
    kept = PointingArchive(archive)
    rows = site.rows(event_id)
    wanted = {row["instrumentid"] for row in rows if isinstance(row.get("instrumentid"), int)}
    known = {i.source_id: i for i in kept.instruments(TREASURE_MAP)} if wanted else {}
    shapes: dict[int, Footprint | None] = {}
    unknown = []
    for number in sorted(wanted):
        instrument = known.get(str(number))
        if instrument is None or now - instrument.fetched > FOOTPRINTS_FRESH:
            unknown.append(number)
        else:
            shapes[number] = instrument.footprint
    if unknown:
        answered = {i.source_id: i for i in site.instruments(unknown)}
        # One that the site does not have is noted, too, so that not every poll asks for it.
        found = [answered.get(str(n)) or Instrument(str(n), f"instrument {n}", None) for n in unknown]
        kept.record_instruments(TREASURE_MAP, [(i.source_id, i.name, i.footprint) for i in found], now)
        shapes |= {int(i.source_id): i.footprint for i in found}
    answer = pointings_of(rows, shapes.get)
    return Polled(kept.record(event_id, answer.pointings, now), answer.problems)


def poll_tom(archive: Archive, tom: TomRequests, event_id: str, now: datetime) -> Polled:
    """Archive the TOM's requests for an event; raises AdapterError where it does not answer, and records nothing then."""
    found, problems = [], []
    for row in tom.rows(event_id):
        try:
            found.append(of_tom(row))
        except NoticeError as error:
            problems.append(str(error))
    return Polled(PointingArchive(archive).record(event_id, found, now), tuple(problems))
