"""Whether the process of a run is there: alive, ended, ended and not collected, another under its number."""

from __future__ import annotations

import subprocess
import sys
import time

import dagster as dg
import psutil

from mma_pipeline.defs.jobs import PUBLICATION_S, RUNTIME_TAG, Lane, lane_tags
from mma_pipeline.defs.operations.lost_runs import _lives, end_lost_runs, lost_runs_sensor
from tests.services.process import wait_until


def test_process_of_a_run() -> None:
    """A process lives until it ends; one that ended and was not collected does not; a younger one is another's."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        now = time.time()
        assert _lives(process.pid, now)
        assert not _lives(process.pid, now - 3600), "its number was another's an hour ago"
        process.kill()
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, "a process not collected")
        assert not _lives(process.pid, now)
    finally:
        process.kill()
        process.communicate()
    assert not _lives(process.pid, now)


def test_run_without_a_word_of_its_process_is_left_alone() -> None:
    """A run of this boot whose process has not said anything yet may be about to start."""

    @dg.job
    def nothing() -> None:
        pass

    with dg.instance_for_test() as instance:
        instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTING)
        assert end_lost_runs(instance) == []
        answer = lost_runs_sensor(dg.build_sensor_context(instance=instance))
        assert isinstance(answer, dg.SkipReason)


def test_run_handed_over_to_a_code_server_that_died_is_ended() -> None:
    """A run that was launched before this code server began, and has said nothing since, was lost with its predecessor."""

    @dg.job
    def nothing() -> None:
        pass

    look = (
        "import datetime, dagster as dg; from mma_pipeline.defs.operations import lost_runs as lost; "
        "lost.PATIENCE = datetime.timedelta(0); "
        "print(lost.end_lost_runs(dg.DagsterInstance.get()))"
    )
    with dg.instance_for_test() as instance:
        run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTING)
        time.sleep(2)  # the kernel tells a process's beginning to within a second
        younger = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=240, check=True)
        assert run.run_id in younger.stdout
        ended = instance.get_run_by_id(run.run_id)
        assert ended is not None
        assert ended.status is dg.DagsterRunStatus.FAILURE


def test_limits_of_lanes() -> None:
    """Live and mock runs have 120 s, scores half an hour, publications five minutes, backfills what dagster.yaml says."""
    assert lane_tags(Lane.LIVE, priority=10) == {"mma/lane": "live", "dagster/priority": "10", RUNTIME_TAG: "120"}
    assert lane_tags(Lane.MOCK)[RUNTIME_TAG] == "120"
    assert lane_tags(Lane.KILONOVA)[RUNTIME_TAG] == "1800"
    assert lane_tags(Lane.LIVE, most_s=PUBLICATION_S)[RUNTIME_TAG] == "300"
    assert RUNTIME_TAG not in lane_tags(Lane.BACKFILL)


def test_what_is_made_again_waits_for_mock_alerts():
    """A run that fills something in later comes behind the alerts, mock ones too."""
    assert int(lane_tags(Lane.BACKFILL)["dagster/priority"]) < int(lane_tags(Lane.MOCK)["dagster/priority"])
