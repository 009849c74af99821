"""Run launchers for resident workers: stock dagster-celery and dagster-k8s, and the question whether a run's worker lives.

A pod costs tens of seconds before the first line of code runs; a resident worker (`mma worker`) has the code loaded.
A backfill should run beside the workers and within limits of its own. Dagster takes one launcher per instance, so
`LaneRunLauncher` looks at the run's lane (tag `mma/lane`) and hands over to the stock launcher of dagster-celery or to that
of dagster-k8s. A run without the tag, as a person starts it in the UI, is no live alert: it goes where backfills go. In
dagster.yaml:

    run_launcher:
      module: mma_pipeline.instance.launcher
      class: LaneRunLauncher
      config:
        warm_lanes: [live, mock]
        broker: …            # and all else that dagster_celery.launcher.CeleryRunLauncher takes
        pods: {…}            # what dagster_k8s.K8sRunLauncher takes
        pod_lanes:           # what a lane adds to `pods.run_k8s_config`
          kilonova: {container_config: {resources: {…}}}

`WarmRunLauncher` sends every run to resident workers. Celery writes down that a task has begun and how it ended; if its
worker dies with its whole pool, nobody writes anything. So both launchers also ask the worker, by Celery's remote control,
when Dagster's run monitoring asks how a run is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from mma_pipeline.adapters import task_queue
from mma_pipeline.adapters.errors import TransientError
from mma_pipeline.defs.jobs import LANE_TAG, Lane
from mma_pipeline.settings import current

if TYPE_CHECKING:
    from dagster_k8s import K8sRunLauncher

_log = logging.getLogger(__name__)

#: Key of the launcher for lanes without additions.
_NO_LANE = ""
#: Seconds for which a worker may leave questions unanswered before it counts as gone: its machine may be busy, or its
#: connection to the queue be down for a moment.
SILENT_S = 10.0
#: Seconds after an outage of the queue in which silence means nothing: workers connect again after up to half a minute.
RECONNECT_S = 40.0
#: Seconds that the Kubernetes API may take to answer.
KUBERNETES_S = 5.0
#: Seconds between the attempts to hand a run over while the queue is away, some 20 s together: a restart of its server
#: takes that long. What fails then is started again by `run_retries`.
PUBLISH_RETRY = {"max_retries": 22, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 1.0}


class WarmRunLauncher(CeleryRunLauncher):
    """The dagster-celery launcher, which also notices workers that died with their runs."""

    def __init__(self, **celery: Any) -> None:
        """Store the settings; connects to nothing yet. Raises ConfigurationError if the broker cannot be used."""
        given = dict(celery.pop("config_source", None) or {})
        options = task_queue.transport_options(celery.get("broker"), current().home)
        options |= given.get("broker_transport_options") or {}
        defaults = {
            "worker_prefetch_multiplier": 1,
            "worker_hijack_root_logger": False,
            "broker_connection_retry_on_startup": True,
            "broker_connection_max_retries": None,
            "broker_connection_timeout": task_queue.CONNECT_S,
            "task_publish_retry_policy": PUBLISH_RETRY,
        }
        config = {**defaults, **given, "broker_transport_options": options}
        super().__init__(config_source=config, **celery)
        self._silent_since: dict[str, float] = {}
        self._trusted_from = 0.0
        # Celery imports much on first use, which must not happen in two of the daemon's threads at once.
        self.celery.connection_for_write().transport  # noqa: B018
        _ = (self.celery.amqp.queues, self.celery.control)

    def check_run_worker_health(self, run: dg.DagsterRun) -> Any:
        """State of a run's process according to Celery's records, and to the worker that has it."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        # A daemon that died while it handed the run over did not note the task: then any worker may have it.
        found: Any = super().check_run_worker_health(
            run if task_id else run.with_tags({DAGSTER_CELERY_TASK_ID_TAG: run.run_id})
        )
        if found.status.name == "FAILED":
            return found
        if found.status.name == "SUCCESS":
            # Run monitoring reads the run's state again before it acts on this.
            return _failed(found, "Celery's task is over, and the run has not ended.")
        gone = self._gone(run.run_id, task_id)
        if gone is None:
            return found._replace(status=type(found.status).RUNNING, msg=None)
        return _failed(found, gone)

    def lost(self, runs: Sequence[dg.DagsterRun]) -> Mapping[str, str]:
        """Of runs that were handed over some time ago and have not begun: those that nobody has, with the reason.

        A queue that was lost with its server has forgotten them, and so has a worker that died between taking and
        beginning them. Empty if the queue cannot be asked, or no worker answers: then they still wait. Takes some seconds.
        """
        mine = [run for run in runs if self.is_warm(run)]
        if not mine:
            return {}
        try:
            state = task_queue.look(self.celery, self.default_queue)
        except TransientError as error:
            _log.warning("%s", error)
            return {}
        if state.waiting or not state.workers:
            return {}
        in_hand = "".join(state.workers.values())
        why = "The queue and its workers do not have this run: it was lost before it began."
        return {run.run_id: why for run in mine if run.run_id not in in_hand}

    @property
    def needs_workers(self) -> bool:
        """Whether any run goes to resident workers."""
        return True

    def is_warm(self, run: dg.DagsterRun) -> bool:  # noqa: ARG002 -- the launcher of lanes looks at it
        """Whether a run goes to a resident worker."""
        return True

    def _gone(self, run_id: str, task_id: str | None) -> str | None:
        """Why a run's worker counts as gone; None if it has the run, or if that cannot be said (yet)."""
        now = time.monotonic()
        try:
            worker, has = self._ask(run_id, task_id)
        except TransientError as error:
            _log.warning("%s", error)
            self._trusted_from = now + RECONNECT_S
            return None
        if has:
            self._silent_since.pop(run_id, None)
            return None
        if has is False:
            self._silent_since.pop(run_id, None)
            return f"The worker {worker} does not have this run any more: it was killed, and started again without it."
        since = max(self._silent_since.setdefault(run_id, now), self._trusted_from)
        if now - since < SILENT_S:
            return None
        del self._silent_since[run_id]
        return f"The worker of this run ({worker}) does not answer: killed, or lost with its machine."

    def _ask(self, run_id: str, task_id: str | None) -> tuple[str, bool | None]:
        """The worker that began a run, and whether it has the run in hand; None if it does not answer."""
        begun = self.celery.AsyncResult(task_id).info if task_id else None
        worker = begun.get("hostname") if isinstance(begun, dict) else None
        if task_id and worker:
            return worker, task_queue.has_task(self.celery, worker, task_id)
        state = task_queue.look(self.celery, self.default_queue)
        has = any(run_id in tasks for tasks in state.workers.values())
        return "not noted", True if has else None


