"""A publisher killed between any two steps loses nothing and doubles nothing."""

from __future__ import annotations

import itertools
import multiprocessing
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.publications import State
from mma_pipeline.adapters.publishing.config import DestinationConfig
from tests.adapters.publishing.crash import publish
from tests.adapters.publishing.helpers import ALERTS, EVERYTHING, all_publications, decide_all, needs_alerts, take_in
from tests.adapters.publishing.test_hopskotch import everything_on
from tests.homes import new_archive
from tests.services.gwtm_standin import GwtmStandIn

pytestmark = needs_alerts
WHERE = ("before send", "after send", "after note")


_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.adapters.publishing.crash"])


def start(url: str, address: str, where: str, ahead_s: float) -> Any:
    """A publisher in a process of its own."""
    process = _processes.Process(target=publish, args=(url, address, where, ahead_s))
    process.start()
    return process


def end(process: Any) -> int:
    """Wait for it; its exit status, negative for a signal."""
    process.join(240)
    assert process.exitcode is not None
    return int(process.exitcode)


def prepared(tmp_path: Path, kind: str, settings: dict[str, Any] | None = None) -> tuple[str, Archive]:
    """An archive with the publications of two events waiting."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    archive = new_archive(url)
    bodies = [p.read_bytes() for p in sorted(ALERTS.glob("S230518h-*.json"))]
    decide_all(archive, take_in(archive, bodies), DestinationConfig("dest", kind, EVERYTHING, settings or {}))
    return url, archive


def test_killed_around_each_step_of_gwtm(tmp_path: Path) -> None:
    """Killed before the post, after the server's answer and after the note, again and again: each row once."""
    url, archive = prepared(tmp_path, "gwtm")
    with GwtmStandIn() as server:
        for ahead, where in enumerate(WHERE):
            assert end(start(url, server.base, where, 100.0 * ahead)) == -signal.SIGKILL
        assert end(start(url, server.base, "never", 1000.0)) == 0
        rows = [(row["graceid"], row["alert_type"]) for row in server.alerts]
    assert sorted(rows) == sorted((v.version.event_id, v.version.label) for v in archive.versions())
    assert {p.state for p in all_publications(archive)} == {State.DONE}


@pytest.mark.parametrize("path", ["query_alerts", "post_alert"])
def test_killed_while_the_server_works(tmp_path: Path, path: str) -> None:
    """Killed while it looks, and while the server has stored the row and not yet answered: each row once."""
    url, archive = prepared(tmp_path, "gwtm")
    with GwtmStandIn() as server:
        server.fail(path, "slow after", seconds=15.0)
        process = start(url, server.base, "never", 0.0)
        until = time.monotonic() + 240

        def reached() -> bool:
            return bool(server.alerts if path == "post_alert" else server.requests["GET query_alerts"])

        while not reached() and time.monotonic() < until:
            time.sleep(0.02)
        process.kill()
        assert end(process) == -signal.SIGKILL
        assert len(server.alerts) == (1 if path == "post_alert" else 0)
        assert end(start(url, server.base, "never", 1000.0)) == 0
        rows = [(row["graceid"], row["alert_type"]) for row in server.alerts]
    assert sorted(rows) == sorted((v.version.event_id, v.version.label) for v in archive.versions())


_count = itertools.count()


def test_killed_around_each_step_of_kafka(tmp_path: Path, kafka: Any) -> None:
    """The same against a real Kafka: each message once, not just at least once."""
    topic = f"kill-{next(_count)}"
    kafka.create_topic(topic, partitions=2)
    address = f"kafka://{kafka.bootstrap}/{topic}"
    url, archive = prepared(tmp_path, "hopskotch", {"url": address})
    for ahead, where in enumerate(WHERE):
        assert end(start(url, address, where, 100.0 * ahead)) == -signal.SIGKILL
    assert end(start(url, address, "never", 1000.0)) == 0
    ids = [dict(m.headers())["_id"] for m in everything_on(address)]
    assert len(ids) == len(set(ids)) == len(archive.versions())
    assert {p.state for p in all_publications(archive)} == {State.DONE}
