"""Makes one candidate of several: all measurements, scores, nights and names go to the one that was measured first."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from mma_pipeline.adapters.archive.packet_facts import merge_facts
from mma_pipeline.adapters.archive.schema import (
    candidate,
    candidate_alias,
    candidate_score,
    measurement,
    survey_candidate,
)
from mma_pipeline.notices.photometry.candidate_key import CandidateNight


def merge(connection: sa.Connection, into: str, others: Sequence[str]) -> None:
    """Make candidates part of another, in the caller's transaction, which holds the candidates' lock.

    A measurement that several have is kept once. Of a night that several have scored the score of `into` stays until the
    night is scored again; survey nights are marked for that here.
    """
    for other in others:
        _measurements(connection, into, other)
        _survey_nights(connection, into, other)
        _scores(connection, into, other)
        merge_facts(connection, into, other)
        alias = candidate_alias.c
        connection.execute(sa.update(candidate_alias).where(alias.candidate == other).values(candidate=into))
        for column in (candidate.c.ebv, candidate.c.redshift):
            value = connection.execute(sa.select(column).where(candidate.c.name == other)).scalar()
            lacking = sa.and_(candidate.c.name == into, column.is_(None))
            connection.execute(sa.update(candidate).where(lacking).values({column.name: value}))
        connection.execute(sa.delete(candidate).where(candidate.c.name == other))
    night = survey_candidate.c
    connection.execute(sa.update(survey_candidate).where(night.candidate == into).values(scored=None))


def _measurements(connection: sa.Connection, into: str, other: str) -> None:
    mine, t = measurement.alias("mine"), measurement.c
    same = [mine.c[name] == t[name] for name in ("mjd", "band", "magnitude", "upper_limit")]
    twice = sa.exists().where(mine.c.candidate == into, *same)
    connection.execute(sa.delete(measurement).where(t.candidate == other, twice))
    connection.execute(sa.update(measurement).where(t.candidate == other).values(candidate=into))


def _survey_nights(connection: sa.Connection, into: str, other: str) -> None:
    t = survey_candidate.c
    of = sa.select(t.event_id, t.night, t.message_id)
    mine = {(row.event_id, row.night): row.message_id for row in connection.execute(of.where(t.candidate == into))}
    for row in connection.execute(of.where(t.candidate == other)).all():
        at = (t.event_id == row.event_id, t.night == row.night)
        here = sa.and_(*at, t.candidate == other)
        if (row.event_id, row.night) not in mine:
            connection.execute(sa.update(survey_candidate).where(here).values(candidate=into))
            continue
        newest = max(mine[row.event_id, row.night], row.message_id)
        connection.execute(sa.delete(survey_candidate).where(here))
        connection.execute(sa.update(survey_candidate).where(*at, t.candidate == into).values(message_id=newest))


def _scores(connection: sa.Connection, into: str, other: str) -> None:
    t = candidate_score.c
    slug = connection.execute(sa.select(candidate.c.slug).where(candidate.c.name == into)).scalar_one()
    mine = {
        (row.event_id, row.night)
        for row in connection.execute(sa.select(t.event_id, t.night).where(t.candidate == into))
    }
    for row in connection.execute(sa.select(candidate_score).where(t.candidate == other)).all():
        here = t.partition_key == row.partition_key
        if (row.event_id, row.night) in mine:
            connection.execute(sa.delete(candidate_score).where(here))
            continue
        values = {
            "partition_key": CandidateNight(row.event_id, slug, row.night).score_key,
            "candidate": into,
            "result": {**row.result, "candidate": into},
        }
        connection.execute(sa.update(candidate_score).where(here).values(values))
