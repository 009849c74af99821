"""The pages: list of events, page and files of an event, quarantine, health, and what the API offers.

All text from outside is escaped by the templates, and the pages' policy runs no script but the portal's own file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any
from urllib.parse import urlencode

import jinja2
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import ValidationError

from mma_pipeline import __version__
from mma_pipeline.adapters.archive.event_history import chronological
from mma_pipeline.adapters.archive.overview import newest_events
from mma_pipeline.adapters.archive.quarantine import Choice, quarantined
from mma_pipeline.adapters.archive.refusals import unsolved
from mma_pipeline.adapters.store.paths import event_key
from mma_pipeline.notices.key import ANY_EVENT_ID, is_gravitational_wave
from mma_pipeline.notices.source_words import PROPERTIES, percent
from mma_pipeline.notices.words import seconds
from mma_pipeline.portal.api.events import EventQuery, files_of
from mma_pipeline.portal.circular import circular
from mma_pipeline.portal.context import Portal, portal_of
from mma_pipeline.portal.observations import instruments_of, observations
from mma_pipeline.portal.summary import MESSENGERS
from mma_pipeline.portal.words import ago, area, distance, false_alarm, size

ThePortal = Annotated[Portal, Depends(portal_of)]
#: In whatever case; a page has one address, so that others lead there.
EventId = Annotated[str, Path(pattern=f"(?i)^{ANY_EVENT_ID.pattern}$")]
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
#: Rows of a list, and of the page of the quarantine.
PAGE, QUARANTINE_PAGE = 50, 200
KINDS = (
    "EarlyWarning", "Preliminary", "Initial", "Update", "Update-ExtCoinc", "Preliminary-ExtCoinc", "Initial-ExtCoinc",
    "Retraction", "IceCube",
)  # fmt: skip
#: Classes and properties of the filter, by what it asks for, with the words that the page of an event has for them.
CLASSES = {name: PROPERTIES.get(name, name) for name in ("BNS", "NSBH", "BBH", "Terrestrial", *PROPERTIES)}
#: What the form calls the parameters of the filter that have other names than their labels.
LABELS = {
    "text": "Id begins with", "since": "From (UTC)", "before": "Before", "kind": "Kind", "messenger": "Messenger",
    "significant": "Significant", "source_class": "Class or property", "min_probability": "at least",
    "max_area_deg2": "90 % area up to, deg²", "min_distance_mpc": "Distance from, Mpc", "max_distance_mpc": "Distance to, Mpc",
    "coincidence": "Coincidence", "retracted": "Retracted",
}  # fmt: skip


@router.get("/")
def event_list(request: Request, portal: ThePortal) -> Response:
    """List events, newest first: real ones, or mock and test ones."""
    given = {name: value for name, value in request.query_params.items() if value != "" and name != "size"}
    problems: list[str] = []
    try:
        query = EventQuery.model_validate(given)
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False)
        problems = [f"{_labelled(one['loc'])}: {one['msg']}" for one in told[:20]]
        query = EventQuery(test=given.get("test") == "true")
    # A list that is not what was asked for would be taken for it.
    events, total = portal.events.page(query.filter, query.start, PAGE) if not problems else ([], 0)
    mocks = 0
    if not total and not query.test:
        mocks = sum(event.test for event in portal.events.current())
    kept = {name: value for name, value in given.items() if name not in {"start", "format"}}

    def at(start: int) -> str:
        return f"{portal.base}/?{urlencode({**kept, 'start': start})}"

    return _page(
        portal,
        "events.html.j2",
        "Mock and test events" if query.test else "Events",
        here="mocks" if query.test else "events",
        status=400 if problems else 200,
        query=query,
        given=given,
        problems=problems,
        filtered=bool(kept.keys() - {"test"}) or bool(problems),
        mocks=mocks,
        events=events,
        total=total,
        first=at(0),
        newer=at(max(0, query.start - PAGE)) if query.start else None,
        older=at(query.start + PAGE) if query.start + PAGE < total else None,
        api=f"{portal.base}/api/v1/events?{urlencode({**kept, 'size': 500})}",
        kinds=KINDS,
        messengers=MESSENGERS,
        classes=CLASSES,
        labels=LABELS,
    )


def _labelled(place: Sequence[int | str]) -> str:
    """The parameter at a place of the query as the form calls it."""
    name = ".".join(map(str, place))[:40]
    return LABELS.get(name, name)


@router.get("/newest")
def newest_event(portal: ThePortal) -> Response:
    """Lead to the page of the newest real event, or of the newest mock where there is none; to the list where there is no event."""
    for event in newest_events(portal.archive, limit=1, real=True) or newest_events(portal.archive, limit=1):
        return RedirectResponse(f"{portal.base}/events/{event}", 307)
    return RedirectResponse(f"{portal.base}/", 307)


def _own_address(event: EventId, request: Request, portal: ThePortal) -> str:
    found = portal.events.spelled(event)
    if found != event:
        below = request.scope["route"].path_format.partition("{event}")[2]
        query = f"?{request.url.query}" if request.url.query else ""
        there = {"location": f"{portal.base}/events/{found}{below}{query}"}
        raise HTTPException(307, f"the page is that of {found}", there)
    return found


OwnId = Annotated[str, Depends(_own_address)]


@router.get("/events/{event}")
def event_page(event: OwnId, portal: ThePortal) -> Response:
    """Lead to the page of an event as the store has it; until it is made, and until the event comes, a page that waits for it."""
    key = event_key(event, "index.html")
    if portal.store.exists(key):
        return RedirectResponse(portal.file_path(key), 307)
    archived = portal.events.find(event) is not None or bool(
        quarantined(portal.archive, Choice(event_ids=[event]), limit=1)
    )
    return _page(
        portal, "waiting.html.j2", event if archived else "Not found", status=200 if archived else 404, event=event,
        archived=archived,
    )  # fmt: skip


@router.get("/events/{event}/files")
def event_files(event: OwnId, portal: ThePortal) -> Response:
    """Every file of an event by version, newest first, with type, size and digest."""
    records = chronological(portal.archive.versions(event))[::-1]
    aside = quarantined(portal.archive, Choice(event_ids=[event]), limit=QUARANTINE_PAGE)
    if not records and not aside:
        raise HTTPException(404, f"no event {event} is archived")
    files = files_of(portal, event, [record.partition_key for record in records]) if records else []
    return _page(
        portal,
        "files.html.j2",
        f"Files of {event}",
        event=portal.events.find(event) or _Unknown(event),
        quarantine=aside,
        gravitational_wave=is_gravitational_wave(event) and bool(records),
        page=any(file.key == event_key(event, "index.html") for file in files),
        versions=[(record, [f for f in files if f.version == record.partition_key]) for record in records],
        others=[file for file in files if file.version is None],
    )


class _Unknown:
    """An event of which only unusable messages are known, or that came this second."""

    retracted_by, test = None, False

    def __init__(self, event: str) -> None:
        self.event = event


@router.get("/events/{event}/circular")
def event_circular(
    event: OwnId, portal: ThePortal, instrument: Annotated[str | None, Query(max_length=100)] = None
) -> Response:
    """The draft of a GCN Circular: about the event, or about what one instrument observed of it."""
    instruments = instruments_of(portal.archive, event)
    if instrument is None:
        draft, title = circular(portal.archive, event), f"Draft of a Circular about {event}"
    else:
        instrument = next((one for one in instruments if one.casefold() == instrument.casefold()), instrument)
        draft = observations(portal.archive, portal.store, event, instrument)
        title = f"Draft of a Circular about {event} with {instrument}"
    known = [
        (name, f"{portal.base}/events/{event}/circular?{urlencode({'instrument': name})}")
        for name in instruments
        if name != instrument
    ]
    return _page(
        portal, "circular.html.j2", title, event=event, draft=draft, instruments=known, of_event=instrument is None
    )


@router.get("/quarantine")
def quarantine_page(portal: ThePortal) -> Response:
    """Messages that could not be used, those of real events first; packets of surveys by cause."""
    real = quarantined(portal.archive, Choice(rehearsals=False, surveys=False), limit=QUARANTINE_PAGE)
    # The sort keeps the newest first among those that are alike.
    real.sort(key=lambda entry: entry.event_id is None)
    tests = [e for e in quarantined(portal.archive, Choice(surveys=False), limit=QUARANTINE_PAGE) if e.rehearsal]
    entries = [*real, *tests][:QUARANTINE_PAGE]
    packets = unsolved(portal.archive)
    return _page(portal, "quarantine.html.j2", "Quarantine", here="quarantine", entries=entries, packets=packets)


@router.get("/health")
def health_page(portal: ThePortal) -> Response:
    """The pipeline's health."""
    report = None if portal.health is None else portal.health()
    return _page(
        portal,
        "health.html.j2",
        "Health",
        here="health",
        report=report,
        values=[] if report is None else health_rows(report.values),
    )


