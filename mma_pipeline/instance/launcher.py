"""Run launcher that sends urgent lanes to resident workers, and every other run to its own Kubernetes Job.

A pod costs tens of seconds before the first line of code runs; a resident worker (`mma worker`) has the code loaded.
A backfill should run beside the workers and within limits of its own. Dagster takes one launcher per instance,
so this one looks at the run's lane (tag `mma/lane`) and hands over to the stock launcher of dagster-celery or to that
of dagster-k8s; it starts, watches and ends nothing itself. A run without the tag, as a person starts it in the UI, is
no live alert: it goes where backfills go. In dagster.yaml:

    run_launcher:
      module: mma_pipeline.instance.launcher
      class: LaneRunLauncher
      config:
        warm_lanes: [live, mock]
        broker: …            # and all else that dagster_celery.launcher.CeleryRunLauncher takes
        pods: {…}            # what dagster_k8s.K8sRunLauncher takes
        pod_lanes:           # what a lane adds to `pods.run_k8s_config`
          kilonova: {container_config: {resources: {…}}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher

from mma_pipeline.defs.jobs import LANE_TAG, Lane
from mma_pipeline.instance.task_queue import declare_queue

if TYPE_CHECKING:
    from dagster_k8s import K8sRunLauncher

#: Key of the launcher for lanes without additions.
_NO_LANE = ""


class LaneRunLauncher(CeleryRunLauncher):
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
        self._declared = False
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

    def is_warm(self, run: dg.DagsterRun) -> bool:
        """Whether a run goes to a resident worker."""
        return _lane(run) in self._warm_lanes

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
            self._declare()
            super().launch_run(context)
        else:
            self.pods(context.dagster_run).launch_run(context)

    def resume_run(self, context: Any) -> None:
        """Hand a run over again whose process was lost."""
        if self.is_warm(context.dagster_run):
            self._declare()
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

    def _declare(self) -> None:
        if not self._declared:
            declare_queue(self.celery, self.default_queue)
            self._declared = True


def _lane(run: dg.DagsterRun) -> str:
    return run.tags.get(LANE_TAG, Lane.BACKFILL.value)
