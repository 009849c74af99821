"""Compares a pair again when one of its events has a newer notice or map, was retracted, or does not know of the pair yet.

A version's own run compares it with what is archived then. The other event of a pair has been compared before; this sensor
requests its newest version again, so that both say the same in the end, in whatever order the messages arrived.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.coincidences import PairState, pairs_since
from mma_pipeline.adapters.archive.event_history import chronological
from mma_pipeline.defs.coincidences.assets import coincidence_alert, coincidences, why_not
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource
from mma_pipeline.defs.run_again import request_again
from mma_pipeline.defs.ticks import every
from mma_pipeline.products.coincidences import pair_between, side_of
from mma_pipeline.science.coincidence.searches import SearchRules

#: Newer maps of an event may come for months; older pairs are compared again by hand.
LOOK_BACK = timedelta(days=180)
#: Greatest number of pairs checked in one tick, newest first.
RECENT = 300
#: Greatest number of versions requested in one tick.
MOST = 20
#: Run tag that names what a pair is to be made from.
WANTED_TAG = "mma/pair"

coincidence_products = dg.define_asset_job(
    "coincidence_products",
    selection=dg.AssetSelection.assets(coincidences.name) | dg.AssetSelection.assets(coincidence_alert),
    executor_def=dg.in_process_executor,
    description="Compares one event with those of other messengers again.",
)


@dg.sensor(
    name="coincidence_sensor",
    job=coincidence_products,
    minimum_interval_seconds=every(30),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Compares pairs of events again when either of them has changed.",
)
def coincidence_sensor(
    context: dg.SensorEvaluationContext, archive: ArchiveResource, settings: SettingsResource
) -> dg.SensorResult | dg.SkipReason:
    """One tick: request the newest version of every event whose product does not show a pair as it stands."""
    wanted_by = settings.get()
    if (problem := why_not(wanted_by)) is not None:
        return dg.SkipReason(f"no pair is compared: {problem}")
    requests: list[dg.RunRequest] = []
    for record, wanted in outdated(archive.open(), wanted_by.coincidences.rules, datetime.now(UTC)):
        request = request_again(context.instance, coincidence_products.name, record, WANTED_TAG, wanted)
        if request is not None:
            context.log.info(f"{record.partition_key} will be compared again")
            requests.append(request)
        if len(requests) == MOST:
            break
    if not requests:
        return dg.SkipReason("every pair shows both events as they stand")
    keys = [str(request.partition_key) for request in requests]
    return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=[alert_versions.build_add_request(keys)])


def outdated(archive: Archive, rules: SearchRules, now: datetime) -> Iterator[tuple[VersionRecord, str]]:
    """Newest versions whose product exists and lacks a pair as it stands, with the digest of that pair."""
    pairs = pairs_since(archive, now - LOOK_BACK, limit=RECENT)
    events = archive.versions_of({e for p in pairs for e in (p.gw_event, p.other_event)})
    newest = {event_id: _newest(records) for event_id, records in events.items()}
    products = archive.products_of(r.partition_key for r in newest.values() if r is not None)
    for pair in pairs:
        sides = [side_of(events.get(event_id, ())) for event_id in (pair.gw_event, pair.other_event)]
        if sides[0] is None or sides[1] is None:
            continue
        found = pair_between(sides[0], sides[1], rules)
        within = found is not None and found.search.holds(found.difference_s)
        wanted = found.identity(rules) if found is not None and within else "no pair"
        for side in sides:
            record = None if side is None else newest[side.event_id]
            if record is None:
                continue
            made = next((p for p in products[record.partition_key] if p.name == coincidences.files[0].name), None)
            if made is None:
                continue  # its own run is in progress, or `unfinished_versions_sensor` requests another
            shown = {p["identity"] for p in made.statistics["pairs"]}
            partners = {p["gw_event"] for p in made.statistics["pairs"]} | {
                p["other_event"] for p in made.statistics["pairs"]
            }
            stale = wanted not in shown if within else {pair.gw_event, pair.other_event} <= partners
            kept = pair.identity == wanted if within else pair.state is PairState.OUTSIDE
            if stale or not kept:
                yield record, wanted


def _newest(records: Sequence[VersionRecord]) -> VersionRecord | None:
    """The version whose product says how an event stands: its newest own notice."""
    own = [r for r in chronological(records) if r.version.alert_type is not None and not r.version.is_external]
    return own[-1] if own else None
