"""Events, versions, products, files, candidates, coverage and quarantine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator
from pydantic_core import PydanticCustomError

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.archive.coincidences import PairState, pairs_of, pairs_page
from mma_pipeline.adapters.archive.event_history import chronological, retraction_of
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.archive.pointings import PointingArchive
from mma_pipeline.adapters.archive.quarantine import Choice, quarantined
from mma_pipeline.adapters.store.paths import event_key
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.key import ANY_EVENT_ID, check_any_event_id, spelled_event_id
from mma_pipeline.notices.model import Role
from mma_pipeline.portal.api.models import (
    Candidates,
    Coverage,
    Event,
    Events,
    File,
    Files,
    Format,
    Pair,
    Pairs,
    Problem,
    Product,
    Products,
    Quarantine,
    Quarantined,
    Version,
    Versions,
    Visit,
)
from mma_pipeline.portal.api.tables import TYPES, table_response, wanted_format
from mma_pipeline.portal.context import Portal, portal_of
from mma_pipeline.portal.guard import plain
from mma_pipeline.portal.summary import EventFilter

#: Longest page of any list.
MAX_PAGE = 500
ThePortal = Annotated[Portal, Depends(portal_of)]


def _event_id(value: str) -> str:
    """The text itself, where it is an id in whatever case."""
    try:
        check_any_event_id(spelled_event_id(value))
    except NoticeError as error:
        raise PydanticCustomError("event_id", "{problem}", {"problem": str(error)}) from error
    return value


def _as_archived(
    event: Annotated[
        str,
        AfterValidator(_event_id),
        Path(
            description="Such as S230518h, or Fermi_745121685 of a trigger; upper and lower case count alike.",
            json_schema_extra={"pattern": f"^{ANY_EVENT_ID.pattern}$"},
        ),
    ],
    portal: ThePortal,
) -> str:
    return portal.events.spelled(event)


EventId = Annotated[str, Depends(_as_archived)]
Start = Annotated[int, Query(ge=0, le=10_000_000, description="Entries to leave out.")]
Size = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Most entries.")]
FormatName = Annotated[Format | None, Query(alias="format", description="In place of the header Accept.")]
Accept = Annotated[str | None, Header(include_in_schema=False)]
_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "No such event is archived."}}
_TABLES: dict[int | str, dict[str, Any]] = {200: {"content": {TYPES["votable"]: {}, TYPES["ecsv"]: {}}}}
router = APIRouter()

_EVENT_COLUMNS: Mapping[str, type] = {
    "event": str, "time": str, "kind": str, "versions": int, "significant": str, "far_hz": float, "instruments": str,
    "group": str, "messenger": str, "area_50_deg2": float, "area_90_deg2": float, "distance_mpc": float, "distance_std_mpc": float,
    "best_region": str, "best_area_50_deg2": float, "best_area_90_deg2": float, "best_distance_mpc": float,
    "best_distance_std_mpc": float, "coincidences": str, "partners": str, "retracted_by": str, "newest_version": str, "page": str,
}  # fmt: skip
_CANDIDATE_COLUMNS: Mapping[str, type] = {
    "candidate": str, "ra": float, "dec": float, "night": int, "status": str, "p_phot": float, "posterior": float,
}  # fmt: skip
_PAIR_COLUMNS: Mapping[str, type] = {
    "gw_event": str, "other_event": str, "time": str, "state": str, "search": str, "messenger": str, "instruments": str,
    "difference_s": float, "overlap": float, "far_hz": float, "p_chance": float, "p_chance_all": float,
    "area_90_combined_deg2": float, "distance_mean_combined_mpc": float, "gw_version": str, "other_version": str,
}  # fmt: skip


def _no_number(value: Any) -> Any:
    """Refuse a number, which could be seconds or an MJD."""
    if isinstance(value, str) and re.fullmatch(r"[\s\d.eE+-]*", value) and not re.fullmatch(r"\s*\d{4}-.*", value):
        raise ValueError("give a time such as 2026-01-31 or 2026-01-31T12:00:00Z")
    return value


Moment = Annotated[datetime | None, BeforeValidator(_no_number)]


class EventQuery(BaseModel, extra="forbid", allow_inf_nan=False):
    """Filter of a list of events."""

    test: bool = False
    text: Annotated[str | None, Query(max_length=32, description="Beginning of the event's id.")] = None
    since: Annotated[Moment, Query(description="Events from this time on; UTC without a zone.")] = None
    before: Moment = None
    kind: Annotated[str | None, Query(max_length=32, description="Such as Update or Update-ExtCoinc.")] = None
    messenger: Annotated[str | None, Query(max_length=32, description="What arrived: gravitational waves, gamma rays, X-rays, neutrinos or radio.")] = None  # fmt: skip
    significant: bool | None = None
    source_class: Annotated[str | None, Query(max_length=32, description="Class or property: BNS, HasNS, …")] = None
    min_probability: Annotated[float, Query(ge=0, le=1)] = 0.5
    max_area_deg2: Annotated[float | None, Query(gt=0)] = None
    min_distance_mpc: Annotated[float | None, Query(ge=0)] = None
    max_distance_mpc: Annotated[float | None, Query(gt=0)] = None
    coincidence: bool | None = None
    retracted: bool | None = None
    start: Annotated[int, Query(ge=0, le=10_000_000, description="Entries to leave out.")] = 0
    size: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Most entries.")] = 100
    format: Annotated[Format | None, Query(description="In place of the header Accept.")] = None

    @property
    def filter(self) -> EventFilter:
        """The filter."""
        values = {name: getattr(self, name) for name in EventFilter.__slots__}
        return EventFilter(**{name: _utc(value) for name, value in values.items()})


def _utc(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def versions_of(portal: Portal, event_id: str) -> list[VersionRecord]:
    """Versions of an event, newest first; raises 404 if there is none."""
    found = portal.archive.versions(event_id)
    if not found:
        raise HTTPException(404, f"no event {event_id} is archived")
    return chronological(found)[::-1]


@router.get("/events", response_model=Events, responses=_TABLES)
def events(query: Annotated[EventQuery, Query()], portal: ThePortal, accept: Accept = None) -> Any:
    """List events, newest first: real ones, or mock and test ones with `test=true`."""
    found, total = portal.events.page(query.filter, query.start, query.size)
    shown = [Event.of(event, portal) for event in found]
    kind = wanted_format(query.format, accept)
    if kind == "json":
        return Events(total=total, start=query.start, events=shown)
    rows = [event.model_dump(mode="json") for event in shown]
    return table_response(rows, _EVENT_COLUMNS, kind, total=str(total))


@router.get("/events/{event}", response_model=Event, responses=_NOT_FOUND)
def one_event(event: EventId, portal: ThePortal) -> Any:
    """Get one event as a list shows it."""
    found = portal.events.find(event)
    if found is None:
        raise HTTPException(404, f"no event {event} is archived")
    return Event.of(found, portal)


@router.get("/events/{event}/versions", response_model=Versions, responses=_NOT_FOUND)
def event_versions(event: EventId, portal: ThePortal) -> Any:
    """List the versions of an event with what each notice says, newest first."""
    return Versions(event=event, versions=[Version.of(record) for record in versions_of(portal, event)])


@router.get("/events/{event}/products", response_model=Products, responses=_NOT_FOUND)
def event_products(event: EventId, portal: ThePortal) -> Any:
    """List the products of all versions of an event with their figures and files, newest version first."""
    found = versions_of(portal, event)
    records = portal.archive.products_of(record.partition_key for record in found)
    products: dict[tuple[str, str], Product] = {}
    for version in found:
        for record in records[version.partition_key]:
            head = (version.partition_key, record.asset)
            if head not in products:
                products[head] = Product(
                    product=record.asset,
                    version=version.partition_key,
                    figures=plain(dict(record.statistics)),
                    files=[],
                )
            products[head].files.append(File.of(record, portal))
    return Products(event=event, products=list(products.values()))


@router.get("/events/{event}/files", response_model=Files, responses=_NOT_FOUND)
def event_files(event: EventId, portal: ThePortal) -> Any:
    """List every file of an event: products of its versions, its page, and those of nights of candidates."""
    found = versions_of(portal, event)
    return Files(event=event, files=files_of(portal, event, [record.partition_key for record in found]))


def files_of(portal: Portal, event: str, partition_keys: list[str]) -> list[File]:
    """Files of versions as the archive names them, then what else the store has of the event."""
    records = portal.archive.products_of(partition_keys)
    files = [File.of(record, portal) for key in partition_keys for record in records[key]]
    known = {file.key for file in files}
    others = [found for found in portal.store.ls(event_key(event, "")) if found.key not in known]
    return files + [
        File(
            key=found.key,
            href=portal.file_path(found.key),
            name=found.key.rpartition("/")[2],
            product=None,
            version=None,
            content_type=found.content_type,
            size=found.size,
            sha256=found.sha256,
            written=None,
        )
        for found in others
    ]


@router.get("/versions/{version}", response_model=Version, responses=_NOT_FOUND)
def one_version(version: Annotated[str, Path(max_length=120)], portal: ThePortal) -> Any:
    """Get one version by its partition key, in whatever case."""
    alike = [r for r in portal.archive.versions_named(version) if r.partition_key.casefold() == version.casefold()]
    if len(alike) != 1:
        raise HTTPException(404, "no such version is archived")
    return Version.of(alike[0])


@router.get("/events/{event}/candidates", response_model=Candidates, responses={**_NOT_FOUND, **_TABLES})
def candidates(
    event: EventId,
    portal: ThePortal,
    start: Start = 0,
    size: Size = 100,
    kind: FormatName = None,
    accept: Accept = None,
) -> Any:
    """List the kilonova candidates of an event with their latest score, the most probable first."""
    versions_of(portal, event)
    found = [plain(dict(score)) for score in PhotometryArchive(portal.archive).latest_scores(event)]
    shown = found[start : start + size]
    form = wanted_format(kind, accept)
    if form == "json":
        return Candidates(event=event, total=len(found), candidates=shown)
    return table_response(shown, _CANDIDATE_COLUMNS, form, event=event, total=str(len(found)))


@router.get("/events/{event}/pairs", response_model=Pairs, responses={**_NOT_FOUND, **_TABLES})
def event_pairs(
    event: EventId,
    portal: ThePortal,
    start: Start = 0,
    size: Size = 100,
    kind: FormatName = None,
    accept: Accept = None,
) -> Any:
    """List the pairs that an event makes with events of other messengers, claimed or not."""
    versions_of(portal, event)
    found = pairs_of(portal.archive, event)[::-1]
    shown = Pairs(total=len(found), start=start, pairs=[Pair.of(pair) for pair in found[start : start + size]])
    return _pairs_answer(shown, kind, accept)


@router.get("/pairs", response_model=Pairs, responses=_TABLES)
def pairs(
    portal: ThePortal,
    state: Annotated[PairState | None, Query(description="Only pairs of this state.")] = None,
    since: Annotated[Moment, Query(description="Gravitational waves from this time on; UTC without a zone.")] = None,
    before: Annotated[Moment, Query(description="Gravitational waves before this time.")] = None,
    test: Annotated[bool, Query(description="Pairs of mock and test events, in place of real ones.")] = False,
    start: Start = 0,
    size: Size = 100,
    kind: FormatName = None,
    accept: Accept = None,
) -> Any:
    """List pairs of events of different messengers, the newest gravitational wave first."""
    role = Role.TEST if test else Role.OBSERVATION
    span = {"since": _utc(since), "before": _utc(before)}
    found, total = pairs_page(portal.archive, role.value, state=state, **span, start=start, limit=size)
    return _pairs_answer(Pairs(total=total, start=start, pairs=[Pair.of(pair) for pair in found]), kind, accept)


def _pairs_answer(found: Pairs, kind: Format | None, accept: str | None) -> Any:
    form = wanted_format(kind, accept)
    if form == "json":
        return found
    rows = [{**pair.figures, **pair.model_dump(mode="json", exclude={"figures"})} for pair in found.pairs]
    return table_response(rows, _PAIR_COLUMNS, form, total=str(found.total))


@router.get("/events/{event}/coverage", response_model=Coverage, responses=_NOT_FOUND)
def coverage(event: EventId, portal: ThePortal, start: Start = 0, size: Size = 100) -> Any:
    """What telescopes have covered of an event's newest map, and their pointings by time."""
    found = versions_of(portal, event)
    ledgers = portal.archive.products_of(record.partition_key for record in found if record.has_map)
    newest = next(
        (p for record in found for p in ledgers.get(record.partition_key, ()) if p.name == "coverage_ledger"), None
    )
    visits, retraction = PointingArchive(portal.archive).pointings(event), retraction_of(found)
    return Coverage(
        event=event,
        version=None if newest is None else newest.partition_key,
        retracted_by=None if retraction is None else retraction.partition_key,
        figures={} if newest is None else plain(dict(newest.statistics)),
        total=len(visits),
        pointings=[Visit.of(pointing) for pointing in visits[start : start + size]],
    )


@router.get("/quarantine", response_model=Quarantine)
def quarantine(portal: ThePortal, solved: bool = False, size: Size = 100) -> Any:
    """List messages that could not be used, newest first; solved ones only on request."""
    found = quarantined(portal.archive, Choice(solved=solved), limit=size)
    return Quarantine(messages=[Quarantined.of(entry) for entry in found])
