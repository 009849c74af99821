"""The portal as an ASGI application: pages, files and API of one archive and one store, without a way to change them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from mma_pipeline import __version__
from mma_pipeline.adapters.errors import AdapterError, NotFoundError, TransientError
from mma_pipeline.portal import files, pages
from mma_pipeline.portal.api import events, sky, stream
from mma_pipeline.portal.api.parameters import only_known_below
from mma_pipeline.portal.context import Portal
from mma_pipeline.portal.guard import MAX_BODY, Below, Guard, Hosts, Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger(__name__)
API = "/api/v1"
_ABOUT = f"""Events of gravitational waves and neutrinos with everything that was made of them: read-only.

Lists have pages (`start`, `size`); bodies have at most {MAX_BODY >> 20} MiB. Every answer has an ETag: with `If-None-Match`, what is
unchanged is not sent again. Tables come as JSON, VOTable or ECSV (`format`, or the header Accept). Times are UTC, angles
degrees (ICRS); null means unknown. `/files/KEY` serves every file of the store, with ranges; `href` leads there.
`{API}/pairs` has the coincidences of events of different messengers.
"""


def create_app(portal: Portal, *, hosts: Sequence[str] = ()) -> FastAPI:
    """The application of a portal.

    Args:
        portal: archive, store and settings.
        hosts: the only names by which it may be called; the host of its address is added. Empty: any.
    """
    app = FastAPI(
        title="mma_pipeline portal",
        description=_ABOUT,
        version=__version__,
        servers=[{"url": portal.base or "/"}],
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
    )
    app.state.portal = portal
    for part in (events, sky, stream):
        app.include_router(part.router, prefix=API, dependencies=[Depends(only_known_below(API))])
    app.include_router(files.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    app.add_exception_handler(AdapterError, _adapter_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unforeseen)
    # The last that is added comes first.
    app.add_middleware(Guard)
    app.add_middleware(Limits)
    if portal.base:
        app.add_middleware(Below, path=portal.base)
    if hosts:
        public = urlsplit(portal.url or "").hostname
        app.add_middleware(Hosts, allowed=[*hosts, *([public] if public else [])])
    return app


def _answer(request: Request, status: int, detail: object, headers: object = None) -> Response:
    """JSON for the API, a page for people."""
    portal: Portal = request.app.state.portal
    kept = dict(headers) if isinstance(headers, dict) else None
    if f"{API}/" in request.url.path:
        return JSONResponse({"detail": detail}, status, kept)
    answer = pages.error_page(portal, status, detail if isinstance(detail, str) else "there is no such page")
    for name, value in (kept or {}).items():
        answer.headers[name] = value
    return answer


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(request, error.status_code, error.detail, error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    api = f"{API}/" in request.url.path
    told = [{name: one[name] for name in ("loc", "msg", "type")} for one in error.errors()[:20]]
    return _answer(request, 422 if api else 404, jsonable_encoder(told))


async def _adapter_error(request: Request, error: Exception) -> Response:
    # What an adapter says names addresses of databases and buckets: it is for the log.
    if isinstance(error, NotFoundError):
        return _answer(request, 404, "there is nothing here by that name")
    _log.warning("%s: %s", request.url.path, error)
    later = isinstance(error, TransientError)
    text = "archive or store cannot be read now: try again" if later else "archive or store cannot be read"
    return _answer(request, 503 if later else 500, text, {"retry-after": "10"} if later else None)


async def _unforeseen(request: Request, error: Exception) -> Response:
    _log.error("%s: %s", request.url.path, type(error).__name__)
    return _answer(request, 500, "the portal failed: its log says why")
