"""What a notice of IceCube's search and the comparison of its tracks with the map say, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mma_pipeline.notices.words import chance, figure, seconds, share

#: What lies beyond this credible level is outside of the map.
_EVERYWHERE = 0.999


def neutrino_words(facts: Mapping[str, Any], statistics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A notice in sentences, from the facts of its version and the statistics of its products by asset."""
    found = statistics.get("neutrino_coincidence", {})
    tracks = found.get("tracks") or ()
    return [*_search(facts, statistics.get("neutrino_notice", {})), *_tracks(tracks, found)]


def best_track(statistics: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The track that lies best in time and place; the first where none was compared, None without tracks."""
    found = statistics.get("neutrino_coincidence", {})
    tracks = found.get("tracks") or (None,)
    return tracks[(found.get("best_track") or 1) - 1]


def beside_event(offset_s: float) -> str:
    """A track's time minus that of the event: `13 s after the event`."""
    return f"{seconds(offset_s)} {'after' if offset_s >= 0 else 'before'} the event"


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
            parts.append(beside_event(track["time_offset_s"]))
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
