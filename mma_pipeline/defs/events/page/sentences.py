"""What changed between versions, what a search for neutrinos found, and what a candidate is, in words for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mma_pipeline.notices.source_words import PROPERTIES, percent
from mma_pipeline.notices.words import area, chance, distance, false_alarm, figure, seconds, share

#: A change of a probability below this is none for a reader.
_LEAST = 0.005
#: What lies beyond this credible level is outside of the map.
_EVERYWHERE = 0.999


def joint_rate(pair: Mapping[str, Any], name: str = "far_hz") -> str:
    """A joint false-alarm rate of a pair, or why it has none: overlaps of almost nothing would make any number."""
    in_space = name not in {"far_time_hz", "far_sure_time_hz"}
    if pair["state"] == "excluded" and in_space:
        return "none: not the same place"
    return false_alarm(pair.get(name)) or str(pair.get("no_far") or "none")


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


def neutrinos(version: Mapping[str, Any]) -> list[str]:
    """A notice of IceCube's search in sentences, with the comparison of its tracks with the map."""
    facts, found = version["facts"], version["statistics"].get("neutrino_coincidence", {})
    tracks = found.get("tracks") or ()
    return [*_search(facts, version["statistics"].get("neutrino_notice", {})), *_tracks(tracks, found)]


def _search(facts: Mapping[str, Any], notice: Mapping[str, Any]) -> Iterator[str]:
    count = facts.get("neutrinos")
    span = f" from {_clock(facts.get('observation_start'))} to {_clock(facts.get('observation_stop'))} UTC"
    where = span if facts.get("observation_start") and facts.get("observation_stop") else ""
    number = {0: "no track", 1: "one track", None: "tracks"}.get(count, f"{count} tracks")
    p = [f"{words} {chance(facts[name])}" for name, words in (("pval_generic", "as a transient"), ("pval_bayesian", "as a merger")) if facts.get(name) is not None]  # fmt: skip
    yield f"IceCube's search{where} has {number} in coincidence." + (
        f" Probability of as much by chance: {', '.join(p)}." if p else ""
    )
    flux = notice.get("flux_sensitivity_gev_cm2")
    if not count and flux:
        yield f"An upper limit: sensitive to {figure(flux[0])} to {figure(flux[1])} GeV/cm² for an E⁻² spectrum."


def _tracks(tracks: Any, found: Mapping[str, Any]) -> Iterator[str]:
    for number, track in enumerate(tracks, 1):
        parts = []
        if track.get("time_offset_s") is not None:
            offset = track["time_offset_s"]
            parts.append(f"{seconds(offset)} {'after' if offset >= 0 else 'before'} the event")
        if track.get("ra_deg") is not None and track.get("dec_deg") is not None:
            circle = f" within {figure(track['radius_deg'])}°" if track.get("radius_deg") is not None else ""
            parts.append(f"at RA {track['ra_deg']:.2f}°, Dec {track['dec_deg']:+.2f}°{circle}")
        if track.get("credible_level") is not None:
            level = track["credible_level"]
            outside = level > _EVERYWHERE
            parts.append("outside of the map" if outside else f"on the edge of the map's {share(level)} region")
        if track.get("probability_inside") is not None:
            parts.append(f"with {share(track['probability_inside'])} of the map inside its circle")
        said = f"Track {number} came {', '.join(parts)}." if parts else f"Track {number} has no place and no time."
        if track.get("p_spacetime") is not None:
            said += f" So near in time and place by chance: {chance(track['p_spacetime'])}"
            trials = track.get("p_trials")
            said += (
                f", for any of the {len(tracks)} tracks {chance(trials)}."
                if trials is not None and len(tracks) > 1
                else "."
            )
        yield said
    if found.get("retracted_by"):
        yield "The event was retracted."
    elif found and "map_version" not in found:
        yield f"Not compared: {found.get('state')}."


def _clock(text: Any) -> str:
    return str(text)[11:19]


def host(candidate: Mapping[str, Any]) -> str:
    """A candidate's host galaxy and distance: `NGC 4993, 10″, 41 Mpc`; its redshift where it has no host."""
    found = (candidate.get("vetting") or {}).get("host") or {}
    parts = [str(found["name"])] if found.get("name") else []
    if found.get("separation_arcsec") is not None:
        parts.append(f"{found['separation_arcsec']:.0f}″ away")
    if found.get("distance_mpc") is not None:
        parts.append(f"{distance(found['distance_mpc'], found.get('distance_error_mpc'))} Mpc")
    if candidate.get("redshift") is not None:
        parts.append(f"z = {figure(candidate['redshift'])}")
    return ", ".join(parts)
