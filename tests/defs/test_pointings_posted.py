"""Our own pointings on the Treasure Map: posted once, completed, cancelled by hand and after a retraction, on the stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.publishing.service import Publications
from mma_pipeline.cli import app
from mma_pipeline.defs.observing.pointings_sensor import pointings_sensor
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource
from mma_pipeline.settings import current
from tests.adapters.pointings.site import filled
from tests.alerts import body
from tests.homes import Home
from tests.services.gwtm_standin import GwtmStandIn

EVENT = "S240301a"
HEAD = "id,ra,dec,time,band,depth,status\n"
FIRST = HEAD + (
    "a,149.5,20,2024-03-01T13:00:00,g,21.5,completed\n"
    "b,150.5,20,2024-03-02T13:00:00,r,22.0,planned\n"
    "c,151.5,-20,2024-03-02T14:00:00,r,22.0,planned\n"
    "d,152.5,20,2024-03-02T15:00:00,r,22.0,planned\n"
    "e,153.5,20,2024-03-02T15:00:00,ztfr,22.0,completed\n"
)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[GwtmStandIn]:
    """A Treasure Map that we publish to as a user who owns the instruments."""
    with GwtmStandIn() as server:
        filled(server, EVENT)
        monkeypatch.setenv("API_BASE", server.base)
        monkeypatch.setenv("API_TOKEN", "test_token_user_002")
        yield server


def _post(home: Home, file: Path, text: str) -> dict[str, Any]:
    run = CliRunner()
    file.write_text(text)
    command = ["pointings", "import", str(file), "--event", EVENT, "--instrument", "Mine", "--footprint", "box 2 1"]
    assert run.invoke(app, command).exit_code == 0
    done = run.invoke(app, ["pointings", "post", EVENT, "--instrument-id", "Mine=1", "--json"])
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.output)
    return told


def _ours(site: GwtmStandIn) -> dict[float, tuple[str, str]]:
    rows = httpx.get(f"{site.base}pointings", params={"graceid": EVENT}, timeout=10).json()
    places = {row["id"]: row for row in rows if row["position"].startswith("POINT(15") or "149.5" in row["position"]}
    return {
        float(row["position"][6:].split()[0]): (row["status"], row["time"]) for row in places.values() if row["id"] > 3
    }


def test_each_pointing_is_posted_once_and_follows_its_status(home: Home, site: GwtmStandIn, tmp_path: Path) -> None:
    """A second post changes nothing; a plan that was done completes its own row; one that was given up is cancelled."""
    home.receive(body(EVENT))
    file = tmp_path / "mine.csv"
    told = _post(home, file, FIRST)
    assert [entry["state"] for entry in told["publications"]] == ["done"] * 4
    assert len(told["left_out"]) == 1
    assert "ztfr" in told["left_out"][0]
    planned = {151.5: ("planned", "2024-03-02T14:00:00"), 152.5: ("planned", "2024-03-02T15:00:00")}
    assert _ours(site) == {
        149.5: ("completed", "2024-03-01T13:00:00"), 150.5: ("planned", "2024-03-02T13:00:00"), **planned,
    }  # fmt: skip
    rows = len(site.pointings.rows)
    assert _post(home, file, FIRST)["publications"] == []
    later = FIRST.replace("13:00:00,r,22.0,planned", "13:07:00,r,22.1,completed")
    later = later.replace("14:00:00,r,22.0,planned", "14:00:00,r,22.0,cancelled")
    assert [entry["state"] for entry in _post(home, file, later)["publications"]] == ["done", "done"]
    assert len(site.pointings.rows) == rows, "no row was added"
    assert _ours(site)[150.5] == ("completed", "2024-03-02T13:07:00")
    assert _ours(site)[151.5][0] == "cancelled"
    assert _ours(site)[152.5][0] == "planned"
    # After a retraction what is still planned is cancelled.
    home.receive(body(EVENT, "RETRACTION", created="2024-03-01T14:00:00Z"))
    context = dg.build_sensor_context(
        home.instance, resources={"archive": ArchiveResource(), "settings": SettingsResource()}
    )
    for _ in range(2):
        pointings_sensor(context)
    settings = current()
    published = Publications(home.archive, settings.publication.public_address, settings.access)
    assert [item.state.value for item in published.publisher.run("gwtm", event_id=EVENT)] == ["done"]
    assert _ours(site)[152.5][0] == "cancelled"
    assert _ours(site)[149.5][0] == "completed"


def test_what_the_site_has_is_not_posted_again(home: Home, site: GwtmStandIn, tmp_path: Path) -> None:
    """A pointing that is there, as after a post whose answer was lost, is found and not added."""
    home.receive(body(EVENT))
    there = {
        "ra": 149.5, "dec": 20, "instrumentid": 1, "time": "2024-03-01T13:00:00", "status": "completed",
        "band": "g", "depth": 21.5, "depth_unit": "ab_mag",
    }  # fmt: skip
    sent = {"graceid": EVENT, "pointing": there}
    httpx.post(f"{site.base}pointings", json=sent, headers={"api_token": "test_token_user_002"}, timeout=10)
    before = len(site.pointings.rows)
    told = _post(home, tmp_path / "mine.csv", HEAD + "a,149.5,20,2024-03-01T13:00:00,g,21.5,completed\n")
    assert [entry["state"] for entry in told["publications"]] == ["done"]
    assert len(site.pointings.rows) == before
