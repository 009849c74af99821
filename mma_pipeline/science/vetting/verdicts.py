"""What vetting says of one candidate: a verdict of each check, in words and numbers, and its factor in the ranking.

A factor multiplies the odds of a candidate, and is 1 where nothing was found or nothing could be looked at. Nothing is dropped:
a verdict lowers a candidate in the list, and whoever disagrees divides by the factor. Where a catalog tells how often a
match is chance, the factor is that probability (a kilonova has such a neighbour only by chance, what the catalog lists
always), no lower than a floor, because catalogs err. The other factors are choices, named here once.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mma_pipeline.notices.photometry.brightness import is_weak
from mma_pipeline.notices.photometry.measurement import Measurement
from mma_pipeline.notices.surveys import PacketFacts
from mma_pipeline.science.kilonova.measured import EARLIER_SNR, earlier_detections
from mma_pipeline.science.vetting.checks import Check, Outcome
from mma_pipeline.science.vetting.hosts import SEARCH_DEG, Host
from mma_pipeline.science.vetting.matches import NucleusMatch, StarMatch

#: Lowest factor of any check.
FLOOR = 1e-3
#: A point source of a star catalog without a significant motion: a far star, or the core of a galaxy.
STILL_SOURCE = 0.5
#: A packet's star score, or its word of a variable star: machine-made, and no motion behind it.
PACKET_STAR = 0.1
#: An active nucleus by the packet's word, and the lowest factor of one from a table: kilonovae do occur in such galaxies.
NUCLEUS_FLOOR = 0.01
#: A single detection before the event: an artefact as often as not.
SINGLE_EARLIER = 0.5
#: Significance from which a motion or a parallax makes a source a star. Quasars of Gaia's stay below (Lindegren et al. 2021).
SIGNIFICANT = 5.0
#: Days before the event that still belong to it: times of exposures and of events are not exact.
_MARGIN_DAYS = 0.01
#: Catalogs of packets that list variable stars, and those of active nuclei; SIMBAD's types of the latter.
_VARIABLE_STARS = frozenset({"VSX type", "GCVS type"})
_NUCLEI = frozenset({"3HSP", "4LAC"})
_SIMBAD_NUCLEI = frozenset({"QSO", "AGN", "Seyfert", "Seyfert_1", "Seyfert_2", "BLLac", "Blazar", "Sy1", "Sy2"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check says of a candidate."""

    check: Check
    outcome: Outcome
    words: str
    factor: float = 1.0
    """Factor of the odds, 0 to 1; a host's works through the sky factor and stands there."""
    numbers: Mapping[str, float | int | str] = field(default_factory=dict)
    counted: bool = True
    """Whether the factor counts in the ranking."""

    def as_values(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "check": str(self.check),
            "outcome": str(self.outcome),
            "words": self.words,
            "factor": self.factor,
            "counted": self.counted,
            "numbers": dict(self.numbers),
        }


@dataclass(frozen=True, slots=True)
class Limits:
    """When a match counts."""

    match_arcsec: float = 1.5
    """Largest separation of a star or a nucleus, arcsec, unless the candidate's position is worse (3 sigma)."""
    host_chance: float = 0.1
    """Largest probability of a chance coincidence at which a galaxy counts as host (Bloom et al. 2002)."""
    solar_system_arcsec: float = 5.0
    """Largest separation of a known object of the solar system from its predicted place, arcsec."""
    star_score: float = 0.76
    """Score above which the nearest source of the packet's catalog is a star, 0 to 1."""
    look_back_days: float = 100.0
    """Days before the event in which detections count."""
    off: Collection[str] = ()
    """Checks that are told but do not count."""


