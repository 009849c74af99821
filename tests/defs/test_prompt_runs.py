"""Which runs pass the queue by: with the real coordinator and launcher, and a queue of the workers that nobody serves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from mma_pipeline.defs.jobs import LANE_TAG
from mma_pipeline.instance.coordinator import PromptRunCoordinator

Status = dg.DagsterRunStatus


@dg.job(executor_def=dg.in_process_executor)
def nothing() -> None:
    """A job for runs that nobody takes."""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance on which two live runs, and three in all, may be under way."""
    settings = {
        "run_launcher": {
            "module": "mma_pipeline.instance.launcher",
            "class": "WarmRunLauncher",
            "config": {"broker": "filesystem://", "backend": f"db+sqlite:///{tmp_path / 'results.db'}"},
        },
        "run_coordinator": {
            "module": "mma_pipeline.instance.coordinator",
            "class": "PromptRunCoordinator",
            "config": {"prompt_lanes": ["live"], "prompt_runs": 2, "dequeue_interval_seconds": 1},
        },
        "concurrency": {"runs": {"max_concurrent_runs": 3}},
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.get() as opened:
        yield opened


def submit(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    """Create a run and submit it, as a sensor does; what became of it."""
    place = GrpcServerCodeLocationOrigin(host="127.0.0.1", port=1, location_name="here")
    run = instance.create_run_for_job(
        nothing,
        job_code_origin=dg.reconstructable(nothing).get_python_origin(),
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(place, "__repository__"), nothing.name),
        tags=tags,
    )
    coordinator = instance.run_coordinator
    assert isinstance(coordinator, PromptRunCoordinator)
    coordinator.submit_run(SimpleNamespace(dagster_run=run, workspace=None))
    return found(instance, run)


def found(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    """The run as it is now."""
    now = instance.get_run_by_id(run.run_id)
    assert now is not None
    return now


def live(instance: dg.DagsterInstance) -> dg.DagsterRun:
    """Submit a live run."""
    return submit(instance, **{LANE_TAG: "live"})


def test_a_live_run_is_handed_over_at_once(instance: dg.DagsterInstance) -> None:
    """It is started without having been in the queue, its task is noted, and submitting it again changes nothing."""
    run = live(instance)
    assert run.status is Status.STARTING
    assert "dagster-celery/task_id" in run.tags
    assert not list(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_ENQUEUED))
    instance.run_coordinator.submit_run(SimpleNamespace(dagster_run=run, workspace=None))
    assert found(instance, run).tags == run.tags


def test_other_lanes_wait_in_the_queue(instance: dg.DagsterInstance) -> None:
    """A mock alert's run, and one without a lane, wait in the queue even while all places are free."""
    assert submit(instance, **{LANE_TAG: "mock"}).status is Status.QUEUED
    assert submit(instance).status is Status.QUEUED


def test_more_live_runs_than_places_wait_in_the_queue(instance: dg.DagsterInstance) -> None:
    """The third waits for a place of the lane; the next one waits behind it, though a place has become free."""
    first, second = live(instance), live(instance)
    assert (first.status, second.status) == (Status.STARTING, Status.STARTING)
    third = live(instance)
    assert third.status is Status.QUEUED
    instance.report_run_failed(first)
    assert live(instance).status is Status.QUEUED
    for run in instance.get_runs(dg.RunsFilter(statuses=[Status.QUEUED])):
        instance.delete_run(run.run_id)
    assert live(instance).status is Status.STARTING


def test_a_live_run_takes_no_place_that_others_have(instance: dg.DagsterInstance) -> None:
    """With as many runs of other lanes under way as there may be in all, it waits in the queue."""
    for _ in range(3):
        instance.create_run_for_job(nothing, status=Status.STARTED)
    assert live(instance).status is Status.QUEUED


def test_a_run_that_cannot_be_handed_over_has_failed_once(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """The reason is in its log, for `run_retries`; the next ones wait in the queue, whose daemon may wait for the broker."""
    assert instance.run_launcher, "it makes the folder"
    shutil.rmtree(tmp_path / "queue")
    (tmp_path / "queue").write_text("the broker is away")
    run = live(instance)
    assert run.status is Status.FAILURE
    assert len(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)) == 1
    assert live(instance).status is Status.QUEUED
