"""The list of events in memory: always what the archive has, whichever way that changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import schema, writing
from mma_pipeline.adapters.archive.coincidences import PairRecord, PairState, record_pairs
from mma_pipeline.adapters.archive.quarantine import accept
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.cli import app
from mma_pipeline.defs.events.page.headline import headline
from mma_pipeline.defs.events.page.state import event_state
from mma_pipeline.notices.words import area
from mma_pipeline.portal import events as module
from mma_pipeline.portal.api import stream
from mma_pipeline.portal.app import create_app
from mma_pipeline.portal.context import Portal
from mma_pipeline.portal.events import EventList
from mma_pipeline.products.ingest import parse_alert
from tests.alerts import body
from tests.homes import Home
from tests.neutrinos import notice

RUN = CliRunner()


@pytest.fixture
def listed(home: Home, monkeypatch: pytest.MonkeyPatch) -> EventList:
    """The list of an archive with one event, which asks the archive every time."""
    monkeypatch.setattr(module, "_CURRENT_S", 0.0)
    home.receive(body("S240301a"))
    found = EventList(home.archive)
    assert [e.event for e in found.current()] == ["S240301a"]
    return found


def test_new_versions_and_events(home: Home, listed: EventList) -> None:
    """A version that comes is seen at once, also a retraction; it is an arrival in the order in which it came."""
    seen = listed.last_arrival
    home.receive(body("S240301a", "UPDATE", created="2024-03-01T13:00:00Z"))
    home.receive(body("S240302b", time="2024-03-02T01:00:00Z"))
    home.receive(body("S240301a", "RETRACTION", created="2024-03-01T14:00:00Z"))
    assert [(e.event, e.versions) for e in listed.current()] == [("S240302b", 1), ("S240301a", 3)]
    found = listed.find("S240301a")
    assert found is not None
    assert found.retracted_by is not None
    assert [a.record.version.label for a in listed.arrivals(seen)] == ["Update", "Preliminary", "Retraction"]
    assert listed.arrivals(listed.last_arrival) == []


def test_statistics_that_come_later(home: Home, listed: EventList) -> None:
    """Area and distance are there as soon as the product with them is."""
    from tests.portal.conftest import make

    assert listed.current()[0].area_90_deg2 is None
    make(home, "skymap", "skymap_statistics")
    (found,) = listed.current()
    assert found.area_90_deg2 == pytest.approx(57.9, rel=0.05), "2 pi 4 ln 10 deg²"
    assert found.distance_mpc == pytest.approx(107.7, rel=0.02), (
        "mean of r³ N(100, 20) over r² N: 100 (1 + 3 0.04) / 1.04"
    )


def test_removed_versions(home: Home, listed: EventList) -> None:
    """An event whose versions are removed is gone, and one with some left is drawn up anew."""
    home.receive(body("S240301a", "UPDATE", created="2024-03-01T13:00:00Z"))
    home.receive(body("S240302b"))
    assert len(listed.current()) == 2
    with writing(home.archive.engine) as connection:
        table = schema.version
        connection.execute(sa.delete(table).where(table.c.event_id == "S240302b"))
        connection.execute(sa.delete(table).where(table.c.label == "Update"))
    assert [(e.event, e.versions, e.kind) for e in listed.current()] == [("S240301a", 1, "Preliminary")]


def test_out_of_quarantine(home: Home, listed: EventList) -> None:
    """A version whose old message was retried is seen although its message is not the newest."""
    alert = body("S240229c")
    message = StreamMessage("gcn-gwalert", "igwn.gwalert", 0, 77, alert, None, (), None, datetime.now(UTC))
    number = home.archive.quarantine(message, "a reason")
    home.receive(body("S240302b"))
    assert len(listed.current()) == 2
    seen = listed.last_arrival
    accept(home.archive, number, parse_alert(alert), datetime.now(UTC))
    assert {e.event for e in listed.current()} == {"S240301a", "S240302b", "S240229c"}
    assert [a.record.version.event_id for a in listed.arrivals(seen)] == ["S240229c"]


def test_pairs_that_come_and_go(home: Home, listed: EventList) -> None:
    """A pair that is claimed, and one that no longer is, are seen at once although no version came."""
    (event,) = listed.current()
    assert event.partners == ()
    now, identity = datetime.now(UTC), "0" * 64
    pair = PairRecord("S240301a", "Fermi_731246338", "observation", now, PairState.CLAIMED, "a", "b", identity, {})
    record_pairs(home.archive, "S240301a", [pair], now)
    assert listed.current()[0].partners == ("Fermi_731246338",)
    record_pairs(home.archive, "S240301a", [], now)
    assert listed.current()[0].partners == ()


def test_drawn_up_anew(home: Home, listed: EventList, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics made again, which no count shows, are seen when the list is drawn up anew; nothing arrives twice by that."""
    from tests.portal.conftest import make

    make(home, "skymap", "skymap_statistics")
    assert listed.current()[0].area_90_deg2 is not None
    seen = listed.last_arrival
    with writing(home.archive.engine) as connection:
        table = schema.product
        changed = sa.update(table).where(table.c.name == "statistics").values(statistics={"area_90_deg2": 12.0})
        connection.execute(changed)
    assert listed.current()[0].area_90_deg2 != 12.0
    monkeypatch.setattr(module, "_ANEW_S", 0.0)
    listed.current()
    assert listed._reader is not None
    listed._reader.join(20)
    monkeypatch.setattr(module, "_ANEW_S", 600.0)
    assert listed.current()[0].area_90_deg2 == 12.0
    assert listed.arrivals(seen) == []


