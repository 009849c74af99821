"""Photometry in the archive: full precision, once per measurement, with its message."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import mma_pipeline.adapters.archive as archive_package
from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.migrate import migrate
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement
from mma_pipeline.notices.photometry.message import encode, encode_source_v1, parse
from tests.homes import new_archive

HERE = Candidate("AT2017gfo", 197.450374, -23.381495)
MJD = 57983.003059500006


@pytest.fixture
def opened(tmp_path):
    """An empty archive."""
    archive = new_archive(f"sqlite:///{tmp_path / 'archive.db'}")
    return archive, PhotometryArchive(archive)


def message(body, offset):
    """A message of the photometry topic."""
    return StreamMessage(
        "photometry", "mma.photometry", 0, offset, body, None, (), None, datetime(2026, 1, 1, tzinfo=UTC)
    )


def test_measurements_keep_every_digit_and_their_message(opened):
    """A time and a magnitude come back bit for bit, with the message that brought them."""
    archive, photometry = opened
    m = Measurement(HERE, MJD, "i", 17.480130787100002, 0.02529849344005, telescope="CTIO")
    body = encode([m])
    photometry.record(message(body, 1), parse(body))
    (found,) = photometry.measurements("AT2017gfo")
    assert found.measurement == m
    assert archive.message(found.message_id).body == body


def test_each_measurement_is_archived_once(opened):
    """The same measurement by another message, in another format, or again after a crash is archived once."""
    _, photometry = opened
    m = Measurement(HERE, MJD, "i", 17.48, 0.025)
    first, second = encode_source_v1(m), encode([m, Measurement(HERE, MJD + 1, "i", 18.0, 0.1)])
    brought = photometry.record(message(first, 1), parse(first))
    assert photometry.record(message(first, 1), parse(first)) == brought
    assert [b.measurement.mjd for b in photometry.record(message(second, 2), parse(second))] == [MJD + 1]
    assert len(photometry.measurements("AT2017gfo")) == 2


def test_candidate_spans_and_extinction(opened):
    """A candidate knows its first detection (not limit), its last measurement, and a later extinction."""
    _, photometry = opened
    rows = [Measurement(HERE, MJD - 5, "r", 22.0, None, upper_limit=True), Measurement(HERE, MJD, "r", 18.0, 0.1)]
    body = encode(rows, simulated=True)
    photometry.record(message(body, 1), parse(body))
    found = photometry.candidate("AT2017gfo")
    assert (found.first_detection, found.last, found.simulated) == (MJD, MJD, True)
    later = encode([Measurement(Candidate("AT2017gfo", 197.45, -23.38, 0.105), MJD + 1, "r", 18.5, 0.1)])
    photometry.record(message(later, 2), parse(later))
    assert photometry.candidate("AT2017gfo").candidate == Candidate("AT2017gfo", HERE.ra, HERE.dec, 0.105)
    assert [c.candidate.name for c in photometry.candidates(since_mjd=MJD)] == ["AT2017gfo"]
    assert photometry.candidates(since_mjd=MJD + 2) == []
    with pytest.raises(NotFoundError, match="publish-photometry"):
        photometry.candidate("AT2099x")


def test_redshift_of_a_later_message(opened):
    """A redshift that the first message left out comes from a later one; the first that is known stays, as the rest does."""
    _, photometry = opened
    for number, redshift in enumerate((None, 0.009727, None, 0.3)):
        here = Candidate(HERE.name, HERE.ra, HERE.dec, 0.105, redshift)
        body = encode([Measurement(here, MJD + number, "r", 18.0, 0.1)])
        photometry.record(message(body, number), parse(body))
        known = None if number == 0 else 0.009727
        assert photometry.candidate(HERE.name).candidate == Candidate(HERE.name, HERE.ra, HERE.dec, 0.105, known)
    assert {m.measurement.candidate.redshift for m in photometry.measurements(HERE.name)} == {0.009727}


def test_an_archive_of_before_learns_redshifts(tmp_path):
    """Photometry archived before there was a column for redshifts is kept, and takes one from a later message."""
    url = f"sqlite:///{tmp_path / 'archive.db'}"
    archive = new_archive(url)
    first = encode_source_v1(Measurement(HERE, MJD, "i", 17.48, 0.025))
    PhotometryArchive(archive).record(message(first, 1), parse(first))
    with archive.engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(archive_package.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
        columns = {c["name"] for c in sa.inspect(connection).get_columns("candidate")}
        assert columns == {"name", "slug", "ra", "dec", "ebv", "simulated"}
    migrate(archive.engine)
    photometry = PhotometryArchive(Archive(url))
    assert [m.measurement.mjd for m in photometry.measurements(HERE.name)] == [MJD]
    later = encode([Measurement(Candidate(HERE.name, HERE.ra, HERE.dec, None, 0.0098), MJD + 1, "r", 18.5, 0.1)])
    photometry.record(message(later, 2), parse(later))
    assert photometry.candidate(HERE.name).candidate.redshift == 0.0098


def test_photometry_moves_with_the_archive(tmp_path):
    """`mma archive export` and `import`, each in a process of its own, bring candidates, redshifts and scores along."""
    photometry = PhotometryArchive(new_archive(f"sqlite:///{tmp_path / 'old.db'}"))
    here = Candidate(HERE.name, HERE.ra, HERE.dec, 0.105, 0.0098)
    body = encode([Measurement(here, MJD, "i", 17.480130787100002, 0.025)])
    photometry.record(message(body, 1), parse(body))
    photometry.record_score("S230518h-x-MJD57983", "S230518h", HERE.name, 57983, {"p_phot": 0.5})
    for command_name, database in (("export", "old.db"), ("import", "new.db")):
        subprocess.run(
            [
                sys.executable,
                "-c",
                "from mma_pipeline.cli import app; app()",
                "archive",
                command_name,
                str(tmp_path / "moved.gz"),
            ],
            env={**os.environ, "MMA_ARCHIVE_URL": f"sqlite:///{tmp_path / database}"},
            check=True,
            timeout=120,
            capture_output=True,
        )
    moved = PhotometryArchive(Archive(f"sqlite:///{tmp_path / 'new.db'}"))
    assert moved.measurements(HERE.name) == photometry.measurements(HERE.name)
    assert moved.candidate(HERE.name).candidate == here
    assert moved.score("S230518h-x-MJD57983") == {"p_phot": 0.5}


def test_scores_rank_the_latest_night(opened):
    """The latest night of each candidate counts; what cannot be judged yet comes last; then the posterior decides."""
    _, photometry = opened
    for number, name in enumerate(("A1", "B1", "C1")):
        body = encode([Measurement(Candidate(name, 10.0 + number, 10.0), MJD, "r", 18.0, 0.1)])
        photometry.record(message(body, number), parse(body))

    def score(name, night, p, posterior, sufficient=True):
        result = {"candidate": name, "p_phot": p, "posterior": posterior, "sufficient": sufficient}
        photometry.record_score(f"S230518h-{name}-MJD{night}", "S230518h", name, night, result)

    score("A1", 57983, 0.99, 0.9)
    score("A1", 57984, 0.3, 0.1)
    score("B1", 57983, 0.8, 0.5)
    score("C1", 57983, 0.95, 0.95, sufficient=False)
    assert [r["candidate"] for r in photometry.latest_scores("S230518h")] == ["B1", "A1", "C1"]
    assert photometry.latest_scores("S230518h")[1]["p_phot"] == 0.3


def test_an_excluded_candidate_ranks_last(opened):
    """One night that excludes a candidate holds for all, and puts it behind what cannot be judged yet."""
    _, photometry = opened
    for number, name in enumerate(("A1", "C1")):
        body = encode([Measurement(Candidate(name, 10.0 + number, 10.0), MJD, "r", 18.0, 0.1)])
        photometry.record(message(body, number), parse(body))
    numbers = {"p_phot": 0.99, "posterior": 0.9}
    for night, status in ((57983, "excluded"), (57984, "scored")):
        result = {"candidate": "A1", "sufficient": True, "status": status, **numbers}
        photometry.record_score(f"S230518h-A1-MJD{night}", "S230518h", "A1", night, result)
    late = {"candidate": "C1", "sufficient": False, "status": "insufficient_data", **numbers}
    photometry.record_score("S230518h-C1-MJD57983", "S230518h", "C1", 57983, late)
    ranked = photometry.latest_scores("S230518h")
    assert [(r["candidate"], r["status"]) for r in ranked] == [("C1", "insufficient_data"), ("A1", "excluded")]


def test_the_first_detection_has_a_signal_to_noise_of_three(opened):
    """A magnitude of S/N 2.9 is none, one of 3 or of unknown error is; S/N is 1.0857 over the error in mag."""
    _, photometry = opened
    rows = [Measurement(HERE, MJD - 3, "r", 22.0, 1.0857 / 2.9), Measurement(HERE, MJD - 2, "r", 22.0, 1.0857 / 3.01)]
    body = encode(rows)
    photometry.record(message(body, 1), parse(body))
    assert photometry.candidate("AT2017gfo").first_detection == MJD - 2
    later = encode([Measurement(HERE, MJD - 4, "r", 22.0, None)])
    photometry.record(message(later, 2), parse(later))
    assert photometry.candidate("AT2017gfo").first_detection == MJD - 4
