"""Compares neutrino notices again when the event has a newer map, has one at last, or was retracted.

The asset takes the newest map that is archived when it runs. This sensor looks which notices were compared with
something else and asks for exactly those; in the end every notice stands against its event's newest map, in whatever
order the messages came.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.defs.jobs import Lane, lane_tags
from mma_pipeline.defs.neutrinos.assets import neutrino_coincidence
from mma_pipeline.defs.neutrinos.compared_event import ComparedEvent, compared_event_among
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource
from mma_pipeline.notices.key import ICECUBE_LABEL
from mma_pipeline.notices.model import Role

#: Maps of an event may come for months; older notices are compared again by hand.
LOOK_BACK = timedelta(days=180)
#: Notices looked at in one tick, newest first: IceCube sends one or two per event.
RECENT = 500
#: Notices asked for in one tick.
MOST = 20
#: Run tag that says what the notice is to be compared with.
WANTED_TAG = "mma/compare-with"
#: Runs that one comparison may take, and the pause between them.
MOST_RUNS = 10
PAUSE = timedelta(minutes=5)

neutrino_products = dg.define_asset_job(
    "neutrino_products",
    selection=dg.AssetSelection.assets(neutrino_coincidence.name),
    executor_def=dg.in_process_executor,
    description="The comparison of one neutrino notice with the newest map of its event, again.",
)


@dg.sensor(
    name="neutrino_coincidence_sensor",
    job=neutrino_products,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Compares neutrino notices again when their event has a newer map or was retracted.",
)
def neutrino_coincidence_sensor(
    context: dg.SensorEvaluationContext, archive: ArchiveResource
) -> dg.SensorResult | dg.SkipReason:
    """One tick: ask for the notices that were compared with another map than the newest."""
    requests: list[dg.RunRequest] = []
    for record, found in outdated(archive.open(), datetime.now(UTC)):
        request = _request(context.instance, record, found)
        if request is not None:
            context.log.info(f"{record.partition_key} is to be compared with {' and '.join(found.identity)}")
            requests.append(request)
        if len(requests) == MOST:
            break
    if not requests:
        return dg.SkipReason("every neutrino notice was compared with the newest map of its event")
    keys = [str(request.partition_key) for request in requests]
    return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=[alert_versions.build_add_request(keys)])


def outdated(archive: Archive, now: datetime) -> Iterator[tuple[VersionRecord, ComparedEvent]]:
    """Notices whose comparison is there but would now be another, with what it would be made from."""
    notices = archive.versions(label=ICECUBE_LABEL, limit=RECENT)
    records = [record for record in notices if now - record.version.created <= LOOK_BACK]
    products = archive.products_of(record.partition_key for record in records)
    events = archive.versions_of({record.version.event_id for record in records})
    for record in records:
        name = neutrino_coincidence.files[0].name
        made = next((product for product in products[record.partition_key] if product.name == name), None)
        if made is None:
            continue  # its own run is under way, or `unfinished_versions_sensor` asks for another
        found = compared_event_among(events[record.version.event_id])
        if tuple(made.statistics.get("counterpart", ())) != found.identity:
            yield record, found


def _request(instance: dg.DagsterInstance, record: VersionRecord, found: ComparedEvent) -> dg.RunRequest | None:
    """A run for the notice, unless one is under way, has just failed, or too many have."""
    key, wanted = record.partition_key, "/".join(found.identity)
    before = instance.get_run_records(
        dg.RunsFilter(job_name=neutrino_products.name, tags={"dagster/partition": key, WANTED_TAG: wanted})
    )
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
            "mma/event": record.version.event_id,
            WANTED_TAG: wanted,
        },
    )
