"""The resident workers' queue on a real Redis with a real worker: what is said of it, and which runs count as lost."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
import yaml
from celery import Celery

from mma_pipeline.adapters import task_queue
from mma_pipeline.adapters.errors import ConfigurationError, TransientError
from mma_pipeline.cli.doctor import Verdict, _guarded, _queue
from mma_pipeline.defs.operations import lost_runs
from mma_pipeline.defs.operations.lost_runs import end_lost_runs
from mma_pipeline.instance import launcher as launching
from mma_pipeline.instance.launcher import WarmRunLauncher
from tests.services.process import Child, wait_until
from tests.services.redis import RedisServer

ROOT = Path(__file__).parents[2]
FAILURE, STARTED, STARTING = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING


@dg.op
def _sleep() -> None:
    time.sleep(600)


@dg.job(executor_def=dg.in_process_executor)
def sleeps() -> None:
    """A job that is under way for as long as a test looks."""
    _sleep()


class Lane:
    """An instance with resident workers behind a Redis of its own, and one worker."""

    def __init__(self, folder: Path) -> None:
        """Write the settings; nothing runs yet."""
        self.folder, self.queue = folder, RedisServer(folder)
        self._settings = {
            "run_launcher": {
                "module": "mma_pipeline.instance.launcher",
                "class": "WarmRunLauncher",
                "config": {"broker": self.queue.url, "backend": f"db+sqlite:///{folder / 'results.db'}"},
            }
        }
        (folder / "dagster.yaml").write_text(yaml.safe_dump(self._settings))
        self.worker: Child | None = None

    def start_worker(self) -> None:
        """Start the worker and wait until it serves the queue."""
        command = [sys.executable, "-c", "from mma_pipeline.cli import app; app()", "worker", "--loglevel", "info"]
        env = {**os.environ, "DAGSTER_HOME": str(self.folder), "PYTHONPATH": str(ROOT)}
        log = self.folder / f"{uuid.uuid4()}.log"
        self.worker = Child("worker", command, log, env=env, cwd=ROOT)
        self.worker.wait_ready(lambda: " ready." in log.read_text(), timeout=240)

    def kill_worker(self) -> None:
        """SIGKILL the worker with its pool."""
        assert self.worker is not None
        self.worker.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def lane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lane]:
    """A lane with its worker."""
    made = Lane(tmp_path_factory.mktemp("lane"))
    made.queue.start()
    try:
        made.start_worker()
        yield made
    finally:
        made.kill_worker()
        made.queue.kill()


@pytest.fixture
def instance(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The lane's instance, as daemon and code server see it."""
    monkeypatch.setenv("DAGSTER_HOME", str(lane.folder))
    monkeypatch.setattr(launching, "SILENT_S", 1.0)
    monkeypatch.setattr(launching, "RECONNECT_S", 5.0)
    monkeypatch.setattr(lost_runs, "PATIENCE", lost_runs.timedelta(0))
    with dg.DagsterInstance.get() as opened:
        yield opened


def _launcher(instance: dg.DagsterInstance) -> WarmRunLauncher:
    found = instance.run_launcher
    assert isinstance(found, WarmRunLauncher)
    return found


def _hand_over(instance: dg.DagsterInstance) -> str:
    """Launch a run as the queue's daemon does."""
    origin = dg.reconstructable(sleeps).get_python_origin()
    run = instance.create_run_for_job(sleeps, job_code_origin=origin)
    event = dg.DagsterEvent(dg.DagsterEventType.PIPELINE_STARTING.value, job_name=sleeps.name)
    instance.report_dagster_event(event, run_id=run.run_id)
    _launcher(instance).launch_run(SimpleNamespace(dagster_run=_run(instance, run.run_id)))
    return run.run_id


