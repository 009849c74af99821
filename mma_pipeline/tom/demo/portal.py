"""A stand-in of an observation portal, for demos and tests only: it observes nothing.

It speaks the part of the Observatory Control System's API that the toolkit's LCO facility uses, with the answers,
status codes and error shapes of observatorycontrolsystem/observation-portal (requestgroups/viewsets.py and
serializers.py): redirects to the trailing slash, 401 without token, validation errors with status 200, 400 for a
request group that can no longer be cancelled.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .instruments import INSTRUMENTS

PROPOSAL = "MMA-2026A-001"
_MAX_BODY = 1_000_000
_TERMINAL = {"COMPLETED", "WINDOW_EXPIRED", "CANCELED", "FAILURE_LIMIT_REACHED", "NOT_ATTEMPTED"}

Answer = tuple[int, Any]


class Portal:
    """Request groups in memory behind HTTP on 127.0.0.1; use as a context manager."""

    def __init__(self, token: str, port: int = 0) -> None:
        """Bind to `port` (0: any free one); `token` is the API key that callers must show."""
        self.token = token
        self.groups: dict[int, dict[str, Any]] = {}
        self.calls: list[str] = []
        """Method and path of every call, for tests."""
        self.failure: Callable[[str], Answer | None] = lambda _call: None
        """Lets tests make calls fail: method and path -> answer, or None for the usual one."""
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"portal": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, name="portal", daemon=True)

    @property
    def url(self) -> str:
        """Address of the portal."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Portal:
        """Start serving."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def set_state(self, request_id: int, state: str) -> None:
        """Let the telescope network decide about a request."""
        group = self._group_of(request_id)
        if group is None:
            raise KeyError(request_id)
        group["state"] = group["requests"][0]["state"] = state

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any, *, known: bool) -> Answer:
        """Answer one call as the real portal does."""
        if (method, path) == ("GET", "/api/instruments/"):
            return 200, INSTRUMENTS
        if not known:
            return 401, {"detail": "Authentication credentials were not provided."}
        if (method, path) == ("GET", "/api/profile/"):
            proposal = {"id": PROPOSAL, "title": "Counterparts (stand-in portal)", "current": True}
            return 200, {"username": "standin", "proposals": [proposal]}
        if (method, path) == ("POST", "/api/requestgroups/validate/"):
            errors = _errors(body)
            return 200, {"request_durations": {} if errors else _durations(body), "errors": errors}
        if (method, path) == ("POST", "/api/requestgroups/"):
            errors = _errors(body)
            return (400, errors) if errors else (201, self._submit(body))
        if (method, path) == ("GET", "/api/requestgroups/"):
            return self._find(query)
        if match := re.fullmatch(r"/api/requestgroups/(\d+)/cancel/", path):
            return self._cancel(int(match[1])) if method == "POST" else (405, {"detail": "Method not allowed."})
        if match := re.fullmatch(r"/api/requests/(\d+)/(observations/)?", path):
            return self._request(int(match[1]), observations=match[2] is not None)
        return 404, {"detail": "Not found."}

    def _submit(self, body: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            number = len(self.groups) + 1
            now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            requests = [
                {**request, "id": 10 * number + i, "state": "PENDING", "created": now, "modified": now}
                for i, request in enumerate(body["requests"])
            ]
            group = {**body, "id": number, "submitter": "standin", "state": "PENDING", "requests": requests}
            self.groups[number] = group
            return group

    def _find(self, query: dict[str, list[str]]) -> Answer:
        wanted = query.get("request_id")
        found = list(self.groups.values())
        if wanted:
            found = [g for g in found if any(str(r["id"]) == wanted[0] for r in g["requests"])]
        return 200, {"count": len(found), "next": None, "previous": None, "results": found}

    def _cancel(self, number: int) -> Answer:
        with self._lock:
            group = self.groups.get(number)
            if group is None:
                return 404, {"detail": "Not found."}
            if group["state"] in _TERMINAL:
                reason = f"Cannot transition from request group state {group['state']} to CANCELED"
                return 400, {"errors": [reason]}
            group["state"] = "CANCELED"
            for request in group["requests"]:
                request["state"] = "CANCELED"
            return 200, group

    def _request(self, request_id: int, *, observations: bool) -> Answer:
        group = self._group_of(request_id)
        if group is None:
            return 404, {"detail": "Not found."}
        if observations:
            return 200, []
        return 200, next(r for r in group["requests"] if r["id"] == request_id)

    def _group_of(self, request_id: int) -> dict[str, Any] | None:
        return next((g for g in self.groups.values() if any(r["id"] == request_id for r in g["requests"])), None)


def _errors(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        return {"non_field_errors": ["Invalid data. Expected a dictionary."]}
    errors: dict[str, Any] = {}
    for name in ("name", "proposal", "ipp_value", "operator", "observation_type"):
        if body.get(name) in (None, ""):
            errors[name] = ["This field is required."]
    if body.get("proposal") not in (None, "", PROPOSAL):
        errors["proposal"] = [f'Invalid pk "{body["proposal"]}" - object does not exist.']
    requests = body.get("requests")
    if not requests:
        return errors | {"requests": ["You must specify at least 1 request"]}
    found = [_request_errors(request) for request in requests]
    return errors | ({"requests": found} if any(found) else {})


def _request_errors(request: dict[str, Any]) -> dict[str, Any]:
    errors: dict[str, Any] = {}
    now = datetime.now(UTC)
    for window in request.get("windows") or []:
        start, end = (_time(window[name]) for name in ("start", "end"))
        if end <= start:
            errors["windows"] = [{"non_field_errors": [f"Window end '{end}' cannot be earlier than window start"]}]
        elif end < now:
            errors["windows"] = [{"end": ["Window end time must be in the future"]}]
    configurations = [_configuration_errors(c) for c in request.get("configurations") or []]
    if not configurations:
        errors["configurations"] = ["You must specify at least 1 configuration"]
    elif any(configurations):
        errors["configurations"] = configurations
    return errors


def _configuration_errors(configuration: dict[str, Any]) -> dict[str, Any]:
    instrument = INSTRUMENTS.get(configuration.get("instrument_type", ""))
    if instrument is None:
        return {"instrument_type": [f"Invalid instrument type {configuration.get('instrument_type')!r}."]}
    errors: dict[str, Any] = {}
    target = configuration.get("target", {})
    if not (0 <= float(target.get("ra", -1)) < 360 and -90 <= float(target.get("dec", 99)) <= 90):
        errors["target"] = {"non_field_errors": ["A Sidereal target must specify an `ra` and `dec`"]}
    known = {f["code"] for f in instrument["optical_elements"]["filters"] if f["schedulable"]}
    for config in configuration["instrument_configs"]:
        chosen = config["optical_elements"].get("filter")
        if chosen not in known:
            errors["instrument_configs"] = [{"non_field_errors": [f"filter {chosen!r} is not available"]}]
    return errors


def _durations(body: dict[str, Any]) -> dict[str, Any]:
    seconds = sum(
        float(config["exposure_time"]) * int(config["exposure_count"])
        for request in body["requests"]
        for configuration in request["configurations"]
        for config in configuration["instrument_configs"]
    )
    return {"requests": [{"duration": seconds}], "duration": seconds}


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Handler(BaseHTTPRequestHandler):
    portal: Portal
    timeout = 10

    def do_GET(self) -> None:
        """Answer a GET."""
        self._handle(None)

    def do_POST(self) -> None:
        """Answer a POST."""
        length = min(int(self.headers.get("Content-Length") or 0), _MAX_BODY)
        raw = self.rfile.read(length)
        try:
            self._handle(json.loads(raw) if raw else None)
        except json.JSONDecodeError:
            self._send((400, {"detail": "JSON parse error"}))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by http.server
        """Print nothing: `calls` records everything."""

    def _handle(self, body: Any) -> None:
        parts = urlsplit(self.path)
        call = f"{self.command} {parts.path}"
        self.portal.calls.append(call)
        if self.command == "GET" and not parts.path.endswith("/"):
            # Django's APPEND_SLASH, which the toolkit's calls rely on.
            self.send_response(HTTPStatus.MOVED_PERMANENTLY)
            self.send_header("Location", f"{parts.path}/{'?' + parts.query if parts.query else ''}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        known = self.headers.get("Authorization") == f"Token {self.portal.token}"
        query = parse_qs(parts.query)
        self._send(self.portal.failure(call) or self.portal.answer(self.command, parts.path, query, body, known=known))

    def _send(self, answer: Answer) -> None:
        status, content = answer
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
