"""Compares an event with those of other messengers within their search windows, from the archive alone.

Of each event the newest own map and its newest own notice count, as they stand; the comparison depends on what is archived,
not on the order of arrival.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.coincidences import PairRecord, PairState, events_near, looked_at
from mma_pipeline.adapters.archive.event_history import chronological, newest_map, retraction_of
from mma_pipeline.science.coincidence.searches import (
    GwKind,
    OtherKind,
    Search,
    SearchRules,
    gw_kind,
    search_of,
)

if TYPE_CHECKING:
    from mma_pipeline.science.coincidence.pair import Compared
    from mma_pipeline.science.skymaps.model import SkyMap

#: Changes when the same archive would give other figures.
CODE = "1"
MapOf = Callable[[VersionRecord], "SkyMap | None"]
#: Kind of event by our name of the stream. X-ray transients have no published search window, hence no kind.
_KINDS: Mapping[str, OtherKind] = {
    "fermi_gbm": OtherKind.GRB,
    "fermi_gbm_classic": OtherKind.GRB,
    "fermi_gbm_targeted": OtherKind.GRB_TARGETED_FERMI,
    "swift_bat_guano": OtherKind.GRB_TARGETED_SWIFT,
    "svom_voevent": OtherKind.GRB,
    "svom": OtherKind.GRB,
    "burstcube": OtherKind.GRB,
    "glowbug": OtherKind.GRB,
    "chime_frb": OtherKind.FRB,
    "dsa110_frb": OtherKind.FRB,
    "icecube_tracks": OtherKind.NEUTRINO,
    "km3net": OtherKind.NEUTRINO,
    "superk_sn": OtherKind.SUPERNOVA,
}
#: Classes of a trigger, by parts of their names, that are no burst (Fermi GBM's `classification`).
_NO_BURST = ("SGR", "TRANSIENT", "PARTICLE", "FLARE", "TGF", "HORIZON", "NOISE", "KNOWN_SOURCE")
#: Probability from which a trigger that is stated to be something else takes no part.
_SURELY = 0.5


@dataclass(frozen=True, slots=True)
class Side:
    """One event as it takes part in comparisons."""

    event_id: str
    role: str
    kind: GwKind | OtherKind
    time: datetime
    """UTC."""
    far: float | None
    """False-alarm rate, Hz."""
    significant: bool
    newest: VersionRecord
    """The newest own notice that states what the event is."""
    mapped: VersionRecord | None
    """The version with the newest own map."""
    retracted_by: str | None
    """Partition key of the retraction."""

    @property
    def is_gw(self) -> bool:
        """Whether it is a gravitational wave."""
        return isinstance(self.kind, GwKind)

    @property
    def compared(self) -> VersionRecord:
        """The version that a comparison names: that of the map, else the newest."""
        return self.mapped or self.newest

    @property
    def identity(self) -> tuple[str, ...]:
        """What a comparison with it is made from, as text."""
        mapped = None if self.mapped is None else self.mapped.facts["skymap_sha256"]
        return (
            self.event_id, self.newest.partition_key, self.compared.partition_key, str(mapped),
            str(self.kind), self.time.isoformat(), repr(self.far), str(self.significant), self.retracted_by or "stands",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """Two events within a search window."""

    gw: Side
    other: Side
    search: Search

    @property
    def difference_s(self) -> float:
        """t_gw - t_other, s."""
        return (self.gw.time - self.other.time).total_seconds()

    def identity(self, rules: SearchRules) -> str:
        """Digest of all that its comparison is made from."""
        whole = json.dumps([CODE, rules.identity, self.gw.identity, self.other.identity])
        return hashlib.sha256(whole.encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class ComparedPair:
    """A pair with its figures; the maps are there for pictures."""

    pair: Pair
    record: PairRecord
    gw_map: SkyMap | None
    other_map: SkyMap | None
    combined: SkyMap | None


def side_of(records: Sequence[VersionRecord]) -> Side | None:
    """An event from its versions; None if it takes no part: it states no time, or no search is published for its kind."""
    own = [r for r in chronological(records) if r.version.alert_type is not None and not r.version.is_external]
    stating = [r for r in own if not r.version.is_retraction and r.facts.get("time")]
    if not stating:
        return None
    newest = stating[-1]
    kind = _kind(newest, stating)
    if kind is None:
        return None
    retraction = retraction_of(records)
    rates = [float(far) for r in stating if (far := r.facts.get("far_hz")) is not None]
    return Side(
        event_id=newest.version.event_id,
        role=newest.version.role.value,
        kind=kind,
        time=datetime.fromisoformat(str(newest.facts["time"])),
        far=rates[-1] if rates else None,
        significant=newest.facts.get("significant") is True,
        newest=newest,
        mapped=newest_map(own, combined=False),
        retracted_by=None if retraction is None else retraction.partition_key,
    )


def with_version(side: Side, record: VersionRecord) -> Side:
    """The event as one of its notices states it, for the product of that version."""
    if not record.has_map or record.version.is_external or not record.facts.get("time"):
        return side
    far = record.facts.get("far_hz")
    return replace(
        side,
        time=datetime.fromisoformat(str(record.facts["time"])),
        far=side.far if far is None else float(far),
        significant=record.facts.get("significant") is True,
        newest=record,
        mapped=record,
    )


def pairs_with(archive: Archive, side: Side, rules: SearchRules) -> list[Pair]:
    """Pairs of an event with all archived events of other messengers within the search windows."""
    own = [s for s in rules.searches if side.kind in (s.gw, s.other)]
    if not own:
        return []
    reach = timedelta(seconds=max(abs(end) for s in own for end in s.window))
    near = events_near(archive, side.time - reach, side.time + reach, side.role)
    found = []
    for event_id, records in archive.versions_of(e for e in near if e != side.event_id).items():
        other = side_of(records)
        if other is None or other.is_gw == side.is_gw or other.event_id != event_id:
            continue
        pair = pair_between(side, other, rules)
        if pair is not None and pair.search.holds(pair.difference_s):
            found.append(pair)
    return sorted(found, key=lambda p: (p.gw.time, p.gw.event_id, p.other.event_id))


def compared(archive: Archive, pair: Pair, rules: SearchRules, map_of: MapOf) -> ComparedPair:
    """Compare a pair; with a combined map if there are two maps that do not exclude each other, and no retraction."""
    from mma_pipeline.science.coincidence.chance import EXCLUDED, among
    from mma_pipeline.science.coincidence.combined import combined_map
    from mma_pipeline.science.coincidence.pair import compare
    from mma_pipeline.science.skymaps.credible import credible_areas

    gw_map, other_map = (None if s.mapped is None else map_of(s.mapped) for s in (pair.gw, pair.other))
    found = compare(
        pair.search,
        pair.difference_s,
        far_gw=pair.gw.far,
        far_other=pair.other.far,
        significant=pair.gw.significant,
        gw_map=gw_map,
        other_map=other_map,
        far_gw_max=rules.far_gw_max,
        rate_gw=rules.rate_gw,
    )
    state = _state(pair, found, rules, EXCLUDED)
    combined = None
    if gw_map is not None and other_map is not None and state in {PairState.CLAIMED, PairState.CHANCE}:
        note = f"Product of the maps of {pair.gw.compared.partition_key} and {pair.other.compared.partition_key}"
        combined = combined_map(gw_map, other_map, note)
    number = 1 + looked_at(archive, pair.gw.role, pair.gw.time, (pair.gw.event_id, pair.other.event_id))
    areas = [None if m is None else credible_areas(m, (0.5, 0.9)) for m in (gw_map, other_map, combined)]
    figures = {
        "search": pair.search.name,
        "window_s": list(pair.search.window),
        "method": pair.search.method.value,
        "source": pair.search.source,
        "difference_s": found.difference_s,
        "overlap": found.overlap,
        "far_time_hz": found.joint.time,
        "far_space_time_hz": found.joint.space_time,
        "far_sure_time_hz": found.confident_time,
        "far_sure_space_time_hz": found.confident_space_time,
        "far_hz": found.far,
        "no_far": found.joint.reason,
        "p_chance": found.p_chance,
        "pairs_looked_at": number,
        "p_chance_all": None if found.p_chance is None else among(found.p_chance, number),
        "area_90_gw_deg2": None if areas[0] is None else areas[0][1],
        "area_90_other_deg2": None if areas[1] is None else areas[1][1],
        "area_50_combined_deg2": None if areas[2] is None else areas[2][0],
        "area_90_combined_deg2": None if areas[2] is None else areas[2][1],
        **_combined_figures(combined),
        "withdrawn_by": pair.gw.retracted_by or pair.other.retracted_by,
        "messenger": pair.other.newest.facts.get("messenger"),
        "instruments": list(pair.other.newest.facts.get("instruments") or ()),
    }
    record = PairRecord(
        gw_event=pair.gw.event_id,
        other_event=pair.other.event_id,
        role=pair.gw.role,
        gw_time=pair.gw.time,
        state=state,
        gw_partition=pair.gw.compared.partition_key,
        other_partition=pair.other.compared.partition_key,
        identity=pair.identity(rules),
        figures=figures,
    )
    return ComparedPair(pair, record, gw_map, other_map, combined)


def beside_lvk(external: Mapping[str, Any] | None, pairs: Sequence[ComparedPair]) -> dict[str, Any] | None:
    """The external coincidence that an LVK notice states, beside our pair with the same event; None if it states none.

    The same event is one that carries the notice's trigger number, else one whose difference in time agrees to a second.
    The sign of LVK's difference changed between 2022 and 2026, so its size alone is compared.
    """
    if not external:
        return None
    theirs = external.get("time_difference_s")
    trigger = str(external.get("gcn_notice_id") or "")
    named = [p for p in pairs if trigger and trigger in (p.pair.other.newest.facts.get("triggers") or ())]
    near = [p for p in pairs if theirs is not None and abs(abs(theirs) - abs(p.pair.difference_s)) <= 1.0]
    same = next(iter(named or near), None)
    stated = {name: external.get(name) for name in ("observatory", "search", "gcn_notice_id")}
    stated |= {
        "time_difference_s": theirs,
        "far_time_hz": external.get("time_coincidence_far_hz"),
        "far_space_time_hz": external.get("time_sky_position_coincidence_far_hz"),
    }
    if same is None:
        return {**stated, "our_event": None, "words": "no event of ours is within a search window of it"}
    ours = same.record.figures
    return {
        **stated,
        "our_event": same.record.other_event,
        "our_far_time_hz": ours["far_time_hz"],
        "our_far_space_time_hz": ours["far_space_time_hz"],
        "ratio_time": _ratio(ours["far_time_hz"], stated["far_time_hz"]),
        "ratio_space_time": _ratio(ours["far_space_time_hz"], stated["far_space_time_hz"]),
        "words": f"our pair with {same.record.other_event}",
    }


def _combined_figures(combined: SkyMap | None) -> dict[str, float | None]:
    from mma_pipeline.science.skymaps.statistics import map_distance, peak

    ra, dec = (None, None) if combined is None else peak(combined)
    mean, std = (None if combined is None else map_distance(combined)) or (None, None)
    return {
        "peak_ra_combined_deg": ra,
        "peak_dec_combined_deg": dec,
        "distance_mean_combined_mpc": mean,
        "distance_std_combined_mpc": std,
    }


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or not theirs else ours / theirs


def pair_between(a: Side, b: Side, rules: SearchRules) -> Pair | None:
    """Two events as a pair, whatever their times; None if no search compares their kinds."""
    gw, other = (a, b) if a.is_gw else (b, a)
    if not isinstance(gw.kind, GwKind) or not isinstance(other.kind, OtherKind):
        return None
    search = search_of(rules.searches, gw.kind, other.kind)
    return None if search is None else Pair(gw, other, search)


def _state(pair: Pair, found: Compared, rules: SearchRules, excluded: float) -> PairState:
    if pair.gw.retracted_by is not None or pair.other.retracted_by is not None:
        return PairState.WITHDRAWN
    if found.overlap is not None and found.overlap < excluded:
        return PairState.EXCLUDED
    if found.far is None:
        return PairState.UNRATED
    return PairState.CLAIMED if found.far <= rules.far_max else PairState.CHANCE


def _kind(newest: VersionRecord, stating: Sequence[VersionRecord]) -> GwKind | OtherKind | None:
    facts = newest.facts
    if newest.version.is_gravitational_wave:
        return gw_kind(facts.get("group"), facts.get("search"))
    kind = _KINDS.get(str(facts.get("stream")))
    if kind is OtherKind.GRB_TARGETED_SWIFT and _follows_a_burst(facts):
        kind = OtherKind.GRB
    if kind is OtherKind.GRB and not _may_be_a_burst(stating):
        return None
    return kind


def _may_be_a_burst(stating: Sequence[VersionRecord]) -> bool:
    """Whether the newest notice that classifies the trigger leaves a burst possible; true where none does.

    A trigger on a source of the instrument's catalogue is none.
    """
    for record in reversed(stating):
        if (record.facts.get("signal") or {}).get("known_source"):
            return False
        classes = {str(name).upper(): share for name, share in (record.facts.get("classification") or {}).items()}
        others = sum(share for name, share in classes.items() if any(part in name for part in _NO_BURST))
        if others or "GRB" in classes:
            return bool(others < _SURELY)
    return True


def _follows_a_burst(facts: Mapping[str, Any]) -> bool:
    """Whether Swift's data were searched because another instrument saw a burst, so that its rate is that of bursts."""
    signal = facts.get("signal") or {}
    words = f"{signal.get('follow_up_type') or ''} {signal.get('follow_up_event') or ''}".upper()
    return "GRB" in words
