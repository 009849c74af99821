"""Compares the archive with GraceDB's public list, and reports events that were never received (`mma backfill --from-gracedb`
fetches it).

Source of the list: GraceDB's superevent search (`category: Production`, `public`), by the time a superevent was created.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.adapters.gracedb import GraceDB
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.defs.alerts.streams import subject_of
from mma_pipeline.defs.product_asset import OWNERS
from mma_pipeline.defs.resources import ArchiveResource, GraceDBResource, SettingsResource
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.key import ICECUBE_LABEL, check_event_id
from mma_pipeline.products.ingest import Quarantined, ingest, parse_alert

#: Stream name of fetched notices: every product's metadata then shows this origin.
STREAM = "gracedb"
#: Days that one comparison covers: a gap is reported many times before it leaves the window.
DAYS = 14
#: A superevent younger than this may still be on its way.
YOUNG = timedelta(hours=1)


def public_superevents(service: GraceDB, start: datetime, end: datetime) -> list[str]:
    """Ids of the public real superevents created from `start` until `end`; raises TransientError."""
    times = f"{start:%Y-%m-%d %H:%M:%S} .. {end:%Y-%m-%d %H:%M:%S}"
    found = service.superevents(f"created: {times} category: Production public")
    return [str(entry["superevent_id"]) for entry in found if "superevent_id" in entry]


def unknown_superevents(archive: Archive, service: GraceDB, start: datetime, end: datetime) -> Iterator[str]:
    """Public superevents of a time range without an archived version; raises TransientError."""
    ids = [name for name in public_superevents(service, start, end) if _is_event_id(name)]
    known = archive.versions_of(ids)
    for superevent_id in ids:
        # A neutrino notice names an event whose own alert may still be missing.
        if all(record.version.label == ICECUBE_LABEL for record in known.get(superevent_id, ())):
            yield superevent_id


def _is_event_id(name: str) -> bool:
    try:
        check_event_id(name)
    except NoticeError:
        return False
    return True


def archive_superevent(archive: Archive, service: GraceDB, superevent_id: str) -> tuple[Sequence[str], str | None]:
    """Archive every notice that GraceDB has of a superevent; returns partition keys and what went wrong."""
    try:
        files = service.alert_files(superevent_id)
    except NotFoundError as error:
        return [], str(error)
    keys: dict[str, None] = {}
    problem = None
    fetched = [(number, file, service.download(file)) for number, file in enumerate(files)]
    # In the order in which they were sent: files are numbered in the order of archiving.
    for number, file, body in sorted(fetched, key=lambda one: _created(one[2])):
        # A notice is identified by its name in GraceDB, so that fetching it twice gives the same message.
        message = StreamMessage(STREAM, file.name, 0, number, body, None, (), None, datetime.now(UTC))
        result = ingest(archive, message, parse_alert)
        if isinstance(result, Quarantined):
            problem = f"{file.name}: {result.reason}"
        else:
            keys |= dict.fromkeys(record.partition_key for record in result.versions)
    return list(keys), problem


def _created(body: bytes) -> datetime:
    told = subject_of(body)
    return datetime.max.replace(tzinfo=UTC) if told is None else told.created


@dg.asset(
    group_name="watch",
    kinds={"gracedb"},
    owners=OWNERS,
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=13), warn_window=timedelta(hours=7)),
    check_specs=[
        dg.AssetCheckSpec("nothing_missed", asset="gracedb_completeness", description="Every public event is archived.")
    ],
)
def gracedb_completeness(
    context: dg.AssetExecutionContext, archive: ArchiveResource, gracedb: GraceDBResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads a parameter as a tuple of outputs
    """Compares public superevents of the last two weeks with the archive; `mma backfill --from-gracedb` fetches missing ones."""
    end = datetime.now(UTC) - YOUNG
    start = end - timedelta(days=DAYS)
    service, opened = gracedb.open(), archive.open()
    known = public_superevents(service, start, end)
    missing = list(unknown_superevents(opened, service, start, end))
    for superevent_id in missing:
        context.log.warning(f"{superevent_id} is public in GraceDB and was never received")
    advice = f"mma backfill --from-gracedb {start:%Y-%m-%d}..{end:%Y-%m-%d}T{end:%H:%M}"
    shown: dict[str, str | int] = {"public events": len(known), "missing": len(missing), "from": str(start)}
    if missing:
        shown |= {"missing events": ", ".join(missing[:100]), "what to do": advice}
    return dg.MaterializeResult(
        metadata=shown,
        check_results=[
            dg.AssetCheckResult(
                passed=not missing,
                check_name="nothing_missed",
                severity=dg.AssetCheckSeverity.ERROR,
                metadata=shown,
            )
        ],
    )


completeness_job = dg.define_asset_job(
    "completeness",
    selection=dg.AssetSelection.assets(gracedb_completeness),
    executor_def=dg.in_process_executor,
    tags={"dagster/priority": "-10"},
)


@dg.schedule(
    name="completeness_schedule",
    job=completeness_job,
    cron_schedule="43 */6 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Asks GraceDB every six hours, unless MMA_GRACEDB_CHECK is false.",
)
def completeness_schedule(settings: SettingsResource) -> dg.RunRequest | dg.SkipReason:
    """Request the comparison, where it is switched on."""
    if settings.get().archive.gracedb_check:
        return dg.RunRequest()
    return dg.SkipReason("the comparison with GraceDB is switched off (MMA_GRACEDB_CHECK)")
