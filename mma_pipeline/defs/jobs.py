"""Jobs that a sensor, a person or a backfill starts for a version, and their tags."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import dagster as dg

from mma_pipeline.notices.key import EventVersion, event_of_key
from mma_pipeline.notices.model import Role

#: Run tag by which queues and launchers assign runs.
LANE_TAG = "mma/lane"
#: Run tag with the event that a run is about, and that of a run about several.
EVENT_TAG, EVENTS_TAG = "mma/event", "mma/events"
#: What a retraction adds to the priority of a run, for real events and for mock ones.
RETRACTION, MOCK_RETRACTION = 5, 2
#: Events that the tag of a run about several names.
_NAMED = 8
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


#: Priority of a lane's run in the queue where none is given: what is made again comes after every alert, mock ones too.
_PRIORITIES = {Lane.BACKFILL: -3}


def lane_tags(lane: Lane, *, priority: int | None = None, most_s: int | None = None) -> dict[str, str]:
    """Tags of a run by its lane: concurrency limit, priority, and maximum run time (`most_s`, seconds)."""
    tags = {LANE_TAG: lane.value, "dagster/priority": str(_PRIORITIES.get(lane, 0) if priority is None else priority)}
    limit = most_s or MOST_S.get(lane)
    return tags if limit is None else tags | {RUNTIME_TAG: str(limit)}


def urgency(version: EventVersion) -> int:
    """Priority of a version's run in the queue: real before mock, and a retraction before the versions that it withdraws."""
    if version.role is Role.OBSERVATION:
        return 10 + RETRACTION * version.is_retraction
    # No mock event comes before a real one, whatever its run does.
    return MOCK_RETRACTION * version.is_retraction


def keys_of(context: dg.AssetExecutionContext) -> Sequence[str]:
    """The partitions of the run. For a range Dagster asks the database for each of them, which one alone does not need."""
    span = context.partition_key_range
    return [span.start] if span.start == span.end else context.partition_keys


def tag_event(context: dg.AssetExecutionContext) -> None:
    """Tag the run with its event where who started it did not, as a person in the UI or a backfill."""
    tags = context.run.tags
    if EVENT_TAG in tags or EVENTS_TAG in tags:
        return
    events = sorted({event for key in keys_of(context) if (event := event_of_key(key)) is not None})
    if len(events) == 1:
        context.instance.add_run_tags(context.run_id, {EVENT_TAG: events[0]})
    elif events:
        more = f" and {len(events) - _NAMED} more" if len(events) > _NAMED else ""
        context.instance.add_run_tags(context.run_id, {EVENTS_TAG: ", ".join(events[:_NAMED]) + more})


#: Name of the asset by which an alert's own run publishes it at its end, and of the job that publishes what no such run did.
PROMPT_PUBLICATION, PUBLISH_VERSION = "prompt_publication", "publish_version"
#: Lanes of runs that a sensor requested for an alert; what a person or a backfill starts is in none of them.
OWN_LANES = frozenset({Lane.LIVE.value, Lane.MOCK.value})
#: Every product of a version, in one process: a process of its own per product would cost seconds each.
alert_products = dg.define_asset_job(
    "alert_products",
    # By part of its name: one that is not among the definitions would be an error.
    selection=dg.AssetSelection.groups("alert", "skymap", "observing", "neutrino", "event")
    | dg.AssetSelection.key_substring(PROMPT_PUBLICATION),
    executor_def=dg.in_process_executor,
    description="Every product of one version of an event; the run that a sensor requests for an alert publishes it, too.",
)
