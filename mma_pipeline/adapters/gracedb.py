"""GraceDB's public REST API: the alerts that were sent for a superevent, as files.

The alert sender uploads each notice as `{superevent}-{type}.json`, and GraceDB keeps every upload of a name as
`name,0`, `name,1` … (gwcelery, tasks/alerts.py; GraceDB API documentation, superevent files).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin

from mma_pipeline.adapters.errors import NotFoundError, PermanentError, TransientError
from mma_pipeline.adapters.http import error_type, receive
from mma_pipeline.adapters.retry import attempts
from mma_pipeline.notices.key import check_event_id

PUBLIC_API = "https://gracedb.ligo.org/api/"
#: Greatest duration of an attempt, seconds; greatest size of an answer, bytes; number of attempts.
TIMEOUT_S = 60.0
MOST_BYTES = 200_000_000
ATTEMPTS = 4
_TYPES = "earlywarning|early_warning|preliminary|initial|update|retraction"


@dataclass(frozen=True)
class AlertFile:
    """One uploaded notice."""

    superevent_id: str
    name: str
    """File name with GraceDB's version, such as `S230518h-preliminary.json,1`."""


class GraceDB:
    """Reads from one GraceDB; public data need no credentials."""

    def __init__(self, api: str = PUBLIC_API, *, wait_s: float = 1.0) -> None:
        """`api` is the address that ends in `/api/`; `wait_s` the pause before the second attempt, doubled after."""
        self._api = api if api.endswith("/") else f"{api}/"
        self._wait_s = wait_s

    def alert_files(self, superevent_id: str) -> list[AlertFile]:
        """The notices of a superevent, oldest upload of each type first.

        Raises NoticeError for an id that is none, NotFoundError if GraceDB does not know it or has no notices of
        it, TransientError if GraceDB does not answer.
        """
        check_event_id(superevent_id)
        listing = self._json(f"superevents/{superevent_id}/files/")
        pattern = re.compile(rf"{superevent_id}-(?:{_TYPES})\.json(?:,(\d+))?", re.ASCII)
        matches = [match for name in listing if (match := pattern.fullmatch(name))]
        # The bare name repeats the newest version.
        versioned = [match for match in matches if match[1] is not None] or matches
        if not versioned:
            raise NotFoundError(
                f"GraceDB has no alert notices (JSON) for {superevent_id}: it may be older than O4, or not public"
            )
        versioned.sort(key=lambda match: (match[0].partition(",")[0], int(match[1] or 0)))
        return [AlertFile(superevent_id, match[0]) for match in versioned]

    def download(self, file: AlertFile) -> bytes:
        """Content of one notice; errors as `alert_files`."""
        return self._get(f"superevents/{file.superevent_id}/files/{file.name}")

    def superevents(self, query: str) -> Iterator[dict[str, Any]]:
        """Superevents by GraceDB's query language, such as `created: 2023-05-18 .. 2023-05-20 public`, page by page."""
        page: str | None = "superevents/"
        params: dict[str, Any] | None = {"query": query, "format": "json", "count": 100}
        while page:
            answer = self._json(page, params)
            yield from answer.get("superevents", [])
            # The next link repeats the query.
            page, params = answer.get("links", {}).get("next"), None

    def _json(self, path: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self._get(path, params)
        try:
            decoded = json.loads(answer)
        except ValueError as error:
            raise TransientError(f"GraceDB answered {path} with something that is not JSON") from error
        if not isinstance(decoded, dict):
            raise PermanentError(f"GraceDB answered {path} with a list where an object belongs")
        return decoded

    def _get(self, path: str, params: dict[str, Any] | None = None) -> bytes:
        body: bytes = attempts(ATTEMPTS, first_s=self._wait_s, longest_s=20.0)(self._once, path, params)
        return body

    def _once(self, path: str, params: dict[str, Any] | None) -> bytes:
        # A link to the next page is an absolute address.
        url = urljoin(self._api, path) + (f"?{urlencode(params)}" if params else "")
        body = bytearray()
        status = receive(url, body.extend, "GraceDB", most_bytes=MOST_BYTES, seconds=TIMEOUT_S)
        kind = error_type(status, changes=False)
        if kind is NotFoundError:
            raise NotFoundError(f"GraceDB does not know {path}")
        if kind is not None:
            hint = ": is the superevent public?" if issubclass(kind, PermanentError) else ""
            raise kind(f"GraceDB answered {status} to {path}{hint}")
        return bytes(body)
