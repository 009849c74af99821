"""Packets of surveys that could not be used: all counted by cause and night, the first of each kept in quarantine.

A sender's new schema can spoil a whole night, a million packets of 100 kB. A person needs their number, their cause, and
some of them to look at; the others are at the broker, between the offsets that are noted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mma_pipeline.adapters.archive.alerts import Archive, _insert_for, _insert_message
from mma_pipeline.adapters.archive.database import reading
from mma_pipeline.adapters.archive.schema import message, survey_refusal
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.notices.refusals import cause_of, night_of

#: Packets kept of one cause in one night.
KEPT = 20
#: Causes of one stream in one night that are told apart; what comes further is counted together.
CAUSES = 50
OTHERS = "various other reasons"


@dataclass(frozen=True, slots=True)
class Refused:
    """Packets of one stream and cause that need a person's attention, of all nights."""

    stream: str
    cause: str
    reason: str
    """Of one of them."""
    packets: int
    kept: int
    """How many of them are in quarantine."""
    message_id: int
    """The newest of those."""
    first: datetime
    last: datetime
    """When the first and the last of them were received, UTC."""
    offsets: Mapping[str, tuple[int, int]]
    """Least and greatest offset by topic and partition."""


def note(connection: sa.Connection, refused: Sequence[tuple[StreamMessage, str]], *, count: bool = True) -> None:
    """Count packets, and keep the first of each cause, in the caller's transaction.

    The caller sees to it that each packet is counted once. Without `count`, only those count that are kept now: a packet
    that comes again does not.
    """
    by_night: dict[tuple[str, int], list[tuple[StreamMessage, str]]] = defaultdict(list)
    for one, reason in refused:
        by_night[one.stream, night_of(one.received)].append((one, reason))
    for (stream, night), some in sorted(by_night.items()):
        _note(connection, stream, night, some, count=count)


def _note(
    connection: sa.Connection, stream: str, night: int, some: Sequence[tuple[StreamMessage, str]], *, count: bool
) -> None:
    t = survey_refusal
    here = t.c.stream == stream, t.c.night == night
    known = set(connection.execute(sa.select(t.c.cause).where(*here)).scalars())
    by_cause: dict[str, list[tuple[StreamMessage, str]]] = defaultdict(list)
    for one, reason in some:
        cause = cause_of(reason)
        if cause not in known and len(known) >= CAUSES:
            cause = OTHERS
        known.add(cause)
        by_cause[cause].append((one, reason))
    insert = _insert_for(connection)
    # In one order, so that readers that count the same causes wait for each other in turn.
    for cause, together in sorted(by_cause.items()):
        first = min(one.received for one, _ in together)
        empty = {
            "stream": stream, "night": night, "cause": cause, "reason": together[0][1], "packets": 0, "stored": 0,
            "offsets": {}, "first": first, "last": first,
        }  # fmt: skip
        connection.execute(insert(t).values(empty).on_conflict_do_nothing())
        row = connection.execute(sa.select(t).where(*here, t.c.cause == cause).with_for_update()).one()
        stored = [pair for pair in together if count or not _is_known(connection, pair[0])][: max(0, KEPT - row.stored)]
        counted = together if count else stored
        if not counted:
            continue
        for one, reason in stored:
            number = _insert_message(connection, one, event_id=None, reason=reason, rehearsal=False)
            connection.execute(sa.update(message).where(message.c.id == number).values(refusal=row.id))
        values = {
            "packets": row.packets + len(counted),
            "stored": row.stored + len(stored),
            "offsets": _wider(row.offsets, [one for one, _ in counted]),
            "first": min(row.first, *(one.received for one, _ in counted)),
            "last": max(row.last, *(one.received for one, _ in counted)),
        }
        connection.execute(sa.update(t).where(t.c.id == row.id).values(values))


def _is_known(connection: sa.Connection, one: StreamMessage) -> bool:
    c = message.c
    same = c.stream == one.stream, c.topic == one.topic, c.partition == one.partition, c.offset == one.offset
    return connection.execute(sa.select(c.id).where(*same, c.sha256 == one.sha256)).first() is not None


def _wider(offsets: Mapping[str, Sequence[int]], some: Sequence[StreamMessage]) -> dict[str, list[int]]:
    found = {place: list(span) for place, span in offsets.items()}
    for one in some:
        least, most = found.get(f"{one.topic}/{one.partition}", (one.offset, one.offset))
        found[f"{one.topic}/{one.partition}"] = [min(least, one.offset), max(most, one.offset)]
    return found


def unsolved(archive: Archive) -> list[Refused]:
    """Packets by stream and cause, of which some in quarantine were neither read again nor dismissed; the newest first."""
    t, c = survey_refusal, message.c
    left = (
        sa.select(c.refusal, sa.func.max(c.id).label("newest"), sa.func.count().label("kept"))
        .where(c.quarantine_reason.is_not(None), c.solved.is_(None), c.refusal.is_not(None))
        .group_by(c.refusal)
        .subquery()
    )
    query = sa.select(t, left.c.newest, left.c.kept).join(left, left.c.refusal == t.c.id).order_by(t.c.night, t.c.id)
    found: dict[tuple[str, str], list[sa.Row[tuple[object, ...]]]] = defaultdict(list)
    with reading(archive.engine) as connection:
        for row in connection.execute(query):
            found[row.stream, row.cause].append(row)
    together = [_refused(rows) for rows in found.values()]
    return sorted(together, key=lambda one: one.last, reverse=True)


def _refused(rows: Sequence[sa.Row[tuple[object, ...]]]) -> Refused:
    offsets: dict[str, tuple[int, int]] = {}
    for row in rows:
        for place, (least, most) in row.offsets.items():
            before = offsets.get(place, (least, most))
            offsets[place] = (min(before[0], least), max(before[1], most))
    last = rows[-1]
    return Refused(
        stream=last.stream,
        cause=last.cause,
        reason=last.reason,
        packets=sum(row.packets for row in rows),
        kept=sum(row.kept for row in rows),
        message_id=max(row.newest for row in rows),
        first=min(row.first for row in rows),
        last=max(row.last for row in rows),
        offsets=offsets,
    )
