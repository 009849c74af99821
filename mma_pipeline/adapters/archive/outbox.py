"""The outbox: publications, written together with the decision, and their state.

Claims are safe for several publishers on SQLite (one write lock) and PostgreSQL (row locks, SKIP LOCKED). Publications
of one destination and event that share a `sequence` are sent in the order in which they were enqueued, and one may name
another that goes first; all others are independent. A failed one delays nothing. Not here: decisions (`decisions`) and
sending (`adapters.publishing`).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from mma_pipeline.adapters.archive.publications import Answer, Draft, Publication, State
from mma_pipeline.adapters.archive.schema import publication
from mma_pipeline.adapters.errors import NotFoundError, PermanentError, TransientError

_OPEN = (State.PENDING, State.SENDING)
#: Key in `progress`: how often a publication was checked and had to wait.
WAITS = "waits"


class LostClaimError(PermanentError):
    """The publication was taken over by another publisher after the lease of this one had run out."""


def enqueue(connection: sa.Connection, draft: Draft, now: datetime) -> bool:
    """Add a draft, in the caller's transaction; True if it is new.

    A draft that exists changes nothing, except that the full payload replaces a provisional one, or a bare one that has not
    been attempted. Raises TransientError if a publisher is sending that one right now.
    """
    table = publication
    where = sa.and_(table.c.destination == draft.destination, table.c.dedupe_key == draft.dedupe_key)
    known = connection.execute(sa.select(table).where(where)).one_or_none()
    if known is not None:
        better = known.provisional and not draft.provisional
        better |= bool(known.payload.get("bare")) and not draft.payload.get("bare")
        if better and is_untried(known):
            values = {"payload": dict(draft.payload), "provisional": draft.provisional, "next_attempt": now}
            untried = sa.and_(where, table.c.state == State.PENDING, table.c.attempts == 0)
            if connection.execute(sa.update(table).where(untried).values(values)).rowcount != 1:
                raise TransientError(f"publication {known.id} is being sent right now: decide again")
        return False
    connection.execute(
        sa.insert(table).values(
            destination=draft.destination,
            kind=draft.kind,
            dedupe_key=draft.dedupe_key,
            event_id=draft.event_id,
            partition_key=draft.partition_key,
            payload=dict(draft.payload),
            provisional=draft.provisional,
            state=State.PENDING,
            attempts=0,
            next_attempt=now,
            created=now,
            progress={},
            answer={},
            sequence=draft.sequence,
            after=draft.after,
        )
    )
    return True


def is_untried(row: sa.Row[Any] | Publication) -> bool:
    """Whether no attempt to send a publication has begun."""
    return bool(row.state == State.PENDING and row.attempts == 0)


def claim(
    connection: sa.Connection,
    destination: str,
    now: datetime,
    *,
    lease_s: float,
    settle_s: float = 0.0,
    event_id: str | None = None,
) -> tuple[Publication, str] | None:
    """Claim the next due publication, with the token that is needed to finish it.

    The lease (seconds) must be longer than one attempt can last. After the lease and the settling time (seconds), in which
    even a slow receiver has stored the publication, another publisher takes over.
    """
    table = publication
    query = (
        sa.select(table)
        .where(table.c.destination == destination, _its_turn(now))
        .order_by(table.c.next_attempt, table.c.id)
        .limit(1)
    )
    if event_id is not None:
        query = query.where(table.c.event_id == event_id)
    row = connection.execute(query.with_for_update(skip_locked=True, of=table)).one_or_none()
    if row is None:
        return None
    token = uuid.uuid4().hex
    values = {
        "state": State.SENDING,
        "claim": token,
        "attempts": row.attempts + 1,
        "next_attempt": now + timedelta(seconds=lease_s + settle_s),
    }
    connection.execute(sa.update(table).where(table.c.id == row.id).values(values))
    return _publication(connection.execute(sa.select(table).where(table.c.id == row.id)).one()), token


def _its_turn(now: datetime) -> sa.ColumnElement[bool]:
    """Whether a publication is due and nothing that must go before it is open."""
    table, other = publication, publication.alias("other")
    held = sa.exists().where(
        other.c.destination == table.c.destination,
        other.c.event_id == table.c.event_id,
        other.c.state.in_(_OPEN),
        sa.or_(
            sa.and_(other.c.sequence == table.c.sequence, other.c.id < table.c.id),
            other.c.dedupe_key == table.c.after,
        ),
    )
    return sa.and_(table.c.state.in_(_OPEN), table.c.next_attempt <= now, sa.not_(table.c.provisional), ~held)


def note_progress(connection: sa.Connection, item: Publication, token: str, progress: Mapping[str, Any]) -> None:
    """Store what a later attempt needs to find out whether this one succeeded."""
    _update(connection, item, token, {"progress": dict(progress)})


def finish(connection: sa.Connection, item: Publication, token: str, answer: Answer, now: datetime) -> None:
    """Mark a publication as received; those that waited for it are due."""
    kept = {"reference": answer.reference, "already_there": answer.already_there, **answer.details}
    if answer.warning:
        kept["warning"] = answer.warning
    _update(
        connection, item, token, {"state": State.DONE, "answer": kept, "finished": now, "error": None, "claim": None}
    )
    if item.sequence is not None:
        same = publications(connection, event_id=item.event_id, destination=item.destination, state=State.PENDING)
        waiting = [row.id for row in same if row.sequence == item.sequence and row.progress.get(WAITS)]
        connection.execute(sa.update(publication).where(publication.c.id.in_(waiting)).values(next_attempt=now))


def fail(connection: sa.Connection, item: Publication, token: str, error: str, now: datetime) -> None:
    """Mark a publication as failed for good; it needs a person's attention."""
    _update(connection, item, token, {"state": State.FAILED, "error": error, "finished": now, "claim": None})


