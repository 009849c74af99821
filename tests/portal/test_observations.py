"""The draft of a Circular about one's own observations: pointings, what they cover, photometry of candidates; facts alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient

from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.archive.pointings import PointingArchive
from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.notices.footprints import Footprint
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement, PhotometryNotice
from mma_pipeline.notices.pointings import Pointing, Status
from mma_pipeline.portal.app import create_app
from mma_pipeline.portal.context import Portal
from mma_pipeline.portal.observations import instruments_of, observations
from tests.alerts import body, utc
from tests.homes import Home
from tests.portal.conftest import DEC, RA, make

EVENT, CAMERA = "S240301a", "DECam"
#: The event's time in MJD.
T0 = 60370.499988425925
FIELD = Footprint(radius=1.0)
SEEN, MADE_UP = Candidate("AT2024abc", RA, DEC), Candidate("SIM1", RA, DEC + 1)


def visit(
    name: str, hours: int, status: Status = Status.COMPLETED, camera: str = CAMERA, depth: float = 22.0
) -> Pointing:
    """A pointing on the middle of the map, so many hours after noon."""
    when = datetime(2024, 3, 1, 12 + hours, tzinfo=UTC)
    return Pointing("own", name, camera, status, when, RA, DEC, 0.0, "r", depth, "ab_mag", FIELD)


def measure(home: Home, candidate: Candidate, event: str, *, simulated: bool = False) -> None:
    """Photometry of a candidate with two instruments, and its score."""
    rows = (
        Measurement(candidate, T0 + 0.5, "g", 22.5, None, upper_limit=True, instrument=CAMERA),
        Measurement(candidate, T0 + 0.51, "i", 19.25, 0.05, instrument=CAMERA),
        Measurement(candidate, T0 + 0.6, "r", 19.5, None, telescope="Gemini"),
    )
    message = StreamMessage(
        "photometry", candidate.name, 0, 0, candidate.name.encode(), None, (), None, utc("2024-03-02T00:00:00Z")
    )
    photometry = PhotometryArchive(home.archive)
    photometry.record(message, PhotometryNotice(rows, "test", None, simulated))
    score = {
        "candidate": candidate.name, "event_id": event, "night": 60371, "status": "scored", "sufficient": True, "nights": 1,
        "p_phot": 0.5, "ra": candidate.ra, "dec": candidate.dec, "simulated": simulated,
    }  # fmt: skip
    photometry.record_score(f"{event}-{candidate.name}-MJD60371", event, candidate.name, 60371, score)


@pytest.fixture
def observed(home: Home) -> Home:
    """An event with three pointings of a camera, one of another, a planned one, and a candidate; the ledger is made."""
    home.receive(body(EVENT))
    visits = [
        visit("1", 1), visit("2", 2, depth=21.0), visit("3", 3, depth=22.5), visit("4", 4, camera="MOSAIC"),
        visit("5", 5, Status.PLANNED),
    ]  # fmt: skip
    PointingArchive(home.archive).record(EVENT, visits, utc("2024-03-02T00:00:00Z"))
    make(home, "skymap", "skymap_statistics", "coverage_ledger")
    measure(home, SEEN, EVENT)
    measure(home, MADE_UP, EVENT, simulated=True)
    return home


@pytest.fixture
def web(observed: Home) -> Iterator[TestClient]:
    """A browser without a person."""
    with TestClient(create_app(Portal(observed.archive, observed.store))) as client:
        yield client


def words(home: Home, instrument: str = CAMERA) -> str:
    """The draft in one line."""
    return " ".join(observations(home.archive, home.store, EVENT, instrument).body.split())


def test_draft_has_pointings_coverage_and_photometry(observed: Home) -> None:
    """It states what archive and ledger have of this instrument, in lines of at most 72 columns but for tables."""
    text = words(observed)
    assert (
        "3 completed pointings from 2024-03-01 13:00:00 to 2024-03-01 15:00:00 UTC, beginning 1.0 hours after" in text
    )
    assert "r | 3 | 22.00 | 21.00 to 22.50 mag (AB)" in text
    (record,) = observed.archive.versions(EVENT)
    product = observed.archive.product(record.partition_key, "coverage_ledger")
    assert product is not None
    ledger = json.loads(observed.store.get(product.store_key))
    (row,) = [r for r in ledger["rows"] if (r["by"], r["value"]) == ("instrument", CAMERA)]
    assert row["area_deg2"] == pytest.approx(3.14, rel=0.02), "a circle of one degree"
    assert (
        f"They cover {100 * row['probability']:.1f}% of the probability of the sky map {record.partition_key} on 3 deg^2."
        in text
    )
    assert "AT2024abc | 150.00000 | 20.00000 | 2024-03-01 23:59:59 | g | > 22.50" in text
    assert "| i | 19.25 +/- 0.05" in text
    for absent in ("MOSAIC", "Gemini", "SIM1", "planned"):
        assert absent not in text
    lines = observations(observed.archive, observed.store, EVENT, CAMERA).body.splitlines()
    assert all(len(line) <= 72 for line in lines if not line.startswith("  ")), lines


def test_coverage_that_is_behind_is_left_out(observed: Home) -> None:
    """Where the ledger does not count the pointings that are known now, the draft says nothing of what they cover."""
    late = visit("6", 6)
    PointingArchive(observed.archive).record(EVENT, [late], utc("2024-03-03T00:00:00Z"))
    text = words(observed)
    assert "4 completed pointings" in text
    assert "They cover" not in text


def test_photometry_alone(observed: Home) -> None:
    """An instrument without pointings has its photometry, by the telescope's name; one of which nothing is known has no draft."""
    assert instruments_of(observed.archive, EVENT) == [CAMERA, "Gemini", "MOSAIC"]
    text = words(observed, "Gemini")
    assert "pointing" not in text
    assert "| r | 19.50 These" in text
    for event, instrument in ((EVENT, "HST"), ("S190425z", CAMERA)):
        with pytest.raises(NotFoundError):
            observations(observed.archive, observed.store, event, instrument)


def test_page_of_a_draft(web: TestClient) -> None:
    """The draft of the event leads to those of its instruments, and each to GCN's form, filled in."""
    page = web.get(f"/events/{EVENT}/circular").text
    assert f'href="/events/{EVENT}/circular?instrument=DECam"' in page
    own = web.get(f"/events/{EVENT}/circular", params={"instrument": CAMERA})
    assert own.status_code == 200
    link = own.text.split('href="https://gcn.nasa.gov')[1].partition('"')[0].replace("&amp;", "&")
    subject = parse_qs(urlsplit(link).query)["subject"]
    assert subject == [f"LIGO/Virgo/KAGRA {EVENT}: DECam observations"]
    assert web.get(f"/events/{EVENT}/circular", params={"instrument": "HST"}).status_code == 404


def test_instruments_in_any_case(web: TestClient) -> None:
    """The name of an instrument in upper or lower case gives the draft of that instrument."""
    assert (
        web.get(f"/events/{EVENT}/circular?instrument=decam").text
        == web.get(f"/events/{EVENT}/circular?instrument={CAMERA}").text
    )


def test_a_mock_says_so(home: Home) -> None:
    """A draft about a mock event says first that it is a test, and has simulated candidates too."""
    home.receive(body("MS240301a"))
    measure(home, MADE_UP, "MS240301a", simulated=True)
    draft = observations(home.archive, home.store, "MS240301a", CAMERA)
    assert draft.subject.startswith("TEST: ")
    assert draft.body.startswith("THIS IS A TEST.")
    assert "SIM1" in draft.body
