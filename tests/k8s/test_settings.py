"""The production dagster.yaml of the chart on a real PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from mma_pipeline.defs.jobs import LANE_TAG, Lane
from mma_pipeline.instance.launcher import LaneRunLauncher
from tests.k8s.chart import BASE, ROOT, dagster_settings, render, values_of


@dg.job
def nothing() -> None:
    """A job without anything to do."""


@pytest.fixture
def production(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAGSTER_HOME with the rendered settings, its storage an empty PostgreSQL database."""
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(dagster_settings(render(BASE))))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_PG_URL", postgres_url.replace("+psycopg2", ""))
    monkeypatch.setenv("MMA_CELERY_BROKER", "redis://:unused@127.0.0.1:1/0")
    monkeypatch.setenv("MMA_CELERY_BACKEND", f"db+{postgres_url}")
    return tmp_path


def test_the_settings_load_and_mean_what_they_say(production: Path) -> None:
    """Storage in PostgreSQL, queue with limits per lane, monitoring, retries, sensor threads, no telemetry."""
    with dg.DagsterInstance.from_config(str(production)) as instance:
        assert "Postgres" in type(instance.run_storage).__name__
        assert "Postgres" in type(instance.event_log_storage).__name__
        assert "Postgres" in type(instance.schedule_storage).__name__
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert instance.run_retries_max_retries == 3
        assert instance.get_settings("sensors") == {"use_threads": True, "num_workers": 8}
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 8
        limits = {(limit["key"], limit.get("value")): limit["limit"] for limit in queue.tag_concurrency_limits}
        assert limits == {
            (LANE_TAG, "live"): 3,
            (LANE_TAG, "mock"): 1,
            (LANE_TAG, "backfill"): 2,
            (LANE_TAG, "kilonova"): 2,
            ("dagster/backfill", None): 2,
        }
        # Made without a cluster: only a process that starts pods talks to one.
        assert isinstance(instance.run_launcher, LaneRunLauncher)
        instance.add_dynamic_partitions("alert_version", ["one"])
        assert instance.get_dynamic_partitions("alert_version") == ["one"]


def test_lanes_are_those_of_the_code(production: Path) -> None:
    """Each lane that the code knows is in the settings, and none besides."""
    limits = yaml.safe_load((production / "dagster.yaml").read_text())["concurrency"]["runs"]["tag_concurrency_limits"]
    assert {limit["value"] for limit in limits if limit["key"] == LANE_TAG} == set(Lane)


@pytest.mark.parametrize(("lane", "warm"), [("live", True), ("mock", True), ("backfill", False), (None, False)])
def test_lanes_in_a_hurry_go_to_the_workers(production: Path, lane: str | None, warm: bool) -> None:
    """Live and mock alerts go to resident workers, a backfill and what a person starts get a pod."""

    with dg.DagsterInstance.from_config(str(production)) as instance:
        run = instance.create_run_for_job(nothing, tags={LANE_TAG: lane} if lane else {})
        launcher = instance.run_launcher
        assert isinstance(launcher, LaneRunLauncher)
        assert launcher.is_warm(run) is warm


def test_an_older_database_is_migrated_in_place(production: Path) -> None:
    """`dagster instance migrate`, as the daemon's pod runs it, ends well on an empty database and again on that."""
    command = [str(Path(sys.executable).parent / "dagster"), "instance", "migrate"]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-2000:]


def test_small_clusters_need_no_pods(production: Path) -> None:
    """With every lane warm no run asks the cluster for a pod, and Dagster takes the settings."""
    settings = dagster_settings(render(values_of("values-small.yaml")))
    config: dict[str, Any] = settings["run_launcher"]["config"]
    assert set(config["warm_lanes"]) == set(Lane)
    assert config["pod_lanes"] == {}
    (production / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with dg.DagsterInstance.from_config(str(production)) as instance:
        launcher = instance.run_launcher
        assert isinstance(launcher, LaneRunLauncher)
        assert launcher.is_warm(instance.create_run_for_job(nothing)), "a run that nobody gave a lane, too"
