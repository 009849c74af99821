"""Pointings for events, what became of them, and the footprints of instruments.

Recording is idempotent: a pointing is identified by event, source and the source's name for it. What a source says
otherwise than before is an update, and what it said before is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mma_pipeline.adapters.archive import schema
from mma_pipeline.adapters.archive.alerts import Archive, _insert_for
from mma_pipeline.adapters.archive.database import batched, lock_event, reading, writing
from mma_pipeline.notices.footprints import Footprint, footprint_of_json
from mma_pipeline.notices.pointings import Pointing, Status

#: What may change of a pointing.
_VALUES = ("instrument", "status", "time", "ra", "dec", "pos_angle", "band", "depth", "depth_unit", "footprint")


@dataclass(frozen=True, slots=True)
class RecordedPointings:
    """What recording led to."""

    new: int
    changed: int
    same: int


@dataclass(frozen=True, slots=True)
class KnownInstrument:
    """An instrument as archived."""

    source_id: str
    name: str
    footprint: Footprint | None
    fetched: datetime


class PointingArchive:
    """The pointings in an archive; safe to share between threads."""

    def __init__(self, archive: Archive) -> None:
        """Look at the pointings of an open archive."""
        self.engine = archive.engine

    def record(self, event_id: str, pointings: Sequence[Pointing], noticed: datetime) -> RecordedPointings:
        """Archive pointings for an event, in one transaction; those that say something new are updated."""
        table, change = schema.pointing, schema.pointing_change
        shapes = {p.footprint.sha256: p.footprint for p in pointings if p.footprint is not None}
        by_source: dict[str, dict[str, Pointing]] = {}
        for pointing in pointings:
            by_source.setdefault(pointing.source, {})[pointing.source_id] = pointing
        new = changed = same = 0
        with writing(self.engine) as connection:
            lock_event(connection, event_id)
            _keep_shapes(connection, shapes.values())
            for source, wanted in by_source.items():
                rows = connection.execute(
                    sa.select(table).where(table.c.event_id == event_id, table.c.source == source)
                )
                known = {row.source_id: row for row in rows}
                fresh, updates, changes = [], [], []
                for key, pointing in wanted.items():
                    values = _values(pointing)
                    row = known.get(key)
                    if row is None:
                        head = {"event_id": event_id, "source": source, "source_id": key, "noticed": noticed}
                        fresh.append({**head, **values})
                        continue
                    was = {n: getattr(row, n) for n in _VALUES if getattr(row, n) != values[n]}
                    if not was:
                        same += 1
                        continue
                    changed += 1
                    updates.append({"row_id": row.id, **values})
                    entry = {"pointing_id": row.id, "event_id": event_id, "noticed": noticed, "was": _plain(was)}
                    changes.append(entry)
                if updates:
                    to: dict[str, Any] = {name: sa.bindparam(name) for name in _VALUES}
                    connection.execute(sa.update(table).where(table.c.id == sa.bindparam("row_id")).values(to), updates)
                    connection.execute(sa.insert(change), changes)
                if fresh:
                    before = connection.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0))).scalar_one()
                    connection.execute(sa.insert(table), fresh)
                    # Others may add pointings of other events meanwhile: the event's own are those of this transaction.
                    added = sa.select(table.c.id, table.c.event_id, sa.literal(noticed, schema.UTCDateTime())).where(
                        table.c.event_id == event_id, table.c.source == source, table.c.id > before
                    )
                    connection.execute(
                        sa.insert(change).from_select(
                            ["pointing_id", "event_id", "noticed"], added.order_by(table.c.id)
                        )
                    )
                    new += len(fresh)
        return RecordedPointings(new, changed, same)

    def pointings(self, event_id: str) -> list[Pointing]:
        """Pointings of an event as they are now, by time (those without one last), source and name."""
        table = schema.pointing
        query = sa.select(table).where(table.c.event_id == event_id)
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
            shapes = _shapes(connection, {row.footprint for row in rows if row.footprint is not None})
        found = [
            Pointing(
                **{n: getattr(row, n) for n in ("source", "source_id", *_VALUES) if n not in {"status", "footprint"}},
                status=Status(row.status),
                footprint=None if row.footprint is None else shapes[row.footprint],
            )
            for row in rows
        ]
        return sorted(found, key=lambda p: (p.time is None, p.time or 0, p.source, len(p.source_id), p.source_id))

    def history(self, event_id: str) -> list[Mapping[str, Any]]:
        """Changes of an event's pointings in the order in which they were noticed: source, name, time, what was before."""
        table, change = schema.pointing, schema.pointing_change
        query = (
            sa.select(table.c.source, table.c.source_id, change.c.noticed, change.c.was)
            .select_from(change.join(table))
            .where(change.c.event_id == event_id)
            .order_by(change.c.id)
        )
        with reading(self.engine) as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def changed_since(self, change_id: int) -> dict[str, int]:
        """Events whose pointings changed after a change, with the number of their last one."""
        change = schema.pointing_change
        query = sa.select(change.c.event_id, sa.func.max(change.c.id)).where(change.c.id > change_id)
        with reading(self.engine) as connection:
            return {row[0]: row[1] for row in connection.execute(query.group_by(change.c.event_id))}

    def record_instruments(
        self, source: str, instruments: Iterable[tuple[str, str, Footprint | None]], fetched: datetime
    ) -> None:
        """Note instruments of a source: its id, name and footprint, in place of earlier notes."""
        table = schema.instrument
        with writing(self.engine) as connection:
            for source_id, name, shape in instruments:
                if shape is not None:
                    _keep_shapes(connection, [shape])
                same = sa.and_(table.c.source == source, table.c.source_id == source_id)
                connection.execute(sa.delete(table).where(same))
                digest = None if shape is None else shape.sha256
                connection.execute(
                    sa.insert(table).values(
                        source=source, source_id=source_id, name=name, footprint=digest, fetched=fetched
                    )
                )

    def instruments(self, source: str | None = None) -> list[KnownInstrument]:
        """Instruments of a source or of all, by name."""
        table = schema.instrument
        query = sa.select(table).order_by(table.c.name, table.c.source, table.c.source_id)
        if source is not None:
            query = query.where(table.c.source == source)
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
            shapes = _shapes(connection, {row.footprint for row in rows if row.footprint is not None})
        return [KnownInstrument(row.source_id, row.name, shapes.get(row.footprint or ""), row.fetched) for row in rows]


