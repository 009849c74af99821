"""Candidates, their measurements and their scores.

Recording is idempotent: a measurement is identified by candidate, time, band, value and kind, whichever message it comes
with. Times are 64-bit MJD, as sent. A candidate is found by any of its names (`identities`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mma_pipeline.adapters.archive import schema
from mma_pipeline.adapters.archive.alerts import Archive, _insert_for, _insert_message
from mma_pipeline.adapters.archive.database import batched, reading, writing
from mma_pipeline.adapters.archive.identities import (
    aliases_of,
    identify,
    lock_candidates,
    resolve,
    resolve_keys,
    resolve_slugs,
)
from mma_pipeline.adapters.archive.packet_facts import note_facts
from mma_pipeline.adapters.archive.schema import candidate, candidate_score, measurement
from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.brightness import DETECTION_SNR, SNR_MAG
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement, PhotometryNotice
from mma_pipeline.notices.photometry.same_object import Nearness
from mma_pipeline.notices.photometry.survey_points import SeenPoints, one_per_exposure

_log = logging.getLogger(__name__)


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
    aliases: tuple[str, ...] = ()
    """Its other names, sorted."""


class PhotometryArchive:
    """The photometry in an archive; safe to share between threads."""

    def __init__(self, archive: Archive, nearness: Nearness | None = None) -> None:
        """Access the photometry of an open archive; `nearness` says which objects are one where measurements are recorded."""
        self.engine = archive.engine
        self.nearness = nearness or Nearness()

    def record(self, message: StreamMessage, notice: PhotometryNotice) -> list[ArchivedMeasurement]:
        """Archive a message and its measurements in one transaction.

        Returns the measurements that came first with this message, also if it is recorded again, so that a crash after
        this step loses nothing; all of a candidate into which others were merged, whose nights deserve new scores; and the
        latest of a candidate of the message whose latest score does not know its redshift or extinction yet.

        Objects whose name is known to be at another place are left out, with the reason in the log. Raises NoticeError with
        that reason, and archives nothing, if no measurement is left.
        """
        with writing(self.engine) as connection:
            sent = [m.candidate for m in notice.measurements]
            found = identify(connection, sent, self.nearness, simulated=notice.simulated)
            taken = [known for m in notice.measurements if (known := found.of(m)) is not None]
            if found.refused and not taken:
                raise NoticeError(next(iter(found.refused.values())))
            for reason in found.refused.values():
                _log.warning("%s: measurements left out: %s", message.coordinates, reason)
            message_id = _insert_message(connection, message, event_id=notice.event_id, reason=None)
            rows = [measurement_row(m, message_id) for m in unknown_points(connection, taken)]
            if rows:
                connection.execute(_insert_for(connection)(measurement).on_conflict_do_nothing(), rows)
            note_facts(connection, message_id, found.of_objects(notice))
            of_merged = measurement.c.candidate.in_(found.merged)
            late = measurement.c.id.in_(_scored_without_facts(connection, {m.candidate.name for m in taken}))
            return _select(connection, sa.or_(measurement.c.message_id == message_id, of_merged, late))

    def candidate(self, name: str) -> ArchivedCandidate:
        """A candidate by any of its names, in whatever spelling; raises NotFoundError."""
        found = self._candidates(candidate.c.name == self.name_of(name))
        if not found:
            raise NotFoundError(f"no candidate {name} is archived: send its photometry with `mma publish-photometry`")
        return found[0]

    def name_of(self, name: str) -> str:
        """The name under which a candidate's measurements are, by any of its names; the name itself where it is not known."""
        with reading(self.engine) as connection:
            return resolve(connection, [name]).get(name, name)

    def names_of(self, name: str) -> tuple[str, ...]:
        """All names of a candidate by any of them, its own first; the name alone where it is not known."""
        with reading(self.engine) as connection:
            own = resolve(connection, [name]).get(name, name)
            return own, *aliases_of(connection, [own]).get(own, ())

    def candidates_named(self, names: Iterable[str]) -> list[ArchivedCandidate]:
        """Several candidates by their own names; those that are not archived are left out."""
        return [found for some in batched(names) for found in self._candidates(candidate.c.name.in_(some))]

    def by_slug(self, slug: str) -> ArchivedCandidate:
        """A candidate by the slug of any of its names, as in partition keys; raises NotFoundError."""
        with reading(self.engine) as connection:
            own = resolve_slugs(connection, [slug]).get(slug)
            like = resolve(connection, [slug]).get(slug) if own is None else None
        found = self._candidates(candidate.c.slug == own if like is None else candidate.c.name == like)
        if not found:
            raise NotFoundError(f"no candidate {slug} is archived")
        return found[0]

    def candidates(self, *, since_mjd: float = 0.0) -> list[ArchivedCandidate]:
        """Candidates measured since an MJD, by name."""
        return [found for found in self._candidates(sa.true()) if found.last >= since_mjd]

    def measurements(self, name: str) -> list[ArchivedMeasurement]:
        """All measurements of a candidate, by any of its names, by time, of a survey's exposure the best."""
        with reading(self.engine) as connection:
            own = resolve(connection, [name]).get(name, name)
            return one_per_exposure(_select(connection, measurement.c.candidate == own), _value)

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
        """Record the score of a candidate night, replacing an earlier one; under the key of the candidate's own name."""
        self._record_scores({partition_key: (event_id, name, night, result)})

    def record_scores(self, scores: Mapping[str, Mapping[str, Any]]) -> None:
        """Note the scores of several candidate nights by partition key, in one transaction; a result names event, candidate and night."""
        self._record_scores({key: (r["event_id"], r["candidate"], r["night"], r) for key, r in sorted(scores.items())})

    def _record_scores(self, scores: Mapping[str, tuple[str, str, int, Mapping[str, Any]]]) -> None:
        with writing(self.engine) as connection:
            lock_candidates(connection)
            keys = resolve_keys(connection, scores)
            names = resolve(connection, {name for _, name, _, _ in scores.values()})
            rows = {
                (own := keys.get(key, key)): {
                    "partition_key": own,
                    "event_id": event_id,
                    "candidate": names.get(name, name),
                    "night": night,
                    "result": dict(result),
                }
                for key, (event_id, name, night, result) in scores.items()
            }
            for some in batched(rows):
                connection.execute(sa.delete(candidate_score).where(candidate_score.c.partition_key.in_(some)))
            if rows:
                connection.execute(sa.insert(candidate_score), list(rows.values()))

    def scores_at(self, partition_keys: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """The scores of several candidate nights, by partition key; those without are absent. Keys of any name will do."""
        table = candidate_score
        keys = list(partition_keys)
        with reading(self.engine) as connection:
            own = resolve_keys(connection, keys)
            found = {
                row.partition_key: row.result
                for some in batched({own.get(key, key) for key in keys})
                for row in connection.execute(sa.select(table).where(table.c.partition_key.in_(some)))
            }
        return {key: found[own.get(key, key)] for key in keys if own.get(key, key) in found}

    def score(self, partition_key: str) -> Mapping[str, Any] | None:
        """The score of a candidate night; None if it has none yet."""
        found = self.scores_at([partition_key]).get(partition_key)
        return None if found is None else dict(found)

    def scores_of(self, name: str) -> list[Mapping[str, Any]]:
        """The results of every scored night of a candidate, by any of its names, by event and night."""
        table = candidate_score
        with reading(self.engine) as connection:
            own = resolve(connection, [name]).get(name, name)
            query = sa.select(table.c.result).where(table.c.candidate == own)
            return list(connection.execute(query.order_by(table.c.event_id, table.c.night)).scalars())

    def latest_scores(self, event_id: str) -> list[Mapping[str, Any]]:
        """The result of the latest night of each candidate of an event, most probable first, excluded ones last.

        A candidate excluded in one night is excluded, even if later nights were scored before and did not exclude it.
        """
        return self.latest_scores_of([event_id]).get(event_id, [])

    def latest_scores_of(self, event_ids: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
        """The same for several events; events without candidates are absent. `aliases` lists other names, if there are any."""
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
            others = aliases_of(connection, {name for latest in found.values() for name in latest})
        chosen = {event_id: latest | excluded.get(event_id, {}) for event_id, latest in found.items()}
        return {
            event_id: sorted((_with_aliases(r, others.get(name)) for name, r in some.items()), key=_rank)
            for event_id, some in chosen.items()
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
            rows = connection.execute(query).all()
            others = aliases_of(connection, [row.name for row in rows])
        return [
            ArchivedCandidate(
                Candidate(r.name, r.ra, r.dec, r.ebv, r.redshift),
                r.slug,
                bool(r.simulated),
                r.first_detection,
                r.last,
                others.get(r.name, ()),
            )
            for r in rows
        ]


def _scored_without_facts(connection: sa.Connection, names: set[str]) -> list[int]:
    """Ids of the latest measurement of candidates whose latest score lacks the redshift or extinction that is known by now."""
    table, stale = candidate_score, []
    for some in batched(sorted(names)):
        known = {
            row.name: row
            for row in connection.execute(sa.select(candidate).where(candidate.c.name.in_(some)))
            if row.redshift is not None or row.ebv is not None
        }
        query = sa.select(table).where(table.c.candidate.in_(sorted(known))).order_by(table.c.night)
        latest = {row.candidate: row.result for row in connection.execute(query)} if known else {}
        stale += [
            name
            for name, result in latest.items()
            if any(getattr(known[name], fact) is not None and result.get(fact) is None for fact in ("redshift", "ebv"))
        ]
    newest = sa.select(measurement.c.id).order_by(measurement.c.mjd.desc(), measurement.c.id.desc()).limit(1)
    return [connection.execute(newest.where(measurement.c.candidate == name)).scalar_one() for name in stale]


def _with_aliases(result: Mapping[str, Any], others: Sequence[str] | None) -> Mapping[str, Any]:
    return {**result, "aliases": list(others)} if others else result


def _rank(result: Mapping[str, Any]) -> tuple[bool, bool, float, float, str]:
    """What is not excluded first, of that what can be known, then by what is known after the vetting (from the posterior where a prior could be stated), then by the light curve."""
    probability = result["p_phot"]
    # Scores of before the vetting have no probability after it.
    known = [result.get(name) for name in ("vetted_probability", "posterior")]
    return (
        result.get("status") == "excluded",
        not result["sufficient"],
        -next((value for value in known if value is not None), probability),
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
