"""Versions of the last days with the names of their files: what watches over the archive asks for, in two queries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from . import schema
from .alerts import Archive, VersionRecord
from .database import reading


@dataclass(frozen=True, slots=True)
class RecentVersion:
    """A version and what is there of it."""

    record: VersionRecord
    received: datetime
    """When its message was received, UTC."""
    stream: str
    """By which stream."""
    files: frozenset[str]
    """Names of the files written."""


def recent_versions(archive: Archive, since: datetime, before: datetime) -> list[RecentVersion]:
    """Versions whose message was received from `since` until `before`, oldest first."""
    version, message, product = schema.version, schema.message, schema.product
    within = sa.and_(message.c.received >= since, message.c.received < before)
    with reading(archive.engine) as connection:
        rows = connection.execute(
            sa.select(version.c.partition_key, message.c.received, message.c.stream)
            .select_from(version.join(message))
            .where(within)
            .order_by(message.c.id)
        ).all()
        files: dict[str, set[str]] = {}
        made = product.join(version).join(message, message.c.id == version.c.message_id)
        joined = sa.select(product.c.partition_key, product.c.name).select_from(made).where(within)
        for row in connection.execute(joined):
            files.setdefault(row.partition_key, set()).add(row.name)
    return [
        RecentVersion(
            archive.version(row.partition_key),
            row.received,
            row.stream,
            frozenset(files.get(row.partition_key, ())),
        )
        for row in rows
    ]
