"""A machine that lost its power, and a stream that is to be read again: on the laptop's settings with the daemon running."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import schema
from mma_pipeline.cli import app
from tests.alerts import body
from tests.defs.malformed import tiny_map
from tests.delivery.stack import Stack
from tests.services.kafka import KafkaBroker
from tests.services.process import wait_until

pytestmark = pytest.mark.timeout(1500)
TOPIC = "igwn.gwalert"
STARTING, STARTED, SUCCESS = (
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.SUCCESS,
)


def runs(stack: Stack, *statuses: dg.DagsterRunStatus, event: str | None = None) -> list[str]:
    """Ids of runs of the job of all products, those of some statuses, of an event."""
    with stack.instance() as instance:
        tags = {} if event is None else {"mma/event": event}
        wanted = dg.RunsFilter(job_name="alert_products", tags=tags, statuses=list(statuses) or None)
        return [run.run_id for run in instance.get_runs(wanted)]


def failures(stack: Stack, run_ids: list[str]) -> list[str]:
    """What the failed runs say of their failure."""
    with stack.instance() as instance:
        logs = [instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE) for run_id in run_ids]
    return [str(log[0].dagster_event.message) if log and log[0].dagster_event else "" for log in logs]


def stream(stack: Stack, monkeypatch: Any, *arguments: str) -> Any:
    """The JSON answer of `mma stream`."""
    for name in ("DAGSTER_HOME", "MMA_KAFKA_BOOTSTRAP", "MMA_ARCHIVE_URL"):
        monkeypatch.setenv(name, stack.env[name])
    answer = CliRunner().invoke(app, ["stream", *arguments, "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_power_cut_and_seek(kafka: KafkaBroker, tmp_path: Path, monkeypatch: Any) -> None:
    """Runs that died with the machine leave their places to a live alert and are made anew; a stream is read again."""
    if TOPIC not in kafka.admin().list_topics(timeout=10).topics:
        kafka.create_topic(TOPIC)
    stack = Stack(tmp_path / "stack", kafka, None, warm=False)
    for letter in "ab":
        kafka.produce(TOPIC, body(f"S240301{letter}", "PRELIMINARY", skymap=tiny_map()))
    with stack.running():
        wait_until(lambda: _taken(stack), "both places taken", timeout=400, every=0.2)
    # Every process was killed; the runs still count as under way, and take both places.
    dead = runs(stack, STARTED)
    assert dead
    assert len(runs(stack, STARTED, STARTING)) == 2
    kafka.produce(TOPIC, body("S240301d", "PRELIMINARY", skymap=tiny_map()))
    kafka.produce(TOPIC, b"not an alert")
    with stack.running():
        wait_until(lambda: bool(runs(stack, SUCCESS, event="S240301d")), "the live alert's run", timeout=400, every=0.5)
        # Not by run monitoring, which would have ended them after the longest time that a run may take.
        assert all("process of this run is gone" in words for words in failures(stack, dead))

        # A message that is in the stream and not in the archive: as after a restored backup.
        archive = stack.archive()
        wait_until(lambda: len(archive.quarantined()) == 1, "the malformed message", timeout=240, every=0.5)
        (_, lost, _) = archive.quarantined()[0]
        with archive.engine.begin() as connection:
            connection.execute(sa.delete(schema.message).where(schema.message.c.sha256 == lost.sha256))
        moved = stream(stack, monkeypatch, "seek", "gcn-gwalert", "--offset", str(lost.offset), "--partition", "0")
        assert moved["after"][TOPIC]["0"] == lost.offset
        wait_until(lambda: len(archive.quarantined()) == 1, "the message read again", timeout=300, every=0.5)
        assert archive.quarantined()[0][1].offset == lost.offset
        (entry,) = (one for one in stream(stack, monkeypatch) if one["stream"] == "gcn-gwalert")
        assert entry["topics"] == [TOPIC]

        # Passing over: what waits is never read. The tick under way must not undo it.
        _, high = kafka.watermarks(TOPIC)
        stream(stack, monkeypatch, "seek", "gcn-gwalert", "--end")
        wait_until(lambda: _next(stack, monkeypatch) >= high, "the cursor at the end", timeout=240, every=0.5)
        time.sleep(3)
        assert _next(stack, monkeypatch) >= high
        # What was made once is not made again by reading it again.
        stream(stack, monkeypatch, "seek", "gcn-gwalert", "--beginning")
        wait_until(lambda: _next(stack, monkeypatch) >= high, "all read again", timeout=300, every=0.5)
        assert len(runs(stack, event="S240301d")) == 1


def _taken(stack: Stack) -> bool:
    return len(runs(stack, STARTED)) >= 1 and len(runs(stack, STARTED, STARTING)) == 2


def _next(stack: Stack, monkeypatch: Any) -> int:
    (entry,) = (one for one in stream(stack, monkeypatch) if one["stream"] == "gcn-gwalert")
    return int(entry["next"].get(TOPIC, {}).get("0", -1))
