"""What survey streams bring: candidates of events by night, and how far each partition of a stream is durable.

One transaction takes a batch of messages. What it counts belongs to exactly the messages before `next_offset`, so that a
message that comes again, to this reader or another, is neither counted nor recorded twice.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import sqlalchemy as sa

from mma_pipeline.adapters.archive import refusals, schema
from mma_pipeline.adapters.archive.alerts import RETRIED, Archive, _insert_for, _insert_message, mark_solved
from mma_pipeline.adapters.archive.database import batched, reading, writing
from mma_pipeline.adapters.archive.identities import identify, resolve
from mma_pipeline.adapters.archive.packet_facts import note_facts
from mma_pipeline.adapters.archive.photometry import measurement_row, unknown_points
from mma_pipeline.adapters.archive.schema import (
    candidate,
    candidate_alias,
    candidate_facts,
    measurement,
    survey_candidate,
    survey_partition,
)
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.notices.photometry.measurement import Candidate, PhotometryNotice
from mma_pipeline.notices.photometry.same_object import Nearness

_log = logging.getLogger(__name__)

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Kept:
    """A message whose object is a candidate of some events."""

    message: StreamMessage
    notice: PhotometryNotice
    """Of one object."""
    nights: tuple[tuple[str, int], ...]
    """Events, each with the night (whole days of the MJD) to which the alert belongs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message."""

    place: Place
    offset: int
    inside: bool = False
    """Whether it lies in the region of a live event."""
    kept: bool = False
    quarantined: bool = False
    dropped: tuple[str, ...] = ()
    """Reasons for which it is no candidate of events in whose region it lies, one for each of them."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What a reader says of itself."""

    member: str
    at: datetime
    lag: Mapping[Place, int] = field(default_factory=dict)
    """Messages that wait, by partition."""
    rate: float | None = None
    """Messages per second lately, all partitions together."""


@dataclass(frozen=True, slots=True)
class PartitionCounts:
    """How far a partition was read, and what became of its alerts."""

    stream: str
    topic: str
    partition: int
    next_offset: int
    seen: int
    inside: int
    kept: int
    quarantined: int
    dropped: Mapping[str, int]
    lag: int | None
    rate: float | None
    """Of the reader, messages per second."""
    member: str
    alive: datetime
    lost: int = 0
    """Messages that the broker dropped before they were read."""
    lost_at: datetime | None = None
    """When that was last noticed, UTC."""


@dataclass(frozen=True, slots=True)
class SurveyNightCandidate:
    """A candidate that a survey brought to an event in a night."""

    event_id: str
    candidate: str
    night: int
    message_id: int
    """Newest message that changed it."""
    scored: str | None
    """What it was last scored with; None where it never was."""