def postpone(
    connection: sa.Connection, item: Publication, token: str, error: str | None, until: datetime, *, counts: bool = True
) -> None:
    """Postpone a publication; `counts` is False if this was no attempt, because something else must go first."""
    values = {"state": State.PENDING, "next_attempt": until, "error": error, "claim": None}
    if not counts:
        progress = connection.execute(sa.select(publication.c.progress).where(publication.c.id == item.id)).scalar_one()
        values |= {"attempts": item.attempts - 1, "progress": {**progress, WAITS: progress.get(WAITS, 0) + 1}}
    _update(connection, item, token, values)


def supersede(
    connection: sa.Connection, destination: str, kind: str, partition_keys: Sequence[str], now: datetime, *, by: str
) -> None:
    """Close the pending publications of some versions, in the caller's transaction: those of `by` (a key) replace them."""
    where = (
        publication.c.destination == destination,
        publication.c.kind == kind,
        publication.c.partition_key.in_(partition_keys),
        publication.c.state == State.PENDING,
    )
    answer = {"reference": f"not needed: replaced by {by}"}
    values = {"state": State.DONE, "answer": answer, "finished": now, "error": None}
    connection.execute(sa.update(publication).where(*where).values(values))


def retry(connection: sa.Connection, publication_id: int, now: datetime) -> None:
    """Queue a failed publication again, on a person's request; raises NotFoundError or PermanentError."""
    row = connection.execute(sa.select(publication).where(publication.c.id == publication_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no publication {publication_id}")
    if row.state != State.FAILED:
        raise PermanentError(f"publication {publication_id} is {row.state}, only a failed one can be retried")
    _put_back(connection, [publication_id], now)


def retry_failed(
    connection: sa.Connection, now: datetime, *, destination: str | None = None, since: datetime | None = None
) -> list[int]:
    """Queue failed publications of a destination, or since a time, again; returns their ids."""
    failed = publications(connection, destination=destination, state=State.FAILED)
    chosen = [row.id for row in failed if since is None or (row.finished is not None and row.finished >= since)]
    _put_back(connection, chosen, now)
    return chosen


def _put_back(connection: sa.Connection, ids: Sequence[int], now: datetime) -> None:
    # Data of earlier attempts stays, so that the next one finds out whether one of them succeeded.
    values = {"state": State.PENDING, "attempts": 0, "next_attempt": now, "error": None, "finished": None}
    connection.execute(sa.update(publication).where(publication.c.id.in_(ids)).values(values))


def publications(
    connection: sa.Connection,
    *,
    event_id: str | None = None,
    destination: str | None = None,
    partition_key: str | None = None,
    kinds: Sequence[str] = (),
    state: State | None = None,
    limit: int | None = None,
) -> list[Publication]:
    """Publications in the order in which they were enqueued, filtered by the arguments."""
    query = sa.select(publication).order_by(publication.c.id).limit(limit)
    chosen = {"event_id": event_id, "destination": destination, "partition_key": partition_key, "state": state}
    for column, value in chosen.items():
        if value is not None:
            query = query.where(publication.c[column] == value)
    if kinds:
        query = query.where(publication.c.kind.in_(kinds))
    return [_publication(row) for row in connection.execute(query)]


def keyed(connection: sa.Connection, destination: str, dedupe_key: str) -> Publication | None:
    """The publication of a destination with this key; None if there is none."""
    where = (publication.c.destination == destination, publication.c.dedupe_key == dedupe_key)
    row = connection.execute(sa.select(publication).where(*where)).one_or_none()
    return None if row is None else _publication(row)


def finished_since(connection: sa.Connection, destination: str, since: datetime) -> int:
    """Number of publications that a destination has received since a time."""
    where = (
        publication.c.destination == destination,
        publication.c.state == State.DONE,
        publication.c.finished > since,
    )
    return int(connection.execute(sa.select(sa.func.count()).select_from(publication).where(*where)).scalar_one())


def is_away(connection: sa.Connection, destination: str) -> bool:
    """Whether a publication waits for its next attempt after a failed one, and the destination has received nothing since it
    was enqueued.
    """
    c = publication.c
    failed = sa.and_(c.state == State.PENDING, c.attempts > 0, c.error.is_not(None))
    query = sa.select(
        sa.func.max(sa.case((failed, c.created)), type_=c.created.type).label("failed"),
        sa.func.max(sa.case((c.state == State.DONE, c.finished)), type_=c.finished.type).label("received"),
    ).where(c.destination == destination)
    last = connection.execute(query).one()
    return last.failed is not None and (last.received is None or last.received < last.failed)


def count(connection: sa.Connection, state: State) -> int:
    """Number of publications in a state."""
    query = sa.select(sa.func.count()).select_from(publication).where(publication.c.state == state)
    return int(connection.execute(query).scalar_one())


def closed_events(connection: sa.Connection, destination: str, kind: str, before: datetime) -> list[tuple[str, int]]:
    """Events with publications of a kind at a destination, the last received before a time, and no open ones.

    With the id of that publication, in its order.
    """
    c = publication.c
    is_open = sa.func.sum(sa.case((c.state.in_(_OPEN), 1), else_=0))
    taken = sa.and_(c.kind == kind, c.state == State.DONE)
    last = sa.func.max(sa.case((taken, c.id)))
    finished = sa.func.max(sa.case((taken, c.finished)), type_=c.finished.type)
    query = (
        sa.select(c.event_id, last.label("last"))
        .where(c.destination == destination)
        .group_by(c.event_id)
        .having(is_open == 0, last.is_not(None), finished <= before)
        .order_by(last)
    )
    return [(row.event_id, row.last) for row in connection.execute(query)]


def keys(connection: sa.Connection, destination: str, kind: str) -> set[str]:
    """Keys of all publications of a kind for a destination, sent or not."""
    where = (publication.c.destination == destination, publication.c.kind == kind)
    return set(connection.execute(sa.select(publication.c.dedupe_key).where(*where)).scalars())


def due(connection: sa.Connection, now: datetime | None = None) -> list[Publication]:
    """Publications that are due."""
    query = sa.select(publication).where(_its_turn(now or datetime.now(UTC))).order_by(publication.c.id)
    return [_publication(row) for row in connection.execute(query)]


def _update(connection: sa.Connection, item: Publication, token: str, values: Mapping[str, Any]) -> None:
    where = (publication.c.id == item.id, publication.c.claim == token)
    if connection.execute(sa.update(publication).where(*where).values(dict(values))).rowcount != 1:
        raise LostClaimError(f"publication {item.id} was taken over by another publisher: this one was too slow")


def _publication(row: sa.Row[Any]) -> Publication:
    names = Publication.__slots__
    return Publication(**{name: row._mapping[name] for name in names} | {"state": State(row.state)})
