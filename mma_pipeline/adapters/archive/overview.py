"""What a list of all events is made of, in few statements: versions, statistics of maps, and how to see that something changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mma_pipeline.adapters.archive import schema
from mma_pipeline.adapters.archive.alerts import Archive, VersionRecord, version_record
from mma_pipeline.adapters.archive.database import batched, reading
from mma_pipeline.notices.model import Role

#: Rows that are read at a time, so that memory does not grow with the archive.
_ROWS = 2000


def state_of_versions(archive: Archive) -> tuple[int, int]:
    """Number of versions, and the newest message of any: as long as both stay the same, no version came or went."""
    c = schema.version.c
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.max(c.message_id), 0)).select_from(schema.version)
    with reading(archive.engine) as connection:
        count, newest = connection.execute(query).one()
    return int(count), int(newest)


def version_keys(archive: Archive) -> set[str]:
    """Partition keys of all versions."""
    with reading(archive.engine) as connection:
        return set(connection.execute(sa.select(schema.version.c.partition_key)).scalars())


def event_ids(archive: Archive, beginning: str, *, limit: int) -> list[str]:
    """Ids of events that begin with a text, the event with the newest version first."""
    c = schema.version.c
    query = (
        sa.select(c.event_id)
        .where(c.event_id.startswith(beginning, autoescape=True))
        .group_by(c.event_id)
        .order_by(sa.func.max(c.created).desc(), c.event_id)
        .limit(limit)
    )
    with reading(archive.engine) as connection:
        return [str(event_id) for event_id in connection.execute(query).scalars()]


def newest_events(archive: Archive, *, limit: int, real: bool = False, since: datetime | None = None) -> list[str]:
    """Ids of the events with the newest versions, newest first: of all or of real ones alone, created since a time (UTC)."""
    c = schema.version.c
    query = sa.select(c.event_id).group_by(c.event_id)
    if real:
        query = query.where(c.role == Role.OBSERVATION.value)
    newest = sa.func.max(c.created)
    if since is not None:
        query = query.having(newest >= sa.literal(since, schema.UTCDateTime()))
    with reading(archive.engine) as connection:
        rows = connection.execute(query.order_by(newest.desc(), c.event_id).limit(limit))
        return [str(event_id) for event_id in rows.scalars()]


def all_versions(archive: Archive) -> Iterator[VersionRecord]:
    """Every version, by event; read in portions."""
    query = sa.select(schema.version).order_by(schema.version.c.event_id)
    with reading(archive.engine) as connection:
        for row in connection.execution_options(yield_per=_ROWS).execute(query):
            yield version_record(row)


def statistics_of(
    archive: Archive, name: str, partition_keys: Iterable[str] | None = None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Partition key and statistics of a file by its name, of some versions or of all that have it; read in portions."""
    c = schema.product.c
    query = sa.select(c.partition_key, c.statistics.label("found")).where(c.name == name)
    with reading(archive.engine) as connection:
        if partition_keys is None:
            for row in connection.execution_options(yield_per=_ROWS).execute(query):
                yield row.partition_key, row.found
            return
        for some in batched(partition_keys):
            for row in connection.execute(query.where(c.partition_key.in_(some))):
                yield row.partition_key, row.found


def candidate_places(archive: Archive) -> Iterator[tuple[str, float, float, bool]]:
    """Name, RA and Dec (deg, ICRS) of every candidate, and whether it is simulated; read in portions, by name."""
    c = schema.candidate.c
    query = sa.select(c.name, c.ra, c.dec, c.simulated).order_by(c.name)
    with reading(archive.engine) as connection:
        for row in connection.execution_options(yield_per=_ROWS).execute(query):
            yield row.name, row.ra, row.dec, bool(row.simulated)
