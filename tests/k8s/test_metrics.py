"""What strangers get at the door for Prometheus: figures, whatever they ask and however."""

from __future__ import annotations

import contextlib
import http.client
import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.delivery.test_archive_moves import alerts, receive
from tests.homes import FOREIGN, ROOT, Home
from tests.k8s.chart import BASE, only, render
from tests.services.process import Child, free_ports

PATIENCE_S = 240
EVENT = "S230601a"
#: What the processes of the pipeline know, and Prometheus need not.
SECRETS = {
    "KAFKA_CLIENT_ID": "client-of-the-observatory",
    "KAFKA_CLIENT_SECRET": "hunter2-kafka",
    "API_TOKEN": "hunter2-site",
    "PGPASSWORD": "hunter2-database",
    "MMA_KAFKA_BOOTSTRAP": "broker.inside.example:9092",
}
pytestmark = pytest.mark.timeout(600)


@dataclass
class Door:
    """Metrics that are served."""

    port: int
    home: Home
    log: Path

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, str]:
        """Status, and headers with body as one text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            text = answer.read().decode()
            said = "".join(f"{name}: {value}\n" for name, value in answer.getheaders())
        forbidden = [*SECRETS.values(), EVENT, "sqlite", str(self.home.folder), "Traceback"]
        assert not [word for word in forbidden if word.lower() in (said + text).lower()]
        return answer.status, text


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """The chart's own command line, with an archive that holds an event and a malformed message."""
    folder = tmp_path_factory.mktemp("metrics")
    home = Home(folder / "home")
    receive(home.archive, [*alerts(EVENT), b"not json"])
    pod = only(render(BASE), "Deployment", "-daemon")["spec"]["template"]["spec"]
    (container,) = [one for one in pod["containers"] if one["name"] == "metrics"]
    (port,) = free_ports(1)
    here = {"mma": [sys.executable, "-c", "from mma_pipeline.cli import app; app()"], "9464": [str(port)]}
    command = [word for given in container["command"] for word in here.get(given, [given])]
    environ = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    environ |= {**home.env, **SECRETS, "PYTHONPATH": str(ROOT)}
    child = Child("metrics", [*command, "--address", "127.0.0.1"], folder / "metrics.log", env=environ, cwd=folder)
    found = Door(port, home, child.log)

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return found.ask("GET", "/metrics")[0] == 200
        return False

    try:
        child.wait_ready(answers, timeout=PATIENCE_S)
        yield found
    finally:
        child.end()


def statistics(text: str) -> dict[str, float]:
    """Samples by name and label; an AssertionError where something else is told."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.name.startswith("mma_")
            assert sample.labels.keys() <= {"stream", "daemon", "kind", "job"}
            found[f"{sample.name} {' '.join(sample.labels.values())}".strip()] = sample.value
    assert all(line.startswith(("# HELP mma_", "# TYPE mma_", "mma_")) for line in text.splitlines())
    return found


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/metrics", "//graphql", "/archive.db", f"/{EVENT}?query={{version}}"),
        *("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "http://127.0.0.1:3000/graphql"),
    ],
)
def test_any_path_gives_statistics_only(door: Door, path: str) -> None:
    """Every path gives the pipeline's figures by stream, daemon, job and kind of problem: no event, no address, no secret, no file."""
    status, text = door.ask("GET", path, {"Authorization": "Basic YTpi", "X-Forwarded-For": "127.0.0.1"})
    assert status == 200
    found = statistics(text)
    assert (found["mma_stream_messages s"], found["mma_stream_quarantined s"]) == (3, 1)


def test_the_door_takes_nothing(door: Door) -> None:
    """Whatever is sent is neither taken nor repeated, and the figures stay what they were."""
    for method in ("POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND"):
        body = b"mma_stream_messages 12345" if method in {"POST", "PUT", "PATCH"} else None
        status, text = door.ask(method, "/metrics/job/stranger", body=body)
        assert status in ((200,) if method == "OPTIONS" else (405, 501)), method
        assert "12345" not in text
        assert "mma_" not in text
    assert statistics(door.ask("GET", "/metrics")[1])["mma_stream_messages s"] == 3


def test_trouble_is_not_told_to_strangers(door: Door) -> None:
    """While the archive cannot be read the answer is a bare 500, and then figures again."""
    path = door.home.env["MMA_ARCHIVE_URL"].removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE_S)) as database:
        database.execute("ALTER TABLE message RENAME TO elsewhere")
        try:
            status, text = door.ask("GET", "/metrics")
        finally:
            database.execute("ALTER TABLE elsewhere RENAME TO message")
    assert status == 500
    assert "mma_" not in text
    assert statistics(door.ask("GET", "/metrics")[1])["mma_stream_messages s"] == 3
    assert not [secret for secret in SECRETS.values() if secret in door.log.read_text()]
