"""Where the seconds of a run go, by the events in Dagster's log of it: from its creation to its end, without a gap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import dagster as dg

Kind = dg.DagsterEventType
#: What ends each part before the first step: the kind of an event and what its message says.
MARKS = (
    ("waits in the queue, or is handed over at once", Kind.RUN_STARTING, ""),
    ("task into the workers' queue", Kind.ENGINE_EVENT, "Celery task has been forwarded"),
    ("worker takes it, opens Dagster's storage", Kind.ENGINE_EVENT, "Started process"),
    ("loads the job and the plan", Kind.RUN_START, ""),
    ("resources, first step begins", Kind.STEP_START, ""),
)


def waterfall(logs: Iterable[dg.EventLogEntry], created: float) -> dict[str, float]:
    """Seconds of each part of a run, from its log and the time of its creation (Unix seconds).

    The parts up to the first step follow each other. Those of the steps are sums over all steps: making (computing, archive and store,
    as each materialisation says), the rest of the steps (Dagster's events, checks and metadata), and the time between steps.
    """
    events = [(e.timestamp, e.dagster_event) for e in logs if e.dagster_event is not None]
    found, since = {}, created
    for part, kind, says in MARKS:
        at = next((t for t, e in events if e.event_type is kind and says in (e.message or "")), None)
        if at is not None:  # a laptop's run has no task
            # The task may be taken before its hand-over is written down.
            found[part] = max(0.0, at - since)
            since = max(since, at)
    steps = _steps(events)
    making = 0.0
    for _, event in events:
        if event.event_type is Kind.ASSET_MATERIALIZATION:
            seconds = event.step_materialization_data.materialization.metadata.get("seconds")
            making += float(seconds.value) if isinstance(seconds, dg.FloatMetadataValue) and seconds.value else 0.0
    found["products: computing, archive, store"] = making
    found["steps: events, checks, metadata"] = sum(end - begin for begin, end in steps) - making
    found["between steps"] = sum(after - before for (_, before), (after, _) in pairwise(steps))
    ended = next((t for t, e in events if e.event_type in {Kind.RUN_SUCCESS, Kind.RUN_FAILURE}), None)
    if steps and ended is not None:
        found["after the last step"] = ended - steps[-1][1]
    return found


def _steps(events: Sequence[tuple[float, dg.DagsterEvent]]) -> list[tuple[float, float]]:
    """When each step began and ended, in order."""
    begun: dict[str, float] = {}
    found = []
    for at, event in events:
        key = event.step_key or ""
        if event.event_type is Kind.STEP_START:
            begun[key] = at
        elif event.event_type in {Kind.STEP_SUCCESS, Kind.STEP_FAILURE} and key in begun:
            found.append((begun.pop(key), at))
    return sorted(found)
