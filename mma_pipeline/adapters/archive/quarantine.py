"""Messages that could not be used, and their solutions.

A message stays in quarantine until it is solved: retried with success, or dismissed by a person with a reason. A solved
one keeps its reason and is listed only on request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mma_pipeline.adapters.archive import schema
from mma_pipeline.adapters.archive.alerts import RETRIED, Archive, Recorded, insert_versions, mark_solved
from mma_pipeline.adapters.archive.database import reading, writing
from mma_pipeline.adapters.archive.same_trigger import joined
from mma_pipeline.adapters.archive.waiting import WAITING
from mma_pipeline.notices.key import EventVersion


@dataclass(frozen=True, slots=True)
class QuarantinedMessage:
    """A quarantined message, without its body."""

    id: int
    stream: str
    coordinates: str
    """`topic/partition/offset`."""
    received: datetime
    reason: str
    event_id: str | None
    """Its superevent; None if unknown."""
    rehearsal: bool
    """Whether it is known to be a mock or a test."""
    size: int
    """Bytes."""
    sha256: str
    solved: datetime | None
    """When it was retried or dismissed; None while it needs a person's attention."""
    solution: str | None
    """`retried`, `received again`, or `dismissed: ` and why."""
    of_survey: bool = False
    """Whether it is a survey's packet, of which there may be more than quarantine keeps (`refusals`)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A selection of messages in quarantine; by default all unsolved ones."""

    ids: Sequence[int] | None = None
    event_ids: Sequence[str] | None = None
    since: datetime | None = None
    """Received from."""
    before: datetime | None = None
    """Received before."""
    solved: bool = False
    """Whether to include solved ones."""
    rehearsals: bool = True
    """Whether to include those known to be mock or test."""
    surveys: bool = True
    """Whether to include packets of surveys."""


def quarantined(archive: Archive, choice: Choice = Choice(), *, limit: int | None = None) -> list[QuarantinedMessage]:
    """Messages in quarantine, newest first."""
    c = schema.message.c
    query = (
        sa.select(schema.message, sa.func.length(schema.body.c.data).label("size"))
        .join(schema.body)
        .where(*_conditions(choice))
        .order_by(c.id.desc())
        .limit(limit)
    )
    with reading(archive.engine) as connection:
        return [_quarantined(row) for row in connection.execute(query)]


def accept(
    archive: Archive, message_id: int, versions: Sequence[tuple[EventVersion, Mapping[str, Any]]], now: datetime
) -> Recorded:
    """Record the versions of a message in quarantine, and mark it as solved, in one transaction.

    The versions count as received now, so that sensors then request their runs and publications.
    """
    with writing(archive.engine) as connection:
        versions = joined(connection, versions)
        event_id = versions[0][0].event_id if versions else None
        records = insert_versions(connection, versions, message_id)
        mark_solved(connection, message_id, RETRIED, now, event_id=event_id)
    return Recorded(message_id, records, tuple(r for r in records if r.message_id == message_id))


def refuse_again(archive: Archive, message_id: int, reason: str) -> None:
    """Record why a message still cannot be used."""
    table = schema.message
    with writing(archive.engine) as connection:
        connection.execute(sa.update(table).where(table.c.id == message_id).values(quarantine_reason=reason))


def dismiss(archive: Archive, ids: Sequence[int], reason: str, now: datetime) -> None:
    """Mark messages as dismissed by a person, with the reason; solved ones stay as they are."""
    with writing(archive.engine) as connection:
        for message_id in ids:
            mark_solved(connection, message_id, f"dismissed: {reason}", now)


def _conditions(choice: Choice) -> list[sa.ColumnElement[bool]]:
    c = schema.message.c
    # A message that waits for its content is retried automatically, and appears here only if that fails for good.
    found: list[sa.ColumnElement[bool]] = [
        c.quarantine_reason.is_not(None),
        sa.not_(c.quarantine_reason.startswith(WAITING)),
    ]
    if not choice.solved:
        found.append(c.solved.is_(None))
    if choice.ids is not None:
        found.append(c.id.in_(choice.ids))
    if choice.event_ids is not None:
        found.append(c.event_id.in_(choice.event_ids))
    if choice.since is not None:
        found.append(c.received >= choice.since)
    if choice.before is not None:
        found.append(c.received < choice.before)
    if not choice.rehearsals:
        found.append(c.rehearsal.is_not(True))
    if not choice.surveys:
        found.append(c.refusal.is_(None))
    return found


def _quarantined(row: sa.Row[Any]) -> QuarantinedMessage:
    return QuarantinedMessage(
        id=row.id,
        stream=row.stream,
        coordinates=f"{row.topic}/{row.partition}/{row.offset}",
        received=row.received,
        reason=row.quarantine_reason,
        event_id=row.event_id,
        rehearsal=bool(row.rehearsal),
        size=row.size,
        sha256=row.sha256,
        solved=row.solved,
        solution=row.solution,
        of_survey=row.refusal is not None,
    )
