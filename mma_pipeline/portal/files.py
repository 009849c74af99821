"""Every file of the store over HTTP, with type, digest, ranges and validators, streamed from whichever store there is."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from mma_pipeline.adapters.errors import InvalidKeyError, NotFoundError
from mma_pipeline.adapters.store.keys import check_key
from mma_pipeline.adapters.store.model import StoredObject, guess_content_type
from mma_pipeline.portal.context import SERVED, Portal, portal_of
from mma_pipeline.portal.guard import FILE_POLICY, PAGE_POLICY, matches

router = APIRouter()
_PAGE = re.compile(r"mma/[A-Za-z0-9_]+/index\.html")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
#: Types that a browser shows; everything else is saved.
_SHOWN = ("image/png", "image/jpeg", "application/json", "application/geo+json", "text/plain", "text/html")


@router.api_route("/files/{key:path}", methods=["GET", "HEAD"], include_in_schema=False)
def file(key: str, request: Request, portal: Annotated[Portal, Depends(portal_of)]) -> Response:
    """One object of the store; raises NotFoundError, also for a key that no object can have or that is not ours."""
    found = look_up(portal, key)
    headers = _headers(found, request.url.hostname or "")
    tag = headers.get("etag")
    if tag is not None and matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers={k: v for k, v in headers.items() if k != "content-length"})
    span = _span(request, found.size, tag)
    if span == ():
        return Response(status_code=416, headers={"content-range": f"bytes */{found.size}"})
    start, stop = span or (0, found.size)
    status = 206 if span else 200
    if span:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{found.size}"
    headers["content-length"] = str(stop - start)
    kind = headers.pop("content-type")
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=kind)
    return StreamingResponse(_begun(portal.store.pieces(found, start, stop)), status, headers, media_type=kind)


def look_up(portal: Portal, key: str) -> StoredObject:
    """One object of the store; raises NotFoundError, also for a key that no object can have or that is not ours."""
    try:
        check_key(key)
    except InvalidKeyError as error:
        raise NotFoundError("there is no such file") from error
    found = portal.store.stat(key) if key.partition("/")[0] in SERVED else None
    if found is None:
        raise NotFoundError("there is no such file")
    return found


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, of which the first is read at once: until then a failure can still be answered as one."""
    first = next(pieces, None)

    def rest() -> Iterator[bytes]:
        if first is not None:
            yield first
            yield from pieces

    return rest()


def _is_address(host: str) -> bool:
    """Whether a host is an IP address, as of a portal on one's own machine, and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _headers(found: StoredObject, host: str) -> dict[str, str]:
    name = found.key.rpartition("/")[2]
    kind = found.content_type or guess_content_type(found.key)
    plain = kind.partition(";")[0].strip().lower()
    page = _PAGE.fullmatch(found.key) is not None and plain == "text/html"
    shown = page or (plain in _SHOWN and plain != "text/html")
    headers = {
        "content-type": kind,
        "content-length": str(found.size),
        "accept-ranges": "bytes",
        "content-disposition": f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{quote(name, safe='')}",
        "content-security-policy": PAGE_POLICY if page else FILE_POLICY,
        "cache-control": "no-cache",
    }
    if plain in {"image/png", "image/jpeg"}:
        # The Dagster UI beside the portal shows pictures from here. To a browser two ports of an address are not one site.
        headers["cross-origin-resource-policy"] = "cross-origin" if _is_address(host) else "same-site"
    if found.sha256 is not None:
        # RFC 9530; the tag is the digest, so that equal bytes have equal tags whichever store they come from
        headers["repr-digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(found.sha256)).decode()}:"
        headers["etag"] = f'"{found.sha256}"'
    elif found.md5 is not None:
        headers["etag"] = f'"{found.md5}"'
    return headers


def _span(request: Request, size: int, tag: str | None) -> tuple[int, int] | tuple[()] | None:
    """Start and stop of a single range that is asked for; None for the whole object, empty if it cannot be satisfied."""
    asked, condition = request.headers.get("range"), request.headers.get("if-range")
    match = _RANGE.fullmatch(asked.strip()) if asked else None
    if match is None or (condition is not None and condition != tag):
        return None  # RFC 9110, 14.2: what cannot be read, and several ranges, may be ignored
    first, last = match.groups()
    if not first and not last:
        return None
    if len(first) > 18 or len(last) > 18:
        return ()
    if not first:
        length = min(int(last), size)
        return (size - length, size) if length else ()
    start, stop = int(first), min(int(last) + 1 if last else size, size)
    if last and int(last) < start:
        return None
    return (start, stop) if start < size else ()
