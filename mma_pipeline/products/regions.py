"""The localisations of an event that hold now, the smallest first: the same on its page, in lists and in `mma status`.

The event's newest own map; LIGO/Virgo/KAGRA's combined map of an external coincidence, if it is not older; and our own
combined maps of claimed pairs. The combined ones hold only if both events are one source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mma_pipeline.adapters.archive.coincidences import PairState
from mma_pipeline.notices.words import area


@dataclass(frozen=True, slots=True)
class Region:
    """A localisation of the event that holds now."""

    label: str
    """What it is, for people."""
    created: str | None
    """Creation time of its notice, ISO 8601; None for our own combined map."""
    area_50: float | None
    """deg²"""
    area_90: float
    """deg²"""
    ra: float | None
    """Of the peak, deg."""
    dec: float | None
    distance: float | None
    """Mean, Mpc."""
    distance_std: float | None
    combined: bool
    """Whether it holds only if two events are one source."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A version with a map that was measured."""

    label: str
    created: str
    """ISO 8601, UTC."""
    statistics: Mapping[str, Any]
    """Of the product `skymap_statistics`."""
    observatory: str | None = None
    """Of an external coincidence: the other event's."""


def regions(
    event_id: str, own: Mapped | None, external: Iterable[Mapped], pairs: Iterable[Mapping[str, Any]]
) -> tuple[Region, ...]:
    """All of them, the smallest first.

    Args:
        event_id: the event.
        own: its newest own map.
        external: combined maps by LIGO/Virgo/KAGRA, the newest first.
        pairs: its pairs, with `gw_event`, `other_event`, `state` and the figures of the comparison.
    """
    return tuple(sorted(_regions(event_id, own, external, pairs), key=lambda region: region.area_90))


def of_map(region: Region) -> str:
    """Which map something is of, for people: `Update, own map (90 %: 28.3 deg², no distance)`."""
    return f"{region.label} (90 %: {area(region.area_90)} deg²{'' if region.distance is not None else ', no distance'})"


def smaller_than_own(found: Sequence[Region]) -> str:
    """That what goes by the own map is not of the smallest region, in a sentence; empty where it is."""
    if not found or not found[0].combined or not any(not region.combined for region in found):
        return ""
    return f"The smallest region is another: {of_map(found[0])}; it holds only if both are one source."


def _regions(
    event_id: str, own: Mapped | None, external: Iterable[Mapped], pairs: Iterable[Mapping[str, Any]]
) -> Iterator[Region]:
    if own is not None:
        yield _of(own, "own map", combined=False)
    since = "" if own is None else own.created
    newest = next((version for version in external if version.created >= since), None)
    if newest is not None:
        yield _of(newest, f"combined with {newest.observatory or 'another event'} by LVK", combined=True)
    for pair in pairs:
        area = pair.get("area_90_combined_deg2")
        if pair["state"] != PairState.CLAIMED or area is None or pair.get("peak_ra_combined_deg") is None:
            continue
        partner = pair["other_event"] if pair["gw_event"] == event_id else pair["gw_event"]
        yield Region(
            f"combined with {partner} by us",
            None,
            pair.get("area_50_combined_deg2"),
            area,
            pair["peak_ra_combined_deg"],
            pair["peak_dec_combined_deg"],
            pair.get("distance_mean_combined_mpc"),
            pair.get("distance_std_combined_mpc"),
            combined=True,
        )


def _of(version: Mapped, label: str, *, combined: bool) -> Region:
    s = version.statistics
    return Region(
        f"{version.label}, {label}",
        version.created,
        s.get("area_50_deg2"),
        s["area_90_deg2"],
        s.get("peak_ra_deg"),
        s.get("peak_dec_deg"),
        s.get("distance_mean_mpc"),
        s.get("distance_std_mpc"),
        combined,
    )
