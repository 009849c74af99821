"""What changed between versions, how rare a pair of events is, and what a candidate is, in words for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mma_pipeline.adapters.archive.coincidences import PairState
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.key import EventVersion
from mma_pipeline.notices.source_words import PROPERTIES, percent
from mma_pipeline.notices.words import area, distance, false_alarm, figure, share
from mma_pipeline.science.coincidence.chance import EXCLUDED

#: Above one false alarm a day, how many there are says nothing of a pair.
_FREQUENT_HZ = 1 / 86_400
_PAIR_WORDS = {
    PairState.CLAIMED: "claimed as one source",
    PairState.CHANCE: "as chance makes such pairs",
    PairState.EXCLUDED: "places exclude each other",
    PairState.UNRATED: "no joint rate",
    PairState.WITHDRAWN: "withdrawn",
    PairState.OUTSIDE: "outside of the search window by a later notice",
}
#: A change of a probability below this is none for a reader.
_LEAST = 0.005
#: Outcomes of the check for a host after which no galaxy counts as one.
_NO_HOST = frozenset(("doubtful", "nothing"))


def places_exclude(pair: Mapping[str, Any]) -> bool:
    """Whether the two places exclude each other, as the overlap says, also where the pair was withdrawn since."""
    overlap = pair.get("overlap")
    return pair["state"] == PairState.EXCLUDED or (isinstance(overlap, float) and overlap < EXCLUDED)


def joint_rate(pair: Mapping[str, Any], name: str = "far_hz") -> str:
    """A joint false-alarm rate of a pair, or why it has none: overlaps of almost nothing would make any number."""
    in_space = name not in {"far_time_hz", "far_sure_time_hz"}
    if places_exclude(pair) and in_space:
        return "none: places exclude each other"
    return bounded_rate(pair.get(name)) or str(pair.get("no_far") or "none")


def bounded_rate(far_hz: float | None) -> str:
    """A joint false-alarm rate (Hz) in words; one of more than one a day says that and no more."""
    return "more than one a day" if far_hz and far_hz > _FREQUENT_HZ else false_alarm(far_hz)


def verdict(pair: Mapping[str, Any]) -> str:
    """What a pair is held for: `claimed as one source`, `withdrawn: S240301a was retracted at 2024-03-01 15:00:00 UTC`."""
    words = _PAIR_WORDS.get(pair["state"], str(pair["state"]))
    by = pair.get("withdrawn_by")
    if by:
        try:
            gone = EventVersion.from_partition_key(str(by))
        except NoticeError:
            return words
        words = f"withdrawn: {gone.event_id} was retracted at {gone.created:%Y-%m-%d %H:%M:%S} UTC"
        return f"{_PAIR_WORDS[PairState.EXCLUDED]}; {words}" if places_exclude(pair) else words
    return words


def changes(version: Mapping[str, Any]) -> list[str]:
    """What a version changed against the one before it that states facts; empty where it is not compared yet."""
    d = version["statistics"].get("version_difference")
    if not d:
        return []
    if d.get("before") is None or d.get("retracted"):
        return [str(d.get("summary", ""))]
    return [line for line in _changed(d) if line] or ["nothing changed"]


def _changed(d: Mapping[str, Any]) -> Iterator[str]:
    if d.get("same_map"):
        yield "same map"
    elif d.get("area_90_deg2_before") is not None:
        yield f"90 %: {area(d['area_90_deg2_before'])} → {area(d.get('area_90_deg2'))} deg²" + (
            f", {share(d['overlap_90_share'])} of it inside the old" if d.get("overlap_90_share") is not None else ""
        )
        if d.get("peak_shift_deg") is not None:
            yield f"peak moved {d['peak_shift_deg']:.2g}°"
        before, after = d.get("distance_mean_mpc_before"), d.get("distance_mean_mpc")
        if before is not None and after is not None:
            old, new = distance(before, d.get("distance_std_mpc_before")), distance(after, d.get("distance_std_mpc"))
            yield "" if old == new else f"distance {old} → {new} Mpc"
    else:
        yield str(d.get("summary", ""))
    for name, (old, new) in sorted(d.get("changed", {}).items()):
        words = false_alarm if name == "far_hz" else figure
        label = {"far_hz": "false alarms"}.get(name, name)
        yield f"{label}: {words(old) or 'nothing'} → {words(new) or 'nothing'}"
    for group in ("classification", "properties"):
        for name, (old, new) in sorted(d.get(group, {}).items()):
            if old is None or new is None or abs(old - new) >= _LEAST:
                said = ("nothing" if value is None else percent(value) for value in (old, new))
                yield f"{PROPERTIES.get(name, name)}: {' → '.join(said)}"
    if d.get("galaxies_came"):
        yield f"{d['galaxies_came']} of the best {d['galaxies_compared']} galaxies are new"


def host(candidate: Mapping[str, Any]) -> str:
    """A candidate's host galaxy and distance: `NGC 4993, 10″, 41 Mpc`; a redshift that came with its photometry says so."""
    vetting = candidate.get("vetting") or {}
    found = vetting.get("host") or {}
    parts = [str(found["name"])] if found.get("name") else []
    if found.get("separation_arcsec") is not None:
        parts.append(f"{found['separation_arcsec']:.0f}″ away")
    if found.get("distance_mpc") is not None:
        parts.append(f"{distance(found['distance_mpc'], found.get('distance_error_mpc'))} Mpc")
    if not parts and any(v["check"] == "host" and v["outcome"] in _NO_HOST for v in vetting.get("verdicts", ())):
        parts.append("none in the catalog")
    if candidate.get("redshift") is not None:
        parts.append(f"z = {figure(candidate['redshift'])} as sent with the photometry")
    return ", ".join(parts)