@dataclass(frozen=True, slots=True)
class Vetting:
    """The verdicts on one candidate."""

    verdicts: tuple[Verdict, ...]
    """One of each check, in the order of `Check`."""
    host: Host | None
    """The likeliest host, whether it counts as one or not."""
    is_host: bool
    """Whether it does, and its distance is known and wanted."""

    @property
    def factor(self) -> float:
        """Product of the factors that count; a host's stands in the sky factor."""
        return math.prod(v.factor for v in self.verdicts if v.counted and v.check is not Check.HOST)

    @property
    def against(self) -> tuple[Verdict, ...]:
        """Verdicts that speak against the candidate."""
        return tuple(v for v in self.verdicts if v.factor < 1.0)

    def as_values(self) -> dict[str, Any]:
        """JSON values: `factor`, `verdicts`, and `host` with its numbers where a galaxy counts as one."""
        found: dict[str, Any] = {"factor": self.factor, "verdicts": [v.as_values() for v in self.verdicts]}
        if self.host is not None and self.is_host:
            found["host"] = host_numbers(self.host)
        return found


def host_numbers(host: Host) -> dict[str, float | int | str]:
    """What is known of a host, without what is not; units (deg, arcsec, kpc, Mpc, mag) are in the names or in `Host`."""
    values = {name: getattr(host, name) for name in Host.__dataclass_fields__}
    return {name: value for name, value in values.items() if value is not None}


def host_verdict(host: Host | None, catalog: str | None, limits: Limits, problem: str | None = None) -> Verdict:
    """Whether the likeliest host counts as one; `problem` says why there is no catalog."""
    if catalog is None:
        return Verdict(Check.HOST, Outcome.UNKNOWN, problem or "no galaxy catalog was imported")
    if host is None:
        return Verdict(Check.HOST, Outcome.NOTHING, f"no galaxy of {catalog} within {SEARCH_DEG * 60:.0f} arcmin")
    where = f"{host.name} ({host.catalog}) at {host.separation_arcsec:.1f} arcsec"
    if host.offset_kpc is not None:
        where += f", {host.offset_kpc:.1f} kpc in projection"
    if host.distance_mpc is not None:
        where += f", {host.distance_mpc:.4g} Mpc away"
    numbers = host_numbers(host)
    if host.chance is None:
        words = f"the nearest galaxy is {where}; the catalog gives nothing from which a chance coincidence follows"
        return Verdict(Check.HOST, Outcome.DOUBTFUL, words, numbers=numbers)
    bright = f"magnitude {host.magnitude:.1f} ({_basis(host.magnitude_from)})"
    size = (
        "no half-light radius"
        if host.half_light_arcsec is None
        else f"half-light radius {host.half_light_arcsec:.1f} arcsec ({_basis(host.half_light_from)})"
    )
    chance = f"chance coincidence {_percent(host.chance)} ({bright}, {size})"
    if host.chance > limits.host_chance:
        words = f"no host: the likeliest is {where}, {chance}, more than {_percent(limits.host_chance)}"
        return Verdict(Check.HOST, Outcome.DOUBTFUL, words, numbers=numbers)
    return Verdict(Check.HOST, Outcome.FOUND, f"host {where}, {chance}", numbers=numbers)


def star_verdict(
    match: StarMatch | None,
    table: str | None,
    facts: PacketFacts | None,
    limits: Limits,
    problem: str | None = None,
) -> Verdict:
    """Whether a star is at the candidate's place: by the table, or by the packet's word."""
    found: list[Verdict] = []
    if match is not None:
        found.append(_star_of_table(match))
    if facts is not None:
        found += _stars_of_packet(facts, limits)
    if found:
        # The same star seen twice is one reason: the strongest counts.
        worst = min(found, key=lambda verdict: verdict.factor)
        return Verdict(
            Check.STAR,
            worst.outcome,
            "; ".join(v.words for v in found),
            worst.factor,
            {k: n for v in found for k, n in v.numbers.items()},
        )
    score = None if facts is None else facts.star_score
    if table is None and score is None:
        words = f"{problem or 'no star table was imported'}, and no packet says"
        return Verdict(Check.STAR, Outcome.UNKNOWN, words)
    looked = [problem or "no star table was imported"] if table is None else [f"no star of {table} at its place"]
    looked += [] if score is None else [f"the packet's star score is {score:.2f}"]
    return Verdict(
        Check.STAR, Outcome.NOTHING, "; ".join(looked), numbers={} if score is None else {"star_score": score}
    )


