"""A map that comes after the stream: live regions follow the archive, and what was seen before the notice is found."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import healpy
import pytest

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.store import Store
from mma_pipeline.adapters.surveys.kept_rows import KeptAlert
from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.notices.surveys import AlertHead, FluxPoint, PacketFacts
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.products.ingest import ingest, parse_alert
from mma_pipeline.products.survey_regions import LiveRegions, map_as_sent, search_kept
from mma_pipeline.science.surveys.vetting import Reason, Thresholds
from tests.alerts import body, fits_map
from tests.homes import new_archive

T0 = datetime(2024, 3, 1, 11, 59, 0, 500000, tzinfo=UTC)
MJD = mjd_of_datetime(T0)


HOURS = 1 / 24
LIMITS = Thresholds()


@pytest.fixture
def archive(tmp_path) -> Archive:
    """An empty archive."""
    return new_archive(f"sqlite:///{tmp_path / 'archive.db'}")


def receive(archive: Archive, offset: int, kind: str, created: str, **options) -> None:
    """An LVK notice of S240301a reaches the archive."""
    data = body("S240301a", kind, created=created, **options)
    message = StreamMessage("gcn", "igwn.gwalert", 0, offset, data, None, (), None, T0 + timedelta(hours=offset))
    ingest(archive, message, parse_alert)


def seen(name: str, ra: float, dec: float, mjd: float, *, flux: float = 5000.0, number: int = 0, **facts) -> KeptAlert:
    """An alert of a good, new source, but for what is said otherwise."""
    index29 = int(healpy.ang2pix(1 << 29, ra, dec, nest=True, lonlat=True))
    head = AlertHead("ztf", name, f"{name}{mjd:.6f}", ra, dec, mjd)
    known = {"real_bogus": 0.9, "star_score": 0.1, "first_mjd": mjd} | facts
    return KeptAlert(
        head, index29, FluxPoint(mjd, "ztfr", flux, 100.0, None, "alert"), PacketFacts(**known), "t", 0, number
    )


def test_a_stream_that_begins_before_the_event(archive):
    """Alerts of three nights, kept before anybody knew of the event, are found when its map comes; each other one has its reason."""
    nights = RecentNights(Store.open(f"memory://{uuid.uuid4()}"))
    nights.write(
        [
            seen("new", 150.0, 20.0, MJD + 2 * HOURS),
            seen("new", 150.0, 20.0, MJD + 20 * HOURS),
            seen("faded", 151.0, 21.0, MJD - 20 * HOURS),
            seen("varies", 150.5, 19.0, MJD - 30 * HOURS),
            seen("varies", 150.5, 19.0, MJD + 3 * HOURS),
            seen("old", 149.0, 20.5, MJD + 3 * HOURS, first_mjd=MJD - 400.0),
            seen("hint", 149.5, 20.5, MJD - 5 * HOURS, flux=450.0),
            seen("hint", 149.5, 20.5, MJD + 3 * HOURS),
            seen("star", 150.2, 20.2, MJD + 3 * HOURS, star_score=0.95),
            seen("junk", 150.3, 20.2, MJD + 3 * HOURS, real_bogus=0.05),
            seen("far", 200.0, -20.0, MJD + 3 * HOURS),
        ]
    )
    live = LiveRegions(archive, days=14.0, level=0.99, mocks=False)
    assert len(live.index(MJD + 1.0)) == 0
    receive(archive, 1, "PRELIMINARY", "2024-03-01T12:00:00Z", skymap=fits_map(150.0, 20.0, 2.0))
    (region,) = live.index(MJD + 1.0).regions
    found = search_kept(nights, region, LIMITS)
    assert Counter(found.candidates["object_id"].to_pylist()) == {"new": 2, "hint": 1}
    assert found.dropped == {Reason.EARLIER: 2, Reason.STAR: 1, Reason.BOGUS: 1}
    assert found.inside == 7
    nights.compact(int(MJD), whole=True)
    assert search_kept(nights, region, LIMITS).candidates.equals(found.candidates)


def test_an_empty_store_has_nothing_for_a_map(archive):
    """Before the first night is kept, a map finds nothing, and that is no error."""
    receive(archive, 1, "PRELIMINARY", "2024-03-01T12:00:00Z")
    (region,) = LiveRegions(archive, days=14.0, level=0.99, mocks=False).index(MJD + 1.0).regions
    found = search_kept(RecentNights(Store.open(f"memory://{uuid.uuid4()}")), region, LIMITS)
    assert (found.candidates.num_rows, found.inside, dict(found.dropped)) == (0, 0, {})


def test_the_regions_follow_the_archive(archive):
    """The index is the same object until a new map, a retraction or the end of the days changes it; a map is decoded once."""
    fetched = []

    def map_of(archive, record):
        fetched.append(record.partition_key)
        return map_as_sent(archive, record)

    live = LiveRegions(archive, days=14.0, level=0.9, mocks=False, map_of=map_of)
    receive(archive, 1, "PRELIMINARY", "2024-03-01T12:00:00Z", skymap=fits_map(150.0, 20.0, 2.0))
    first = live.index(MJD + 1.0)
    assert live.index(MJD + 1.0) is first
    assert [region.event_id for region in first.at(150.0, 20.0, MJD + 1.0)] == ["S240301a"]
    assert first.regions[0].t0_mjd == MJD
    receive(archive, 2, "INITIAL", "2024-03-01T13:00:00Z", skymap=fits_map(20.0, -40.0, 2.0))
    second = live.index(MJD + 1.0)
    assert second.at(150.0, 20.0, MJD + 1.0) == ()
    assert len(second.at(20.0, -40.0, MJD + 1.0)) == 1
    assert live.index(MJD + 2.0) is second
    assert len(live.index(MJD + 14.5)) == 0
    assert len(live.index(MJD + 2.0)) == 1
    receive(archive, 3, "RETRACTION", "2024-03-02T13:00:00Z")
    assert len(live.index(MJD + 2.0)) == 0
    assert len(fetched) == 3


def test_a_map_that_cannot_be_had_keeps_one_event_out_and_is_named(archive):
    """An event whose map is gone or broken takes no candidates and says why; the others do."""
    receive(archive, 1, "PRELIMINARY", "2024-03-01T12:00:00Z")
    for answer, said in ((None, "no map"), (b"SIMPLE  = nonsense", "")):
        live = LiveRegions(archive, days=14.0, level=0.9, mocks=False, map_of=lambda *_, answer=answer: answer)
        assert len(live.index(MJD + 1.0)) == 0
        assert said in live.unusable["S240301a"]
