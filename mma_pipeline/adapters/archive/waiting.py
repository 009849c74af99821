"""Messages whose content lies elsewhere and could not be fetched yet, archived as their address until it can.

A waiting message is in quarantine with a reason that begins with `WAITING`. Its content, once fetched, is a message of its
own at the same position of the stream; the address then leaves the quarantine.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from mma_pipeline.adapters.archive import schema
from mma_pipeline.adapters.archive.alerts import Archive, message_of
from mma_pipeline.adapters.archive.database import reading, writing
from mma_pipeline.adapters.kafka.message import StreamMessage

#: Beginning of a waiting message's reason.
WAITING = "waiting: "


def hold(archive: Archive, message: StreamMessage, reason: str) -> int:
    """Archive a message that waits for its content; returns its id. The same message again changes nothing."""
    return archive.quarantine(message, WAITING + reason)


def held(archive: Archive, since: datetime) -> list[tuple[int, StreamMessage]]:
    """Messages received since a time (UTC) that wait, with their ids, oldest first."""
    table = schema.message
    waits = sa.and_(table.c.received >= since, table.c.quarantine_reason.startswith(WAITING))
    query = sa.select(table, schema.body.c.data).join(schema.body).where(waits).order_by(table.c.id)
    with reading(archive.engine) as connection:
        return [(row.id, message_of(row)) for row in connection.execute(query)]


def settle(archive: Archive, message_id: int, reason: str | None) -> None:
    """End the waiting of a message; `reason` says why its content never arrived, None means that it is archived."""
    table = schema.message
    with writing(archive.engine) as connection:
        connection.execute(sa.update(table).where(table.c.id == message_id).values(quarantine_reason=reason))
