"""Which pairs of events are compared: the search windows, trigger rates and thresholds of each search, with their sources.

A search is a kind of gravitational-wave candidate with a kind of other event. A window is the interval of t_gw - t_other,
as RAVEN counts it. Only pairs with a published window are compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mma_pipeline.notices.times import DAY_S, YEAR_S
from mma_pipeline.science.coincidence.joint_far import RAVEN_YEAR_S, Method

_CONFIGURATION = "gwcelery 3.0.0, configuration of RAVEN (raven_coincidence_windows, raven_ext_rates)"
_THRESHOLDS = "gwcelery 3.0.0, configuration of RAVEN (raven_coincidence_windows, raven_targeted_far_thresholds)"
#: Rate to which alerts of gravitational waves are sent, Hz: two a day (LVK public alerts user guide, "Alert threshold").
FAR_GW_MAX = 2.0 / DAY_S
#: Rate of sure gravitational waves, Hz: one in three days (GCN Circular 38356 on S241125n).
RATE_GW_CONFIDENT = 1.0 / (3.0 * DAY_S)


class GwKind(StrEnum):
    """Kind of gravitational-wave candidate."""

    CBC = "CBC"
    """Compact binary coalescence; searches for binary black holes by burst pipelines count here."""
    BURST = "burst"


class OtherKind(StrEnum):
    """Kind of the other event."""

    GRB = "GRB"
    """A gamma-ray burst that triggered an instrument by itself."""
    GRB_SUBTHRESHOLD = "sub-threshold GRB"
    """One that an untargeted search on the ground found below the trigger's threshold."""
    GRB_TARGETED_FERMI = "targeted Fermi GRB"
    """One that Fermi's search around gravitational waves found."""
    GRB_TARGETED_SWIFT = "targeted Swift GRB"
    """One that Swift's search around gravitational waves (GUANO) found."""
    FRB = "FRB"
    NEUTRINO = "neutrino"
    """A high-energy neutrino."""
    SUPERNOVA = "supernova neutrinos"
    """A burst of low-energy neutrinos."""


@dataclass(frozen=True, slots=True)
class Search:
    """One search: a kind of gravitational wave with a kind of other event."""

    gw: GwKind
    other: OtherKind
    window: tuple[float, float]
    """Least and greatest t_gw - t_other, s."""
    source: str
    """Where window, rate and thresholds are published."""
    method: Method = Method.UNTARGETED
    per_year: float | None = None
    """Triggers of this kind a year (untargeted); None if no rate is published, and then there is no joint rate."""
    far_other_max: float | None = None
    """Threshold on the other event's false-alarm rate, Hz (targeted)."""

    @property
    def name(self) -> str:
        """Name for people, `CBC with GRB`."""
        return f"{self.gw} with {self.other}"

    @property
    def seconds(self) -> float:
        """Length of the window, s."""
        return self.window[1] - self.window[0]

    @property
    def rate(self) -> float | None:
        """Triggers of this kind, Hz."""
        return None if self.per_year is None else self.per_year / RAVEN_YEAR_S

    def holds(self, difference_s: float) -> bool:
        """Whether a difference t_gw - t_other lies in the window, its ends included."""
        return self.window[0] <= difference_s <= self.window[1]


def _untargeted(gw: GwKind, other: OtherKind, window: tuple[float, float], per_year: float | None) -> Search:
    return Search(gw, other, window, _CONFIGURATION, per_year=per_year)


def _targeted(gw: GwKind, other: OtherKind, window: tuple[float, float], far_max: float) -> Search:
    return Search(gw, other, window, _THRESHOLDS, Method.TARGETED, far_other_max=far_max)


#: The published searches. Supernova neutrinos have a window and no rate: RAVEN states no joint rate for them either.
SEARCHES: tuple[Search, ...] = (
    _untargeted(GwKind.CBC, OtherKind.GRB, (-5.0, 1.0), 325.0),
    _untargeted(GwKind.BURST, OtherKind.GRB, (-600.0, 60.0), 325.0),
    _untargeted(GwKind.CBC, OtherKind.GRB_SUBTHRESHOLD, (-11.0, 1.0), 390.0),
    _targeted(GwKind.CBC, OtherKind.GRB_TARGETED_FERMI, (-11.0, 1.0), 1e-4),
    _targeted(GwKind.CBC, OtherKind.GRB_TARGETED_SWIFT, (-20.0, 10.0), 1e-3),
    _untargeted(GwKind.CBC, OtherKind.FRB, (-10.0, 2.0), 485.0),
    _untargeted(GwKind.BURST, OtherKind.FRB, (-600.0, 120.0), 485.0),
    _untargeted(GwKind.CBC, OtherKind.NEUTRINO, (-10.0, 10.0), 15.0),
    _untargeted(GwKind.BURST, OtherKind.NEUTRINO, (-500.0, 500.0), 15.0),
    _untargeted(GwKind.CBC, OtherKind.SUPERNOVA, (-10.0, 10.0), None),
    _untargeted(GwKind.BURST, OtherKind.SUPERNOVA, (-10.0, 10.0), None),
)


@dataclass(frozen=True, slots=True)
class SearchRules:
    """By which searches and limits pairs are compared."""

    searches: tuple[Search, ...] = SEARCHES
    far_max: float = 1.0 / YEAR_S
    """Joint false-alarm rate up to which a pair is claimed, Hz."""
    far_gw_max: float = FAR_GW_MAX
    """Rate to which gravitational-wave alerts are sent, Hz."""
    rate_gw: float = RATE_GW_CONFIDENT
    """Rate of sure gravitational waves, Hz."""

    @property
    def identity(self) -> str:
        """All of it as text: comparisons are made again when it changes."""
        return repr(self)


def gw_kind(group: str | None, search: str | None) -> GwKind:
    """Kind of a candidate by the group and search of its notice."""
    return GwKind.CBC if (group or "").upper() == "CBC" or (search or "").upper() == "BBH" else GwKind.BURST


def search_of(searches: Iterable[Search], gw: GwKind, other: OtherKind) -> Search | None:
    """The search that compares two kinds; None if there is none."""
    return next((one for one in searches if one.gw is gw and one.other is other), None)


def searches_from(entries: Any) -> tuple[Search, ...]:
    """Searches from a list of JSON objects with the fields of `Search`; raises ValueError with the entry that is wrong."""
    found: list[Search] = []
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries], start=1):
        try:
            known = dict(entry)
            low, high = (float(value) for value in known.pop("window"))
            one = Search(
                GwKind(known.pop("gw")),
                OtherKind(known.pop("other")),
                (low, high),
                str(known.pop("source")),
                Method(known.pop("method", Method.UNTARGETED)),
                _rate(known.pop("per_year", None)),
                _rate(known.pop("far_other_max", None)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"search {number} is incomplete or wrong: {error}") from error
        if known:
            raise ValueError(f"search {number} has unknown fields: {', '.join(sorted(known))}")
        if not low < high:
            raise ValueError(f"search {number}: the window ends before it begins")
        if search_of(found, one.gw, one.other) is not None:
            raise ValueError(f"search {number}: {one.name} is there twice")
        found.append(one)
    return tuple(found)


def _rate(value: Any) -> float | None:
    if value is None:
        return None
    rate = float(value)
    if not 0.0 < rate < float("inf"):
        raise ValueError(f"{value!r} is not a positive number")
    return rate
