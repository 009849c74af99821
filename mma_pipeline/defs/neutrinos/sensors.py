"""Compares neutrino notices again when the event has a newer map, has one at last, or was retracted.

The asset uses the newest map in the archive when it runs. This sensor finds the notices that were compared with another map
and requests those. In the end every notice is compared with its event's newest map, in whatever order the messages arrived.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.defs.neutrinos.assets import neutrino_coincidence
from mma_pipeline.defs.neutrinos.compared_event import ComparedEvent, compared_event_among
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource
from mma_pipeline.defs.run_again import request_again
from mma_pipeline.defs.ticks import every
from mma_pipeline.notices.key import ICECUBE_LABEL

#: New maps of an event may arrive for months; older notices are compared again by hand.
LOOK_BACK = timedelta(days=180)
#: Greatest number of notices checked in one tick, newest first: IceCube sends one or two per event.
RECENT = 500
#: Greatest number of notices requested in one tick.
MOST = 20
#: Run tag that names the map and retraction to compare with.
WANTED_TAG = "mma/compare-with"

neutrino_products = dg.define_asset_job(
    "neutrino_products",
    selection=dg.AssetSelection.assets(neutrino_coincidence.name),
    executor_def=dg.in_process_executor,
    description="Compares one neutrino notice with the newest map of its event again.",
)


@dg.sensor(
    name="neutrino_coincidence_sensor",
    job=neutrino_products,
    minimum_interval_seconds=every(30),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Compares neutrino notices again when their event has a newer map or was retracted.",
)
def neutrino_coincidence_sensor(
    context: dg.SensorEvaluationContext, archive: ArchiveResource
) -> dg.SensorResult | dg.SkipReason:
    """One tick: request the notices that were compared with a map other than the newest."""
    requests: list[dg.RunRequest] = []
    for record, found in outdated(archive.open(), datetime.now(UTC)):
        request = request_again(context.instance, neutrino_products.name, record, WANTED_TAG, "/".join(found.identity))
        if request is not None:
            context.log.info(f"{record.partition_key} will be compared with {' and '.join(found.identity)}")
            requests.append(request)
        if len(requests) == MOST:
            break
    if not requests:
        return dg.SkipReason("every neutrino notice has been compared with the newest map of its event")
    keys = [str(request.partition_key) for request in requests]
    return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=[alert_versions.build_add_request(keys)])


def outdated(archive: Archive, now: datetime) -> Iterator[tuple[VersionRecord, ComparedEvent]]:
    """Notices whose comparison exists but is out of date, with what it would be made from now."""
    notices = archive.versions(label=ICECUBE_LABEL, limit=RECENT)
    records = [record for record in notices if now - record.version.created <= LOOK_BACK]
    products = archive.products_of(record.partition_key for record in records)
    events = archive.versions_of({record.version.event_id for record in records})
    for record in records:
        name = neutrino_coincidence.files[0].name
        made = next((product for product in products[record.partition_key] if product.name == name), None)
        if made is None:
            continue  # its own run is in progress, or `unfinished_versions_sensor` requests another
        found = compared_event_among(events[record.version.event_id])
        if tuple(made.statistics.get("counterpart", ())) != found.identity:
            yield record, found