class LaneRunLauncher(WarmRunLauncher):
    """The dagster-celery launcher for warm lanes, the dagster-k8s launcher for the rest.

    It is a Celery launcher, so that `mma worker` and Celery's own command find their queue in it. The Kubernetes launcher is
    created on first use, because workers and runs never talk to the cluster.
    """

    def __init__(
        self,
        warm_lanes: Sequence[str],
        pods: Mapping[str, Any],
        pod_lanes: Mapping[str, Mapping[str, Any]] | None = None,
        **celery: Any,
    ) -> None:
        """Store the settings; connects to nothing yet."""
        self._warm_lanes = frozenset(warm_lanes)
        self._pods = dict(pods)
        self._pod_lanes = dict(pod_lanes or {})
        self._launchers: dict[str, K8sRunLauncher] = {}
        super().__init__(**celery)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The settings of CeleryRunLauncher and those of this class."""
        from dagster_k8s import K8sRunLauncher

        return {
            **CeleryRunLauncher.config_type(),  # type: ignore[dict-item]
            "warm_lanes": dg.Field([str], description="Lanes whose runs go to resident workers."),
            "pods": dg.Field(
                K8sRunLauncher.config_type(),  # type: ignore[no-untyped-call]
                description="Settings of the Kubernetes run launcher.",
            ),
            "pod_lanes": dg.Field(
                dict, is_required=False, description="By lane: what is added to pods.run_k8s_config."
            ),
        }

    @property
    def needs_workers(self) -> bool:
        """Whether any lane's runs go to resident workers."""
        return bool(self._warm_lanes)

    def is_warm(self, run: dg.DagsterRun) -> bool:
        """Whether a run goes to a resident worker."""
        return _lane(run) in self._warm_lanes

    def lost(self, runs: Sequence[dg.DagsterRun]) -> Mapping[str, str]:
        """Those of the workers' runs as the parent says, and the pods' runs whose Job is over, or is not there."""
        in_pods = [run for run in runs if not self.is_warm(run)]
        return {**super().lost(runs), **(self._without_pod(in_pods) if in_pods else {})}

    def pods(self, run: dg.DagsterRun) -> K8sRunLauncher:
        """The stock Kubernetes launcher with the settings of a run's lane; one per lane and process."""
        lane = _lane(run)
        if lane not in self._pod_lanes:
            lane = _NO_LANE
        if lane not in self._launchers:
            from dagster_k8s import K8sRunLauncher

            base = self._pods.get("run_k8s_config") or {}
            added = self._pod_lanes.get(lane, {})
            merged = {part: {**base.get(part, {}), **added.get(part, {})} for part in {*base, *added}}
            launcher: K8sRunLauncher = K8sRunLauncher(**{**self._pods, "run_k8s_config": merged})
            launcher.register_instance(self._instance)
            self._launchers[lane] = launcher
        return self._launchers[lane]

    def launch_run(self, context: Any) -> None:
        """Hand a run over."""
        if self.is_warm(context.dagster_run):
            super().launch_run(context)
        else:
            self.pods(context.dagster_run).launch_run(context)

    def resume_run(self, context: Any) -> None:
        """Hand a run over again whose process was lost."""
        if self.is_warm(context.dagster_run):
            super().resume_run(context)
        else:
            self.pods(context.dagster_run).resume_run(context)

    def terminate(self, run_id: str) -> bool:
        """End a run; False if there is none."""
        run = self._instance.get_run_by_id(run_id)
        if run is None:
            return False
        if self.is_warm(run):
            return super().terminate(run_id)
        return bool(self.pods(run).terminate(run_id))  # type: ignore[no-untyped-call]

    def check_run_worker_health(self, run: dg.DagsterRun) -> Any:
        """State of a run's process according to Celery or Kubernetes."""
        if self.is_warm(run):
            return super().check_run_worker_health(run)
        return self.pods(run).check_run_worker_health(run)

    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """Information of Celery or Kubernetes about a failed run."""
        if self.is_warm(run):
            return super().get_run_worker_debug_info(run, include_container_logs)
        return self.pods(run).get_run_worker_debug_info(run, include_container_logs)

    def _without_pod(self, runs: Sequence[dg.DagsterRun]) -> Mapping[str, str]:
        """Of runs that have not begun: those whose Job says that no pod will begin them. Empty if Kubernetes cannot be asked."""
        from dagster_k8s.job import get_job_name_from_run_id
        from kubernetes import client, config
        from urllib3.exceptions import HTTPError

        found = {}
        try:
            for run in runs:
                place = self.pods(run).get_container_context_for_run(run).namespace
                name = get_job_name_from_run_id(run.run_id)  # type: ignore[no-untyped-call]
                why = _no_pod(client.BatchV1Api(), name, place)
                if why is not None:
                    found[run.run_id] = why
        except (client.ApiException, HTTPError, config.ConfigException) as error:
            # Then the time to start decides, as ever.
            _log.warning("Kubernetes cannot be asked for the Jobs of runs: %s", error)
        return found


def _failed(found: Any, why: str) -> Any:
    """Dagster's answer to the question for a run's health, changed to a failure."""
    return found._replace(status=type(found.status).FAILED, msg=why)


def _lane(run: dg.DagsterRun) -> str:
    return run.tags.get(LANE_TAG, Lane.BACKFILL.value)


def _no_pod(batch: Any, job: str, namespace: str | None) -> str | None:
    """Why no pod of a Job will begin its run; None if one may. Raises ApiException, HTTPError."""
    from kubernetes import client

    try:
        status = batch.read_namespaced_job_status(job, namespace, _request_timeout=KUBERNETES_S).status
    except client.ApiException as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return f"This run has no Job any more (dagster-k8s names it {job}): it was deleted, or never made."
    if status.active or not (status.failed or status.succeeded):
        return None
    return (
        f"The pod of this run ended before the run began (failed={status.failed or 0}, succeeded={status.succeeded or 0}): "
        f"see kubectl describe job {job}, and kubectl logs job/{job}."
    )
