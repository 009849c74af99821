"""Which candidate a name and a place belong to; every name it came by; and two candidates found to be one.

The rule, whatever order messages come in: a candidate is the objects whose names are equal (`identity_of`) or that lie
within the radius of one another. The candidate that was measured first lends its name, place and slug. Real and simulated
objects are never taken for one by their place or by the likeness of their names.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from mma_pipeline.adapters.archive.alerts import _insert_for
from mma_pipeline.adapters.archive.database import batched
from mma_pipeline.adapters.archive.merging import merge
from mma_pipeline.adapters.archive.schema import candidate, candidate_alias, measurement
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.candidate_key import CandidateNight, slug_of
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement, PhotometryNotice
from mma_pipeline.notices.photometry.same_object import (
    Nearness,
    cell_of,
    cells_around,
    identity_of,
    separation_arcsec,
)
from mma_pipeline.notices.surveys import PacketFacts

#: Any constant will do: it names the lock under which one process at a time decides on a PostgreSQL archive's candidates.
_LOCK = 7_203_812

Head = tuple[str, float, float]


@dataclass(frozen=True, slots=True)
class _Alias:
    """A name with its place."""

    name: str
    identity: str
    candidate: str
    ra: float
    dec: float
    simulated: bool


@dataclass(frozen=True, slots=True)
class Identified:
    """What became of the objects of some messages."""

    names: Mapping[Head, str]
    """By name and place as sent, the name of the candidate."""
    refused: Mapping[Head, str]
    """By the same, why an object was not taken."""
    merged: frozenset[str]
    """Candidates that others became part of."""

    def of(self, one: Measurement) -> Measurement | None:
        """A measurement under its candidate's name; None where its object was refused."""
        name = self.names.get(_head(one.candidate))
        return None if name is None else replace(one, candidate=replace(one.candidate, name=name))

    def of_objects(self, notice: PhotometryNotice) -> dict[str, PacketFacts]:
        """What a message's packets say, by the names of their candidates."""
        if not notice.facts:
            return {}
        names = {
            m.candidate.name: known
            for m in notice.measurements
            if (known := self.names.get(_head(m.candidate))) is not None
        }
        return {names[sent]: said for sent, said in notice.facts.items() if sent in names}


