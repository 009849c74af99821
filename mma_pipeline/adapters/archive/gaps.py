"""Messages that a broker dropped before a stream's sensor read them. Those of surveys are counted in `surveys`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mma_pipeline.adapters.archive.alerts import Archive, _insert_for
from mma_pipeline.adapters.archive.database import reading, writing
from mma_pipeline.adapters.archive.schema import message_gap
from mma_pipeline.adapters.kafka.stream import Gap


@dataclass(frozen=True, slots=True)
class LostMessages:
    """Messages of one partition that were lost, as far as they were noticed in some time."""

    stream: str
    topic: str
    partition: int
    first: int
    """Offset of the first of them."""
    resumed: int
    """Offset at which reading went on after the last."""
    lost: int | None
    """How many they are; None if the topic was created again, so that nobody knows."""
    noticed: datetime
    """When the first gap was noticed, UTC."""


def note_gaps(archive: Archive, gaps: Iterable[tuple[str, Gap]], now: datetime) -> None:
    """Note gaps, each with its stream's name; the same gap again, from a repeated tick, changes nothing.

    Raises TransientError if the archive does not answer.
    """
    rows = [
        {
            "stream": stream, "topic": gap.topic, "partition": gap.partition, "wanted": gap.wanted,
            "resumed": gap.resumed, "anew": gap.lost is None, "noticed": now,
        }
        for stream, gap in gaps
    ]  # fmt: skip
    if not rows:
        return
    with writing(archive.engine) as connection:
        connection.execute(_insert_for(connection)(message_gap).on_conflict_do_nothing(), rows)


def lost_messages(archive: Archive, since: datetime) -> list[LostMessages]:
    """What was lost by partition, of gaps noticed since a time (UTC); raises TransientError."""
    t = message_gap
    query = sa.select(t).where(t.c.noticed >= since).order_by(t.c.stream, t.c.topic, t.c.partition, t.c.wanted)
    by_place: dict[tuple[str, str, int], list[sa.Row[tuple[object, ...]]]] = {}
    with reading(archive.engine) as connection:
        for row in connection.execute(query):
            by_place.setdefault((row.stream, row.topic, row.partition), []).append(row)
    return [
        LostMessages(
            *place,
            first=min(row.wanted for row in rows),
            resumed=max(rows, key=lambda row: row.noticed).resumed,
            lost=None if any(row.anew for row in rows) else _in_all([(row.wanted, row.resumed) for row in rows]),
            noticed=min(row.noticed for row in rows),
        )
        for place, rows in by_place.items()
    ]


def _in_all(spans: Sequence[tuple[int, int]]) -> int:
    """Number of offsets in spans sorted by their beginnings: a tick that was repeated may have noted a wider span."""
    total, reached = 0, 0
    for begin, end in spans:
        total += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return total
