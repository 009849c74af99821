"""Positions and regions: where an event's map has positions, which live events have one, which candidates a region holds."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request

from mma_pipeline.adapters.archive.event_history import newest_map, retraction_of
from mma_pipeline.adapters.archive.overview import candidate_places
from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.portal.api.events import Accept, EventId, FormatName, Size, Start, ThePortal, versions_of
from mma_pipeline.portal.api.models import Format, Match, Matches, Object, Objects, Place, Places, Positions, Problem
from mma_pipeline.portal.api.tables import READ, TYPES, positions_of, table_response, wanted_format
from mma_pipeline.portal.context import Portal
from mma_pipeline.products.maps import decoded_map, why_no_map
from mma_pipeline.science.arrays import IntArray

#: Maps that are searched at a time; further requests wait so many seconds.
_AT_ONCE, _PATIENCE_S = threading.BoundedSemaphore(2), 20.0
_COLUMNS: Mapping[str, type] = {
    "name": str, "ra_deg": float, "dec_deg": float, "distance_mpc": float, "searched_prob": float,
    "searched_area_deg2": float, "offset_deg": float, "probdensity_per_sr": float, "searched_prob_vol": float,
    "searched_vol_mpc3": float,
}  # fmt: skip
_OBJECT_COLUMNS: Mapping[str, type] = {"name": str, "ra_deg": float, "dec_deg": float, "simulated": bool}
_TABLES: dict[str, Any] = {TYPES["votable"]: {}, TYPES["ecsv"]: {}}
_BUSY: dict[str, Any] = {"model": Problem, "description": "Too many such requests at a time: try again."}
_REJECTED: dict[int | str, dict[str, Any]] = {
    413: {"description": "The body is larger than 8 MiB."},
    415: {"model": Problem, "description": "A type of table that is not read."},
    422: {"model": Problem, "description": "The table, or a position, cannot be used."},
}
router = APIRouter()


@contextmanager
def _turn() -> Iterator[None]:
    if not _AT_ONCE.acquire(timeout=_PATIENCE_S):
        raise HTTPException(503, "too many such requests at a time: try again", {"retry-after": "10"})
    try:
        yield
    finally:
        _AT_ONCE.release()


async def _body(request: Request) -> tuple[bytes, str]:
    return await request.body(), request.headers.get("content-type", "application/json")


@router.post(
    "/events/{event}/crossmatch",
    response_model=Matches,
    responses={
        200: {"content": _TABLES},
        404: {"model": Problem, "description": "No such event, or it has no map."},
        503: _BUSY,
        **_REJECTED,
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "Positions as JSON, or as a table with the columns ra, dec and, if known, name and distance.",
            "content": {
                "application/json": {
                    "schema": Positions.model_json_schema(ref_template="#/components/schemas/{model}")
                },
                **{kind: {"schema": {"type": "string"}} for kind in READ},
            },
        }
    },
)
async def crossmatch(
    event: EventId, request: Request, portal: ThePortal, kind: FormatName = None, accept: Accept = None
) -> Any:
    """Cross-match positions with the newest map of an event: searched probability, area and volume, offset from its peak."""
    from starlette.concurrency import run_in_threadpool

    body, content_type = await _body(request)

    def answer() -> Any:
        with _turn():
            return _matched(portal, event, positions_of(body, content_type))

    found: Matches = await run_in_threadpool(answer)
    form = wanted_format(kind, accept)
    if form == "json":
        return found
    rows = [match.model_dump() for match in found.positions]
    meta = {"event": event, "version": found.version}
    if found.retracted_by is not None:
        meta["retracted_by"] = found.retracted_by
    return await run_in_threadpool(table_response, rows, _COLUMNS, form, **meta)


def _matched(portal: Any, event: str, positions: list[Any]) -> Matches:
    import numpy as np

    from mma_pipeline.science.skymaps.crossmatch import crossmatch as match

    records = versions_of(portal, event)
    record, retraction = newest_map(records, combined=True), retraction_of(records)
    if record is None:
        raise HTTPException(404, why_no_map(event, records))
    skymap = decoded_map(portal.archive, record)
    if skymap is None:
        raise HTTPException(404, f"{event} has no map that can be used (any more)")
    distance = np.array([np.nan if p.distance is None else p.distance for p in positions], dtype=float)
    known = None if np.isnan(distance).all() else distance
    found = match(skymap, [p.ra for p in positions], [p.dec for p in positions], known)
    rows = []
    for i, p in enumerate(positions):
        figures: dict[str, Any] = found.figures(i)
        rows.append(Match(name=p.name, ra_deg=p.ra % 360, dec_deg=p.dec, distance_mpc=p.distance, **figures))
    retracted_by = None if retraction is None else retraction.partition_key
    return Matches(event=event, version=record.partition_key, retracted_by=retracted_by, positions=rows)


@router.get("/regions/events", response_model=Places, responses={503: _BUSY})
def events_at(
    portal: ThePortal,
    ra: Annotated[float, Query(ge=-360, le=360, allow_inf_nan=False, description="Right ascension, deg, ICRS.")],
    dec: Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False, description="Declination, deg, ICRS.")],
    level: Annotated[float, Query(gt=0, le=0.99, description="Credible level within which a position counts.")] = 0.9,
    test: Annotated[bool, Query(description="Mock and test events too.")] = False,
) -> Any:
    """Which live events contain a position: those of the last days that are not retracted, by credible level."""
    from mma_pipeline.science.skymaps.crossmatch import crossmatch as match

    now = mjd_of_datetime(datetime.now(UTC))
    with _turn():
        index = (portal.rehearsed_regions if test else portal.regions).index(now)
        places = []
        for region in index.at(ra, dec, now):
            try:
                skymap = decoded_map(portal.archive, portal.archive.version(region.version))
            except NotFoundError:
                continue  # removed since the index was made
            found = None if skymap is None else match(skymap, [ra], [dec])
            if found is not None and found.searched_prob[0] <= level:
                places.append(
                    Place(
                        event=region.event_id,
                        version=region.version,
                        credible_level=float(found.searched_prob[0]),
                        area_deg2=float(found.searched_area[0]),
                        offset_deg=float(found.offset[0]),
                    )
                )
    places.sort(key=lambda place: (place.credible_level, place.event))
    return Places(ra_deg=ra % 360, dec_deg=dec, level=level, events=places)


@router.post(
    "/regions/objects",
    response_model=Objects,
    responses={
        200: {"content": _TABLES},
        413: _REJECTED[413],
        415: {"model": Problem, "description": "A type of region that is not read."},
        422: {"model": Problem, "description": "The region is no MOC."},
        503: _BUSY,
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "A MOC: ASCII such as 6/1-2 4 7/9, JSON, or FITS.",
            "content": {
                "text/plain": {"schema": {"type": "string", "minLength": 1}},
                "application/json": {
                    "schema": {
                        "type": "object",
                        "additionalProperties": {"type": "array", "items": {"type": "integer"}},
                    }
                },
                "application/fits": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
)
async def objects_in(
    request: Request,
    portal: ThePortal,
    test: Annotated[bool, Query(description="Simulated candidates too.")] = False,
    start: Start = 0,
    size: Size = 100,
    kind: FormatName = None,
    accept: Accept = None,
) -> Any:
    """List the candidates that lie within a region, by name: a MOC in, objects out."""
    from starlette.concurrency import run_in_threadpool

    body = await request.body()
    form = wanted_format(kind, accept)

    def answer() -> Any:
        begin, end = _region(body, request.headers.get("content-type", "text/plain"))
        return _objects(portal, begin, end, test=test, start=start, size=size, form=form)

    return await run_in_threadpool(answer)


def _region(body: bytes, content_type: str) -> tuple[IntArray, IntArray]:
    """The ranges of a MOC in the form that the content type names; raises HTTPException 415 or 422."""
    from mma_pipeline.science.regions.moc_fits import ranges_of_fits
    from mma_pipeline.science.regions.moc_text import ranges_of_moc

    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind in {"application/fits", "image/fits"}:
            return ranges_of_fits(body)
        if kind not in {"text/plain", "application/json"}:
            raise HTTPException(415, f"send text/plain, application/json or application/fits, not {kind[:60]!r}")
        text = body.decode("utf-8-sig")
        if not text.strip():
            raise HTTPException(422, "the region is empty: send a MOC such as 6/1-2 4 7/9")
        if kind == "application/json" and not text.lstrip().startswith("{"):
            raise HTTPException(422, "a MOC in JSON is an object of orders and cells")
        return ranges_of_moc(text)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


def _objects(portal: Portal, begin: IntArray, end: IntArray, *, test: bool, start: int, size: int, form: Format) -> Any:
    from mma_pipeline.science.healpix import SKY_DEG2
    from mma_pipeline.science.sphere import index29
    from mma_pipeline.science.surveys.regions import in_ranges

    with _turn():
        places = [place for place in candidate_places(portal.archive) if test or not place[3]]
        index = index29([p[1] for p in places], [p[2] for p in places])
        held = in_ranges(index, begin, end).tolist()
    inside = [
        Object(name=name, ra_deg=ra, dec_deg=dec, simulated=simulated)
        for (name, ra, dec, simulated), is_in in zip(places, held, strict=True)
        if is_in
    ]
    area = float((end - begin).sum()) / (12 << 58) * SKY_DEG2
    shown = inside[start : start + size]
    if form == "json":
        return Objects(area_deg2=area, total=len(inside), objects=shown)
    return table_response([o.model_dump() for o in shown], _OBJECT_COLUMNS, form, total=str(len(inside)))