def lock_candidates(connection: sa.Connection) -> None:
    """Let one process at a time decide which candidates there are, until the caller's transaction ends.

    SQLite's write lock does so already.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def identify(
    connection: sa.Connection, found: Sequence[Candidate], nearness: Nearness, *, simulated: bool = False
) -> Identified:
    """Find the candidates of objects as sent, record new ones and new names, and merge what proves to be one.

    In the caller's transaction, which then holds the candidates' lock. The number of statements grows with thousands of
    objects only, and with merges, which are rare.
    """
    lock_candidates(connection)
    found = list(dict.fromkeys(found))
    known = _Known(connection, found, nearness)
    names: dict[Head, str] = {}
    refused: dict[Head, str] = {}
    for one in found:
        try:
            names[_head(one)] = known.place(one, simulated=simulated)
        except NoticeError as problem:
            refused[_head(one)] = str(problem)
    merged = known.write(connection, simulated=simulated)
    names = {head: known.root(name) for head, name in names.items()}
    _learn(connection, [replace(c, name=names[_head(c)]) for c in found if _head(c) in names])
    return Identified(names, refused, merged)


class _Known:
    """The aliases that matter to some objects, those added meanwhile, and which candidates are one."""

    def __init__(self, connection: sa.Connection, found: Sequence[Candidate], nearness: Nearness) -> None:
        self._nearness = nearness
        self._by_name: dict[str, _Alias] = {}
        self._by_identity: dict[str, list[_Alias]] = defaultdict(list)
        self._by_cell: dict[int, list[_Alias]] = defaultdict(list)
        self._of: dict[str, list[_Alias]] = defaultdict(list)
        self._parent: dict[str, str] = {}
        self._new: list[_Alias] = []
        self._founded: dict[str, _Alias] = {}
        t = candidate_alias.c
        identities = {identity_of(c.name) for c in found}
        cells = {cell for c in found for cell in cells_around(c.ra, c.dec, nearness.position)}
        for alias in (*_aliases(connection, t.identity, identities), *_aliases(connection, t.cell, cells)):
            self._add(alias)
        for alias in list(_aliases(connection, t.candidate, set(self._of))):
            self._add(alias)

    def root(self, name: str) -> str:
        """The candidate that a candidate is part of by now."""
        while (above := self._parent.get(name, name)) != name:
            name = above
        return name

    def place(self, one: Candidate, *, simulated: bool) -> str:
        """The candidate of an object; raises NoticeError where its name is known to be elsewhere."""
        exact = self._by_name.get(one.name)
        if exact is not None:
            simulated = exact.simulated
        same = [a for a in self._by_identity[identity_of(one.name)] if a.simulated == simulated]
        limit = max(self._nearness.name, self._nearness.position)
        at = {self.root(a.candidate) for a in same if self._distance(one, a.candidate) <= limit}
        if same and not (at if exact is None else self.root(exact.candidate) in at):
            raise NoticeError(self._elsewhere(one, exact or same[0]))
        near = {
            self.root(a.candidate)
            for cell in cells_around(one.ra, one.dec, self._nearness.position)
            for a in self._by_cell.get(cell, ())
            if a.simulated == simulated and _between(one, a) <= self._nearness.position
        }
        group = sorted(at | near)
        name = group[0] if group else one.name
        for other in group[1:]:
            self._parent[other] = name
            self._of[name] += self._of.pop(other)
        if exact is None:
            alias = _Alias(one.name, identity_of(one.name), name, one.ra, one.dec, simulated)
            self._add(alias)
            self._new.append(alias)
            if not group:
                self._founded[name] = alias
        return name

    def write(self, connection: sa.Connection, *, simulated: bool) -> frozenset[str]:
        """Record what is new, and merge; returns the candidates into which others were merged."""
        merged = self._choose_first(connection)
        insert = _insert_for(connection)
        rows = [
            {"name": a.name, "slug": slug_of(a.name), "ra": a.ra, "dec": a.dec, "simulated": simulated}
            for name, a in self._founded.items()
            if self.root(name) == name
        ]
        if rows:
            connection.execute(insert(candidate).on_conflict_do_nothing(), rows)
        aliases = [
            {
                "name": a.name, "identity": a.identity, "slug": slug_of(a.name), "candidate": self.root(a.candidate),
                "ra": a.ra, "dec": a.dec, "cell": cell_of(a.ra, a.dec),
            }
            for a in self._new
        ]  # fmt: skip
        if aliases:
            connection.execute(insert(candidate_alias).on_conflict_do_nothing(), aliases)
        for into, others in merged.items():
            merge(connection, into, others)
        return frozenset(merged)

    def _choose_first(self, connection: sa.Connection) -> dict[str, list[str]]:
        """Let the candidate measured first stand for each group; returns it with the archived ones that become part of it."""
        groups: dict[str, set[str]] = defaultdict(set)
        for name in self._parent:
            groups[self.root(name)] |= {name, self.root(name)}
        if not groups:
            return {}
        archived = _order(connection, {n for some in groups.values() for n in some if n not in self._founded})
        told = {name: place for place, name in enumerate(self._founded)}
        found = {}
        for some in groups.values():
            into = min(some, key=lambda n: (n in told, archived.get(n, math.inf), told.get(n, 0), n))
            for name in some:
                self._parent[name] = into
            others = sorted(n for n in some if n != into and n not in told)
            if others:
                found[into] = others
        return found

    def _add(self, alias: _Alias) -> None:
        if alias.name in self._by_name:
            return
        self._by_name[alias.name] = alias
        self._by_identity[alias.identity].append(alias)
        self._by_cell[cell_of(alias.ra, alias.dec)].append(alias)
        self._of[self.root(alias.candidate)].append(alias)

    def _distance(self, one: Candidate, name: str) -> float:
        """To the nearest place of a candidate, arcsec."""
        return min(_between(one, a) for a in self._of[self.root(name)])

    def _elsewhere(self, one: Candidate, known: _Alias) -> str:
        return (
            f"{one.name} is known at RA {known.ra:.6f}, Dec {known.dec:.6f} deg"
            f"{'' if known.name == one.name else f' (as {known.name})'}, not at RA {one.ra:.6f}, Dec {one.dec:.6f} deg, "
            f"{_shown(_between(one, known))} away: a name belongs to one object"
        )


def resolve(connection: sa.Connection, names: Iterable[str]) -> dict[str, str]:
    """The candidate of each name, in whatever spelling; those that are not known are absent. Real before simulated."""
    wanted = set(names)
    t = candidate_alias.c
    found = {a.name: a.candidate for a in _aliases(connection, t.name, wanted)}
    rest = {name: identity_of(name) for name in wanted - found.keys()}
    like: dict[str, str] = {}
    for alias in sorted(_aliases(connection, t.identity, set(rest.values())), key=lambda a: (a.simulated, a.name)):
        like.setdefault(alias.identity, alias.candidate)
    return found | {name: like[identity] for name, identity in rest.items() if identity in like}


def resolve_keys(connection: sa.Connection, keys: Iterable[str]) -> dict[str, str]:
    """The key of the score of each candidate night, by its candidate's own slug: keys of old names and forms lead to the same night."""
    nights = {}
    for key in keys:
        try:
            nights[key] = CandidateNight.from_partition_key(key)
        except NoticeError:
            continue
    found = resolve_slugs(connection, (night.slug for night in nights.values()))
    return {key: replace(night, slug=found.get(night.slug, night.slug)).score_key for key, night in nights.items()}


