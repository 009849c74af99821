"""Forgetting mock events that photometry names: what is invented goes with them, what was measured stays."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from mma_pipeline.adapters.archive import decisions, outbox, schema
from mma_pipeline.adapters.archive.database import reading, writing
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.archive.publications import Draft
from mma_pipeline.adapters.archive.retention import forget
from mma_pipeline.adapters.archive.schema import candidate, candidate_score, measurement
from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.notices.key import EventVersion
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement, PhotometryNotice
from mma_pipeline.notices.photometry.message import encode, parse
from tests.homes import new_archive
from tests.services.postgres import PostgresServer
from tests.services.process import wait_until

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MJD = 61100
FIRST, SECOND, REAL = "MS260301a", "MS260301b", "S260301c"
INVENTED, MEASURED = Candidate("SIM-kn", 10.0, 20.0), Candidate("AT2026abc", 11.0, 21.0)


class PublishingHome:
    """An archive with one version of each of two mock events and a real one."""

    def __init__(self, url: str) -> None:
        self.archive = new_archive(url)
        self.photometry = PhotometryArchive(self.archive)
        self.sent = 0
        self.keys: dict[str, str] = {}
        for event_id in (FIRST, SECOND, REAL):
            version = EventVersion(event_id, NOW, "Preliminary", "0123456789")
            self.archive.record(self.message(event_id.encode(), "gw"), [(version, {})])
            self.keys[event_id] = version.partition_key

    def message(self, body: bytes, stream: str = "photometry") -> StreamMessage:
        """The next message of a stream."""
        self.sent += 1
        return StreamMessage(stream, stream, 0, self.sent, body, None, (), None, NOW)

    def receive(self, body: bytes) -> StreamMessage:
        """Archive photometry as the sensor does."""
        message = self.message(body)
        self.photometry.record(message, parse(body))
        return message

    def score(self, event_id: str, of: Candidate) -> None:
        """Note the score of a night."""
        self.photometry.record_score(f"{event_id}-{of.name}-MJD{MJD}", event_id, of.name, MJD, {"p_phot": 0.5})

    def forget(self, *events: str) -> None:
        """Forget events whole."""
        forget(self.archive.engine, [self.keys[event_id] for event_id in events])

    def column(self, column: sa.Column[object]) -> list[object]:
        """All values of a column, in order."""
        with reading(self.archive.engine) as connection:
            return list(connection.execute(sa.select(column).order_by(column)).scalars())

    def has(self, message: StreamMessage) -> bool:
        """Whether a message and its content are archived."""
        with reading(self.archive.engine) as connection:
            there = sa.and_(schema.message.c.offset == message.offset, schema.message.c.stream == message.stream)
            query = sa.select(schema.body.c.data).join(schema.message).where(there)
            return connection.execute(query).scalars().all() == [message.body]


@pytest.fixture(params=["sqlite", "postgresql"])
def publishing(request: pytest.FixtureRequest, tmp_path: Path) -> PublishingHome:
    """The archive on each database."""
    sqlite = f"sqlite:///{tmp_path / 'archive.db'}"
    return PublishingHome(sqlite if request.param == "sqlite" else request.getfixturevalue("postgres_url"))


def seen(of: Candidate, day: int = 0) -> Measurement:
    """One detection."""
    return Measurement(of, MJD + day + 0.25, "r", 19.0, 0.1)


def test_a_named_mock_event_goes_with_what_was_invented_for_it(publishing: PublishingHome) -> None:
    """Simulated photometry that names the event goes, repetitions too, and with its score the candidate; others stay."""
    body = encode([seen(INVENTED)], event_id=FIRST, simulated=True)
    gone = [publishing.receive(body), publishing.receive(body)]
    other, nameless = Candidate("SIM-2", 12.0, 22.0), Candidate("SIM-3", 13.0, 23.0)
    kept = [
        publishing.receive(encode([seen(other)], event_id=SECOND, simulated=True)),
        publishing.receive(encode([seen(nameless)], simulated=True)),
    ]
    for event_id, of in ((FIRST, INVENTED), (FIRST, other), (SECOND, other)):
        publishing.score(event_id, of)
    publishing.forget(FIRST)
    assert [publishing.has(message) for message in gone] == [False, False]
    assert [publishing.has(message) for message in kept] == [True, True]
    assert publishing.column(candidate.c.name) == ["SIM-2", "SIM-3"]
    assert publishing.column(candidate_score.c.event_id) == [SECOND]
    assert publishing.column(measurement.c.candidate) == ["SIM-2", "SIM-3"]
    assert len(publishing.column(schema.body.c.sha256)) == 4


def test_measured_photometry_stays_whatever_event_it_names(publishing: PublishingHome) -> None:
    """A real candidate keeps measurements, messages with contents and other events' scores, though it named a mock event."""
    kept = [
        publishing.receive(encode([seen(MEASURED)], event_id=FIRST)),
        publishing.receive(encode([seen(MEASURED)], event_id=FIRST)),
        publishing.receive(encode([seen(MEASURED, 1)], event_id=FIRST, simulated=True)),
    ]
    before = publishing.photometry.measurements(MEASURED.name)
    for event_id in (FIRST, SECOND, REAL):
        publishing.score(event_id, MEASURED)
    publishing.forget(FIRST)
    assert publishing.photometry.measurements(MEASURED.name) == before
    assert all(publishing.has(message) for message in kept)
    assert publishing.column(candidate_score.c.event_id) == [SECOND, REAL]
    publishing.forget(SECOND)
    assert publishing.photometry.candidate(MEASURED.name).first_detection == MJD + 0.25


