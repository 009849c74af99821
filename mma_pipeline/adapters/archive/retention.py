"""Forget mock and test events after a while; real ones stay for ever. What is safe to forget is decided here alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from mma_pipeline.adapters.errors import PermanentError
from mma_pipeline.notices.model import Role

from . import schema
from .database import reading, writing
from .outbox import decision, publication


def expired(engine: sa.Engine, before: datetime, *, limit: int) -> list[str]:
    """Partition keys of mock and test versions that were received before a time, oldest first, at most `limit`."""
    query = (
        sa.select(schema.version.c.partition_key)
        .join(schema.message, schema.message.c.id == schema.version.c.message_id)
        .where(schema.version.c.role != Role.OBSERVATION.value, schema.message.c.received < before)
        .order_by(schema.message.c.received, schema.version.c.partition_key)
        .limit(limit)
    )
    with reading(engine) as connection:
        return list(connection.execute(query).scalars())


def files_of(engine: sa.Engine, keys: Sequence[str]) -> list[str]:
    """Store keys of all files of some versions."""
    query = sa.select(schema.product.c.store_key).where(schema.product.c.partition_key.in_(keys)).distinct()
    with reading(engine) as connection:
        return list(connection.execute(query).scalars())


def forget(engine: sa.Engine, keys: Sequence[str]) -> None:
    """Remove the rows of mock and test versions, with the messages and contents that nothing else needs.

    Raises PermanentError for a key of a real event: nothing is removed then.
    """
    version, message, body = schema.version, schema.message, schema.body
    with writing(engine) as connection:
        chosen = connection.execute(
            sa.select(version.c.event_id, version.c.role, version.c.partition_key).where(
                version.c.partition_key.in_(keys)
            )
        ).all()
        real = [row.partition_key for row in chosen if row.role == Role.OBSERVATION.value]
        if real:
            raise PermanentError(f"{real[0]} is a real event's version: real events are never removed")
        events = {row.event_id for row in chosen}
        for table in (publication, decision, schema.product, version):
            connection.execute(sa.delete(table).where(table.c.partition_key.in_(keys)))
        kept = set(
            connection.execute(sa.select(version.c.event_id).where(version.c.event_id.in_(events)).distinct()).scalars()
        )
        gone = sorted(events - kept)
        digests = list(
            connection.execute(sa.select(message.c.sha256).where(message.c.event_id.in_(gone)).distinct()).scalars()
        )
        connection.execute(sa.delete(message).where(message.c.event_id.in_(gone)))
        still = sa.select(message.c.sha256).where(message.c.sha256.in_(digests))
        connection.execute(sa.delete(body).where(body.c.sha256.in_(digests), body.c.sha256.not_in(still)))
