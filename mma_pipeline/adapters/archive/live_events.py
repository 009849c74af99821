"""Which events are live: those that have a map and stand, and happened within some days of a span of time.

Superevents alone, or events of other messengers too: what takes candidates of surveys is a superevent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mma_pipeline.adapters.archive import schema
from mma_pipeline.adapters.archive.alerts import Archive, VersionRecord
from mma_pipeline.adapters.archive.database import reading
from mma_pipeline.adapters.archive.event_history import newest_map, retraction_of
from mma_pipeline.notices.key import is_gravitational_wave
from mma_pipeline.notices.model import Role
from mma_pipeline.notices.times import datetime_of_mjd, mjd_of_datetime


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """An event that is live."""

    record: VersionRecord
    """The version with its newest map."""
    t0_mjd: float
    """Time of the event, MJD in days (UTC)."""

    @property
    def event_id(self) -> str:
        """Its id."""
        return self.record.version.event_id

    @property
    def map_sha256(self) -> str:
        """Digest of the map as sent."""
        return str(self.record.facts["skymap_sha256"])


def recent_version_keys(
    archive: Archive, first_mjd: float, *, days: float, mocks: bool, triggers: bool = False
) -> tuple[tuple[str, str], ...]:
    """Event and partition key of every version that may belong to an event that is live after a moment, in order.

    As long as this stays the same, so does `live_events` of the same span but for events that come of age: it is one
    statement along an index, so that a reader can ask every few seconds whether it must look closer.

    Args:
        archive: the archive.
        first_mjd: the moment, MJD in days (UTC).
        days: days after an event in which it is live.
        mocks: whether mock and test events count.
        triggers: whether events of other messengers count, not superevents alone.
    """
    version = schema.version
    # A version is created after its event, so what is older belongs to an event that is over.
    query = sa.select(version.c.event_id, version.c.partition_key).where(
        version.c.created >= datetime_of_mjd(first_mjd - days)
    )
    if not mocks:
        query = query.where(version.c.role == Role.OBSERVATION.value)
    with reading(archive.engine) as connection:
        rows = connection.execute(query.order_by(version.c.event_id, version.c.partition_key))
        return tuple(
            (row.event_id, row.partition_key) for row in rows if triggers or is_gravitational_wave(row.event_id)
        )


def live_events(
    archive: Archive, first_mjd: float, last_mjd: float, *, days: float, mocks: bool, triggers: bool = False
) -> list[LiveEvent]:
    """Events that are live at some moment of a span, by time; with their newest map, and without those retracted.

    Args:
        archive: the archive.
        first_mjd: beginning of the span, MJD in days (UTC).
        last_mjd: its end.
        days: days after an event in which it is live.
        mocks: whether mock and test events count.
        triggers: whether events of other messengers count, not superevents alone.
    """
    keys = recent_version_keys(archive, first_mjd, days=days, mocks=mocks, triggers=triggers)
    found = []
    for records in archive.versions_of(dict.fromkeys(event_id for event_id, _ in keys)).values():
        newest = newest_map((r for r in records if r.facts.get("time")), combined=True)
        if newest is None or retraction_of(records) is not None:
            continue
        t0 = mjd_of_datetime(datetime.fromisoformat(str(newest.facts["time"])))
        if first_mjd - days <= t0 <= last_mjd:
            found.append(LiveEvent(newest, t0))
    return sorted(found, key=lambda event: (event.t0_mjd, event.event_id))
