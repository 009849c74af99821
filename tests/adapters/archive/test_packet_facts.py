"""What packets say of candidates stays in the archive: the newest word, under whatever name, until the candidate goes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import fastavro
import pytest

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.packet_facts import as_values, facts_of, from_values
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.photometry.messages import read_photometry_message
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement, PhotometryNotice
from mma_pipeline.notices.surveys import CatalogMatch, PacketFacts, SolarSystemMatch
from tests.homes import new_archive

SURVEYS = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "surveys"
needs_data = pytest.mark.skipif(not SURVEYS.exists(), reason=f"no real packets: {SURVEYS} is not there")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An empty archive."""
    return new_archive(f"sqlite:///{tmp_path / 'archive.db'}")


def _message(number: int, body: bytes = b"{}") -> StreamMessage:
    return StreamMessage("s", "t", 0, number, body, None, (), None, datetime(2026, 1, 1, tzinfo=UTC))


def _notice(name: str, place: tuple[float, float], facts: PacketFacts, mjd: float = 60000.0) -> PhotometryNotice:
    return PhotometryNotice((Measurement(Candidate(name, *place), mjd, "r", 20.0, 0.1),), "test", facts={name: facts})


def test_values_come_back_whole() -> None:
    """Everything that a packet can say survives the way through JSON values; what it does not say is not stored."""
    facts = PacketFacts(
        0.9, "drb", 0.8, 1.2, SolarSystemMatch("Eros", None), True, 60000.5, 0.1,
        (CatalogMatch("Gaia DR3", "1", 0.2, None), CatalogMatch("SIMBAD type", "QSO", None, 1.0)), {"Plx": 1.5},
    )  # fmt: skip
    assert from_values(as_values(facts)) == facts
    assert as_values(PacketFacts()) == {}


def test_the_newest_packet_counts(archive: Archive) -> None:
    """A later message replaces the word of an earlier one; the same message again changes nothing."""
    photometry, here = PhotometryArchive(archive), (10.0, 20.0)
    photometry.record(_message(1), _notice("ZTF1", here, PacketFacts(star_score=0.1)))
    photometry.record(_message(2), _notice("ZTF1", here, PacketFacts(star_score=0.7), 60001.0))
    photometry.record(_message(1), _notice("ZTF1", here, PacketFacts(star_score=0.1)))
    assert facts_of(archive, ["ZTF1", "other"]) == {"ZTF1": PacketFacts(star_score=0.7)}


def test_one_object_keeps_the_newer_word(archive: Archive) -> None:
    """Two candidates that a third name joins: the first's name, the newer packet's word."""
    photometry, arcsec = PhotometryArchive(archive), 1 / 3600
    photometry.record(_message(1), _notice("A", (10.0, 20.0), PacketFacts(star_score=0.1)))
    photometry.record(_message(2), _notice("B", (10.0, 20.0 + 3 * arcsec), PacketFacts(star_score=0.2), 60001.0))
    photometry.record(_message(3), _notice("C", (10.0, 20.0 + 1.5 * arcsec), PacketFacts(star_score=0.3), 60002.0))
    assert facts_of(archive, ["A", "B", "C"]) == {"A": PacketFacts(star_score=0.3)}


@needs_data
def test_a_real_packet_of_ztf(archive: Archive) -> None:
    """Star score and its separation of a public ZTF packet are those that fastavro reads from it."""
    path = SURVEYS / "ztf" / "2695378462115010012.avro"
    with path.open("rb") as handle:
        record = next(fastavro.reader(handle))
    notice = read_photometry_message(path.read_bytes())
    PhotometryArchive(archive).record(_message(1, path.read_bytes()), notice)
    facts = facts_of(archive, [record["objectId"]])[record["objectId"]]
    assert facts.star_score == pytest.approx(record["candidate"]["sgscore1"])
    assert facts.star_distance_arcsec == pytest.approx(record["candidate"]["distpsnr1"])