@router.get("/api")
def api_page(request: Request, portal: ThePortal) -> Response:
    """What the API offers, from its own description."""
    described = request.app.openapi()["paths"]
    operations = [
        (method.upper(), portal.base + path, operation.get("description") or operation["summary"])
        for path, methods in described.items()
        for method, operation in methods.items()
    ]
    address = (portal.url or str(request.base_url)).rstrip("/")
    # The newest event with a map, a real one where there is one: then the examples answer as they stand.
    mapped = sorted((e for e in portal.events.current() if e.map_version is not None), key=lambda event: event.test)
    example = mapped[0].event if mapped else None
    return _page(portal, "api.html.j2", "API", here="api", operations=operations, address=address, example=example)


def error_page(portal: Portal, status: int, text: str) -> Response:
    """A page that says what is wrong."""
    titles = {307: "Elsewhere", 404: "Not found", 405: "Not possible", 422: "Not found", 503: "Not available now"}
    return _page(portal, "error.html.j2", titles.get(status, "Something is wrong"), status=status, text=text)


def health_rows(values: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What each value of the health is about, what it is, and the value, for people: `daemon sensor`, `last tick`, `12 min ago`."""
    found = []
    for name, value in values.items():
        about, _, what = name.rpartition(": ")
        subject = f"daemon {about.lower()}" if about.isupper() else about
        subject = subject.replace("_", " ") or "pipeline"
        for unit, factor in ((" (s ago)", 1), (" (days ago)", 86_400)):
            if what.endswith(unit):
                what, value = what.removesuffix(unit), f"{seconds(float(value) * factor)} ago"
        found.append((subject, what, value if isinstance(value, str) else f"{value:,g}"))
    return found


def _page(portal: Portal, template: str, title: str, *, here: str = "", status: int = 200, **values: Any) -> Response:
    # Rounded to the minute, so that a page that says the same has the same ETag.
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    shared = {"base": portal.base, "title": title, "now": now, "here": here, "release": __version__}
    text = _environment().get_template(template).render(**values, **shared, status=status)
    return HTMLResponse(text, status)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mma_pipeline.portal"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: Mapping[str, Any] = {
        "utc": lambda moment: f"{moment:%Y-%m-%d %H:%M}",
        "ago": lambda moment: ago(moment, datetime.now(UTC)),
        "percent": percent,
        "far": false_alarm,
        "area": area,
        "distance": distance,
        "bytes": size,
    }
    environment.filters |= filters
    return environment