def _run(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    found = instance.get_run_by_id(run_id)
    assert found is not None
    return found


def _health(instance: dg.DagsterInstance, run_id: str) -> str:
    return str(_launcher(instance).check_run_worker_health(_run(instance, run_id)).status.name)


@pytest.mark.timeout(1200)
def test_what_dies_is_noticed(lane: Lane, instance: dg.DagsterInstance) -> None:
    """A run under way is alive as long as its worker, also while the queue is away; a run that nobody has is lost.

    A run that waits is not: neither while its worker is away, nor before anybody can be asked.
    """
    under_way = _hand_over(instance)
    wait_until(lambda: _run(instance, under_way).status is STARTED, "the run's begin", timeout=240)
    assert _health(instance, under_way) == "RUNNING"
    forgotten = _run(instance, under_way).with_tags({})  # its daemon died before it noted the task
    assert _launcher(instance).check_run_worker_health(forgotten).status.name == "RUNNING"
    assert [finding.verdict for finding in _guarded(_queue)] == [Verdict.OK, Verdict.OK]

    lane.queue.kill()
    assert _health(instance, under_way) == "RUNNING", "what nobody can be asked about is not dead"
    (finding,) = _guarded(_queue)
    assert finding.verdict is Verdict.FAILED
    assert lane.queue.password not in finding.detail
    lane.queue.start()
    wait_until(
        lambda: len(_guarded(_queue)) == 2 and _guarded(_queue)[1].verdict is Verdict.OK, "the worker", timeout=120
    )
    assert _health(instance, under_way) == "RUNNING"

    lane.kill_worker()
    wait_until(lambda: _health(instance, under_way) == "FAILED", "the worker's death", timeout=120, every=1)
    assert _guarded(_queue)[1].verdict is Verdict.FAILED, "nobody serves the queue"
    waiting = _hand_over(instance)
    assert end_lost_runs(instance) == [], "it is in the queue"
    lane.queue.kill()
    assert end_lost_runs(instance) == [], "nobody can be asked"
    lane.queue.start()
    assert end_lost_runs(instance) == [], "no worker is there that could have it"
    lane.start_worker()
    wait_until(lambda: end_lost_runs(instance) == [waiting], "the lost run", timeout=120, every=1)
    assert _run(instance, waiting).status is FAILURE
    another = _hand_over(instance)
    wait_until(lambda: _run(instance, another).status is STARTED, "a run of the new worker", timeout=240)
    assert end_lost_runs(instance) == []
    assert _launcher(instance).lost([_run(instance, another)]) == {}, "its worker has it"


def test_the_first_question_after_an_outage_is_answered(tmp_path: Path) -> None:
    """A queue that was restarted since it was last asked is asked anew, not declared away; a question for one task says so."""
    queue = RedisServer(tmp_path)
    queue.start()
    app = Celery("asks", broker=queue.url)
    app.conf.broker_transport_options = task_queue.transport_options(queue.url, tmp_path)
    nothing = task_queue.QueueState(0, {})
    try:
        assert task_queue.look(app, "dagster") == nothing
        queue.kill()
        queue.start()
        assert task_queue.look(app, "dagster") == nothing
        queue.kill()
        with pytest.raises(TransientError, match="cannot be used"):
            task_queue.look(app, "dagster")
        queue.start()
        with pytest.raises(TransientError, match="cannot be used"):
            task_queue.has_task(app, "celery@nobody", "no task")
    finally:
        queue.kill()


def test_a_wrong_password_is_named_and_not_shown(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's refusal is told, without the password that was tried."""
    wrong = WarmRunLauncher(
        default_queue="dagster", broker=lane.queue.url.replace(lane.queue.password, "alicespassword"), backend="rpc://"
    )
    with pytest.raises(TransientError, match="password") as told:
        task_queue.look(wrong.celery, "dagster")
    assert "alicespassword" not in str(told.value)


@pytest.mark.parametrize("broker", ["sqla+postgresql://db/mma", "", None, "memory://"])
def test_brokers_that_cannot_serve_are_refused(broker: str | None) -> None:
    """A broker whose workers cannot be asked, and none at all, are refused with what to set."""
    with pytest.raises(ConfigurationError, match="MMA_CELERY_BROKER to redis"):
        WarmRunLauncher(default_queue="dagster", broker=broker, backend="rpc://")


def test_the_queue_without_a_server_says_that_it_is_experimental(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`filesystem://` works, in a folder of DAGSTER_HOME, and the doctor warns of it; without a worker it says so."""
    config = {"broker": "filesystem://", "backend": f"db+sqlite:///{tmp_path / 'results.db'}"}
    launcher = {"module": "mma_pipeline.instance.launcher", "class": "WarmRunLauncher", "config": config}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"run_launcher": launcher}))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.get() as instance:
        _hand_over(instance)
    rough, nobody = _guarded(_queue)
    assert rough.verdict is Verdict.WARNING
    assert "experimental" in rough.detail
    assert "filesystem" in rough.detail
    assert nobody.verdict is Verdict.FAILED
    assert (tmp_path / "queue").is_dir()
