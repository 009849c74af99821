"""What stands first on the page of an event: what, when, how sure, which detectors, coincidences, where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mma_pipeline.defs.events.page.sentences import bounded_rate, places_exclude, verdict
from mma_pipeline.defs.events.page.state import EventState
from mma_pipeline.notices.neutrino_words import beside_event, best_track
from mma_pipeline.notices.source_words import source_words
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.notices.words import chance, false_alarms_in_words, seconds
from mma_pipeline.products.regions import Mapped, Region, regions

_DETECTORS = {"H1": "Hanford", "L1": "Livingston", "V1": "Virgo", "K1": "KAGRA"}


@dataclass(frozen=True, slots=True)
class Coincidence:
    """Another event near this one, in words."""

    name: str
    event: str | None
    """Its id where it is an event of ours, for a link."""
    when: str
    rate: str
    verdict: str


@dataclass(frozen=True)
class Headline:
    """The first screen of the page; empty texts where nothing is known."""

    source: tuple[str, ...]
    time: str | None
    """ISO 8601."""
    mjd: float | None
    sure: tuple[str, ...]
    detectors: tuple[str, ...]
    coincidences: tuple[Coincidence, ...]
    regions: tuple[Region, ...]
    """The smallest first."""
    stated_by: Mapping[str, Any] | None
    """The version whose notice says it."""


def headline(state: EventState) -> Headline:
    """What the newest notice that states facts says, with the coincidences and regions of now."""
    stated = state.stated
    facts: Mapping[str, Any] = {} if stated is None else stated["facts"]
    moment = None if not facts.get("time") else datetime.fromisoformat(str(facts["time"]))
    return Headline(
        source=source_words(facts),
        time=None if moment is None else moment.isoformat(),
        mjd=None if moment is None else mjd_of_datetime(moment),
        sure=tuple(_sure(facts)),
        detectors=tuple(
            f"{name} ({_DETECTORS[name]})" if name in _DETECTORS else str(name)
            for name in facts.get("instruments") or ()
        ),
        coincidences=tuple(_coincidences(state)),
        regions=_regions(state),
        stated_by=stated,
    )


def _sure(facts: Mapping[str, Any]) -> Iterator[str]:
    significant = facts.get("significant")
    if significant is not None:
        yield "significant" if significant else "not significant"
    if rate := false_alarms_in_words(facts.get("far_hz")):
        yield rate
    if facts.get("search") or facts.get("pipeline"):
        yield " ".join(str(facts[name]) for name in ("group", "pipeline", "search") if facts.get(name))


def _coincidences(state: EventState) -> Iterator[Coincidence]:
    for pair in state.coincidences.get("pairs", ()):
        is_gw = pair["gw_event"] == state.event_id
        partner = pair["other_event"] if is_gw else pair["gw_event"]
        instruments = ", ".join(pair.get("instruments") or ()) if is_gw else ""
        yield Coincidence(
            name=instruments or partner,
            event=partner,
            when=_apart(pair["difference_s"] if is_gw else -pair["difference_s"]),
            rate="" if places_exclude(pair) else _joint(pair.get("far_hz")),
            verdict=verdict(pair),
        )
    theirs = next((e for v in state.versions if (e := v["facts"].get("external"))), None)
    if theirs:
        apart = theirs.get("time_difference_s")
        rate = theirs.get("time_sky_position_coincidence_far_hz") or theirs.get("time_coincidence_far_hz")
        yield Coincidence(
            name=" ".join(str(theirs[name]) for name in ("observatory", "search") if theirs.get(name))
            or "another event",
            event=None,
            when="" if apart is None else f"{seconds(apart)} apart",
            rate=_joint(rate),
            verdict="as LIGO/Virgo/KAGRA state",
        )
    for version in state.versions:
        if version["neutrino"]:
            yield _neutrinos(version)
            break


def _joint(far_hz: float | None) -> str:
    rate = bounded_rate(far_hz)
    return f"joint rate {rate}" if rate else ""


def _apart(difference_s: float) -> str:
    """This event's time minus the other's, in words."""
    if not difference_s:
        return "at the same time"
    return f"{seconds(difference_s)} {'before' if difference_s > 0 else 'after'} this event"


def _neutrinos(version: Mapping[str, Any]) -> Coincidence:
    count, p = version["facts"].get("neutrinos"), version["facts"].get("pval_generic")
    best = version["statistics"].get("neutrino_coincidence", {}).get("best_p_trials")
    words = {0: "no track in its search", 1: "1 track in its search"}.get(count, f"{count} tracks in its search")
    track = best_track(version["statistics"])
    if track is not None and track.get("time_offset_s") is not None:
        words += f", {'' if count == 1 else 'the best '}{beside_event(track['time_offset_s'])}"
    rate = f"so much by chance, as IceCube states: {chance(p)}" if p is not None else ""
    return Coincidence(
        name="IceCube",
        event=None,
        when=words,
        rate=rate,
        verdict=""
        if best is None
        else f"the best track so near in time and place by chance, as we compare: {chance(best)}",
    )


def _regions(state: EventState) -> tuple[Region, ...]:
    own = state.localisation
    external = [_mapped(v) for v in state.combined_maps]
    return regions(state.event_id, None if own is None else _mapped(own), external, state.coincidences.get("pairs", ()))


def _mapped(version: Mapping[str, Any]) -> Mapped:
    observatory = (version["facts"].get("external") or {}).get("observatory") if version["external"] else None
    return Mapped(version["label"], version["created"], version["statistics"]["skymap_statistics"], observatory)
