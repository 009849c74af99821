"""A Treasure Map for the demo: takes the rows, galaxy lists and neutrino notices that it is posted, and shows what it has.

It knows the requests that the demo makes and no others, checks the token and nothing else, and forgets all when it ends.
"""

from __future__ import annotations

import json
import secrets
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from mma_pipeline.cli.demo_server import LocalServer
from mma_pipeline.notices.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What the destination is called.
DESTINATION = "site"
#: The site as a destination: its address and token are API_BASE and API_TOKEN; mocks are posted, too.
PUBLICATION = f"""\
[destinations.{DESTINATION}]
kind = "gwtm"
settle_s = 1
rule = {{ roles = ["observation", "test"] }}
"""
_PATH = "/api/v1/"
#: Greatest body of a request, bytes.
_MOST = 64 << 20


@dataclass
class DemoSite(LocalServer):
    """The site: as a context manager it listens on a free port of this machine."""

    alerts: list[dict[str, Any]] = field(default_factory=list)
    """Rows of versions, in the order of posting."""
    galaxies: list[dict[str, Any]] = field(default_factory=list)
    """Lists of galaxies."""
    notices: list[dict[str, Any]] = field(default_factory=list)
    """Neutrino notices."""
    token: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def __enter__(self) -> Self:
        # Every command imports this module: what only a server needs waits.
        from http.server import BaseHTTPRequestHandler

        site, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def do_DELETE(self) -> None:
                self._answer()

            def _answer(self) -> None:
                target = urlsplit(self.path)
                data = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), _MOST))
                query = {name: values[0] for name, values in parse_qs(target.query).items()}
                if not secrets.compare_digest(self.headers.get("api_token", ""), site.token):
                    status, found = 401, {"message": "Authentication required."}
                else:
                    with lock:
                        status, found = site.answer(self.command, target.path.removeprefix(_PATH), query, data)
                body = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """The summary says what came."""

        self.base = self.listen(Handler) + _PATH
        return self

    def answer(self, method: str, name: str, query: Mapping[str, str], data: bytes) -> tuple[int, Any]:
        """Status and JSON for a request below /api/v1/."""
        event = query.get("graceid")
        match method, name:
            case "GET", "query_alerts":
                return 200, [row for row in self.alerts if row["graceid"] == event]
            case "GET", "event_galaxies":
                return 200, [entry for one in self.galaxies if one["graceid"] == event for entry in one["entries"]]
            case "GET", "pointings" | "instruments" | "footprints" | "candidate":
                return 200, []
            case "DELETE", "remove_event_galaxies":
                kept = [one for one in self.galaxies if str(one["id"]) != query.get("listid")]
                gone = len(kept) < len(self.galaxies)
                self.galaxies[:] = kept
                return (200, {"message": "Successfully deleted your galaxy list"}) if gone else (404, {})
            case "POST", "post_alert" | "event_galaxies" | "post_icecube_notice":
                return self._take(name, data)
        return 404, {"detail": "Not Found"}

    def _take(self, name: str, data: bytes) -> tuple[int, Any]:
        try:
            body = json.loads(data)
            return 200, {"post_alert": self._row, "event_galaxies": self._list}.get(name, self._notice)(body)
        except (ValueError, KeyError, TypeError):
            return 400, {"message": "Request validation error", "errors": []}

    def _row(self, body: Mapping[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC).replace(tzinfo=None).isoformat()
        row = {**body, "graceid": body["graceid"], "id": len(self.alerts) + 1, "datecreated": now}
        self.alerts.append(row)
        return row

    def _list(self, body: Mapping[str, Any]) -> dict[str, Any]:
        number = 1 + max((one["id"] for one in self.galaxies), default=0)
        entries = [{**entry, "id": n, "listid": number} for n, entry in enumerate(body["galaxies"], 1)]
        self.galaxies.append({"id": number, "graceid": body["graceid"], "entries": entries})
        return {"message": f"Successful adding of {len(entries)} galaxies. List ID: {number}", "errors": []}

    def _notice(self, body: Mapping[str, Any]) -> dict[str, Any]:
        reference = body["notice_data"]["ref_id"]
        if any(notice["ref_id"] == reference for notice in self.notices):
            return {"icecube_notice": {"message": "event already exists"}, "icecube_notice_events": []}
        notice = {**body["notice_data"], "id": len(self.notices) + 1}
        self.notices.append(notice)
        return {"icecube_notice": notice, "icecube_notice_events": list(body.get("events_data", ()))}

    @property
    def words(self) -> str:
        """What it has, for people."""
        said = (
            counted(len(self.alerts), "row"),
            counted(len(self.galaxies), "list of galaxies", "lists of galaxies"),
            counted(len(self.notices), "neutrino notice"),
        )
        return ", ".join(said)
