"""Pairs of events of different messengers: which events happened near a time, and what the comparison of each pair gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from mma_pipeline.adapters.archive import schema
from mma_pipeline.adapters.archive.alerts import Archive, _insert_for
from mma_pipeline.adapters.archive.database import batched, reading, writing
from mma_pipeline.adapters.archive.schema import coincidence

#: An event is found by its notices of this time after it happened; a targeted search of archived data takes days.
NOTICED_WITHIN = timedelta(days=7)


class PairState(StrEnum):
    """What a comparison says of a pair."""

    CLAIMED = "claimed"
    """Its joint false-alarm rate is below the limit, and the maps do not exclude each other."""
    CHANCE = "chance"
    """Its joint rate is above the limit: unrelated events make such pairs."""
    EXCLUDED = "excluded"
    """The maps exclude a common source."""
    UNRATED = "unrated"
    """There is no joint rate: an input is missing, or no rate is published."""
    WITHDRAWN = "withdrawn"
    """One of the events was retracted."""
    OUTSIDE = "outside"
    """A later notice moved it out of its search window."""


@dataclass(frozen=True, slots=True)
class PairRecord:
    """A pair as last compared."""

    gw_event: str
    other_event: str
    role: str
    gw_time: datetime
    """Time of the gravitational wave, UTC."""
    state: PairState
    gw_partition: str
    """The version of the gravitational wave that was compared."""
    other_partition: str
    """The version of the other event."""
    identity: str
    """Digest of all that the comparison was made from, 64 hexadecimal digits."""
    figures: Mapping[str, Any]
    """Results as JSON values."""

    @property
    def values(self) -> dict[str, Any]:
        """Figures with the events and the state, as the product has them."""
        return {**self.figures, "gw_event": self.gw_event, "other_event": self.other_event, "state": self.state.value}

    def partner_of(self, event_id: str) -> str:
        """The other event of the pair."""
        return self.other_event if event_id == self.gw_event else self.gw_event


_COLUMNS = tuple(field.name for field in fields(PairRecord))


def events_near(archive: Archive, first: datetime, last: datetime, role: str) -> list[str]:
    """Events of a role that may have happened in a span, by id: by the times that their early notices state."""
    version = schema.version
    # What a notice says was seen before the notice was made, but for clocks that differ.
    created = version.c.created.between(first - timedelta(minutes=10), last + NOTICED_WITHIN)
    stated = version.c.facts["time"].as_string()
    query = sa.select(version.c.event_id, stated.label("time")).where(created, version.c.role == role)
    with reading(archive.engine) as connection:
        rows = connection.execute(query.distinct()).all()
    found = {row.event_id for row in rows if row.time and first <= datetime.fromisoformat(row.time) <= last}
    return sorted(found)


def record_pairs(archive: Archive, event_id: str, pairs: Sequence[PairRecord], now: datetime) -> None:
    """Keep the pairs of an event; those that it no longer makes are kept as outside of their window."""
    with writing(archive.engine) as connection:
        known = {(p.gw_event, p.other_event): p for p in _select(connection, _of(event_id))}
        for pair in pairs:
            before = known.pop((pair.gw_event, pair.other_event), None)
            if before != pair:
                _put(connection, pair, now)
        for pair in known.values():
            if pair.state is not PairState.OUTSIDE:
                where = _pair(pair)
                values = {"state": PairState.OUTSIDE.value, "changed": now}
                connection.execute(sa.update(coincidence).where(where).values(values))


def pairs_of(archive: Archive, event_id: str) -> list[PairRecord]:
    """Pairs of an event, by time of the gravitational wave."""
    return pairs_of_events(archive, [event_id])[event_id]


def pairs_of_events(archive: Archive, event_ids: Iterable[str]) -> dict[str, list[PairRecord]]:
    """Pairs of several events; an event without any has an empty list."""
    found: dict[str, list[PairRecord]] = {event_id: [] for event_id in event_ids}
    with reading(archive.engine) as connection:
        for some in batched(found):
            where = sa.or_(coincidence.c.gw_event.in_(some), coincidence.c.other_event.in_(some))
            for pair in _select(connection, where):
                for event_id in (pair.gw_event, pair.other_event):
                    if event_id in found and pair not in found[event_id]:
                        found[event_id].append(pair)
    return found


def pairs_since(archive: Archive, since: datetime, *, limit: int) -> list[PairRecord]:
    """Pairs of gravitational waves after a time, the newest first."""
    query = sa.select(coincidence).where(coincidence.c.gw_time >= since)
    query = query.order_by(coincidence.c.gw_time.desc(), coincidence.c.gw_event, coincidence.c.other_event)
    with reading(archive.engine) as connection:
        return [_record(row) for row in connection.execute(query.limit(limit))]


def pairs_page(
    archive: Archive,
    role: str,
    *,
    state: PairState | None = None,
    since: datetime | None = None,
    before: datetime | None = None,
    start: int = 0,
    limit: int,
) -> tuple[list[PairRecord], int]:
    """Some pairs of a role, the newest gravitational wave first, and the number of all that are asked for."""
    asked = [coincidence.c.role == role]
    if state is not None:
        asked.append(coincidence.c.state == state.value)
    if since is not None:
        asked.append(coincidence.c.gw_time >= since)
    if before is not None:
        asked.append(coincidence.c.gw_time < before)
    query = sa.select(coincidence).where(*asked)
    query = query.order_by(coincidence.c.gw_time.desc(), coincidence.c.gw_event, coincidence.c.other_event)
    with reading(archive.engine) as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(coincidence).where(*asked)).scalar_one()
        return [_record(row) for row in connection.execute(query.offset(start).limit(limit))], int(total)


def claimed_pairs(archive: Archive) -> dict[str, tuple[PairRecord, ...]]:
    """Events that are part of a claimed pair, each with its pairs, by time of the gravitational wave."""
    found: dict[str, list[PairRecord]] = {}
    with reading(archive.engine) as connection:
        for pair in _select(connection, coincidence.c.state == PairState.CLAIMED.value):
            for event_id in (pair.gw_event, pair.other_event):
                found.setdefault(event_id, []).append(pair)
    return {event_id: tuple(pairs) for event_id, pairs in found.items()}


def looked_at(archive: Archive, role: str, until: datetime, besides: tuple[str, str]) -> int:
    """Number of pairs of a role whose gravitational wave came up to a time, without the pair `besides`."""
    other = sa.and_(coincidence.c.gw_event == besides[0], coincidence.c.other_event == besides[1])
    query = sa.select(sa.func.count()).select_from(coincidence)
    query = query.where(coincidence.c.role == role, coincidence.c.gw_time <= until, sa.not_(other))
    with reading(archive.engine) as connection:
        return int(connection.execute(query).scalar_one())


def forget_pairs(connection: sa.Connection, event_ids: Sequence[str]) -> None:
    """Remove all pairs of events, in the caller's transaction."""
    for some in batched(event_ids):
        connection.execute(
            sa.delete(coincidence).where(sa.or_(coincidence.c.gw_event.in_(some), coincidence.c.other_event.in_(some)))
        )


