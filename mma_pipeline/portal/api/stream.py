"""New versions and retractions as they come: server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Query
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.notices.model import Role
from mma_pipeline.portal.api.events import ThePortal
from mma_pipeline.portal.api.models import Problem
from mma_pipeline.portal.context import Portal

#: Streams that are open at a time.
MOST = 100
#: Seconds between two looks at the archive, between two signs of life, and until a stream ends and is opened again.
LOOK_S, ALIVE_S, LIFE_S = 1.5, 15.0, 3600.0
#: Versions that are sent again after an interruption.
_REPEATED = 500
router = APIRouter()
_open = 0


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "Events `version` and `retraction`."},
        503: {"model": Problem, "description": "Too many streams are open."},
    },
)
async def stream(
    portal: ThePortal,
    test: Annotated[bool, Query(description="Mock and test events too.")] = False,
    last_event_id: Annotated[
        str | None, Header(pattern=r"^\d{1,18}$", description="Id of the last event seen.")
    ] = None,
) -> Any:
    """Follow new versions and retractions (server-sent events); after an interruption, `Last-Event-ID` says what was seen."""
    if _open >= MOST:
        raise HTTPException(503, f"{MOST} streams are open: try again later", {"retry-after": "60"})
    seen = None if last_event_id is None else int(last_event_id)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_following(portal, test, seen), headers=headers, media_type="text/event-stream")


async def _following(portal: Portal, test: bool, seen: int | None) -> AsyncIterator[str]:
    global _open
    _open += 1
    try:
        await run_in_threadpool(portal.events.current)
        number = portal.events.last_arrival
        yield "retry: 5000\n\n"
        sent: set[str] = set()
        if seen is not None:
            missed = await run_in_threadpool(portal.archive.brought_after, seen)
            for record in missed[-_REPEATED:]:
                sent.add(record.partition_key)
                if _wanted(record, test):
                    yield message_of(portal, record)
        begun = alive = time.monotonic()
        while time.monotonic() - begun < LIFE_S:
            for arrival in await run_in_threadpool(portal.events.arrivals, number):
                number = arrival.number
                if arrival.record.partition_key not in sent and _wanted(arrival.record, test):
                    yield message_of(portal, arrival.record)
                    alive = time.monotonic()
            if time.monotonic() - alive > ALIVE_S:
                yield ": alive\n\n"
                alive = time.monotonic()
            await asyncio.sleep(LOOK_S)
    finally:
        _open -= 1


def _wanted(record: VersionRecord, test: bool) -> bool:
    return test or record.version.role is Role.OBSERVATION


def message_of(portal: Portal, record: VersionRecord) -> str:
    """A version as a server-sent event; its id is that of the message that brought it."""
    version = record.version
    data = {
        "event": version.event_id,
        "version": record.partition_key,
        "kind": version.label,
        "created": version.created.isoformat(),
        "significant": record.facts.get("significant"),
        "page": f"{portal.base}/events/{version.event_id}",
    }
    name = "retraction" if version.is_retraction else "version"
    return f"id: {record.message_id}\nevent: {name}\ndata: {json.dumps(data)}\n\n"
