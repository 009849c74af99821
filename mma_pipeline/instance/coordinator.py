"""The run coordinator of the warm lane: Dagster's queue, which a live alert passes by while a resident worker is free.

The stock queue is looked through once a second at most (`dequeue_interval_seconds` is a whole number, and 0 means all the time).
Half a second on average, and a second at worst, is as long as all that a telescope needs takes to compute. So a run of a prompt lane
that would be the next one anyway is handed over when it is submitted, as Dagster's DefaultRunCoordinator does. Everything else
waits in the stock queue, with its priorities and limits. In dagster.yaml:

    run_coordinator:
      module: mma_pipeline.instance.coordinator
      class: PromptRunCoordinator
      config:
        prompt_lanes: [live]
        prompt_runs: 2       # of these lanes under way at the same time; more of them wait in the queue
        …                    # and all else that dagster.QueuedRunCoordinator takes
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from mma_pipeline.defs.jobs import LANE_TAG

_log = logging.getLogger(__name__)

#: Seconds for which runs wait in the queue again after one could not be handed over: its daemon may wait for a broker that is
#: away, a sensor's tick must not.
PAUSE_S = 60.0
_UNDER_WAY = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_WAITING = [dg.DagsterRunStatus.QUEUED]


class PromptRunCoordinator(dg.QueuedRunCoordinator):
    """The stock queue, which runs of prompt lanes pass by while few of them are under way and none waits."""

    def __init__(self, prompt_lanes: Sequence[str] = (), prompt_runs: int = 1, **queue: Any) -> None:
        """Store the settings; `queue` are those of QueuedRunCoordinator."""
        super().__init__(**queue)
        self._lanes, self._most = frozenset(prompt_lanes), prompt_runs
        self._queue_until = 0.0
        # Two streams' sensors submit at the same time, each in a thread of the daemon.
        self._one_at_a_time = threading.Lock()

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The settings of QueuedRunCoordinator and those of this class."""
        return {
            **dg.QueuedRunCoordinator.config_type(),  # type: ignore[dict-item]
            "prompt_lanes": dg.Field([str], is_required=False, description="Lanes whose runs need not wait."),
            "prompt_runs": dg.Field(
                int, is_required=False, default_value=1, description="Runs of these lanes under way at the same time."
            ),
        }

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> PromptRunCoordinator:
        """Build it from dagster.yaml."""
        return cls(inst_data=inst_data, **config_value)

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Hand a run over, or put it into the queue."""
        run = context.dagster_run
        if run.status is not dg.DagsterRunStatus.NOT_STARTED or run.tags.get(LANE_TAG) not in self._lanes:
            return super().submit_run(context)
        with self._one_at_a_time:
            if not self._may_begin():
                return super().submit_run(context)
            try:
                return self._instance.launch_run(run.run_id, context.workspace)
            except Exception:  # noqa: BLE001 -- as Dagster's own daemon: whatever a launcher raises
                # Dagster has written the reason into the run's log and failed it, as after an attempt of the queue's daemon:
                # `run_retries` starts it again. Raised here, it would be failed a second time.
                _log.exception("run %s could not be handed over", run.run_id)
                self._queue_until = time.monotonic() + PAUSE_S
        return self._instance.get_run_by_id(run.run_id) or run

    def _may_begin(self) -> bool:
        """Whether the queue would start a prompt run now: a place is free, in its lanes and in all, and none waits for it."""
        if time.monotonic() < self._queue_until:
            return False
        queue = self._instance.get_concurrency_config().run_queue_config
        most = queue.max_concurrent_runs if queue is not None else -1
        if 0 <= most <= self._count(_UNDER_WAY):
            return False
        lanes = {LANE_TAG: sorted(self._lanes)}
        return self._count(_UNDER_WAY, lanes) < self._most and not self._count(_WAITING, lanes)

    def _count(self, statuses: Sequence[dg.DagsterRunStatus], tags: Mapping[str, Any] | None = None) -> int:
        return self._instance.get_runs_count(dg.RunsFilter(statuses=statuses, tags=tags))