class SurveyArchive:
    """The surveys' part of an archive; safe to share between threads."""

    def __init__(self, archive: Archive, nearness: Nearness | None = None) -> None:
        """Access an open archive; `nearness` says which objects are one where measurements are recorded."""
        self.engine = archive.engine
        self.nearness = nearness or Nearness()

    def record(
        self,
        stream: str,
        kept: Sequence[Kept],
        unusable: Sequence[tuple[StreamMessage, str]],
        outcomes: Sequence[Outcome],
        beat: Beat,
    ) -> list[tuple[StreamMessage, str]]:
        """Make a batch durable in one transaction; the same batch again changes nothing.

        A message of an object whose name is known to be at another place goes to the quarantine and counts as such: these
        are returned, each with the reason.

        Args:
            stream: name of the stream.
            kept: messages with candidates.
            unusable: messages for the quarantine, each with the reason.
            outcomes: what became of every message of the batch, those above included.
            beat: the reader's sign of life.
        """
        with writing(self.engine) as connection:
            # Every writer locks in this order: partitions, candidates, refusals.
            first = {place: _touch(connection, stream, place, beat) for place in sorted({o.place for o in outcomes})}
            fresh = {(*o.place, o.offset): o for o in outcomes if o.offset >= first[o.place]}
            refused = _record_kept(connection, kept, self.nearness)
            known = {(*outcome.place, outcome.offset) for outcome in outcomes}
            aside = [*unusable, *refused]
            refusals.note(connection, [pair for pair in aside if _at_of(pair[0]) in fresh])
            refusals.note(connection, [pair for pair in aside if _at_of(pair[0]) not in known], count=False)
            gone = {_at_of(message) for message, _ in refused}
            _count(connection, stream, [_without(outcome, gone) for outcome in fresh.values()])
        return refused

    def accept(self, read: Mapping[int, StreamMessage], kept: Sequence[Kept], now: datetime) -> dict[int, str]:
        """Record packets of the quarantine that could be read now, in one transaction; returns those refused again, with the reason.

        Args:
            read: all messages that could be read, by number.
            kept: those of them with candidates.
            now: when that was, UTC.
        """
        numbers = {(one.stream, *_at_of(one), one.sha256): number for number, one in read.items()}
        with writing(self.engine) as connection:
            refused = _record_kept(connection, kept, self.nearness)
            again = {numbers[one.stream, *_at_of(one), one.sha256]: reason for one, reason in refused}
            for number in read.keys() - again.keys():
                # What was recorded above counts as solved when the message came: it was solved now.
                mine = schema.message.c.id == number
                connection.execute(sa.update(schema.message).where(mine).values(solved=None))
                mark_solved(connection, number, RETRIED, now)
        return again

    def lose(self, stream: str, place: Place, wanted: int, resumed: int, beat: Beat) -> int:
        """Note that the broker dropped messages before they were read; returns how many were not noted before."""
        t = survey_partition
        with writing(self.engine) as connection:
            begin = max(wanted, _touch(connection, stream, place, beat))
            lost = max(0, resumed - begin)
            if lost:
                values = {"next_offset": resumed, "lost": t.c.lost + lost, "lost_at": beat.at}
                connection.execute(sa.update(t).where(*_at(stream, place)).values(values))
        return lost

    def beat(self, stream: str, places: Iterable[Place], beat: Beat) -> None:
        """Say that these partitions are being read; those that were never read before begin at zero."""
        with writing(self.engine) as connection:
            for place in sorted(places):
                _touch(connection, stream, place, beat)

    def restart(self, stream: str, place: Place) -> None:
        """A topic was created anew: its offsets begin again. What was counted stays."""
        with writing(self.engine) as connection:
            connection.execute(sa.update(survey_partition).where(*_at(stream, place)).values(next_offset=0))

    def offsets(self, stream: str) -> dict[Place, int]:
        """By topic and partition of a stream, the offset behind the last message that was counted; raises TransientError."""
        return {(one.topic, one.partition): one.next_offset for one in self.partitions(stream) if one.next_offset}

    def partitions(self, stream: str | None = None) -> list[PartitionCounts]:
        """Every partition that was ever read, of one stream or of all."""
        t = survey_partition
        query = sa.select(t).order_by(t.c.stream, t.c.topic, t.c.partition)
        if stream is not None:
            query = query.where(t.c.stream == stream)
        with reading(self.engine) as connection:
            return [PartitionCounts(**row._mapping) for row in connection.execute(query)]

    def candidates(
        self, *, event_id: str | None = None, night: int | None = None, name: str | None = None
    ) -> list[SurveyNightCandidate]:
        """Candidates by event, night and any of their names, chosen by what is given."""
        t = survey_candidate
        query = sa.select(t).order_by(t.c.event_id, t.c.night, t.c.candidate)
        if name is not None:
            with reading(self.engine) as connection:
                name = resolve(connection, [name]).get(name, name)
        for column, value in ((t.c.event_id, event_id), (t.c.night, night), (t.c.candidate, name)):
            if value is not None:
                query = query.where(column == value)
        with reading(self.engine) as connection:
            return [SurveyNightCandidate(**row._mapping) for row in connection.execute(query)]

    def to_score(self, versions: Mapping[str, str]) -> dict[tuple[str, int], tuple[int, int]]:
        """By event and night with candidates to be scored: the newest message of these, and how many they are.

        `versions`: the current version (partition key) of each event; candidates that were scored with their newest
        message and that version are left out.
        """
        t = survey_candidate
        found: dict[tuple[str, int], tuple[int, int]] = {}
        with reading(self.engine) as connection:
            for event_id, version in sorted(versions.items()):
                done = t.c.scored == sa.cast(t.c.message_id, sa.String) + f":{version}"
                query = (
                    sa.select(t.c.night, sa.func.max(t.c.message_id), sa.func.count())
                    .where(t.c.event_id == event_id, sa.or_(t.c.scored.is_(None), sa.not_(done)))
                    .group_by(t.c.night)
                )
                for night, newest, number in connection.execute(query):
                    found[event_id, night] = (int(newest), int(number))
        return found

    def mark_scored(self, candidates: Iterable[SurveyNightCandidate], version: str) -> None:
        """Note with which messages and version candidates were scored; one that changed meanwhile stays to be scored."""
        t = survey_candidate
        with writing(self.engine) as connection:
            for one in candidates:
                same = (t.c.event_id == one.event_id, t.c.candidate == one.candidate, t.c.night == one.night)
                connection.execute(
                    sa.update(t)
                    .where(*same, t.c.message_id == one.message_id)
                    .values(scored=scored_with(one.message_id, version))
                )

    def archived(self, places: Mapping[Place, Sequence[int]]) -> set[tuple[str, int, int]]:
        """Those of some messages, by topic, partition and offset, that the archive has, whatever survey's stream brought them."""
        return set(self._reasons(places))

    def refused(self, places: Mapping[Place, Sequence[int]]) -> dict[tuple[str, int, int], str]:
        """Why those of some messages that are in quarantine cannot be used, by topic, partition and offset; solved ones are absent."""
        return {place: reason for place, reason in self._reasons(places).items() if reason is not None}

    def _reasons(self, places: Mapping[Place, Sequence[int]]) -> dict[tuple[str, int, int], str | None]:
        """The archived ones of some messages, each with the reason why it waits in quarantine; None where it does not."""
        c = schema.message.c
        waits = sa.case((c.solved.is_(None), c.quarantine_reason))
        found: dict[tuple[str, int, int], str | None] = {}
        with reading(self.engine) as connection:
            # Named one by one, the streams let the index serve the question.
            streams = list(connection.execute(sa.select(survey_partition.c.stream).distinct()).scalars())
            for (topic, partition), offsets in sorted(places.items()):
                here = sa.and_(c.stream.in_(streams), c.topic == topic, c.partition == partition)
                for some in batched(offsets):
                    query = sa.select(c.offset, waits.label("reason")).where(here, c.offset.in_(some))
                    found |= {(topic, partition, int(row.offset)): row.reason for row in connection.execute(query)}
        return found

    def known(self) -> set[str]:
        """Names of all candidates that surveys brought, to whichever event."""
        with reading(self.engine) as connection:
            return set(connection.execute(sa.select(survey_candidate.c.candidate).distinct()).scalars())


