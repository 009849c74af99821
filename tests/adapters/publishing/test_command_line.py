"""`mma explain` and `mma publication`: what a person asks about publication, against a real archive and the stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mma_pipeline.cli import app
from tests.adapters.publishing.helpers import ALERTS, decide_all, needs_alerts, take_in
from tests.homes import new_archive
from tests.services.gwtm_schemas import ADMIN
from tests.services.gwtm_standin import GwtmStandIn

pytestmark = needs_alerts


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GwtmStandIn]:
    """The site, and an environment that names it beside an archive with one decided alert."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with GwtmStandIn() as server:
        environment = {
            "MMA_ARCHIVE_URL": url,
            "MMA_STORE_URL": (tmp_path / "store").as_uri(),
            "DAGSTER_HOME": str(tmp_path),
            "API_BASE": server.base,
            "API_TOKEN": ADMIN,
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for name in ("DRY_RUN", "MMA_HOP_URL", "MMA_WEBHOOK_URL", "MMA_PUBLICATION_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        archive = new_archive(url)
        decide_all(archive, take_in(archive, [next(ALERTS.glob("S230518h-PRELIMINARY*.json")).read_bytes()]))
        yield server


def mma(*arguments: str) -> tuple[int, str]:
    """Run a command; its exit code and what it printed."""
    result = CliRunner().invoke(app, list(arguments))
    assert ADMIN not in result.output
    return result.exit_code, result.output


def mma_json(*arguments: str) -> Any:
    """Run a reading command for scripts."""
    code, text = mma(*arguments, "--json")
    assert code == 0, text
    return json.loads(text)


def test_explain_calls_nothing_and_says_why(site: GwtmStandIn) -> None:
    """Criterion by criterion, with what was sent; an unknown event is exit code 3."""
    (row,) = mma_json("explain", "S230518h")
    assert (row["destination"], row["wanted"], row["would_send"]) == ("gwtm", True, ["alert"])
    assert row["reasons"][0] == {"criterion": "role is observation or test", "passed": True, "found": "observation"}
    assert [p["state"] for p in row["publications"]] == ["pending"]
    assert site.requests.total() == 0
    assert mma("explain", "S000000z")[0] == 3
    code, text = mma("explain", "S230518h")
    assert code == 0
    assert "role is observation" in text


def test_send_list_retry(site: GwtmStandIn) -> None:
    """A refused publication fails the command, is listed with the server's words, put back at a person's word, and sent."""
    site.fail("post_alert", "400")
    assert mma("publication", "send")[0] == 1
    (failed,) = mma_json("publication", "list", "--failed")
    assert "Request validation error" in failed["error"]
    assert mma("publication", "retry", str(failed["id"]))[0] == 0
    assert mma("publication", "send")[0] == 0
    (done,) = mma_json("publication", "list")
    assert (done["state"], done["reference"]) == ("done", "gw_alert 1")
    assert mma("publication", "retry", str(done["id"]))[0] == 1


def test_test_alerts_are_deleted_on_request_only(site: GwtmStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not without --yes, not in a dry run, and the dry run sends nothing either."""
    assert mma("publication", "delete-test-alerts")[0] == 2
    monkeypatch.setenv("DRY_RUN", "true")
    assert mma("publication", "delete-test-alerts", "--yes")[0] == 1
    assert mma("publication", "send")[0] == 1
    assert site.requests.total() == 0
    monkeypatch.delenv("DRY_RUN")
    code, text = mma("publication", "delete-test-alerts", "--yes")
    assert code == 0
    assert "Successfully deleted test alerts" in text
    assert site.requests == {"POST del_test_alerts": 1}
