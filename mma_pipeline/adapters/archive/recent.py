"""Queries of sensors and health: versions of the last days with the names of their files, statistics of streams."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mma_pipeline.adapters.archive import schema
from mma_pipeline.adapters.archive.alerts import RETRIED, Archive, VersionRecord, version_record
from mma_pipeline.adapters.archive.database import reading
from mma_pipeline.adapters.archive.refusals import unsolved


@dataclass(frozen=True, slots=True)
class RecentVersion:
    """A version and its files."""

    record: VersionRecord
    received: datetime
    """When its message was received or, from quarantine, retried with success, UTC."""
    stream: str
    """Stream that its message came from."""
    files: frozenset[str]
    """Names of the files written."""
    retried: bool = False
    """Whether a person retried its message from quarantine, so that no stream's sensor requests its run."""


def recent_versions(archive: Archive, since: datetime, before: datetime) -> list[RecentVersion]:
    """Versions that could first be used from `since` until `before`, in the order in which messages were received."""
    version, message, product = schema.version, schema.message, schema.product
    usable = schema.usable_since
    within = sa.and_(schema.usable_from(since), usable < before)
    with reading(archive.engine) as connection:
        rows = connection.execute(
            sa.select(version, usable.label("usable"), message.c.stream, message.c.solution)
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
            version_record(row),
            row.usable,
            row.stream,
            frozenset(files.get(row.partition_key, ())),
            row.solution == RETRIED,
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """What the archive has from a stream."""

    newest: datetime
    """When its last message was received, UTC."""
    messages: int
    quarantined: int
    """Unsolved ones; of a survey's packets also those that were only counted."""


def stream_statistics(archive: Archive) -> dict[str, StreamStatistics]:
    """Statistics of every stream with a message, by name."""
    c = schema.message.c
    mine = sa.and_(c.solved.is_(None), c.refusal.is_(None))
    bad = sa.func.count(sa.case((mine, c.quarantine_reason)))
    query = sa.select(c.stream, sa.func.max(c.received), sa.func.count(), bad).group_by(c.stream)
    counted: Counter[str] = Counter()
    for one in unsolved(archive):
        counted[one.stream] += one.packets
    with reading(archive.engine) as connection:
        return {
            name: StreamStatistics(newest, messages, quarantined + counted[name])
            for name, newest, messages, quarantined in connection.execute(query)
        }
