"""Requests a version's product once more because what it was compared with has changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.defs.jobs import EVENT_TAG, Lane, lane_tags
from mma_pipeline.notices.model import Role

#: Greatest number of runs for one state of things, and the pause between them.
MOST_RUNS = 10
PAUSE = timedelta(minutes=5)


def request_again(
    instance: dg.DagsterInstance, job: str, record: VersionRecord, tag: str, wanted: str
) -> dg.RunRequest | None:
    """A run of a job for a version, unless one is in progress or has just ended, or too many were made.

    `tag` is the run tag that names what the product is to be made from, `wanted` its value: every value has its own runs.
    """
    key = record.partition_key
    before = instance.get_run_records(dg.RunsFilter(job_name=job, tags={"dagster/partition": key, tag: wanted}))
    now = datetime.now(UTC).timestamp()
    if len(before) >= MOST_RUNS or any(not one.dagster_run.is_finished for one in before):
        return None
    if any(one.end_time is not None and now - one.end_time < PAUSE.total_seconds() for one in before):
        return None
    real = record.version.role is Role.OBSERVATION
    return dg.RunRequest(
        run_key=f"{key}/{wanted}/{len(before)}",
        partition_key=key,
        tags={
            **lane_tags(Lane.LIVE if real else Lane.MOCK, priority=5 if real else 0),
            EVENT_TAG: record.version.event_id,
            tag: wanted,
        },
    )
