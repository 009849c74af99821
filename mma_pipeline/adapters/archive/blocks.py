"""Versions that a check keeps from being published, and releases of them by a person, with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mma_pipeline.adapters.archive.schema import block
from mma_pipeline.adapters.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Block:
    """What keeps a version from being published, or kept it until a person released it."""

    partition_key: str
    event_id: str
    findings: Sequence[Mapping[str, Any]]
    """Each with `check`, `about` and `values`, as JSON values."""
    since: datetime
    released: datetime | None
    """When a person released the version, UTC; None while it is blocked."""
    reason: str | None
    """That person's reason."""


def note_block(
    connection: sa.Connection, partition_key: str, event_id: str, findings: Sequence[Mapping[str, Any]], now: datetime
) -> None:
    """Record why a version is blocked; an earlier release and beginning stay as they are."""
    plain = [dict(finding) for finding in findings]
    changed = connection.execute(_of(partition_key).values(findings=plain))
    if changed.rowcount == 0:
        row = {"partition_key": partition_key, "event_id": event_id, "findings": plain, "since": now}
        connection.execute(sa.insert(block).values(row))


def clear_block(connection: sa.Connection, partition_key: str) -> None:
    """Remove the block of a version; a release stays on record."""
    connection.execute(sa.delete(block).where(block.c.partition_key == partition_key, block.c.released.is_(None)))


def release(connection: sa.Connection, partition_key: str, event_id: str, reason: str, now: datetime) -> None:
    """Release a version despite its checks. Raises PermanentError without a reason."""
    if not reason.strip():
        raise PermanentError("a release needs a reason, which is recorded: say why the version should be published")
    values = {"released": now, "reason": reason.strip()}
    if connection.execute(_of(partition_key).values(values)).rowcount == 0:
        row = {"partition_key": partition_key, "event_id": event_id, "findings": [], "since": now, **values}
        connection.execute(sa.insert(block).values(row))


def blocks(
    connection: sa.Connection, *, event_id: str | None = None, partition_key: str | None = None, held: bool = False
) -> list[Block]:
    """Blocks, oldest first, filtered by the arguments; `held` leaves out released ones."""
    query = sa.select(block).order_by(block.c.since, block.c.partition_key)
    if event_id is not None:
        query = query.where(block.c.event_id == event_id)
    if partition_key is not None:
        query = query.where(block.c.partition_key == partition_key)
    if held:
        query = query.where(block.c.released.is_(None))
    return [Block(**row._mapping) for row in connection.execute(query)]


def _of(partition_key: str) -> sa.Update:
    return sa.update(block).where(block.c.partition_key == partition_key)
