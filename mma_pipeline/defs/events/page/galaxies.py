"""The lists of galaxies on an event's page: of which map each is, and whether one can choose by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mma_pipeline.defs.events.page.state import EventState
from mma_pipeline.products.regions import Region, of_map

#: A list whose best rows, as many as the page has, hold less of it than this is no help to choose targets.
OF_USE = 0.1


@dataclass(frozen=True, slots=True)
class GalaxyList:
    """The best galaxies of one map."""

    of: str
    """The map, for people."""
    statistics: Mapping[str, Any]
    """Of the product `galaxies`."""
    rows: Sequence[Mapping[str, Any]]
    """As in `galaxies.json`, best first."""

    @property
    def share(self) -> float:
        """Share of the whole list that the rows hold, 0 to 1."""
        return float(sum(row["score"] for row in self.rows))

    @property
    def of_use(self) -> bool:
        """Whether one can choose targets by it; a list without rows misleads nobody."""
        return not self.rows or self.share >= OF_USE


def galaxy_lists(
    state: EventState,
    regions: Sequence[Region],
    own: Sequence[Mapping[str, Any]],
    combined: Sequence[Mapping[str, Any]],
) -> tuple[GalaxyList, ...]:
    """The list of the combined map by LIGO/Virgo/KAGRA, where it holds and has one, and that of the own map behind it.

    Args:
        state: the event.
        regions: what `products.regions` has of it.
        own: rows of the newest own list.
        combined: rows of the list of `state.combined`.
    """
    found = []
    theirs = state.combined
    if theirs is not None and combined:
        found.append(GalaxyList(_of(theirs, regions), theirs["statistics"].get("galaxies", {}), combined))
    ours = next((v for v in state.versions if v["own"] and v["statistics"].get("galaxies")), None)
    if ours is not None:
        found.append(GalaxyList(_of(ours, regions), ours["statistics"]["galaxies"], own))
    return tuple(found)


def _of(version: Mapping[str, Any], regions: Sequence[Region]) -> str:
    same = (r for r in regions if r.created == version["created"] and r.combined == version["external"])
    region = next(same, None)
    return version["label"] if region is None else of_map(region)