def scored_with(message_id: int, version: str) -> str:
    """What a candidate was scored with, as one text."""
    return f"{message_id}:{version}"


def _record_kept(
    connection: sa.Connection, kept: Sequence[Kept], nearness: Nearness
) -> list[tuple[StreamMessage, str]]:
    """Record measurements; returns messages whose object was refused, with the reason."""
    sent: dict[bool, list[Candidate]] = defaultdict(list)
    for one in kept:
        sent[one.notice.simulated] += [m.candidate for m in one.notice.measurements]
    identified = {flag: identify(connection, some, nearness, simulated=flag) for flag, some in sorted(sent.items())}
    refused: list[tuple[StreamMessage, str]] = []
    taken = []
    for one in kept:
        found = identified[one.notice.simulated]
        points = [known for m in one.notice.measurements if (known := found.of(m)) is not None]
        if points:
            taken.append((one, points))
            continue
        head = one.notice.measurements[0].candidate
        reason = found.refused[head.name, head.ra, head.dec]
        _log.warning("%s put in quarantine: %s", one.message.coordinates, reason)
        refused.append((one.message, reason))
    fresh = {id(m) for m in unknown_points(connection, [m for _, points in taken for m in points])}
    insert = _insert_for(connection)
    for one, points in taken:
        message_id = _insert_message(connection, one.message, event_id=None, reason=None)
        rows = [measurement_row(m, message_id) for m in points if id(m) in fresh]
        if rows:
            connection.execute(insert(measurement).on_conflict_do_nothing(), rows)
        note_facts(connection, message_id, identified[one.notice.simulated].of_objects(one.notice))
        for event_id, night in one.nights:
            _note(connection, event_id, points[0].candidate.name, night, message_id, changed=bool(rows))
    return refused


def _without(outcome: Outcome, refused: set[tuple[str, int, int]]) -> Outcome:
    """What became of a message, where its object was refused too."""
    return replace(outcome, kept=False, quarantined=True) if (*outcome.place, outcome.offset) in refused else outcome


def _note(connection: sa.Connection, event_id: str, name: str, night: int, message_id: int, *, changed: bool) -> None:
    t = survey_candidate
    row = {"event_id": event_id, "candidate": name, "night": night, "message_id": message_id}
    insert = _insert_for(connection)(t).values(row)
    if changed:
        newer = insert.excluded.message_id > t.c.message_id
        statement = insert.on_conflict_do_update(
            index_elements=[t.c.event_id, t.c.candidate, t.c.night],
            # A packet out of the quarantine is older than what came since, and the night deserves a new score all the same.
            set_={
                "message_id": sa.case((newer, insert.excluded.message_id), else_=t.c.message_id),
                "scored": None,
            },
        )
    else:
        statement = insert.on_conflict_do_nothing()
    connection.execute(statement)


