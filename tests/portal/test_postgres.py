"""The portal over PostgreSQL, the database of production: the same answers as over SQLite, and it sees what comes."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mma_pipeline.portal import events
from mma_pipeline.portal.app import create_app
from mma_pipeline.portal.context import Portal
from tests.alerts import body
from tests.defs.test_coincidences import fermi
from tests.homes import Home
from tests.portal.conftest import compare, make
from tests.portal.test_observations import EVENT, SEEN, measure, visit

#: Whatever a stranger or a program asks for about events.
ASKED = (
    "/api/v1/events", "/api/v1/events?test=true&coincidence=true", "/api/v1/events?source_class=BNS&retracted=false",
    f"/api/v1/events/{EVENT}", f"/api/v1/events/{EVENT}/versions", f"/api/v1/events/{EVENT}/candidates",
    f"/api/v1/events/{EVENT}/coverage", "/api/v1/pairs?test=true", "/api/v1/events/MS240301a/pairs", "/api/v1/quarantine",
)  # fmt: skip


def fill(home: Home) -> None:
    """A real event with pointings and a candidate, a mock with a burst."""
    from mma_pipeline.adapters.archive.pointings import PointingArchive
    from tests.alerts import utc

    home.receive(body(EVENT))
    home.receive(body("MS240301a"))
    (burst,) = home.receive(fermi())
    PointingArchive(home.archive).record(EVENT, [visit("1", 1)], utc("2024-03-02T00:00:00Z"))
    make(home, "skymap", "skymap_statistics")
    measure(home, SEEN, EVENT)
    compare(home, burst.partition_key)


@pytest.fixture
def both(tmp_path: Path, postgres_url: str) -> tuple[Home, Home]:
    """The same events in SQLite and in PostgreSQL."""
    lite, real = Home(tmp_path / "sqlite"), Home(tmp_path / "postgres")
    real.env["MMA_ARCHIVE_URL"] = postgres_url
    for home in (lite, real):
        with home.active():
            fill(home)
    return lite, real


def test_postgresql_answers_as_sqlite(both: tuple[Home, Home], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists, filters, versions, candidates, coverage and pairs are those of SQLite; a retraction is seen at once."""
    monkeypatch.setattr(events, "_CURRENT_S", 0.0)
    answers = []
    for home in both:
        with TestClient(create_app(Portal(home.archive, home.store))) as web:
            found = {path: web.get(path) for path in ASKED}
            assert {path: answer.status_code for path, answer in found.items()} == dict.fromkeys(ASKED, 200)
            assert web.get("/").status_code == 200
            answers.append({path: answer.json() for path, answer in found.items()})
            assert web.get("/api/v1/events?retracted=true").json()["events"] == []
            with home.active():
                home.receive(body(EVENT, "RETRACTION", created="2024-03-01T15:00:00Z"))
            assert [e["event"] for e in web.get("/api/v1/events?retracted=true").json()["events"]] == [EVENT]
    lite, real = answers
    for path in ASKED:
        assert real[path] == lite[path], path
    assert real["/api/v1/pairs?test=true"]["total"] == 1
    assert real[f"/api/v1/events/{EVENT}/candidates"]["total"] == 1
