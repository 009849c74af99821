"""What packets say of candidates beside the light curve: the newest packet's word, kept for the vetting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from mma_pipeline.adapters.archive.alerts import Archive, _insert_for
from mma_pipeline.adapters.archive.database import batched, reading
from mma_pipeline.adapters.archive.schema import candidate_facts
from mma_pipeline.notices.surveys import CatalogMatch, PacketFacts, SolarSystemMatch


def note_facts(connection: sa.Connection, message_id: int, said: Mapping[str, PacketFacts]) -> None:
    """Keep what a message says of candidates, by their own names, unless a newer one was there, in the caller's transaction."""
    t = candidate_facts
    for name, facts in sorted(said.items()):
        row = {"candidate": name, "message_id": message_id, "facts": as_values(facts)}
        insert = _insert_for(connection)(t).values(row)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=[t.c.candidate],
                set_={"message_id": insert.excluded.message_id, "facts": insert.excluded.facts},
                where=insert.excluded.message_id > t.c.message_id,
            )
        )


def facts_of(archive: Archive, names: Iterable[str]) -> dict[str, PacketFacts]:
    """What the newest packets say of candidates, by their own names; those of which no packet came are absent."""
    t = candidate_facts
    with reading(archive.engine) as connection:
        return {
            row.candidate: from_values(row.facts)
            for some in batched(names)
            for row in connection.execute(sa.select(t).where(t.c.candidate.in_(some)))
        }


def merge_facts(connection: sa.Connection, into: str, other: str) -> None:
    """Keep the newer of two candidates' facts for the first, in the caller's transaction."""
    t = candidate_facts
    newest = {
        row.candidate: row.message_id
        for row in connection.execute(sa.select(t).where(t.c.candidate.in_([into, other])))
    }
    if other not in newest:
        return
    if newest[other] > newest.get(into, -1):
        connection.execute(sa.delete(t).where(t.c.candidate == into))
        connection.execute(sa.update(t).where(t.c.candidate == other).values(candidate=into))
    else:
        connection.execute(sa.delete(t).where(t.c.candidate == other))


def as_values(facts: PacketFacts) -> dict[str, Any]:
    """JSON values, without what the packet does not say."""
    values = {f.name: getattr(facts, f.name) for f in fields(facts)}
    values |= {
        "solar_system": None if facts.solar_system is None else list(facts.solar_system),
        "matches": [list(match) for match in facts.matches],
        "details": dict(facts.details),
    }
    return {name: value for name, value in values.items() if value not in (None, False, [], {})}


def from_values(values: Mapping[str, Any]) -> PacketFacts:
    """The facts of JSON values."""
    known = {f.name: values[f.name] for f in fields(PacketFacts) if f.name in values}
    if "solar_system" in known:
        known["solar_system"] = SolarSystemMatch(*known["solar_system"])
    known["matches"] = tuple(CatalogMatch(*match) for match in known.get("matches", ()))
    return PacketFacts(**known)
