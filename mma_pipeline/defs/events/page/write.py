"""Writes the page of an event, and makes sure that the last page written is up to date.

Runs of several versions of an event may end together. Each writes the page from the whole state in the archive, then reads
the state again, and writes again if it changed. So the last write is followed by a read that found nothing newer, and each
later change is followed by its own write.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import Any

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.errors import DigestError, NotFoundError
from mma_pipeline.adapters.store import Store
from mma_pipeline.adapters.store.paths import event_key
from mma_pipeline.defs.events.page.render import GALAXIES, Attachments, page_html, page_markdown
from mma_pipeline.defs.events.page.state import EventState, event_state

_log = logging.getLogger(__name__)
PAGE = "index.html"
#: Greatest number of writes in one call; an event that changes faster has runs in progress that write later.
MOST_WRITES = 6


@dataclass(frozen=True)
class WrittenPage:
    """A page as stored."""

    key: str
    state: EventState
    size: int
    """Bytes."""
    sha256: str
    markdown: str
    """The same for the UI."""
    writes: int
    """How often it was written until nothing had changed; zero if the same page was already stored."""


def page_key(event_id: str) -> str:
    """Store key of the page of an event."""
    return event_key(event_id, PAGE)


def write_event_page(archive: Archive, store: Store, event_id: str) -> WrittenPage:
    """Write the page of an event from the current archive; raises errors of archive and store."""
    key, writes = page_key(event_id), 0
    state = event_state(archive, event_id)
    for _ in range(MOST_WRITES):
        attached = _attachments(store, state)
        body = page_html(state, key, attached)
        stored = store.put(key, body, content_type="text/html; charset=utf-8", metadata={"state": state.digest})
        writes += stored.written
        now = event_state(archive, event_id)
        if now.digest == state.digest:
            break
        state = now
    else:
        _log.warning(
            "%s changed %d times while its page was written: the runs that changed it write it next", event_id, writes
        )
    digest = hashlib.sha256(body).hexdigest()
    return WrittenPage(key, state, len(body), digest, page_markdown(state, key, attached), writes)


def shows(store: Store, event_id: str, digest: str) -> bool:
    """Whether the page of an event exists and shows the state with this digest."""
    found = store.stat(page_key(event_id))
    return found is not None and found.metadata.get("state") == digest


def _attachments(store: Store, state: EventState) -> Attachments:
    entries = _json(store, state.product("galaxies"))
    newest = state.localisation
    contours = None if newest is None else next((f for f in newest["files"] if f["name"] == "contours"), None)
    collection = _json(store, contours) or {}
    lines = {
        str(int(feature["properties"]["credible_level"])): feature["geometry"]["coordinates"]
        for feature in collection.get("features", ())
    }
    return Attachments((entries or [])[:GALAXIES], lines)


def _json(store: Store, file: Any) -> Any:
    """Content of a file of the state; None if it is missing or differs from the one that the state names."""
    if file is None:
        return None
    try:
        data = store.get(file["key"])
    except (NotFoundError, DigestError):
        return None
    return json.loads(data) if hashlib.sha256(data).hexdigest() == file["sha256"] else None
