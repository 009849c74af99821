"""Makes the windows of an event's newest map again when a day has passed, for the days in which observers follow it.

From the archive alone: what was made last says for which 24 h; where the clock is in later ones, a run is asked for.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.event_history import newest_map, retraction_of
from mma_pipeline.adapters.archive.recent import recent_versions
from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.defs.jobs import EVENT_TAG, Lane, lane_tags
from mma_pipeline.defs.observing.configuration import wrong_sites
from mma_pipeline.defs.observing.observability import begin_of, observability
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource
from mma_pipeline.notices.model import Role

#: Runs asked for in one tick.
MOST = 20

observability_products = dg.define_asset_job(
    "observability_products",
    selection=dg.AssetSelection.assets(observability.name),
    executor_def=dg.in_process_executor,
    description="When the map of one version can be observed, for the day.",
)


@dg.sensor(
    name="observability_sensor",
    job=observability_products,
    minimum_interval_seconds=600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for the windows of a new day, for real events that stand and are followed.",
)
def observability_sensor(
    context: dg.SensorEvaluationContext, archive: ArchiveResource, settings: SettingsResource
) -> dg.SensorResult | dg.SkipReason:
    """One tick: ask for the versions whose 24 h are over."""
    now, found = datetime.now(UTC), settings.get()
    try:
        days, problem = found.observing.windows_days, wrong_sites(found)
    except ConfigurationError as error:
        return dg.SkipReason(str(error))
    if problem is not None:
        return dg.SkipReason(problem)
    due = overtaken(archive.open(), now, days)
    if not due:
        return dg.SkipReason("the windows of every event that is followed are of today")
    requests = [_request(record, begins) for record, begins in due[:MOST]]
    context.log.info(f"{len(due)} events begin a new day; {len(requests)} runs asked for")
    keys = [str(request.partition_key) for request in requests]
    return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=[alert_versions.build_add_request(keys)])


def overtaken(archive: Archive, now: datetime, days: int) -> list[tuple[VersionRecord, datetime]]:
    """Newest maps whose windows were made for an earlier day than today's, with the begin of today's 24 h.

    Of real events that are significant or do not say, and are not retracted; mocks keep their first day. A version whose
    windows were never made is not among them: `unfinished_versions_sensor` looks after it.
    """
    recent = {f.record.version.event_id for f in recent_versions(archive, now - timedelta(days=days + 1), now)}
    events = archive.versions_of(sorted(recent))
    newest = [record for found in events.values() if (record := _followed(found)) is not None]
    products = archive.products_of(record.partition_key for record in newest)
    due = []
    for record in newest:
        begins = begin_of(record.version.created, now, days)
        made = next((p for p in products[record.partition_key] if p.name == observability.files[0].name), None)
        if made is not None and str(made.statistics["begins"]) < f"{begins:%Y-%m-%dT%H:%M:%SZ}":
            due.append((record, begins))
    return due


def _followed(versions: Sequence[VersionRecord]) -> VersionRecord | None:
    record = newest_map(versions, combined=False)
    if record is None or retraction_of(versions) is not None:
        return None
    wanted = record.version.role is Role.OBSERVATION and record.facts.get("significant") is not False
    return record if wanted else None


def _request(record: VersionRecord, begins: datetime) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"windows:{record.partition_key}:{begins:%Y%m%dT%H%M}",
        partition_key=record.partition_key,
        tags={**lane_tags(Lane.BACKFILL), EVENT_TAG: record.version.event_id},
    )