def _put(connection: sa.Connection, pair: PairRecord, now: datetime) -> None:
    values = {name: getattr(pair, name) for name in _COLUMNS} | {"state": pair.state.value, "changed": now}
    values["figures"] = dict(pair.figures)
    # The run of the other event may write the same pair at the same moment.
    new = _insert_for(connection)(coincidence).values(values)
    connection.execute(new.on_conflict_do_update(index_elements=["gw_event", "other_event"], set_=values))


def _pair(pair: PairRecord) -> sa.ColumnElement[bool]:
    return sa.and_(coincidence.c.gw_event == pair.gw_event, coincidence.c.other_event == pair.other_event)


def _of(event_id: str) -> sa.ColumnElement[bool]:
    return sa.or_(coincidence.c.gw_event == event_id, coincidence.c.other_event == event_id)


def _select(connection: sa.Connection, where: sa.ColumnElement[bool]) -> list[PairRecord]:
    query = sa.select(coincidence).where(where)
    order = (coincidence.c.gw_time, coincidence.c.gw_event, coincidence.c.other_event)
    return [_record(row) for row in connection.execute(query.order_by(*order))]


def _record(row: sa.Row[Any]) -> PairRecord:
    values = {name: row._mapping[name] for name in _COLUMNS}
    return PairRecord(**values | {"state": PairState(row.state)})
