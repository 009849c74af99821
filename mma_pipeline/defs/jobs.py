"""Jobs that a sensor, a person or a backfill starts for a version, and their tags."""

from __future__ import annotations

from enum import StrEnum

import dagster as dg

#: Run tag by which queues and launchers assign runs.
LANE_TAG = "mma/lane"
#: Tag of a failed run whose cause is reported to people separately, so that the run itself is not.
REPORTED = {"mma/told": "true"}


class Lane(StrEnum):
    """What a run competes with: real alerts must never wait for anything else."""

    LIVE = "live"
    MOCK = "mock"
    BACKFILL = "backfill"
    KILONOVA = "kilonova"
    """Scoring of candidates: minutes of computing, for which no alert waits."""


#: Run tag by which Dagster's run monitoring ends a run that takes longer, in seconds; without it dagster.yaml's limit.
RUNTIME_TAG = "dagster/max_runtime"
#: Seconds that a run of a lane may take before it counts as lost and is started again. An alert's products take some
#: seconds, on a very busy machine a minute. The lane of backfills has the limit of dagster.yaml.
MOST_S = {Lane.LIVE: 120, Lane.MOCK: 120, Lane.KILONOVA: 1800}
#: The same for a run that publishes, whatever its lane: it waits for other people's servers.
PUBLICATION_S = 300


def lane_tags(lane: Lane, *, priority: int = 0, most_s: int | None = None) -> dict[str, str]:
    """Tags of a run by its lane: concurrency limit, priority, and maximum run time (`most_s`, seconds)."""
    tags = {LANE_TAG: lane.value, "dagster/priority": str(priority)}
    limit = most_s or MOST_S.get(lane)
    return tags if limit is None else tags | {RUNTIME_TAG: str(limit)}


#: Every product of a version, in one process: a process of its own per product would cost seconds each.
alert_products = dg.define_asset_job(
    "alert_products",
    selection=dg.AssetSelection.groups("alert", "skymap", "observing", "neutrino", "event"),
    executor_def=dg.in_process_executor,
    description="Every product of one version of an event.",
)