def resolve_slugs(connection: sa.Connection, slugs: Iterable[str]) -> dict[str, str]:
    """The candidate's own slug for the slug of any of its names; those that are not known are absent."""
    t = candidate_alias.c
    return {
        row.slug: row.own
        for some in batched(sorted(set(slugs)))
        for row in connection.execute(
            sa.select(t.slug, candidate.c.slug.label("own"))
            .join(candidate, candidate.c.name == t.candidate)
            .where(t.slug.in_(some))
        )
    }


def aliases_of(connection: sa.Connection, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The other names of candidates, sorted; candidates without any are absent."""
    found: dict[str, list[str]] = defaultdict(list)
    for alias in _aliases(connection, candidate_alias.c.candidate, set(names)):
        if alias.name != alias.candidate:
            found[alias.candidate].append(alias.name)
    return {name: tuple(sorted(some)) for name, some in found.items()}


def _aliases(connection: sa.Connection, column: sa.ColumnElement[Any], values: set[Any]) -> Iterator[_Alias]:
    t = candidate_alias.c
    columns = (t.name, t.identity, t.candidate, t.ra, t.dec, candidate.c.simulated)
    query = sa.select(*columns).join(candidate, candidate.c.name == t.candidate).order_by(t.name)
    for some in batched(sorted(values)):
        for row in connection.execute(query.where(column.in_(some))):
            yield _Alias(row.name, row.identity, row.candidate, row.ra, row.dec, bool(row.simulated))


def _order(connection: sa.Connection, names: set[str]) -> dict[str, float]:
    """The first measurement of each candidate."""
    t = measurement.c
    query = sa.select(t.candidate, sa.func.min(t.id)).group_by(t.candidate)
    return {
        name: float(first)
        for some in batched(sorted(names))
        for name, first in connection.execute(query.where(t.candidate.in_(some)))
    }


def _learn(connection: sa.Connection, found: Sequence[Candidate]) -> None:
    """Keep the extinction and redshift that a message brings and the candidate lacks."""
    told: dict[str, dict[str, float]] = defaultdict(dict)
    for one in found:
        for column, value in (("ebv", one.ebv), ("redshift", one.redshift)):
            if value is not None:
                told[column].setdefault(one.name, value)
    for column, values in told.items():
        lacking = sa.select(candidate.c.name).where(candidate.c[column].is_(None))
        rows = [
            {"of": name, "value": values[name]}
            for some in batched(sorted(values))
            for name in connection.execute(lacking.where(candidate.c.name.in_(some))).scalars()
        ]
        if rows:
            update = sa.update(candidate).where(candidate.c.name == sa.bindparam("of"))
            connection.execute(update.values({column: sa.bindparam("value")}), rows)


def _between(one: Candidate, alias: _Alias) -> float:
    return separation_arcsec((one.ra, one.dec), (alias.ra, alias.dec))


def _shown(arcsec: float) -> str:
    return f"{arcsec:.1f} arcsec" if arcsec < 60 else f"{arcsec / 3600:.3g} deg"


def _head(one: Candidate) -> Head:
    return one.name, one.ra, one.dec
