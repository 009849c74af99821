"""Makes the windows of an event's newest map again when time has passed or other candidates are shown, while observers follow it.

From the archive alone: what was made last says for which 24 h and with which candidates. Where the clock is in later ones, or
the candidates are others, a run is asked for. A survey that scores all night costs one run in `EVERY_S` at most.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.event_history import newest_map, retraction_of
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.archive.recent import recent_versions
from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.defs.jobs import EVENT_TAG, Lane, lane_tags
from mma_pipeline.defs.observing.configuration import wrong_sites
from mma_pipeline.defs.observing.observability import begin_of, candidate_names, observability
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource
from mma_pipeline.notices.model import Role

#: Runs asked for in one tick.
MOST = 20
#: Seconds between two ticks, and so between two runs of one event.
EVERY_S = 300

observability_products = dg.define_asset_job(
    "observability_products",
    selection=dg.AssetSelection.assets(observability.name),
    executor_def=dg.in_process_executor,
    description="When the map of one version can be observed, for the day.",
)


@dg.sensor(
    name="observability_sensor",
    job=observability_products,
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for the windows of later hours, or with other candidates, for events that stand and are followed.",
)
def observability_sensor(
    context: dg.SensorEvaluationContext, archive: ArchiveResource, settings: SettingsResource
) -> dg.SensorResult | dg.SkipReason:
    """One tick: ask for the versions whose hours are past, or whose candidates are others."""
    now, found = datetime.now(UTC), settings.get()
    try:
        days, problem = found.observing.windows_days, wrong_sites(found)
    except ConfigurationError as error:
        return dg.SkipReason(str(error))
    if problem is not None:
        return dg.SkipReason(problem)
    due = overtaken(archive.open(), now, days)
    if not due:
        return dg.SkipReason("the windows of every event that is followed are of now, with its candidates")
    requests = [one.request() for one in due[:MOST]]
    context.log.info(f"{len(due)} events need other windows; {len(requests)} runs asked for")
    keys = [str(request.partition_key) for request in requests]
    return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=[alert_versions.build_add_request(keys)])


@dataclass(frozen=True, slots=True)
class Overtaken:
    """A version whose windows are to be made again."""

    record: VersionRecord
    begins: datetime
    """Begin of the 24 h that they are to describe."""
    candidates: tuple[str, ...] | None
    """The candidates that they are to know; None where those that they know are the same."""
    made: datetime
    """When those that are there were written."""

    def request(self) -> dg.RunRequest:
        """The run; its key is the same until other windows are there or wanted, so that nothing is asked for twice."""
        key = f"windows:{self.record.partition_key}:{self.begins:%Y%m%dT%H%M}"
        if self.candidates is not None:
            names = hashlib.sha256("\n".join(self.candidates).encode()).hexdigest()[:12]
            # With the time, because candidates can come, go and come again.
            key += f":{names}:{self.made:%Y%m%dT%H%M%S}"
        return dg.RunRequest(
            run_key=key,
            partition_key=self.record.partition_key,
            tags={**lane_tags(Lane.BACKFILL), EVENT_TAG: self.record.version.event_id},
        )


def overtaken(archive: Archive, now: datetime, days: int) -> list[Overtaken]:
    """Newest maps whose windows were made for earlier hours than those of now, or with other candidates.

    Of real events that are significant or do not say, and of every event with candidates, if it is not retracted; other mocks
    keep their first day. A version whose windows were never made is not among them: `unfinished_versions_sensor` looks
    after it.
    """
    recent = {f.record.version.event_id for f in recent_versions(archive, now - timedelta(days=days + 1), now)}
    events = archive.versions_of(sorted(recent))
    scores = PhotometryArchive(archive).latest_scores_of(sorted(events))
    newest = [r for event, found in events.items() if (r := _followed(found, scores.get(event, ()))) is not None]
    products = archive.products_of(record.partition_key for record in newest)
    due = []
    for record in newest:
        begins = begin_of(record.version.created, now, days)
        made = next((p for p in products[record.partition_key] if p.name == observability.files[0].name), None)
        if made is None:
            continue
        names = candidate_names(scores.get(record.version.event_id, ()))
        # Windows of an earlier release do not say which candidates they know.
        others = names != made.statistics.get("candidates", [])
        if others or str(made.statistics["begins"]) < f"{begins:%Y-%m-%dT%H:%M:%SZ}":
            due.append(Overtaken(record, begins, tuple(names) if others else None, made.written))
    return due


def _followed(versions: Sequence[VersionRecord], scores: Sequence[Mapping[str, Any]]) -> VersionRecord | None:
    record = newest_map(versions, combined=False)
    if record is None or retraction_of(versions) is not None:
        return None
    real = record.version.role is Role.OBSERVATION and record.facts.get("significant") is not False
    return record if real or scores else None
