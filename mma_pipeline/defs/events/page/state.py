"""The state that the page of an event shows, read from the archive alone, without a clock: equal states give equal pages.

It deliberately leaves out when a message arrived, and when and how often a product was written. These differ between two
archives of the same alerts, and would make equal pages differ.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mma_pipeline.adapters.archive import Archive, ProductRecord, VersionRecord
from mma_pipeline.adapters.archive.event_history import chronological, newest_map, retraction_of
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.archive.quarantine import Choice, QuarantinedMessage, quarantined
from mma_pipeline.notices.degraded import unusable_map
from mma_pipeline.notices.model import AlertType, Role
from mma_pipeline.notices.photometry.candidate_key import slug_of

#: To be changed when the page's content or layout changes: then all pages are written again.
LAYOUT = "12"
#: Candidates that a page shows, the most probable first: surveys bring thousands.
MOST_CANDIDATES = 50


@dataclass(frozen=True)
class EventState:
    """Everything that the archive has of an event, as JSON values; newest version first."""

    event_id: str
    versions: tuple[Mapping[str, Any], ...]
    candidates: tuple[Mapping[str, Any], ...]
    quarantine: tuple[Mapping[str, Any], ...] = ()
    """Messages of the event that could not be used and are not solved: reason and SHA-256."""
    map_version: str | None = None
    """Partition key of the version with the newest map of the event's own whose statistics are there."""

    @property
    def digest(self) -> str:
        """SHA-256 of the state and the layout: equal for equal pages."""
        whole = [LAYOUT, self.event_id, self.versions, self.candidates, self.quarantine]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    @property
    def retraction(self) -> Mapping[str, Any] | None:
        """The first retraction; None if the event was not retracted."""
        found = [v for v in self.versions if v["label"] == AlertType.RETRACTION]
        return found[-1] if found else None

    @property
    def notices(self) -> tuple[Mapping[str, Any], ...]:
        """The versions that are notices, newest first: a combined or a fetched map is a version of its own, but none."""
        return tuple(v for v in self.versions if not (v["external"] or v.get("map_alone")))

    @property
    def newest_notice(self) -> Mapping[str, Any]:
        """The newest of them; the newest version where there is none."""
        return (self.notices or self.versions)[0]

    @property
    def localisation(self) -> Mapping[str, Any] | None:
        """The version `map_version`; None if there is none yet."""
        return next((v for v in self.versions if v["partition"] == self.map_version), None)

    @property
    def combined_maps(self) -> tuple[Mapping[str, Any], ...]:
        """The versions with a combined map by LIGO/Virgo/KAGRA that was measured, newest first."""
        return tuple(v for v in self.versions if v["external"] and "skymap_statistics" in v["statistics"])

    @property
    def combined(self) -> Mapping[str, Any] | None:
        """The newest of them, if it is not older than the newest own map, as in `products.regions`."""
        since = "" if self.localisation is None else self.localisation["created"]
        return next((v for v in self.combined_maps if v["created"] >= since), None)

    @property
    def stated(self) -> Mapping[str, Any] | None:
        """The newest own version that states facts, which a retraction does not; None if there is none."""
        said = (v for v in self.versions if v["own"] and v["label"] != AlertType.RETRACTION)
        return next((v for v in said if "time" in v["facts"]), None)

    @property
    def unusable(self) -> Mapping[str, Any] | None:
        """The version `stated` with the reason why its map cannot be used; None if it can, or if it has none."""
        reason = None if self.stated is None else unusable_map(self.stated["facts"])
        return None if self.stated is None or reason is None else {**self.stated, "reason": reason}

    @property
    def coincidences(self) -> Mapping[str, Any]:
        """Pairs as the newest own version that was compared has them, and the newest coincidence that LVK state."""
        found = [c for v in self.versions if v["own"] and (c := v["statistics"].get("coincidences"))]
        lvk = next((c["lvk"] for c in found if c.get("lvk")), None)
        return {**found[0], "lvk": lvk} if found else {}

    def left_out(self, product: str) -> str | None:
        """Why the newest notice's source has no such product; None where it makes sense."""
        return None if not self.versions else (self.versions[0]["facts"].get("left_out") or {}).get(product)

    def product(self, name: str) -> Mapping[str, Any] | None:
        """The file of this name of the newest own version that has it, as in `files`; None if none has it."""
        found = (f for v in self.versions if v["own"] for f in v["files"] if f["name"] == name)
        return next(found, None)


def event_state(archive: Archive, event_id: str) -> EventState:
    """Read the state of an event from the archive; empty for an event that is not archived."""
    return event_states(archive, [event_id])[event_id]


def event_states(archive: Archive, event_ids: Sequence[str]) -> dict[str, EventState]:
    """The states of several events, with as many statements as for one."""
    versions = archive.versions_of(event_ids)
    products = archive.products_of(record.partition_key for found in versions.values() for record in found)
    scores = PhotometryArchive(archive).latest_scores_of(event_ids)
    aside: dict[str, list[QuarantinedMessage]] = {}
    for entry in quarantined(archive, Choice(event_ids=event_ids)):
        aside.setdefault(str(entry.event_id), []).append(entry)
    return {
        event_id: _state(
            event_id, versions.get(event_id, ()), products, scores.get(event_id, ()), aside.get(event_id, ())
        )
        for event_id in event_ids
    }


def _state(
    event_id: str,
    found: Sequence[VersionRecord],
    products: Mapping[str, list[ProductRecord]],
    scores: Sequence[Mapping[str, Any]],
    quarantine: Sequence[QuarantinedMessage],
) -> EventState:
    records = chronological(found)
    retracted = retraction_of(records) is not None
    # The same bytes from two brokers count as one message.
    aside = {entry.sha256: entry.reason for entry in quarantine}
    described = [r for r in records if any(p.asset == "skymap_statistics" for p in products[r.partition_key])]
    mapped = newest_map(described, combined=False)
    return EventState(
        event_id,
        tuple(_version(record, products[record.partition_key], retracted) for record in reversed(records)),
        tuple(_candidate(score) for score in scores[:MOST_CANDIDATES]),
        tuple({"reason": aside[sha256], "sha256": sha256} for sha256 in sorted(aside)),
        None if mapped is None else mapped.partition_key,
    )


def _version(record: VersionRecord, products: list[ProductRecord], retracted: bool) -> dict[str, Any]:
    version = record.version
    return {
        "partition": version.partition_key,
        "label": version.label,
        "own": version.alert_type is not None and not version.is_external,
        "external": version.is_external,
        "neutrino": version.alert_type is None,
        "map_alone": version.is_fetched_map,
        "test": version.role is Role.TEST,
        "stem": str(record.stem),
        "created": version.created.isoformat(),
        "retracted": retracted and not version.is_retraction,
        "facts": dict(record.facts),
        "statistics": {product.asset: dict(product.statistics) for product in products},
        "files": [
            {
                "name": product.name,
                "asset": product.asset,
                "key": product.store_key,
                "size": product.size,
                "sha256": product.sha256,
                "picture": product.content_type == "image/png",
            }
            for product in products
        ],
    }


def _candidate(score: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in score.items() if name != "history"}
    name = str(score["candidate"])
    return {**kept, "slug": slug_of(name), "names": ", ".join([name, *score.get("aliases", ())])}
