"""Fills in fields of view that were unknown: fetches orbital elements and pointing files, then requests the product again.

The asset itself queries no server, so an alert never waits for one. This sensor does so twice an hour and whenever a new version
waits, and requests a run only for versions whose result would now differ. Elements are kept fresh also while no event waits, so that
the next one finds them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import BaseModel, ValidationError

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.deadline import within
from mma_pipeline.adapters.errors import AdapterError, ConfigurationError
from mma_pipeline.adapters.store import Store
from mma_pipeline.defs.jobs import EVENT_TAG, Lane, lane_tags
from mma_pipeline.defs.observing.visibility import fields_of_view, visibility
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource, ObservingResource, SettingsResource, StoreResource
from mma_pipeline.defs.ticks import every
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.science.observing.visibility import Instrument

#: Stored elements older than this are fetched again.
ELEMENTS_FRESH = timedelta(hours=8)
#: Time after which servers are asked again although nothing new waits.
ASK_AGAIN = timedelta(minutes=30)
#: Final pointing files are released within weeks; older events are filled in by hand.
LOOK_BACK = timedelta(days=60)
#: Greatest number of versions checked in one tick, newest first.
RECENT = 500
#: Greatest number of versions requested in one tick.
MOST = 20
#: Seconds that all requests for one instrument may take together in a tick, which has 60 s.
INSTRUMENT_S = 20.0

visibility_products = dg.define_asset_job(
    "visibility_products",
    selection=dg.AssetSelection.assets(visibility.name),
    executor_def=dg.in_process_executor,
    description="Makes the fields of view of one version again.",
)


class Asked(BaseModel):
    """The sensor's cursor: when servers were last asked, and the newest message whose version waited then."""

    at: datetime
    message: int

    @classmethod
    def read(cls, cursor: str | None) -> "Asked | None":
        """None where there is no cursor, or one of another release."""
        try:
            return cls.model_validate_json(cursor or "")
        except ValidationError:
            return None


@dg.sensor(
    name="visibility_sensor",
    job=visibility_products,
    minimum_interval_seconds=every(60),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fetches orbital elements and pointing files, and requests fields of view that were unknown.",
)
def visibility_sensor(
    context: dg.SensorEvaluationContext,
    archive: ArchiveResource,
    store: StoreResource,
    observing: ObservingResource,
    settings: SettingsResource,
) -> dg.SensorResult | dg.SkipReason:
    """One tick: fetch what is missing, and request the versions that can then be completed."""
    now = datetime.now(UTC)
    try:
        instruments = observing.instruments()
    except ConfigurationError as error:
        return dg.SkipReason(str(error))
    opened, target = archive.open(), store.open()
    records = opened.versions(limit=RECENT)
    states = _states(opened, records, instruments)
    waiting = [record for record in records if _waits(record, states.get(record.partition_key), now)]
    last = Asked.read(context.cursor)
    newest = max((record.message_id for record in waiting), default=0)
    if last is not None and now - last.at < ASK_AGAIN and newest <= last.message:
        return dg.SkipReason(
            f"{len(waiting)} versions wait for orbits or pointing; servers were asked at {last.at:%H:%M} UTC"
        )
    problems = fetch_missing(observing, target, waiting, now)
    for problem in problems:
        context.log.warning(problem)
    cursor = Asked(at=now, message=max(newest, 0 if last is None else last.message)).model_dump_json()
    context.update_cursor(cursor)
    requests: list[dg.RunRequest] = []
    for record in waiting:
        source = ProductInput(opened, target, record.partition_key, settings.get())
        found = "-".join(fov.state.value for fov in fields_of_view(source))
        if found != states[record.partition_key] and len(requests) < MOST:
            requests.append(
                dg.RunRequest(
                    run_key=f"{record.partition_key}-{found}",
                    partition_key=record.partition_key,
                    tags={**lane_tags(Lane.BACKFILL), EVENT_TAG: record.version.event_id},
                )
            )
    if not requests:
        return dg.SkipReason(
            f"{len(waiting)} versions wait for orbits or pointing; nothing new ({len(problems)} problems)"
        )
    keys = [str(request.partition_key) for request in requests]
    return dg.SensorResult(
        run_requests=requests, dynamic_partitions_requests=[alert_versions.build_add_request(keys)], cursor=cursor
    )


def fetch_missing(observing: ObservingResource, store: Store, waiting: list[VersionRecord], now: datetime) -> list[str]:
    """Fetch elements, and the pointing at the waiting events, from the sources; returns what went wrong, as sentences."""
    problems = []
    elements = observing.elements(store)
    for instrument in observing.instruments():
        try:
            with within(INSTRUMENT_S):
                newest = elements.nearest(instrument.norad_id, now)
                if newest is None or now - newest.epoch > ELEMENTS_FRESH:
                    elements.refresh(instrument.norad_id)
                pointing = observing.pointing(store, instrument.pointing)
                for time in sorted({str(record.facts["time"]) for record in waiting}):
                    if pointing is not None:
                        pointing.at(datetime.fromisoformat(time))
        except AdapterError as error:
            problems.append(f"{instrument.name}: {error}")
    return problems


def _states(archive: Archive, records: Sequence[VersionRecord], instruments: Sequence[Instrument]) -> dict[str, str]:
    """Statistics of each version's fields of view, by partition key; versions without the product are absent."""
    name = visibility.files[0].name
    products = archive.products_of(record.partition_key for record in records)
    return {
        key: "-".join(str(product.statistics.get(f"{i.file}_state")) for i in instruments)
        for key, found in products.items()
        for product in found
        if product.name == name
    }


def _waits(record: VersionRecord, state: str | None, now: datetime) -> bool:
    if record.facts.get("time") is None or now - datetime.fromisoformat(str(record.facts["time"])) > LOOK_BACK:
        return False
    return state is not None and "unknown" in state