def test_a_message_of_both_keeps_what_was_measured(publishing: PublishingHome) -> None:
    """Of a message with a real and a simulated candidate the simulated measurements go; the message stays."""
    publishing.receive(encode([seen(MEASURED)]))
    message = publishing.message(json.dumps({"candidates": "two"}).encode())
    rows = (seen(MEASURED, 2), seen(INVENTED, 2))
    publishing.photometry.record(message, PhotometryNotice(rows, "hermes", FIRST, True))
    publishing.forget(FIRST)
    assert publishing.has(message)
    assert publishing.column(measurement.c.mjd) == [MJD + 0.25, MJD + 2.25]
    assert publishing.column(candidate.c.name) == [MEASURED.name]


def test_photometry_that_cannot_be_read_again_stays(publishing: PublishingHome) -> None:
    """A message of photometry that brought nothing and that nobody can read is not judged, so it is kept."""
    message = publishing.message(b"of another time")
    publishing.photometry.record(message, PhotometryNotice((), "older", FIRST))
    publishing.forget(FIRST)
    assert publishing.has(message)


def test_a_simulated_candidate_stays_until_its_last_event_goes(publishing: PublishingHome) -> None:
    """While another event has a score of it the candidate stays, and goes with that event, though nothing names it."""
    publishing.receive(encode([seen(INVENTED)], event_id=FIRST, simulated=True))
    for event_id in (FIRST, SECOND):
        publishing.score(event_id, INVENTED)
    publishing.forget(FIRST)
    assert publishing.column(candidate_score.c.event_id) == [SECOND]
    assert publishing.column(candidate.c.name) == [INVENTED.name]
    with pytest.raises(NotFoundError):
        publishing.photometry.candidate(INVENTED.name)
    publishing.forget(SECOND)
    assert publishing.column(candidate.c.name) == []
    assert [record.version.event_id for record in publishing.archive.versions()] == [REAL]


def test_what_was_to_be_published_of_a_night_goes_with_the_event(publishing: PublishingHome) -> None:
    """Publications and decisions of a forgotten event go, whatever version they name; those of others stay."""
    with writing(publishing.archive.engine) as connection:
        for event_id in (FIRST, SECOND, REAL):
            for key in (publishing.keys[event_id], None, f"{event_id}-Update-20260301T130000-aaaaaaaaaa"):
                outbox.enqueue(connection, Draft("hop", "v2", f"{event_id} {key}", event_id, {}, key), NOW)
            night = f"{event_id}-SIM-kn-MJD{MJD}"
            decisions.record_decision(connection, "hop", night, event_id, accepted=True, reasons=[], now=NOW)
    publishing.forget(FIRST)
    assert publishing.column(schema.publication.c.event_id) == [SECOND] * 3 + [REAL] * 3
    assert publishing.column(schema.decision.c.event_id) == [SECOND, REAL]


def test_an_event_of_which_a_version_stays_keeps_its_candidates(publishing: PublishingHome) -> None:
    """Scores, photometry and publications go with the last version only: a younger one still shows them."""
    younger = EventVersion(FIRST, NOW, "Update", "9876543210")
    publishing.archive.record(publishing.message(b"younger", "gw"), [(younger, {})])
    message = publishing.receive(encode([seen(INVENTED)], event_id=FIRST, simulated=True))
    publishing.score(FIRST, INVENTED)
    publishing.forget(FIRST)
    assert [v.partition_key for v in publishing.archive.versions(FIRST)] == [younger.partition_key]
    assert publishing.column(candidate_score.c.event_id) == [FIRST]
    assert len(publishing.photometry.measurements(INVENTED.name)) == 1
    assert publishing.has(message)


def test_a_candidate_measured_meanwhile_stays(postgres: PostgresServer, postgres_url: str) -> None:
    """Photometry that is being archived while the candidate would go is waited for, and then the candidate stays."""
    publishing = PublishingHome(postgres_url)
    publishing.receive(encode([seen(INVENTED)], event_id=FIRST, simulated=True))
    later = publishing.message(b"later")
    publishing.photometry.record(later, PhotometryNotice((), "ours"))
    (id_of_later,) = publishing.column(schema.message.c.id)[-1:]
    row = {"mjd": MJD + 1.5, "band": "r", "magnitude": 19.5, "upper_limit": False, "message_id": id_of_later}
    with ThreadPoolExecutor(1) as pool:
        with writing(publishing.archive.engine) as connection:
            connection.execute(sa.insert(measurement).values(candidate=INVENTED.name, **row))
            forgotten = pool.submit(publishing.forget, FIRST)
            wait_until(postgres.somebody_waits, "the removal at the candidate's lock", timeout=30)
        forgotten.result(timeout=60)
    assert publishing.column(measurement.c.mjd) == [MJD + 1.5]
    assert publishing.column(candidate.c.name) == [INVENTED.name]


def test_two_mock_events_that_share_a_candidate_go_together(publishing: PublishingHome) -> None:
    """Both events in one pass leave nothing of the candidate, and nothing of the real event is touched."""
    publishing.receive(encode([seen(INVENTED)], event_id=FIRST, simulated=True))
    publishing.receive(encode([seen(INVENTED, 1)], event_id=SECOND, simulated=True))
    for event_id in (FIRST, SECOND):
        publishing.score(event_id, INVENTED)
    publishing.forget(FIRST, SECOND)
    for column in (candidate.c.name, measurement.c.id, candidate_score.c.partition_key):
        assert publishing.column(column) == []
    assert publishing.column(schema.message.c.event_id) == [REAL]