def _at(stream: str, place: Place) -> tuple[sa.ColumnElement[bool], ...]:
    c = survey_partition.c
    return c.stream == stream, c.topic == place[0], c.partition == place[1]


def _touch(connection: sa.Connection, stream: str, place: Place, beat: Beat) -> int:
    """Note the sign of life, and lock the row; returns the first offset that was not counted yet."""
    t = survey_partition
    values = {"lag": beat.lag.get(place), "rate": beat.rate, "member": beat.member, "alive": beat.at}
    empty = {"next_offset": 0, "seen": 0, "inside": 0, "kept": 0, "quarantined": 0, "dropped": {}}
    row = {"stream": stream, "topic": place[0], "partition": place[1], **empty, **values}
    insert = _insert_for(connection)(t).values(row)
    statement = insert.on_conflict_do_update(index_elements=[t.c.stream, t.c.topic, t.c.partition], set_=values)
    connection.execute(statement)
    return int(connection.execute(sa.select(t.c.next_offset).where(*_at(stream, place))).scalar_one())


def _at_of(message: StreamMessage) -> tuple[str, int, int]:
    return message.topic, message.partition, message.offset


def _count(connection: sa.Connection, stream: str, fresh: Sequence[Outcome]) -> None:
    """Count outcomes that were not counted before, of partitions whose rows the caller has locked."""
    by_place: dict[Place, list[Outcome]] = defaultdict(list)
    for outcome in fresh:
        by_place[outcome.place].append(outcome)
    t = survey_partition
    for place, some in sorted(by_place.items()):
        known = connection.execute(sa.select(t).where(*_at(stream, place))).one()
        dropped = Counter(known.dropped)
        dropped.update(reason for outcome in some for reason in outcome.dropped)
        connection.execute(
            sa.update(t)
            .where(*_at(stream, place))
            .values(
                next_offset=max(outcome.offset for outcome in some) + 1,
                seen=known.seen + len(some),
                inside=known.inside + sum(outcome.inside for outcome in some),
                kept=known.kept + sum(outcome.kept for outcome in some),
                quarantined=known.quarantined + sum(outcome.quarantined for outcome in some),
                dropped=dict(dropped),
            )
        )


def forget_nights(connection: sa.Connection, event_ids: Sequence[str]) -> list[str]:
    """Remove the nights of events, in the caller's transaction; returns the names of their simulated candidates."""
    t = survey_candidate
    here = t.c.event_id.in_(event_ids)
    names = sa.select(candidate.c.name).where(
        candidate.c.simulated, candidate.c.name.in_(sa.select(t.c.candidate).where(here))
    )
    found = list(connection.execute(names.order_by(candidate.c.name)).scalars())
    connection.execute(sa.delete(t).where(here))
    return found


def forget_simulated(connection: sa.Connection, names: Sequence[str]) -> list[tuple[int, str]]:
    """Remove simulated candidates that no event has any more; returns ids and digests of messages that nothing needs now."""
    useless: list[tuple[int, str]] = []
    message, score = schema.message.c, schema.candidate_score.c
    for some in batched(names):
        used = [sa.select(c).where(c.in_(some)) for c in (survey_candidate.c.candidate, score.candidate)]
        idle = sa.select(candidate.c.name).where(
            candidate.c.name.in_(some), *(candidate.c.name.not_in(u) for u in used)
        )
        gone = list(connection.execute(idle).scalars())
        brought = sa.select(measurement.c.message_id).where(measurement.c.candidate.in_(gone)).distinct()
        ids = list(connection.execute(brought).scalars())
        connection.execute(sa.delete(measurement).where(measurement.c.candidate.in_(gone)))
        connection.execute(sa.delete(candidate_alias).where(candidate_alias.c.candidate.in_(gone)))
        connection.execute(sa.delete(candidate_facts).where(candidate_facts.c.candidate.in_(gone)))
        connection.execute(sa.delete(candidate).where(candidate.c.name.in_(gone)))
        for part in batched(ids):
            needed = [measurement.c.message_id, survey_candidate.c.message_id, schema.version.c.message_id]
            free = [message.id.not_in(sa.select(c).where(c.in_(part))) for c in needed]
            rows = connection.execute(sa.select(message.id, message.sha256).where(message.id.in_(part), *free))
            useless += [(row.id, row.sha256) for row in rows]
    return useless
