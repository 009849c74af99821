"""Removes old mock and test events; real ones are kept. Only this module decides what may be removed.

The last version of an event is removed together with its candidates' scores, its publications, its pointings,
and the simulated photometry that names it. Measured photometry stays with its messages, whatever event they name, and so does simulated photometry that
names no event.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from mma_pipeline.adapters.archive import schema
from mma_pipeline.adapters.archive.coincidences import forget_pairs
from mma_pipeline.adapters.archive.database import batched, reading, writing
from mma_pipeline.adapters.archive.identities import lock_candidates
from mma_pipeline.adapters.archive.pointings import forget_pointings
from mma_pipeline.adapters.archive.schema import (
    block,
    candidate,
    candidate_alias,
    candidate_facts,
    candidate_score,
    decision,
    measurement,
    publication,
)
from mma_pipeline.adapters.archive.surveys import forget_nights, forget_simulated
from mma_pipeline.adapters.errors import PermanentError
from mma_pipeline.adapters.photometry.messages import read_photometry_message
from mma_pipeline.adapters.photometry.stream import STREAM
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.model import Role


def expired(engine: sa.Engine, before: datetime, *, limit: int) -> list[str]:
    """Partition keys of mock and test versions that were received before a time, oldest first, at most `limit`."""
    query = (
        sa.select(schema.version.c.partition_key)
        .join(schema.message, schema.message.c.id == schema.version.c.message_id)
        .where(schema.version.c.role != Role.OBSERVATION.value, schema.message.c.received < before)
        .order_by(schema.message.c.received, schema.version.c.partition_key)
        .limit(limit)
    )
    with reading(engine) as connection:
        return list(connection.execute(query).scalars())


def files_of(engine: sa.Engine, keys: Sequence[str]) -> list[str]:
    """Store keys of all files of some versions."""
    query = sa.select(schema.product.c.store_key).where(schema.product.c.partition_key.in_(keys)).distinct()
    with reading(engine) as connection:
        return list(connection.execute(query).scalars())


def scored_nights(engine: sa.Engine, events: Sequence[str]) -> list[str]:
    """Partition keys of the candidate nights of some events that have a score."""
    query = sa.select(candidate_score.c.partition_key).where(candidate_score.c.event_id.in_(events))
    with reading(engine) as connection:
        return list(connection.execute(query).scalars())


def forget(engine: sa.Engine, keys: Sequence[str]) -> None:
    """Remove the rows of mock and test versions, with messages and contents that nothing else needs.

    An event's last version takes its scores, publications and simulated photometry with it. Raises PermanentError for a key
    of a real event, and removes nothing then.
    """
    version = schema.version
    with writing(engine) as connection:
        chosen = connection.execute(
            sa.select(version.c.event_id, version.c.role, version.c.partition_key).where(
                version.c.partition_key.in_(keys)
            )
        ).all()
        real = [row.partition_key for row in chosen if row.role == Role.OBSERVATION.value]
        if real:
            raise PermanentError(f"{real[0]} is a real event's version: real events are never removed")
        events = {row.event_id for row in chosen}
        for table in (publication, decision, block, schema.product, version):
            connection.execute(sa.delete(table).where(table.c.partition_key.in_(keys)))
        kept = set(
            connection.execute(sa.select(version.c.event_id).where(version.c.event_id.in_(events)).distinct()).scalars()
        )
        gone = sorted(events - kept)
        if gone:
            for outgoing in (publication, decision):
                connection.execute(sa.delete(outgoing).where(outgoing.c.event_id.in_(gone)))
            forget_pairs(connection, gone)
            forget_pointings(connection, gone)
            of_surveys = forget_nights(connection, gone)
            _forget_photometry(connection, gone)
            _forget_messages(connection, gone)
            for some in batched(forget_simulated(connection, of_surveys)):
                _remove_messages(connection, [number for number, _ in some], {digest for _, digest in some})


def forget_quarantine(engine: sa.Engine, before: datetime) -> int:
    """Remove quarantined mock and test messages received before a time, of events without versions; returns how many.

    Messages not known to be mock or test are kept, solved or not.
    """
    message, version = schema.message, schema.version
    useless = sa.and_(
        message.c.quarantine_reason.is_not(None),
        message.c.rehearsal.is_(True),
        message.c.received < before,
        message.c.id.not_in(sa.select(version.c.message_id)),
        message.c.id.not_in(sa.select(measurement.c.message_id)),
    )
    with writing(engine) as connection:
        rows = connection.execute(sa.select(message.c.id, message.c.sha256).where(useless)).all()
        _remove_messages(connection, [row.id for row in rows], {row.sha256 for row in rows})
    return len(rows)


def _forget_photometry(connection: sa.Connection, gone: Sequence[str]) -> None:
    """Remove the scores of events without versions and the simulated photometry that names them.

    A simulated candidate is removed with its last measurement and its last score.
    """
    lock_candidates(connection)
    name, score = candidate.c.name, candidate_score.c
    named = sa.select(schema.message.c.id).where(schema.message.c.event_id.in_(gone))
    scored = sa.select(score.candidate).where(score.event_id.in_(gone))
    measured = sa.select(measurement.c.candidate).where(measurement.c.message_id.in_(named))
    # The lock delays new photometry, so that no candidate gets a measurement while it is removed.
    affected = (
        sa.select(name)
        .where(candidate.c.simulated, sa.or_(name.in_(scored), name.in_(measured)))
        .order_by(name)
        .with_for_update()
    )
    simulated = list(connection.execute(affected).scalars())
    connection.execute(sa.delete(candidate_score).where(score.event_id.in_(gone)))
    connection.execute(
        sa.delete(measurement).where(measurement.c.message_id.in_(named), measurement.c.candidate.in_(simulated))
    )
    still = [sa.select(column).where(column.in_(simulated)) for column in (measurement.c.candidate, score.candidate)]
    alias = candidate_alias.c.candidate
    connection.execute(sa.delete(candidate_alias).where(alias.in_(simulated), *(alias.not_in(used) for used in still)))
    facts = candidate_facts.c.candidate
    connection.execute(sa.delete(candidate_facts).where(facts.in_(simulated), *(facts.not_in(used) for used in still)))
    connection.execute(sa.delete(candidate).where(name.in_(simulated), *(name.not_in(used) for used in still)))


def _forget_messages(connection: sa.Connection, gone: Sequence[str]) -> None:
    """Remove the messages of events without versions, and the contents that no other message has."""
    message = schema.message
    brought = sa.select(measurement.c.message_id).join(message).where(message.c.event_id.in_(gone))
    idle = sa.and_(message.c.event_id.in_(gone), message.c.id.not_in(brought))
    query = sa.select(message.c.id, message.c.sha256, message.c.stream).where(idle)
    useless = [
        row
        for row in connection.execute(query).all()
        if row.stream != STREAM or not _is_of_real_candidate(connection, row.sha256)
    ]
    _remove_messages(connection, [row.id for row in useless], {row.sha256 for row in useless})


def _remove_messages(connection: sa.Connection, ids: Sequence[int], digests: set[str]) -> None:
    """Remove messages, and the contents that no other message has."""
    message, body = schema.message, schema.body
    connection.execute(sa.delete(message).where(message.c.id.in_(ids)))
    still = sa.select(message.c.sha256).where(message.c.sha256.in_(digests))
    connection.execute(sa.delete(body).where(body.c.sha256.in_(digests), body.c.sha256.not_in(still)))


def _is_of_real_candidate(connection: sa.Connection, digest: str) -> bool:
    """Whether photometry that only repeats what is known is that of a real candidate, which keeps all its messages."""
    data = connection.execute(sa.select(schema.body.c.data).where(schema.body.c.sha256 == digest)).scalar_one()
    try:
        names = {m.candidate.name for m in read_photometry_message(data).measurements}
    except NoticeError:  # readable when it came, not to this code: nobody can tell
        return True
    own = candidate_alias.c.candidate
    real = sa.select(candidate_alias.c.name).join(candidate, candidate.c.name == own)
    real = real.where(candidate_alias.c.name.in_(names), sa.not_(candidate.c.simulated))
    return connection.execute(real.limit(1)).first() is not None
