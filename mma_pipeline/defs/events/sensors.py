"""Keeps pages up to date after changes outside a version's run: nights of candidates, added regions, repairs by hand.

It reads the archive alone. A page that is out of date gets a run once the event's state has not changed since the last tick.
"""

import json
import time
from datetime import UTC, datetime, timedelta

import dagster as dg

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.archive.recent import recent_versions
from mma_pipeline.adapters.deadline import within
from mma_pipeline.adapters.errors import OutOfTimeError
from mma_pipeline.defs.events.assets import event_page
from mma_pipeline.defs.events.page.state import event_states
from mma_pipeline.defs.events.page.write import shows
from mma_pipeline.defs.jobs import EVENT_TAG, Lane, lane_tags
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource, StoreResource
from mma_pipeline.defs.ticks import every

#: Events that received a notice in this time are watched: candidates are measured for a month.
LOOK_BACK = timedelta(days=35)
#: Seconds after which a tick, which has 60, asks the store for no further page.
STORE_S = 20.0
#: Events looked at in one tick, those with the newest notices first.
MOST_EVENTS = 200

event_pages = dg.define_asset_job(
    "event_pages",
    selection=dg.AssetSelection.assets(event_page),
    executor_def=dg.in_process_executor,
    description="Writes the page of one event again.",
)


@dg.sensor(
    name="event_page_sensor",
    job=event_pages,
    minimum_interval_seconds=every(60),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests the page of an event when it no longer shows what the archive has.",
)
def event_page_sensor(
    context: dg.SensorEvaluationContext, archive: ArchiveResource, store: StoreResource
) -> dg.SensorResult:
    """Compare states with those of the last tick; request out-of-date pages of events that have not changed since."""
    until = time.monotonic() + STORE_S
    now, opened, target = datetime.now(UTC), archive.open(), store.open()
    newest: dict[str, VersionRecord] = {}
    for found in recent_versions(opened, now - LOOK_BACK, now):
        newest.pop(found.record.version.event_id, None)
        newest[found.record.version.event_id] = found.record
    # Per event: its state at the last tick, and whether its page showed it. An event without changes costs no request.
    known = json.loads(context.cursor) if context.cursor else {}
    cursor: dict[str, tuple[str, bool]] = {}
    requests = []
    for event_id, state in event_states(opened, list(newest)[-MOST_EVENTS:]).items():
        digest = state.digest
        before, shown = known.get(event_id) or ("", False)
        # An event that changed since the last tick usually has a run in progress, which writes the page at its end.
        rests = before == digest
        try:
            with within(until - time.monotonic()):
                cursor[event_id] = (digest, rests and (shown or shows(target, event_id, digest)))
        except OutOfTimeError:
            # Progress is kept, so that the next tick gets further.
            cursor[event_id] = (before, shown)
            continue
        if rests and not cursor[event_id][1]:
            requests.append(_request(newest[event_id], digest, now))
    keys = [str(request.partition_key) for request in requests]
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[alert_versions.build_add_request(keys)] if keys else [],
        cursor=json.dumps(cursor),
        skip_reason=None if requests else dg.SkipReason(f"{len(cursor)} pages are up to date, or will be soon"),
    )


def _request(record: VersionRecord, digest: str, now: datetime) -> dg.RunRequest:
    event_id = record.version.event_id
    return dg.RunRequest(
        # A failed run is requested again an hour later.
        run_key=f"page:{event_id}:{digest[:16]}:{int(now.timestamp() // 3600)}",
        partition_key=record.partition_key,
        tags={**lane_tags(Lane.BACKFILL), EVENT_TAG: event_id},
    )
