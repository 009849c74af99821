"""The part `neutrinos` of a v2 derived alert: a summary of a neutrino search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class NeutrinoTrack:
    """One coincident neutrino, and its comparison with the map; None for missing values."""

    ra: float | None = None
    """Best fit, right ascension, deg."""
    dec: float | None = None
    """Best fit, declination, deg."""
    radius: float | None = None
    """Radius of the error circle, deg."""
    containment: float | None = None
    """Probability that the circle holds the source direction, 0 to 1."""
    time_offset: float | None = None
    """Neutrino minus event, s."""
    pval_generic: float | None = None
    """IceCube's p-value of the generic search, 0 to 1, not corrected for trials."""
    pval_bayesian: float | None = None
    """IceCube's p-value of the Bayesian search, 0 to 1, not corrected for trials."""
    probability_inside: float | None = None
    """Probability of the map inside the circle, 0 to 1."""
    credible_level: float | None = None
    """Credible level of the map at the best fit, 0 to 1."""
    overlap: float | None = None
    """4π ∫ p_GW p_ν dΩ, dimensionless."""
    p_spacetime: float | None = None
    """Chance of one background track to agree as well in place and time, 0 to 1, not corrected for trials."""
    p_trials: float | None = None
    """The same for the tracks of this notice, 0 to 1."""


@dataclass(frozen=True, slots=True)
class NeutrinoSearch:
    """One search of an observatory for neutrinos from an event."""

    observatory: str
    reference: str
    """The alert whose map was searched, as named by the observatory."""
    count: int
    """Neutrinos in coincidence; zero is an upper limit."""
    pval_generic: float | None = None
    """P-value of the generic search, 0 to 1, not corrected for trials."""
    pval_bayesian: float | None = None
    """P-value of the Bayesian search, 0 to 1, not corrected for trials."""
    map_version: str | None = None
    """Partition key of the version whose map the tracks were compared with; None if there was none."""
    tracks: tuple[NeutrinoTrack, ...] = ()

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> NeutrinoSearch:
        """Build it from decoded JSON, unknown keys ignored; raises TypeError if something required is missing."""
        tracks = tuple(NeutrinoTrack(**_known(NeutrinoTrack, track)) for track in record.get("tracks", ()))
        return cls(**(_known(cls, record) | {"tracks": tracks}))


def _known(kind: type[Any], record: Mapping[str, Any]) -> dict[str, Any]:
    names = {f.name for f in fields(kind)}
    return {k: v for k, v in record.items() if k in names}