def test_stream(home: Home, listed: EventList, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream sends what was missed, then what comes: versions and retractions, mocks only on request."""
    monkeypatch.setattr(stream, "LOOK_S", 0.05)
    monkeypatch.setattr(stream, "LIFE_S", 3.0)
    (first,) = home.archive.versions()
    home.receive(body("S240301a", "UPDATE", created="2024-03-01T13:00:00Z"))
    portal = Portal(home.archive, home.store)
    with TestClient(create_app(portal)) as web:
        text = _following(web, home, {"last-event-id": str(first.message_id)}, "")
        assert [(name, data["event"], data["kind"]) for name, data in text] == [
            ("version", "S240301a", "Update"),
            ("retraction", "S240301a", "Retraction"),
        ]
        assert web.get("/api/v1/stream", headers={"last-event-id": "x"}).status_code == 422
        monkeypatch.setattr(stream, "MOST", 0)
        assert web.get("/api/v1/stream").status_code == 503


def _following(web: TestClient, home: Home, headers: dict[str, str], query: str) -> list[tuple[str, dict[str, str]]]:
    """The events of a stream during which a mock and a retraction come."""
    import threading

    def come() -> None:
        home.receive(body("MS240301a"))
        home.receive(body("S240301a", "RETRACTION", created="2024-03-01T14:00:00Z"))

    timer = threading.Timer(0.8, come)
    timer.start()
    answer = web.get(f"/api/v1/stream{query}", headers=headers)
    timer.join()
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "data" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def test_the_same_region_everywhere(filled: Home) -> None:
    """List, `mma status` and page give the smallest region that holds now: of a claimed pair that of both, and say which."""
    listed = EventList(filled.archive)
    event = listed.find("MS240301a")
    assert event is not None
    # The own map is a Gaussian of 2 deg, the burst's of 3 deg (and its systematics): the product is smaller.
    assert event.area_90_deg2 == pytest.approx(57.9, rel=0.05)
    assert event.best_area_90_deg2 is not None
    assert event.best_area_90_deg2 < event.area_90_deg2
    assert event.best_region == "combined with TFermi_731246338 by us"
    own = listed.find("S240301a")
    assert own is not None
    assert own.best_area_90_deg2 == own.area_90_deg2
    # The burst's page has the pair from the same comparison.
    page = headline(event_state(filled.archive, "TFermi_731246338")).regions[0]
    assert page.area_90 == event.best_area_90_deg2
    with filled.active():
        rows = RUN.invoke(app, ["status"]).stdout.splitlines()
    (row,) = (line for line in rows if line.startswith("MS240301a"))
    assert f"{area(event.best_area_90_deg2)}*" in row.split()
    assert "* combined with another event: holds only if both are one source" in " ".join(rows)


def test_a_time_that_no_notice_states(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no notice states the event's time, neither list nor `mma status` gives the notice's for it."""
    home.receive(notice("S240302b"))
    event = EventList(home.archive).current()[0]
    assert event.time is None
    page = TestClient(create_app(Portal(home.archive, home.store))).get("/").text
    assert "no time stated; notice of 2024-03-01 12:40" in " ".join(page.split())
    (row,) = (line for line in RUN.invoke(app, ["status"]).stdout.splitlines() if line.startswith("S240302b"))
    assert "not stated" in row
    assert "24-03-01 12:40" not in row
