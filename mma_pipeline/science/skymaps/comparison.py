"""What changed from one version of an event to the next: regions, peak, distance, classes, galaxies.

Differences are those of the later version from the earlier one. Not here: which version is the earlier one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mma_pipeline.science.galaxies.ranking import GalaxyList
from mma_pipeline.science.regions.coverage import credible_coverage, overlap_area, probability_within
from mma_pipeline.science.skymaps.credible import credible_areas
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.skymaps.statistics import distance_moments, peak
from mma_pipeline.science.sphere import separation

#: Positions of one galaxy in one catalog are equal; so many decimals of a degree (4 milliarcseconds) tell galaxies apart.
_DECIMALS = 6


@dataclass(frozen=True)
class MapDifference:
    """Two maps beside each other. Areas in deg², angles in degrees, distances in Mpc; None without distance layers."""

    area_50: tuple[float, float]
    """Areas of the 50 % regions: earlier, later."""
    area_90: tuple[float, float]
    """Areas of the 90 % regions: earlier, later."""
    overlap_90: float
    """Area that the two 90 % regions share, as IVOA MOCs of whole rows."""
    overlap_90_earlier: float
    """Share of the earlier 90 % region that lies inside the later one, 0 to 1."""
    overlap_90_later: float
    """Share of the later 90 % region that lies inside the earlier one, 0 to 1."""
    probability_in_earlier_90: float
    """Probability of the later map inside the earlier 90 % region: what a search of that region still covers."""
    peak_shift: float
    """Angle between the centres of the densest pixels."""
    distance: tuple[tuple[float, float] | None, tuple[float, float] | None]
    """Mean and standard deviation: earlier, later."""

    @property
    def distance_shift(self) -> float | None:
        """Later mean distance less the earlier one, Mpc; None if one of them has none."""
        earlier, later = self.distance
        return None if earlier is None or later is None else later[0] - earlier[0]


def compare_maps(earlier: SkyMap, later: SkyMap) -> MapDifference:
    """Difference of two maps, from their own rows; nothing is rasterised."""
    old, new = credible_coverage(earlier, 0.9).moc(), credible_coverage(later, 0.9).moc()
    shared = overlap_area(old, new)
    (old_50, old_90), (new_50, new_90) = credible_areas(earlier, (0.5, 0.9)), credible_areas(later, (0.5, 0.9))
    return MapDifference(
        area_50=(old_50, new_50),
        area_90=(old_90, new_90),
        overlap_90=shared,
        overlap_90_earlier=min(shared / overlap_area(old, old), 1.0),
        overlap_90_later=min(shared / overlap_area(new, new), 1.0),
        probability_in_earlier_90=probability_within(later, old),
        peak_shift=float(separation(*peak(earlier), *peak(later))),
        distance=(distance_moments(earlier), distance_moments(later)),
    )


def compare_shares(
    earlier: Mapping[str, float], later: Mapping[str, float]
) -> dict[str, tuple[float | None, float | None]]:
    """Probabilities by class, earlier and later, of every class where they differ; None if a notice names it not."""
    pairs = {name: (earlier.get(name), later.get(name)) for name in sorted({*earlier, *later})}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@dataclass(frozen=True)
class GalaxyChange:
    """One galaxy that came into the list or went out of it."""

    name: str
    rank: int
    """Rank in the list that has it."""
    score: float
    """Its score there."""


@dataclass(frozen=True)
class GalaxyChanges:
    """The heads of two lists of galaxies beside each other; both at most as long as asked for."""

    came: tuple[GalaxyChange, ...]
    """In the later list only, best first."""
    went: tuple[GalaxyChange, ...]
    """In the earlier list only, best first."""
    stayed: int
    """How many are in both."""
    score_kept: float
    """Sum of the later scores of those that are in both."""


def compare_galaxies(earlier: GalaxyList, later: GalaxyList, limit: int) -> GalaxyChanges:
    """Which galaxies of the best `limit` came and which went; a galaxy is told by its name and position."""
    old, new = _identities(earlier, limit), _identities(later, limit)
    kept = [place for identity, place in new.items() if identity in old]
    return GalaxyChanges(
        came=tuple(_change(later, place) for identity, place in new.items() if identity not in old),
        went=tuple(_change(earlier, place) for identity, place in old.items() if identity not in new),
        stayed=len(kept),
        score_kept=float(np.sum(later.score[kept])) if kept else 0.0,
    )


def _identities(found: GalaxyList, limit: int) -> dict[tuple[str, float, float], int]:
    ra, dec = np.round(found.ra[:limit], _DECIMALS).tolist(), np.round(found.dec[:limit], _DECIMALS).tolist()
    return {identity: place for place, identity in enumerate(zip(found.name[:limit], ra, dec, strict=True))}


def _change(found: GalaxyList, place: int) -> GalaxyChange:
    return GalaxyChange(found.name[place].strip(), int(found.rank[place]), float(found.score[place]))
