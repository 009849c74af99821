"""Ends runs that nobody works on any more (power cut, kill, lost queue), so that they no longer occupy a slot of the queue.

Dagster's run monitoring asks launchers whether the process of a run that has begun is alive. Two things it does not see, and
this sensor does. Dagster's default launcher starts a run as a process on the code server's machine and cannot tell later
whether it is alive: the run's own log names the process, and this sensor, which runs on the same machine, checks whether it
exists. And a run that was handed over and has not begun is left to a time limit: the launchers for resident workers are asked
whether queue and workers still have it. `run_retries` starts again the runs that are reported as failed.
"""

# No postponed annotations here: Dagster reads the real types of the sensor's parameters.
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol, runtime_checkable

import dagster as dg
import psutil

from mma_pipeline.defs.ticks import every

#: Seconds by which a process may seem younger than its run's first log entry: clocks of kernel and log differ.
TOLERANCE_S = 5.0
#: How long a run may take from its launch to its process's first sign of life before somebody asks for it.
PATIENCE = timedelta(seconds=10)
_UNDER_WAY = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_GONE = "The process of this run is gone: killed, crashed, or lost with its machine."


@runtime_checkable
class HandsOver(Protocol):
    """A launcher that hands runs over to a queue, and can say which of them nobody has."""

    def lost(self, runs: Sequence[dg.DagsterRun]) -> Mapping[str, str]:
        """Of runs that have not begun: the ids of those that nobody has, with the reason."""


@dg.sensor(
    name="lost_runs_sensor",
    minimum_interval_seconds=every(5),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process is gone, so that they free their slot of the queue and are started again.",
)
def lost_runs_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """One tick: report lost runs; requests no run itself."""
    lost = end_lost_runs(context.instance)
    for run_id in lost:
        context.log.error(f"run {run_id} is lost: ended, so that it can be started again")
    return dg.SkipReason(f"{len(lost)} runs were lost" if lost else "no run is lost")


def end_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """End every run that nobody works on any more; returns their ids."""
    launcher = instance.run_launcher
    if isinstance(launcher, dg.DefaultRunLauncher):
        found = _without_process(instance)
    elif isinstance(launcher, HandsOver):
        found = _without_worker(instance, launcher)
    else:
        return []
    return [run_id for run_id, status, why in found if _end(instance, run_id, status, why)]


_Lost = tuple[str, dg.DagsterRunStatus, str]


def _without_process(instance: dg.DagsterInstance) -> Iterator[_Lost]:
    for record in instance.get_run_records(dg.RunsFilter(statuses=_UNDER_WAY)):
        if _is_lost(instance, record):
            yield record.dagster_run.run_id, record.dagster_run.status, _GONE


def _without_worker(instance: dg.DagsterInstance, launcher: HandsOver) -> Iterator[_Lost]:
    starting = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING]))
    limit = datetime.now(UTC) - PATIENCE
    waiting = [record.dagster_run for record in starting if _launched(record) < limit]
    if waiting:
        for run_id, why in launcher.lost(waiting).items():
            yield run_id, dg.DagsterRunStatus.STARTING, why


def _is_lost(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether a run's process is gone: it is known but does not exist, or who should have started it is gone."""
    run_id = record.dagster_run.run_id
    for entry in reversed(instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)):
        event = entry.dagster_event
        pid = None if event is None else event.engine_event_data.metadata.get("pid")
        if pid is not None:
            return not _lives(int(str(pid.value)), entry.timestamp)
    # No log entry of its process yet: run monitoring allows time to start. But this process is the code server, which starts
    # the runs' processes: if it is younger, its predecessor died, and the run with it, unless that began at that moment.
    begun = datetime.fromtimestamp(psutil.Process().create_time(), UTC)
    launched = _launched(record)
    return launched < begun and datetime.now(UTC) - launched > PATIENCE


def _launched(record: dg.RunRecord) -> datetime:
    """When a run that has not begun was launched."""
    return record.update_timestamp.replace(tzinfo=UTC)


def _lives(pid: int, seen: float) -> bool:
    """Whether the process that existed at a time (Unix seconds) still does; another may have its number by now."""
    try:
        process = psutil.Process(pid)
        return bool(process.create_time() <= seen + TOLERANCE_S and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _end(instance: dg.DagsterInstance, run_id: str, status: dg.DagsterRunStatus, why: str) -> bool:
    """End a run; False if it went on by itself meanwhile."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished or run.status is not status:
        return False
    if run.status is dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, "The run was to be cancelled, and its process is gone.")
    else:
        instance.report_run_failed(run, why)
    return True
