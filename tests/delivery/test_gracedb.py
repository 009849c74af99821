"""What GraceDB has and we have not is found, reported and fetched; a local stand-in speaks GraceDB's API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.cli import app
from mma_pipeline.defs.operations.completeness import STREAM, gracedb_completeness
from mma_pipeline.defs.resources import ArchiveResource, GraceDBResource
from tests.delivery.test_archive_moves import alerts, receive

KNOWN, MISSED, EMPTY = "S230601a", "S230602b", "S230603c"


class GraceDBStandIn(BaseHTTPRequestHandler):
    """Superevent search in pages of two, file lists, files: the answers that GraceDB gives for public data."""

    def do_GET(self) -> None:
        """Answer."""
        url = urlsplit(self.path)
        parts = url.path.removeprefix("/api/").strip("/").split("/")
        files = {f"{MISSED}-earlywarning.json,0": 0, f"{MISSED}-update.json,0": 1, f"{MISSED}.fits": None}
        if parts == ["superevents"]:
            start = int(parse_qs(url.query).get("start", ["0"])[0])
            assert "public" in parse_qs(url.query)["query"][0]
            found = [{"superevent_id": name} for name in (KNOWN, MISSED, EMPTY)][start : start + 2]
            following = f"http://{self.headers['Host']}/api/superevents/?query=public&start=2" if start == 0 else None
            self._answer({"superevents": found, "links": {"next": following}})
        elif parts[0] == "superevents" and parts[2:] == ["files"]:
            self._answer({name: name for name in files} if parts[1] == MISSED else {})
        elif len(parts) == 4 and parts[3] in files and files[parts[3]] is not None:
            self._send(alerts(MISSED)[files[parts[3]] or 0])
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, value: object) -> None:
        self._send(json.dumps(value).encode())

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def gracedb() -> Iterator[str]:
    """Address of a running stand-in."""
    with ThreadingHTTPServer(("127.0.0.1", 0), GraceDBStandIn) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api/"
        server.shutdown()


def look(archive_url: str, gracedb: str) -> tuple[dict[str, object], bool]:
    """Metadata of the completeness asset, and whether its check passed."""
    resources = {"archive": ArchiveResource(url=archive_url), "gracedb": GraceDBResource(api=gracedb)}
    result = dg.materialize([gracedb_completeness], resources=resources)
    (check,) = result.get_asset_check_evaluations()
    (made,) = result.asset_materializations_for_node("gracedb_completeness")
    return {name: value.value for name, value in made.metadata.items()}, check.passed


def test_missed_events_are_reported_then_fetched(gracedb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check names what was never received; backfill archives it, marked with its origin, and makes its products."""
    url = f"sqlite:///{tmp_path / 'archive.db'}"
    archive = Archive(url, create=True)
    receive(archive, alerts(KNOWN))
    found, passed = look(url, gracedb)
    assert not passed
    assert (found["public events"], found["missing"]) == (3, 2)
    assert MISSED in str(found["missing events"])

    monkeypatch.setenv("MMA_ARCHIVE_URL", url)
    monkeypatch.setenv("MMA_STORE_URL", (tmp_path / "products").as_uri())
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    arguments = ["backfill", "--from-gracedb", "2023-06-01..2023-06-08", "--gracedb", gracedb]
    planned = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert planned.exit_code == 0, planned.output
    assert not archive.versions(MISSED), "a dry run archives nothing"
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1, "one public event has no notices there"
    records = archive.versions(MISSED)
    assert len(records) == 3, "two notices, one of them with a combined map as a version of its own"
    assert {archive.origin(record.message_id).stream for record in records} == {STREAM}
    assert all(archive.products(record.partition_key) for record in records)
    found, passed = look(url, gracedb)
    assert found["missing events"] == EMPTY, "what GraceDB has no notices of stays reported"
    assert not passed


def test_fetching_twice_is_the_same_message(gracedb: str, tmp_path: Path) -> None:
    """A second fetch of a superevent adds nothing."""
    from mma_pipeline.adapters.gracedb import GraceDB
    from mma_pipeline.defs.operations.completeness import archive_superevent, unknown_superevents

    archive = Archive(f"sqlite:///{tmp_path / 'archive.db'}", create=True)
    service = GraceDB(gracedb)
    first, problem = archive_superevent(archive, service, MISSED)
    assert problem is None
    counts = archive.counts()
    assert archive_superevent(archive, service, MISSED) == (first, None)
    assert archive.counts() == counts
    now = datetime.now(UTC)
    assert MISSED not in set(unknown_superevents(archive, service, now - timedelta(days=1), now))
