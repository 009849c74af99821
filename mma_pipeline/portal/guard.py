"""What holds for every request: limits, headers, validators. Plain ASGI, so that streams pass through untouched.

Nothing here changes anything: the portal has no state that a request could change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Largest body of a request, bytes.
MAX_BODY = 8 << 20
#: Longest target of a request, bytes.
MAX_TARGET = 8192
#: Policy of the portal's own pages: their script and style are files of the portal, and no other page may frame them.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
#: For files of the store that are no page: nothing in them runs, and they are of no origin.
FILE_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
#: For the page of an event: its own policy, in its head, says what may run; this one only forbids.
PAGE_POLICY = "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class TooLargeError(Exception):
    """A body is larger than the limit."""


class Limits:
    """Refuses targets and bodies beyond the limits."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless it is too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET:
            await _refuse(414, f"the address is longer than {MAX_TARGET} bytes", scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > MAX_BODY:
            await _refuse(413, f"the body is larger than {MAX_BODY} bytes", scope, receive, send)
            return
        taken, begun = 0, False

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MAX_BODY:
                raise TooLargeError
            return message

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, counted, noting)
        except TooLargeError:
            if not begun:
                await _refuse(413, f"the body is larger than {MAX_BODY} bytes", scope, receive, send)


async def _refuse(status: int, text: str, scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(text + "\n", status, {"connection": "close"})(scope, receive, send)


class Guard:
    """Adds the headers of every answer; gives pages and JSON an ETag, and answers HEAD and If-None-Match with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and finish its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        head = scope["method"] == "HEAD"
        # Files answer HEAD by themselves: they are not to be read for it.
        inner = {**scope, "method": "GET"} if head and "/files/" not in scope["path"] else scope
        start: Message | None = None
        body: list[bytes] = []

        async def finishing(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
                headers.setdefault("content-security-policy", POLICY)
                headers.setdefault("cache-control", "no-cache")
                if not _validated(message, headers, scope):
                    await send(message)
                    return
                start = message
                return
            if start is None:
                await send({**message, "body": b""} if head else message)
                return
            body.append(message.get("body", b""))
            if message.get("more_body"):
                return
            whole = b"".join(body)
            headers = MutableHeaders(scope=start)
            tag = f'"{hashlib.sha256(whole).hexdigest()[:32]}"'
            headers["etag"] = tag
            if matches(asked.get("if-none-match"), tag):
                start["status"], whole = 304, b""
                del headers["content-length"]
            await send(start)
            await send({"type": "http.response.body", "body": b"" if head else whole})

        await self._app(inner, receive, finishing)


def _validated(message: Message, headers: MutableHeaders, scope: Scope) -> bool:
    """Whether an answer gets an ETag of its content here."""
    kind = headers.get("content-type", "").partition(";")[0]
    return (
        message["status"] == 200
        and scope["method"] in {"GET", "HEAD"}
        and "etag" not in headers
        and kind != "text/event-stream"
    )


def matches(header: str | None, tag: str) -> bool:
    """Whether a header If-None-Match names a tag (RFC 9110, 13.1.2: by weak comparison)."""
    if header is None:
        return False
    names = (part.strip().removeprefix("W/") for part in header.split(","))
    return any(name in {tag.removeprefix("W/"), "*"} for name in names)


class Below:
    """Says that the portal lies below a path; requests without the path, as some proxies make them, are answered too."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app, self._path = app, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        await self._app({**scope, "root_path": self._path} if scope["type"] == "http" else scope, receive, send)


class Hosts:
    """Refuses requests to a host that is not the portal's, so that no other site's name can lead a browser here."""

    def __init__(self, app: ASGIApp, allowed: Iterable[str]) -> None:
        self._app, self._allowed = app, frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, if it is for the portal."""
        host = _host_of(Headers(scope=scope).get("host", "")) if scope["type"] == "http" else None
        if host is not None and self._allowed and host not in self._allowed:
            await _refuse(421, "this is not the portal's host: see MMA_PORTAL_URL", scope, receive, send)
            return
        await self._app(scope, receive, send)


def _host_of(header: str) -> str:
    """The host of a header Host, without its port."""
    name, colon, port = header.rpartition(":")
    return (name if colon and port.isdecimal() else header).strip("[]").lower()


def plain(value: Any) -> Any:
    """A value as JSON can carry it: numbers that are not finite become null."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