def forget_pointings(connection: sa.Connection, event_ids: Sequence[str]) -> None:
    """Remove the pointings of events, within a transaction of the caller."""
    for table in (schema.pointing_change, schema.pointing):
        connection.execute(sa.delete(table).where(table.c.event_id.in_(event_ids)))


def _values(pointing: Pointing) -> dict[str, Any]:
    values = {name: getattr(pointing, name) for name in _VALUES}
    return values | {
        "status": pointing.status.value,
        "footprint": None if pointing.footprint is None else pointing.footprint.sha256,
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def _keep_shapes(connection: sa.Connection, shapes: Iterable[Footprint]) -> None:
    table = schema.footprint
    wanted = {shape.sha256: shape for shape in shapes}
    for some in batched(wanted):
        known = set(connection.execute(sa.select(table.c.sha256).where(table.c.sha256.in_(some))).scalars())
        rows = [{"sha256": sha, "shape": json.loads(wanted[sha].text)} for sha in some if sha not in known]
        if rows:
            connection.execute(_insert_for(connection)(table).on_conflict_do_nothing(), rows)


def _shapes(connection: sa.Connection, digests: set[str]) -> dict[str, Footprint]:
    table = schema.footprint
    return {
        row.sha256: footprint_of_json(row.shape)
        for some in batched(digests)
        for row in connection.execute(sa.select(table).where(table.c.sha256.in_(some)))
    }
