"""Ends runs whose process is gone (power cut, kill, crash), so that they no longer occupy a slot of the queue.

Dagster's default launcher starts a run as a process on the code server's machine and cannot tell later whether that process
is alive; run monitoring then waits for the maximum run time. The run's own log names the process, and this sensor, which
runs on the same machine, checks whether it exists. `run_retries` starts again the runs that it reports as failed. Celery's
and Kubernetes' launchers watch their processes themselves.
"""

# No postponed annotations here: Dagster reads the real types of the sensor's parameters.
from datetime import UTC, datetime

import dagster as dg
import psutil

#: Seconds by which a process may seem younger than its run's first log entry: clocks of kernel and log differ.
TOLERANCE_S = 5.0
_UNDER_WAY = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


@dg.sensor(
    name="lost_runs_sensor",
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process is gone, so that they free their slot of the queue and are started again.",
)
def lost_runs_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """One tick: report lost runs; requests no run itself."""
    if not isinstance(context.instance.run_launcher, dg.DefaultRunLauncher):
        return dg.SkipReason("the launcher watches the processes of its runs")
    lost = end_lost_runs(context.instance)
    for run_id in lost:
        context.log.error(f"run {run_id} lost its process: ended, so that it can be started again")
    return dg.SkipReason(f"{len(lost)} runs lost their process" if lost else "no run is lost")


def end_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """End every run in progress whose process on this machine is gone; returns their ids."""
    return [
        record.dagster_run.run_id
        for record in instance.get_run_records(dg.RunsFilter(statuses=_UNDER_WAY))
        if _is_lost(instance, record) and _end(instance, record.dagster_run.run_id)
    ]


def _is_lost(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether a run's process is gone: it is known but does not exist, or it belonged to an earlier boot."""
    run_id = record.dagster_run.run_id
    for entry in reversed(instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)):
        event = entry.dagster_event
        pid = None if event is None else event.engine_event_data.metadata.get("pid")
        if pid is not None:
            return not _lives(int(str(pid.value)), entry.timestamp)
    # No log entry of its process yet: run monitoring allows time to start, unless the machine was restarted since.
    begun = datetime.fromtimestamp(psutil.boot_time() - TOLERANCE_S, UTC)
    return record.update_timestamp.replace(tzinfo=UTC) < begun


def _lives(pid: int, seen: float) -> bool:
    """Whether the process that existed at a time (Unix seconds) still does; another may have its number by now."""
    try:
        process = psutil.Process(pid)
        return bool(process.create_time() <= seen + TOLERANCE_S and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _end(instance: dg.DagsterInstance, run_id: str) -> bool:
    """End a run; False if it ended by itself meanwhile."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return False
    if run.status is dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, "The run was to be cancelled, and its process is gone.")
    else:
        instance.report_run_failed(run, "The process of this run is gone: killed, crashed, or lost with its machine.")
    return True