def _star_of_table(match: StarMatch) -> Verdict:
    numbers = {
        name: value
        for name in StarMatch.__dataclass_fields__
        if (value := getattr(match, name)) is not None and name != "catalog"
    }
    moving = (match.motion_significance or 0.0) >= SIGNIFICANT
    far = (match.parallax_significance or 0.0) >= SIGNIFICANT
    where = f"{match.name} ({match.catalog}) at {match.separation_arcsec:.2f} arcsec"
    if not (moving or far):
        words = f"a point source, {where}, without a significant motion: a star, or the core of a galaxy"
        return Verdict(Check.STAR, Outcome.DOUBTFUL, words, STILL_SOURCE, numbers)
    why = [f"its proper motion is {match.motion_significance:.0f} times its error"] if moving else []
    why += [f"its parallax is {match.parallax_significance:.0f} times its error"] if far else []
    words = f"the star {where}: {' and '.join(why)}; by chance one is there with {_percent(match.chance)}"
    return Verdict(Check.STAR, Outcome.FOUND, words, max(match.chance, FLOOR), numbers)


def _stars_of_packet(facts: PacketFacts, limits: Limits) -> list[Verdict]:
    found = []
    apart = facts.star_distance_arcsec
    near = apart is None or apart <= limits.match_arcsec
    if facts.star_score is not None and facts.star_score > limits.star_score and near:
        at = "" if apart is None else f" at {apart:.1f} arcsec"
        words = f"the packet's nearest catalog source{at} has the star score {facts.star_score:.2f}"
        numbers: dict[str, float | int | str] = {"star_score": facts.star_score}
        found.append(Verdict(Check.STAR, Outcome.FOUND, words, PACKET_STAR, numbers))
    parallax, error = (facts.details.get(name) for name in ("Plx", "e_Plx"))
    if isinstance(parallax, float) and isinstance(error, float) and error > 0 and parallax / error >= SIGNIFICANT:
        words = f"the packet's Gaia source has a parallax of {parallax:.2f} ± {error:.2f} mas"
        found.append(Verdict(Check.STAR, Outcome.FOUND, words, PACKET_STAR, {"packet_parallax_mas": parallax}))
    for match in facts.matches:
        if match.catalog in _VARIABLE_STARS and match.name:
            words = f"the packet names a variable star here ({match.catalog} {match.name})"
            found.append(Verdict(Check.STAR, Outcome.FOUND, words, PACKET_STAR, {"packet_variable": match.name}))
    return found


def agn_verdict(
    match: NucleusMatch | None, table: str | None, facts: PacketFacts | None, problem: str | None = None
) -> Verdict:
    """Whether an active nucleus is at the candidate's place: by the table, or by the packet's word."""
    if match is not None:
        numbers = {
            name: value
            for name in NucleusMatch.__dataclass_fields__
            if (value := getattr(match, name)) not in (None, "") and name != "catalog"
        }
        kind = f" of type {match.type}" if match.type else ""
        far = "" if match.redshift is None else f", redshift {match.redshift:.3f}"
        words = (
            f"the active nucleus {match.name} ({match.catalog}){kind} at {match.separation_arcsec:.2f} arcsec{far}; "
            f"by chance one is there with {_percent(match.chance)}"
        )
        return Verdict(Check.AGN, Outcome.FOUND, words, max(match.chance, NUCLEUS_FLOOR), numbers)
    for named in () if facts is None else facts.matches:
        simbad = named.catalog == "SIMBAD type" and (named.name or "").split("_Candidate")[0] in _SIMBAD_NUCLEI
        if (named.catalog in _NUCLEI or simbad) and named.name:
            words = f"the packet names an active nucleus here ({named.catalog} {named.name})"
            return Verdict(Check.AGN, Outcome.FOUND, words, NUCLEUS_FLOOR, {"packet_nucleus": named.name})
    if table is None:
        return Verdict(Check.AGN, Outcome.UNKNOWN, problem or "no table of active nuclei was imported")
    return Verdict(Check.AGN, Outcome.NOTHING, f"no active nucleus of {table} at its place")


