"""One event in a row: what a list shows and filters by, drawn from its versions and the statistics of its newest map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.archive.coincidences import PairRecord
from mma_pipeline.adapters.archive.event_history import chronological, newest_map, retraction_of
from mma_pipeline.notices.gcn.words import trigger_kind
from mma_pipeline.notices.model import Role
from mma_pipeline.products.regions import Mapped, Region, regions

#: What can arrive from a source.
MESSENGERS = ("gravitational waves", "gamma rays", "X-rays", "neutrinos", "radio")


@dataclass(frozen=True, slots=True)
class EventSummary:
    """An event as a list shows it; None where nothing is known."""

    event: str
    test: bool
    """Whether it is a mock or test event."""
    time: datetime | None
    """Time of the event, UTC."""
    newest: datetime
    """Creation time of its newest version, UTC."""
    newest_version: str
    """Partition key of that version."""
    kind: str
    """`Retraction` once it is retracted, which is final; else the kind of its newest own notice that states facts."""
    kinds: tuple[str, ...]
    """Every kind of its versions, sorted."""
    versions: int
    """Number of its versions."""
    significant: bool | None
    far_hz: float | None
    """False alarm rate, Hz."""
    instruments: tuple[str, ...]
    group: str | None
    messenger: str
    """What arrived: one of `MESSENGERS`."""
    trigger: str
    """What a trigger of another observatory is, such as `gamma-ray burst`; empty for a gravitational wave."""
    classification: Mapping[str, float]
    """Class to probability."""
    properties: Mapping[str, float]
    """Property to probability."""
    map_version: str | None
    """Partition key of the version with its newest map."""
    area_50_deg2: float | None
    area_90_deg2: float | None
    distance_mpc: float | None
    distance_std_mpc: float | None
    best_region: str | None
    """What the smallest region that holds now is: a map of its own, or a combined one, as on its page."""
    best_area_50_deg2: float | None
    best_area_90_deg2: float | None
    best_distance_mpc: float | None
    best_distance_std_mpc: float | None
    best_combined: bool
    """Whether that region holds only if two events are one source."""
    coincidences: tuple[str, ...]
    """Observatories of external coincidences, and `IceCube` where there is a neutrino notice."""
    partners: tuple[str, ...]
    """Events of other messengers with which it makes a claimed pair."""
    retracted_by: str | None
    """Partition key of its retraction."""
    degraded: bool
    """Whether parts of a notice had to be left out."""

    @property
    def when(self) -> datetime:
        """What a list is sorted by: the time of the event, else that of its newest version."""
        return self.time or self.newest

    @property
    def likeliest(self) -> tuple[str, float] | None:
        """The most probable class and its probability."""
        if not self.classification:
            return None
        return min(self.classification.items(), key=lambda item: (-item[1], item[0]))


def summary_of(
    records: Sequence[VersionRecord], maps: Mapping[str, Mapping[str, Any]], pairs: Sequence[PairRecord] = ()
) -> EventSummary:
    """Draw up an event from all its versions, the map statistics of those that have them, and its claimed pairs."""
    ordered = chronological(records)
    last = ordered[-1]
    stated = [r for r in ordered if "time" in r.facts and not r.version.is_external] or [
        r for r in ordered if "time" in r.facts
    ]
    facts: Mapping[str, Any] = stated[-1].facts if stated else {}
    mapped = newest_map([r for r in ordered if r.partition_key in maps], combined=True)
    shown = mapped or newest_map(ordered, combined=True)
    statistics = {} if mapped is None else maps[mapped.partition_key]
    best = next(iter(regions_of(ordered, maps, pairs)), None)
    retraction = retraction_of(ordered)
    messenger = str(facts.get("messenger") or (MESSENGERS[0] if last.version.is_gravitational_wave else ""))
    observatories = {str(e["observatory"]) for r in ordered if (e := r.facts.get("external"))}
    neutrinos = {r.version.label for r in ordered if r.version.alert_type is None}
    return EventSummary(
        event=last.version.event_id,
        test=last.version.role is Role.TEST,
        time=None if not facts.get("time") else datetime.fromisoformat(str(facts["time"])),
        newest=last.version.created,
        newest_version=last.partition_key,
        kind=(retraction or (stated[-1] if stated else last)).version.label,
        kinds=tuple(sorted({r.version.label for r in ordered})),
        versions=len(ordered),
        significant=facts.get("significant"),
        far_hz=facts.get("far_hz"),
        instruments=tuple(facts.get("instruments") or ()),
        group=facts.get("group"),
        messenger=messenger,
        trigger=trigger_kind(facts),
        classification=dict(facts.get("classification") or {}),
        properties=dict(facts.get("properties") or {}),
        map_version=None if shown is None else shown.partition_key,
        area_50_deg2=statistics.get("area_50_deg2"),
        area_90_deg2=statistics.get("area_90_deg2"),
        distance_mpc=statistics.get("distance_mean_mpc"),
        distance_std_mpc=statistics.get("distance_std_mpc"),
        best_region=None if best is None else best.label,
        best_area_50_deg2=None if best is None else best.area_50,
        best_area_90_deg2=None if best is None else best.area_90,
        best_distance_mpc=None if best is None else best.distance,
        best_distance_std_mpc=None if best is None else best.distance_std,
        best_combined=best is not None and best.combined,
        coincidences=tuple(sorted(observatories | neutrinos)),
        partners=tuple(sorted({p.partner_of(last.version.event_id) for p in pairs})),
        retracted_by=None if retraction is None else retraction.partition_key,
        degraded=any(r.facts.get("degraded") for r in ordered),
    )


def regions_of(
    records: Sequence[VersionRecord], maps: Mapping[str, Mapping[str, Any]], pairs: Sequence[PairRecord]
) -> tuple[Region, ...]:
    """The regions of an event that hold now, the smallest first; arguments as for `summary_of`."""
    ordered = chronological(records)
    measured = [r for r in ordered if "area_90_deg2" in maps.get(r.partition_key, {})]
    own = newest_map(measured, combined=False)
    external = [_mapped(r, maps) for r in reversed(measured) if r.version.is_external]
    return regions(
        ordered[-1].version.event_id, None if own is None else _mapped(own, maps), external, [p.values for p in pairs]
    )


def _mapped(record: VersionRecord, maps: Mapping[str, Mapping[str, Any]]) -> Mapped:
    version, external = record.version, record.facts.get("external") or {}
    return Mapped(version.label, version.created.isoformat(), maps[record.partition_key], external.get("observatory"))


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a list shows; None takes all."""

    test: bool | None = False
    """Mock and test events, or real ones, never both in one list unless asked."""
    text: str | None = None
    """Beginning of the event's id."""
    since: datetime | None = None
    before: datetime | None = None
    kind: str | None = None
    """Kind of any of its versions."""
    messenger: str | None = None
    """One of `MESSENGERS`, in any case."""
    significant: bool | None = None
    source_class: str | None = None
    """A class or property (`BNS`, `HasNS`, in any case) that has at least `min_probability`."""
    min_probability: float = 0.5
    max_area_deg2: float | None = None
    """Largest 90 % area of the smallest region that holds now; events without one are left out."""
    min_distance_mpc: float | None = None
    max_distance_mpc: float | None = None
    """Farthest mean distance; events without one are left out."""
    coincidence: bool | None = None
    """Whether a notice states a coincidence, or one of our pairs is claimed."""
    retracted: bool | None = None

    def takes(self, event: EventSummary) -> bool:
        """Whether an event is shown."""
        return (
            (self.test is None or event.test is self.test)
            and (self.text is None or event.event.casefold().startswith(self.text.casefold()))
            and (self.since is None or event.when >= self.since)
            and (self.before is None or event.when < self.before)
            and (self.kind is None or self.kind.casefold() in (kind.casefold() for kind in event.kinds))
            and (self.messenger is None or self.messenger.casefold() == event.messenger.casefold())
            and (self.significant is None or event.significant is self.significant)
            and (self.source_class is None or self._likely(event))
            and _within(event.best_area_90_deg2, None, self.max_area_deg2)
            and _within(event.best_distance_mpc, self.min_distance_mpc, self.max_distance_mpc)
            and (self.coincidence is None or bool(event.coincidences or event.partners) is self.coincidence)
            and (self.retracted is None or (event.retracted_by is not None) is self.retracted)
        )

    def _likely(self, event: EventSummary) -> bool:
        wanted = (self.source_class or "").casefold()
        stated = {**event.properties, **event.classification}
        return any(name.casefold() == wanted and found >= self.min_probability for name, found in stated.items())


def _within(value: float | None, least: float | None, most: float | None) -> bool:
    if least is None and most is None:
        return True
    return value is not None and (least is None or value >= least) and (most is None or value <= most)
