"""Candidates, their measurements and their scores.

Recording is idempotent: a measurement is identified by candidate, time, band, value and kind, whichever message it comes
with. Times are 64-bit MJD, as sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mma_pipeline.adapters.archive import schema
from mma_pipeline.adapters.archive.alerts import Archive, _insert_for, _insert_message
from mma_pipeline.adapters.archive.database import batched, reading, writing
from mma_pipeline.adapters.archive.schema import candidate, candidate_score, measurement
from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.notices.photometry.brightness import DETECTION_SNR, SNR_MAG
from mma_pipeline.notices.photometry.candidate_key import slug_of
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement, PhotometryNotice
from mma_pipeline.notices.photometry.survey_points import SeenPoints, one_per_exposure


@dataclass(frozen=True, slots=True)
class ArchivedMeasurement:
    """A measurement with the message that it came with."""

    id: int
    measurement: Measurement
    message_id: int


@dataclass(frozen=True, slots=True)
class ArchivedCandidate:
    """A candidate and the span of its measurements."""

    candidate: Candidate
    slug: str
    simulated: bool
    first_detection: float | None
    """MJD of the first one with a signal-to-noise ratio of 3 or more; None if there is none."""
    last: float
    """MJD of the latest measurement."""


class PhotometryArchive:
    """The photometry in an archive; safe to share between threads."""

    def __init__(self, archive: Archive) -> None:
        """Access the photometry of an open archive."""
        self.engine = archive.engine

    def record(self, message: StreamMessage, notice: PhotometryNotice) -> list[ArchivedMeasurement]:
        """Archive a message and its measurements in one transaction.

        Returns the measurements that came first with this message, also if it is recorded again, so that a crash after
        this step loses nothing.
        """
        with writing(self.engine) as connection:
            message_id = _insert_message(connection, message, event_id=notice.event_id, reason=None)
            insert = _insert_for(connection)
            for one in {m.candidate.name: m.candidate for m in notice.measurements}.values():
                known = {"ebv": one.ebv, "redshift": one.redshift}
                head = {"name": one.name, "slug": slug_of(one.name), "ra": one.ra, "dec": one.dec, **known}
                connection.execute(
                    insert(candidate).values(**head, simulated=notice.simulated).on_conflict_do_nothing()
                )
                # A later message may have the extinction or redshift that the first one lacks.
                for name, value in known.items():
                    if value is not None:
                        unknown = sa.and_(candidate.c.name == one.name, candidate.c[name].is_(None))
                        connection.execute(sa.update(candidate).where(unknown).values({name: value}))
            rows = [measurement_row(m, message_id) for m in unknown_points(connection, notice.measurements)]
            if rows:
                connection.execute(insert(measurement).on_conflict_do_nothing(), rows)
            return _select(connection, measurement.c.message_id == message_id)

    def candidate(self, name: str) -> ArchivedCandidate:
        """A candidate by name; raises NotFoundError."""
        found = self._candidates(candidate.c.name == name)
        if not found:
            raise NotFoundError(f"no candidate {name} is archived: send its photometry with `mma publish-photometry`")
        return found[0]

    def candidates_named(self, names: Iterable[str]) -> list[ArchivedCandidate]:
        """Several candidates by name; those that are not archived are left out."""
        return [found for some in batched(names) for found in self._candidates(candidate.c.name.in_(some))]

    def by_slug(self, slug: str) -> ArchivedCandidate:
        """A candidate by the slug of partition keys; raises NotFoundError."""
        found = self._candidates(candidate.c.slug == slug)
        if not found:
            raise NotFoundError(f"no candidate {slug} is archived")
        return found[0]

    def candidates(self, *, since_mjd: float = 0.0) -> list[ArchivedCandidate]:
        """Candidates measured since an MJD, by name."""
        return [found for found in self._candidates(sa.true()) if found.last >= since_mjd]

    def measurements(self, name: str) -> list[ArchivedMeasurement]:
        """All measurements of a candidate by time, of a survey's exposure the best."""
        with reading(self.engine) as connection:
            return one_per_exposure(_select(connection, measurement.c.candidate == name), _value)

    def measurements_of(self, names: Iterable[str]) -> dict[str, list[ArchivedMeasurement]]:
        """The same of several candidates; candidates without any are absent."""
        found: dict[str, list[ArchivedMeasurement]] = {}
        with reading(self.engine) as connection:
            for some in batched(names):
                for one in _select(connection, measurement.c.candidate.in_(some)):
                    found.setdefault(one.measurement.candidate.name, []).append(one)
        return {name: one_per_exposure(some, _value) for name, some in found.items()}

    def measured_since_retry(self, since: datetime) -> list[ArchivedMeasurement]:
        """Measurements of messages that left quarantine since a time, by time."""
        solved = sa.select(schema.message.c.id).where(schema.message.c.solved >= since)
        with reading(self.engine) as connection:
            return _select(connection, measurement.c.message_id.in_(solved))

    def events_since(self, created: datetime) -> list[str]:
        """Ids of events with a version created since a time, in order."""
        version = schema.version
        query = sa.select(version.c.event_id).where(version.c.created >= created).distinct()
        with reading(self.engine) as connection:
            return [str(event_id) for event_id in connection.execute(query.order_by(version.c.event_id)).scalars()]

    def record_score(self, partition_key: str, event_id: str, name: str, night: int, result: Mapping[str, Any]) -> None:
        """Record the score of a candidate night, replacing an earlier one."""
        row = {"event_id": event_id, "candidate": name, "night": night, "result": dict(result)}
        with writing(self.engine) as connection:
            connection.execute(sa.delete(candidate_score).where(candidate_score.c.partition_key == partition_key))
            connection.execute(sa.insert(candidate_score).values(partition_key=partition_key, **row))

    def record_scores(self, scores: Mapping[str, Mapping[str, Any]]) -> None:
        """Note the scores of several candidate nights by partition key, in one transaction; a result names event, candidate and night."""
        rows = [
            {
                "partition_key": key,
                "event_id": result["event_id"],
                "candidate": result["candidate"],
                "night": result["night"],
                "result": dict(result),
            }
            for key, result in sorted(scores.items())
        ]
        with writing(self.engine) as connection:
            for some in batched(scores):
                connection.execute(sa.delete(candidate_score).where(candidate_score.c.partition_key.in_(some)))
            if rows:
                connection.execute(sa.insert(candidate_score), rows)

    def scores_at(self, partition_keys: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """The scores of several candidate nights, by partition key; those without are absent."""
        table = candidate_score
        with reading(self.engine) as connection:
            return {
                row.partition_key: row.result
                for some in batched(partition_keys)
                for row in connection.execute(sa.select(table).where(table.c.partition_key.in_(some)))
            }

    def score(self, partition_key: str) -> Mapping[str, Any] | None:
        """The score of a candidate night; None if it has none yet."""
        query = sa.select(candidate_score.c.result).where(candidate_score.c.partition_key == partition_key)
        with reading(self.engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else dict(row.result)

    def latest_scores(self, event_id: str) -> list[Mapping[str, Any]]:
        """The result of the latest night of each candidate of an event, most probable first, excluded ones last.

        A candidate excluded in one night is excluded, even if later nights were scored before and did not exclude it.
        """
        return self.latest_scores_of([event_id]).get(event_id, [])

    def latest_scores_of(self, event_ids: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
        """The same for several events; events without candidates are absent."""
        table = candidate_score
        found: dict[str, dict[str, Mapping[str, Any]]] = {}
        excluded: dict[str, dict[str, Mapping[str, Any]]] = {}
        with reading(self.engine) as connection:
            for some in batched(event_ids):
                query = sa.select(table).where(table.c.event_id.in_(some))
                for row in connection.execute(query.order_by(table.c.night, table.c.partition_key)):
                    found.setdefault(row.event_id, {})[row.candidate] = row.result
                    if row.result.get("status") == "excluded":
                        excluded.setdefault(row.event_id, {})[row.candidate] = row.result
        return {
            event_id: sorted((latest | excluded.get(event_id, {})).values(), key=_rank)
            for event_id, latest in found.items()
        }

    def _candidates(self, where: sa.ColumnElement[bool]) -> list[ArchivedCandidate]:
        error = measurement.c.error
        seen = sa.and_(measurement.c.upper_limit.is_(False), sa.or_(error.is_(None), error * DETECTION_SNR <= SNR_MAG))
        first = sa.func.min(sa.case((seen, measurement.c.mjd)))
        query = (
            sa.select(candidate, first.label("first_detection"), sa.func.max(measurement.c.mjd).label("last"))
            .join(measurement, measurement.c.candidate == candidate.c.name)
            .where(where)
            .group_by(*candidate.c)
            .order_by(candidate.c.name)
        )
        with reading(self.engine) as connection:
            return [
                ArchivedCandidate(
                    Candidate(r.name, r.ra, r.dec, r.ebv, r.redshift),
                    r.slug,
                    bool(r.simulated),
                    r.first_detection,
                    r.last,
                )
                for r in connection.execute(query)
            ]


def _rank(result: Mapping[str, Any]) -> tuple[bool, bool, float, float, str]:
    """What is not excluded first, of that what can be known, then by posterior (where a prior could be stated), then by the light curve."""
    posterior = result.get("posterior")
    probability = result["p_phot"]
    return (
        result.get("status") == "excluded",
        not result["sufficient"],
        -(probability if posterior is None else posterior),
        -probability,
        str(result["candidate"]),
    )


def _value(archived: ArchivedMeasurement) -> Measurement:
    return archived.measurement


def measurement_row(m: Measurement, message_id: int) -> dict[str, Any]:
    """The row of a measurement that a message brings."""
    return {
        "candidate": m.candidate.name, "mjd": m.mjd, "band": m.band, "magnitude": m.magnitude, "error": m.error,
        "upper_limit": m.upper_limit, "telescope": m.telescope, "instrument": m.instrument, "flux_njy": m.flux_njy,
        "flux_error_njy": m.flux_error_njy, "origin": m.origin, "message_id": message_id,
    }  # fmt: skip


def unknown_points(connection: sa.Connection, measured: Sequence[Measurement]) -> list[Measurement]:
    """Those that no other way has brought: two brokers give a survey's point with times and values that differ by rounding."""
    names = sorted({m.candidate.name for m in measured if m.origin is not None})
    t, seen = measurement.c, SeenPoints()
    for some in batched(names):
        query = sa.select(t.candidate, t.band, t.origin, t.mjd).where(t.candidate.in_(some), t.origin.is_not(None))
        for row in connection.execute(query):
            seen.add(row.candidate, row.band, row.origin, row.mjd)
    return [m for m in measured if m.origin is None or seen.add(m.candidate.name, m.band, m.origin, m.mjd)]


def _select(connection: sa.Connection, where: sa.ColumnElement[bool]) -> list[ArchivedMeasurement]:
    c = candidate.c
    columns: Sequence[sa.ColumnElement[Any]] = [measurement, c.ra, c.dec, c.ebv, c.redshift]  # type: ignore[list-item]
    query = (
        sa.select(*columns)
        .join(candidate, candidate.c.name == measurement.c.candidate)
        .where(where)
        .order_by(measurement.c.mjd, measurement.c.band, measurement.c.id)
    )
    return [
        ArchivedMeasurement(
            r.id,
            Measurement(
                Candidate(r.candidate, r.ra, r.dec, r.ebv, r.redshift),
                r.mjd,
                r.band,
                r.magnitude,
                r.error,
                bool(r.upper_limit),
                r.telescope,
                r.instrument,
                r.flux_njy,
                r.flux_error_njy,
                r.origin,
            ),
            r.message_id,
        )
        for r in connection.execute(query)
    ]
