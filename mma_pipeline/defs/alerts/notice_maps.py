"""Fetches the maps that notices name by address, each as a version of its own beside the notice: `Update-Map`.

A map may be there minutes after its notice, later, or never. The notice's own version never waits for it: it has the map of
the stated error at once. The bytes fetched are archived like any message, so that products are made again without a server.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.event_history import retraction_of
from mma_pipeline.adapters.archive.recent import recent_versions
from mma_pipeline.adapters.deadline import within
from mma_pipeline.adapters.errors import AdapterError, ConfigurationError, OutOfTimeError
from mma_pipeline.adapters.http import download
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.defs.alerts.large_messages import FetchAttempts
from mma_pipeline.defs.alerts.sensors import quarantine_event, run_request
from mma_pipeline.defs.jobs import alert_products
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource
from mma_pipeline.defs.ticks import every
from mma_pipeline.notices.degraded import MAX_LENGTH, bounded
from mma_pipeline.notices.key import DIGEST_LENGTH, FETCHED_SUFFIX
from mma_pipeline.notices.text import one_line
from mma_pipeline.products.ingest import Quarantined, presentable, requests_of
from mma_pipeline.products.maps import map_problems
from mma_pipeline.settings import NoticeSettings

#: Name under which fetched maps are archived: the topic is the address, the offset the notice's message.
STREAM = "notice-maps"
#: Seconds that all fetches of one tick may take together.
TICK_S = 45.0
#: Greatest number of maps in one tick.
MOST = 10
#: Facts of a notice that do not hold for its map.
_NOT_OF_THE_MAP = ("no_map", "skymap_url", "degraded")


@dg.sensor(
    name="notice_maps_sensor",
    job=alert_products,
    minimum_interval_seconds=every(10),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fetches the maps that notices of other observatories name by their address.",
)
def notice_maps_sensor(
    context: dg.SensorEvaluationContext, archive: ArchiveResource, settings: SettingsResource
) -> dg.SensorResult | dg.SkipReason:
    """One tick: try each due map once."""
    now = datetime.now(UTC)
    try:
        wanted = settings.get().notices
    except ConfigurationError as error:
        return dg.SkipReason(str(error))
    opened = archive.open()
    tried = {
        key: FetchAttempts(**entry) for key, entry in (json.loads(context.cursor) if context.cursor else {}).items()
    }
    waiting = waiting_for_maps(opened, now, wanted)
    tried = {record.partition_key: tried.get(record.partition_key, FetchAttempts()) for record in waiting}
    due = [record for record in waiting if tried[record.partition_key].next <= now.timestamp()]
    if not due:
        return dg.SkipReason(f"no map is to be fetched now; {len(waiting)} wait")
    requests: dict[str, dg.RunRequest] = {}
    refused: list[Quarantined] = []
    with within(TICK_S):
        for record in sorted(due, key=lambda one: tried[one.partition_key].next)[:MOST]:
            key = record.partition_key
            try:
                fetched = fetch_map(opened, record, wanted, datetime.now(UTC))
            except OutOfTimeError:
                break  # the rest stays due for the next tick
            except AdapterError as error:
                context.log.info(f"{key}: {error}")
                tried[key] = tried[key].failed(datetime.now(UTC).timestamp())
                continue
            if isinstance(fetched, Quarantined):
                refused.append(fetched)
                # The server may put a better one there.
                tried[key] = tried[key].failed(datetime.now(UTC).timestamp())
            else:
                requests |= fetched
                del tried[key]
    return dg.SensorResult(
        run_requests=list(requests.values()),
        dynamic_partitions_requests=[alert_versions.build_add_request(list(requests))] if requests else [],
        asset_events=[quarantine_event(entry) for entry in refused],
        cursor=json.dumps({key: asdict(entry) for key, entry in tried.items()}, sort_keys=True),
    )


def waiting_for_maps(archive: Archive, now: datetime, settings: NoticeSettings) -> list[VersionRecord]:
    """Notices of the last hours whose map has not been fetched, of events that stand."""
    recent = recent_versions(archive, now - timedelta(hours=settings.map_hours), now)
    named = [found.record for found in recent if found.record.facts.get("skymap_url")]
    versions = archive.versions_of({record.version.event_id for record in named})
    return [record for record in named if _waits(record, versions[record.version.event_id])]


def _waits(record: VersionRecord, versions: Sequence[VersionRecord]) -> bool:
    fetched = {version.facts.get("fetched_for") for version in versions}
    return record.partition_key not in fetched and retraction_of(versions) is None


def fetch_map(
    archive: Archive, record: VersionRecord, settings: NoticeSettings, now: datetime
) -> dict[str, dg.RunRequest] | Quarantined:
    """Fetch the map of a notice, archive it, and return the run to request; or the quarantined bytes that are no map.

    Raises NotFoundError if it is not there (yet), TransientError and PermanentError if the server does not give it within
    the limits.
    """
    url = str(record.facts["skymap_url"])
    data = download(url, most_bytes=int(settings.map_megabytes * 1e6), seconds=settings.map_seconds)
    message = StreamMessage(STREAM, url, 0, record.message_id, data, None, (), None, now)
    usable, problems = map_problems(data, record.facts.get("position_deg"))
    if not usable:
        reason = presentable(f"the map of {record.stem}: {'; '.join(problems)}")
        event_id = record.version.event_id
        rehearsal = record.version.role.value == "test"
        return Quarantined(archive.quarantine(message, reason, event_id=event_id, rehearsal=rehearsal), message, reason)
    sha256 = hashlib.sha256(data).hexdigest()
    digest = hashlib.sha256(f"{record.version.digest}{sha256}".encode()).hexdigest()[:DIGEST_LENGTH]
    version = replace(record.version, label=record.version.label + FETCHED_SUFFIX, digest=digest)
    recorded = archive.record(message, [(version, _facts(record, sha256, problems))])
    return {one.partition_key: run_request(one, message) for one in requests_of(recorded)}


def _facts(record: VersionRecord, sha256: str, problems: Sequence[str]) -> Mapping[str, Any]:
    """Those of the notice, with the map's own."""
    facts = {name: value for name, value in record.facts.items() if name not in _NOT_OF_THE_MAP}
    facts |= {"skymap_sha256": sha256, "fetched_for": record.partition_key}
    if problems:
        facts["degraded"] = list(bounded(tuple(one_line(f"map: {problem}", MAX_LENGTH) for problem in problems)))
    return facts
