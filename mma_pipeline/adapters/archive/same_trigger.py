"""One trigger under several names is one event: finds the event that a notice belongs to when it leads with another name.

A notice normally names its trigger as the first did, and its event is known at once. Only for the first version of an event
are the names of the observatory's triggers of the same days compared, so that a notice with, say, the burst number alone
joins the event of the trigger number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from mma_pipeline.adapters.archive import schema
from mma_pipeline.notices.key import EventVersion
from mma_pipeline.notices.trigger_ids import observatory_of

#: Between the notices of one trigger, from the first on: names that are used again later are another trigger's.
WITHIN = timedelta(days=30)

Facts = Mapping[str, Any]


def joined(
    connection: sa.Connection, versions: Sequence[tuple[EventVersion, Facts]]
) -> tuple[tuple[EventVersion, Facts], ...]:
    """The versions of a message, each with the event under which its trigger is known; in the caller's transaction."""
    return tuple((_joined(connection, version, facts), facts) for version, facts in versions)


def _joined(connection: sa.Connection, version: EventVersion, facts: Facts) -> EventVersion:
    observatory, names = observatory_of(version.event_id), set(facts.get("triggers") or ())
    if observatory is None or len(names) < 1:
        return version
    table = schema.version
    known = sa.select(sa.literal(1)).where(table.c.event_id == version.event_id).limit(1)
    if connection.execute(known).first() is not None:
        return version
    prefix = version.event_id.partition("_")[0] + "_"
    rows = connection.execute(
        sa.select(table.c.event_id, table.c.facts)
        .where(
            table.c.event_id.startswith(prefix, autoescape=True),
            table.c.created.between(version.created - WITHIN, version.created + WITHIN),
        )
        .order_by(table.c.created, table.c.partition_key)
    )
    for row in rows:
        if not names.isdisjoint(row.facts.get("triggers") or ()):
            return replace(version, event_id=row.event_id)
    return version
