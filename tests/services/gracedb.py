"""A stand-in for GraceDB's public API on the loopback interface: superevents, their files, and faults on request.

Paths and JSON as in GraceDB's documentation (superevent files: `{"name": "address", …}`; lists with `superevents`,
`links.next`). Use as `with GraceDBStandIn({"S230518h": {"S230518h-preliminary.json,0": b"…"}}) as gracedb:`.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class GraceDBStandIn:
    """Superevent to file name to content; `faults` are answered first, one per request: a status, or raw bytes."""

    def __init__(self, superevents: dict[str, dict[str, bytes]]) -> None:
        self.superevents = superevents
        self.faults: list[int | bytes] = []
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def api(self) -> str:
        """Address that a client is given."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/api/"

    def __enter__(self) -> GraceDBStandIn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, query: str) -> tuple[int, bytes]:
        """Status and content for a request."""
        if self.faults:
            fault = self.faults.pop(0)
            return (fault, b"{}") if isinstance(fault, int) else (200, fault)
        parts = path.removeprefix("/api/").strip("/").split("/")
        if parts == ["superevents"]:
            return 200, self._page(query)
        if len(parts) < 3 or parts[0] != "superevents" or parts[2] != "files" or parts[1] not in self.superevents:
            return 404, b'{"detail": "Not found."}'
        files = self.superevents[parts[1]]
        if len(parts) == 3:
            return 200, json.dumps({name: f"{self.api}{path.removeprefix('/api/')}{name}" for name in files}).encode()
        return (200, files[parts[3]]) if parts[3] in files else (404, b'{"detail": "Not found."}')

    def _page(self, query: str) -> bytes:
        """One superevent per page."""
        names = sorted(self.superevents)
        at = int(query.partition("start=")[2] or 0)
        more = f"{self.api}superevents/?start={at + 1}" if at + 1 < len(names) else None
        return json.dumps({"superevents": [{"superevent_id": names[at]}], "links": {"next": more}}).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """Answer and note the request."""
                url = urlsplit(self.path)
                stand_in.requests.append(unquote(url.path))
                status, content = stand_in.answer(unquote(url.path), unquote(url.query))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
                """Quiet."""

        return Handler
