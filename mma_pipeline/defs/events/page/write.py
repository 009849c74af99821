"""Writes the page of an event, and makes sure that the last page written is up to date.

Runs of several versions of an event may end together. Each writes the page from the whole state in the archive, then reads
the state again, and writes again if it changed. So the last write is followed by a read that found nothing newer, and each
later change is followed by its own write. A page whose content is stored already keeps the time at which it was made.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.errors import DigestError, NotFoundError
from mma_pipeline.adapters.store import Store
from mma_pipeline.adapters.store.paths import event_key
from mma_pipeline.defs.events.page.render import GALAXIES, Attachments, page_html, page_markdown
from mma_pipeline.defs.events.page.state import EventState, event_state
from mma_pipeline.science.kilonova.latest import latest

_log = logging.getLogger(__name__)
PAGE = "index.html"
#: Greatest number of writes in one call: more than versions of an event come together. An event that changes faster has runs in
#: progress that write later.
MOST_WRITES = 12
#: Coincident events whose regions are drawn.
MOST_PARTNERS = 3
#: Finest HEALPix order of the covered region as drawn (7 arcmin), and the most cells of it: the picture has all.
COVERED_ORDER, MOST_CELLS = 9, 20_000


@dataclass(frozen=True)
class WrittenPage:
    """A page as stored."""

    key: str
    state: EventState
    size: int
    """Bytes."""
    sha256: str
    """Of the content, without the time at which it was made."""
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
        attached = _attachments(archive, store, state)
        digest = hashlib.sha256(page_html(state, key, attached)).hexdigest()
        found = store.stat(key)
        known = {} if found is None else found.metadata
        same = known.get("content") == digest and "made" in known
        made = datetime.fromisoformat(known["made"]) if same else datetime.now(UTC).replace(microsecond=0)
        body = page_html(state, key, attached, made)
        names = {"state": state.digest, "content": digest, "made": made.isoformat()}
        writes += store.put(key, body, content_type="text/html; charset=utf-8", metadata=names).written
        now = event_state(archive, event_id)
        if now.digest == state.digest:
            break
        state = now
    else:
        _log.warning(
            "%s changed %d times while its page was written: the runs that changed it write it next", event_id, writes
        )
    return WrittenPage(key, state, len(body), digest, page_markdown(state, key, attached, datetime.now(UTC)), writes)


def shows(store: Store, event_id: str, digest: str) -> bool:
    """Whether the page of an event exists and shows the state with this digest."""
    found = store.stat(page_key(event_id))
    return found is not None and found.metadata.get("state") == digest


def _attachments(archive: Archive, store: Store, state: EventState) -> Attachments:
    entries = _json(store, state.product("galaxies"))
    newest = state.localisation
    light = PhotometryArchive(archive).measurements_of(str(c["candidate"]) for c in state.candidates)
    seen = {name: latest([found.measurement for found in points]) for name, points in light.items()}
    return Attachments(
        galaxies=(entries or [])[:GALAXIES],
        combined_galaxies=(_json(store, _file(state.combined, "galaxies")) or [])[:GALAXIES],
        lines=_outlines(_json(store, _file(newest, "contours"))),
        partners=_partners(archive, store, state),
        covered=_cells(_content(store, _file(newest, "covered_moc"))),
        brightness={name: found for name, found in seen.items() if found is not None},
        sites=(_json(store, _file(newest, "observability")) or {}).get("sites", ()),
        messages=_messages(archive, state),
    )


def _messages(archive: Archive, state: EventState) -> dict[str, Mapping[str, Any]]:
    records = archive.versions(state.event_id)
    origins = archive.origins(record.message_id for record in records)
    return {
        record.partition_key: {
            "topic": origin.topic,
            "where": f"partition {origin.partition}, offset {origin.offset}",
            "sha256": origin.sha256,
        }
        for record in records
        if (origin := origins.get(record.message_id)) is not None
    }


def _partners(archive: Archive, store: Store, state: EventState) -> dict[str, list[Any]]:
    """The 90 % outlines of the first coincident events whose regions do not exclude this one's."""
    pairs = [p for p in state.coincidences.get("pairs", ()) if p["state"] in {"claimed", "chance", "unrated"}]
    versions = {}
    for pair in pairs[:MOST_PARTNERS]:
        is_gw = pair["gw_event"] == state.event_id
        versions[pair["other_event" if is_gw else "gw_event"]] = pair["other_version" if is_gw else "gw_version"]
    products = archive.products_of(versions.values())
    found: dict[str, list[Any]] = {}
    for event_id, version in versions.items():
        made = next((p for p in products.get(version, ()) if p.name == "contours"), None)
        if made is not None:
            lines = _outlines(_json(store, {"key": made.store_key, "sha256": made.sha256})).get("90")
            found |= {event_id: lines} if lines else {}
    return found


def _outlines(collection: Any) -> dict[str, Any]:
    """Lines of [RA, Dec] by credible level, percent."""
    features = (collection or {}).get("features", ())
    return {str(int(f["properties"]["credible_level"])): f["geometry"]["coordinates"] for f in features}


def _cells(moc: bytes | None) -> dict[str, list[int]]:
    """A MOC in FITS as cells by order, no finer than it is drawn; empty if there are too many."""
    if moc is None:
        return {}
    from mma_pipeline.science.regions.coverage import cells_of_fits

    cells = cells_of_fits(moc, COVERED_ORDER)
    return cells if sum(map(len, cells.values())) <= MOST_CELLS else {}


def _file(version: Mapping[str, Any] | None, name: str) -> Any:
    return None if version is None else next((f for f in version["files"] if f["name"] == name), None)


def _json(store: Store, file: Any) -> Any:
    data = _content(store, file)
    return None if data is None else json.loads(data)


def _content(store: Store, file: Any) -> bytes | None:
    """Content of a file of the state; None if it is missing or differs from the one that the state names."""
    if file is None:
        return None
    try:
        data = store.get(file["key"])
    except (NotFoundError, DigestError):
        return None
    return data if hashlib.sha256(data).hexdigest() == file["sha256"] else None
