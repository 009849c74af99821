"""Decisions about publishing versions, versions still to decide on, and those that went out without their map's values.

Not here: making decisions (`adapters.publishing.decision`), and publications that follow from them (`outbox`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from mma_pipeline.adapters.archive.blocks import blocks
from mma_pipeline.adapters.archive.database import batched
from mma_pipeline.adapters.archive.publications import State
from mma_pipeline.adapters.archive.schema import (
    block,
    decision,
    message,
    publication,
    usable_from,
    usable_since,
    version,
)


@dataclass(frozen=True, slots=True)
class Undecided:
    """A version that may need a decision."""

    partition_key: str
    received: datetime
    """When it could first be used, UTC."""
    made: Mapping[str, bool]
    """Destinations with a decision on it; True if the version was bare then."""
    released: datetime | None
    """When a person released it, UTC; None if nobody did."""


@dataclass(frozen=True, slots=True)
class SentBare:
    """A version that a destination got without its map's values."""

    partition_key: str
    event_id: str
    destination: str
    since: datetime
    """When it was enqueued first, UTC."""


def record_decision(
    connection: sa.Connection,
    destination: str,
    partition_key: str,
    event_id: str,
    *,
    accepted: bool,
    reasons: Sequence[Mapping[str, Any]],
    now: datetime,
    bare: bool = False,
) -> None:
    """Record a decision in the caller's transaction, replacing an earlier one for the same version.

    `bare`: whether the products with the map's values were missing.
    """
    where = sa.and_(decision.c.destination == destination, decision.c.partition_key == partition_key)
    connection.execute(sa.delete(decision).where(where))
    connection.execute(
        sa.insert(decision).values(
            destination=destination,
            partition_key=partition_key,
            event_id=event_id,
            accepted=accepted,
            reasons=[dict(reason) for reason in reasons],
            decided=now,
            bare=bare,
        )
    )


def decisions(connection: sa.Connection, event_id: str) -> list[sa.Row[Any]]:
    """Decisions about an event's versions: destination, partition_key, accepted, reasons, decided."""
    query = sa.select(decision).where(decision.c.event_id == event_id)
    return list(connection.execute(query.order_by(decision.c.partition_key, decision.c.destination)))


def is_decided(connection: sa.Connection, destination: str, partition_key: str) -> bool:
    """Whether a destination has a decision on a version."""
    where = sa.and_(decision.c.destination == destination, decision.c.partition_key == partition_key)
    return connection.execute(sa.select(sa.literal(1)).select_from(decision).where(where)).first() is not None


def decided(connection: sa.Connection, partition_keys: Iterable[str]) -> dict[str, dict[str, bool]]:
    """Destinations with a decision on some versions, True if the version was bare then; versions without one are absent."""
    found: dict[str, dict[str, bool]] = {}
    columns = (decision.c.partition_key, decision.c.destination, decision.c.bare)
    for some in batched(partition_keys):
        for row in connection.execute(sa.select(*columns).where(decision.c.partition_key.in_(some))):
            found.setdefault(row.partition_key, {})[row.destination] = row.bare
    return found


def undecided(
    connection: sa.Connection,
    destinations: Collection[str],
    now: datetime,
    *,
    offered: timedelta,
    late: timedelta,
    partition_key: str | None = None,
) -> list[Undecided]:
    """Versions for which some destination has no decision, or one on the bare version; earliest received first.

    Versions received within `offered`; within `late` if no destination has a decision; and of any age those that a person
    released, that went out bare, and for which a later version waits. With `partition_key` that version alone.
    """
    ours = decision.c.destination.in_(destinations)
    released = {b.partition_key: b.released for b in blocks(connection) if b.released is not None}
    known = sa.select(decision.c.partition_key).where(ours)
    kept = sa.select(publication.c.partition_key).where(publication.c.provisional, publication.c.state == State.PENDING)
    let_pass = sa.select(block.c.partition_key).where(block.c.released.is_not(None))
    chosen = sa.or_(
        usable_from(now - offered),
        sa.and_(usable_from(now - late), version.c.partition_key.not_in(known)),
        version.c.partition_key.in_(let_pass),
        version.c.partition_key.in_(known.where(decision.c.bare)),
        version.c.partition_key.in_(kept),
    )
    settled = (
        sa.select(sa.func.count())
        .where(decision.c.partition_key == version.c.partition_key, ours, sa.not_(decision.c.bare))
        .scalar_subquery()
    )
    query = (
        sa.select(version.c.partition_key, usable_since.label("received"))
        .select_from(version.join(message))
        # Only superevents are published one by one; ids of other triggers have an underscore.
        .where(chosen, settled < len(destinations), sa.not_(version.c.event_id.contains("_", autoescape=True)))
        .order_by(usable_since, version.c.partition_key)
    )
    if partition_key is not None:
        query = query.where(version.c.partition_key == partition_key)
    rows = connection.execute(query).all()
    made = decided(connection, [row.partition_key for row in rows])
    return [
        Undecided(
            row.partition_key,
            row.received,
            {name: bare for name, bare in made.get(row.partition_key, {}).items() if name in destinations},
            released.get(row.partition_key),
        )
        for row in rows
    ]


def sent_bare(connection: sa.Connection) -> list[SentBare]:
    """Versions that went out without their map's values and were not completed since, by partition key."""
    bare = sa.select(decision.c.partition_key).where(decision.c.bare)
    columns = (publication.c.partition_key, publication.c.event_id, publication.c.destination)
    query = (
        sa.select(*columns, sa.func.min(publication.c.created).label("since"))
        .where(publication.c.state == State.DONE, publication.c.partition_key.in_(bare))
        .group_by(*columns)
        .order_by(publication.c.partition_key, publication.c.destination)
    )
    return [SentBare(**row._mapping) for row in connection.execute(query)]