def minor_planet_verdict(facts: PacketFacts | None, limits: Limits) -> Verdict:
    """Whether the packet names a known object of the solar system at the candidate's place."""
    if facts is None:
        return Verdict(Check.MINOR_PLANET, Outcome.UNKNOWN, "no packet that would name a minor planet")
    match = facts.solar_system
    if match is None:
        return Verdict(Check.MINOR_PLANET, Outcome.NOTHING, "the packet names no minor planet")
    name = match.name or "a known object of the solar system"
    if match.distance_arcsec is None:
        return Verdict(Check.MINOR_PLANET, Outcome.FOUND, f"the packet links it with {name}", FLOOR)
    numbers: dict[str, float | int | str] = {"separation_arcsec": match.distance_arcsec}
    words = f"the packet has {name} at {match.distance_arcsec:.1f} arcsec"
    if match.distance_arcsec <= limits.solar_system_arcsec:
        return Verdict(Check.MINOR_PLANET, Outcome.FOUND, words, FLOOR, numbers)
    return Verdict(Check.MINOR_PLANET, Outcome.NOTHING, f"{words}, too far to be it", numbers=numbers)


def earlier_verdict(
    measured: Sequence[Measurement], facts: PacketFacts | None, event_mjd: float, limits: Limits
) -> Verdict:
    """Whether the candidate was there before the event (MJD, days): by its measurements, or by the packet's word."""
    days = limits.look_back_days
    before = [m for m in measured if _MARGIN_DAYS < event_mjd - m.mjd <= days]
    several = earlier_detections(before, event_mjd, days)
    numbers: dict[str, float | int | str] = {"measurements": len(before)}
    if several:
        words = f"detected {len(several)} times in the {days:g} days before the event: {_points(several)}"
        return Verdict(Check.EARLIER, Outcome.FOUND, words, FLOOR, numbers | {"detections": len(several)})
    first = None if facts is None else facts.first_mjd
    if first is not None and _MARGIN_DAYS < event_mjd - first <= days:
        words = f"the packet's first detection is {event_mjd - first:.1f} days before the event"
        return Verdict(Check.EARLIER, Outcome.FOUND, words, NUCLEUS_FLOOR, numbers | {"first_mjd": first})
    strong = [m for m in before if m.detected and not is_weak(m.error, EARLIER_SNR)]
    if strong:
        words = f"detected once in the {days:g} days before the event: {_points(strong)}"
        return Verdict(Check.EARLIER, Outcome.DOUBTFUL, words, SINGLE_EARLIER, numbers | {"detections": 1})
    if not before:
        return Verdict(Check.EARLIER, Outcome.UNKNOWN, f"not measured in the {days:g} days before the event")
    limit = max((m.magnitude for m in before if m.upper_limit), default=None)
    deepest = "" if limit is None else f", the deepest limit {limit:.1f} mag"
    words = f"not detected in {len(before)} measurements of the {days:g} days before the event{deepest}"
    return Verdict(Check.EARLIER, Outcome.NOTHING, words, numbers=numbers)


def _points(measured: Sequence[Measurement], most: int = 3) -> str:
    shown = ", ".join(f"MJD {m.mjd:.2f} {m.band} {m.magnitude:.2f}" for m in measured[:most])
    return shown if len(measured) <= most else f"{shown} and {len(measured) - most} more"


def _basis(source: str | None) -> str:
    if source == "catalog":
        return "as the catalog has it"
    return "from its luminosity" if source == "luminosity" else "from its stellar mass"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
