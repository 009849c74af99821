"""What a derived alert says of a candidate beside its light curve (from 2.1): where it may be, and what vetting found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mma_pipeline.notices.words import figure, probability

#: A probability from here on says yes.
_YES = 0.5
#: A factor that far from one is a reason why a posterior differs from the light curve's probability.
_TELLING = 0.5


@dataclass(frozen=True, slots=True)
class HostSummary:
    """The galaxy that counts as the candidate's host."""

    name: str
    catalog: str
    separation: float
    """Separation from the galaxy's centre, arcsec."""
    chance: float
    """Probability that an unrelated galaxy as bright lies as near (Bloom et al. 2002), 0 to 1."""
    offset: float | None = None
    """Separation in projection, kpc."""
    distance: float | None = None
    """Luminosity distance by the catalog, Mpc."""


@dataclass(frozen=True, slots=True)
class AssumedDistance:
    """The luminosity distance that p_phot assumes."""

    mean: float
    """Mpc."""
    source: str
    """`redshift` (the candidate's or its host's, as the photometry states it), `host` (by a catalog) or `event` (the map's)."""
    std: float | None = None
    """Standard deviation, Mpc."""


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """What one check found."""

    check: str
    """`host`, `star`, `agn`, `minor_planet` or `earlier`."""
    outcome: str
    """`found`, `doubtful`, `nothing` or `unknown`."""
    words: str
    factor: float
    """Factor of the odds; a host's is in the sky factor."""
    counted: bool
    """Whether the factor counts in `vetted_probability`."""


def host_of(vetting: Mapping[str, Any]) -> HostSummary | None:
    """The host of an archived vetting; None where none counts."""
    host = vetting.get("host")
    if host is None or host.get("chance") is None:
        return None
    return HostSummary(
        host["name"], host["catalog"], host["separation_arcsec"], host["chance"], host.get("offset_kpc"),
        host.get("distance_mpc"),
    )  # fmt: skip


def verdicts_of(vetting: Mapping[str, Any]) -> tuple[CheckVerdict, ...]:
    """The verdicts of an archived vetting."""
    names = [f.name for f in fields(CheckVerdict)]
    return tuple(CheckVerdict(**{name: one[name] for name in names}) for one in vetting.get("verdicts", ()))


def contradiction(score: Mapping[str, Any]) -> str | None:
    """Why what is known in the end contradicts the light curve, in words; None where it does not.

    They contradict each other if one of them says yes and the other no: p_phot, and the posterior after vetting.
    """
    alone, after = score["p_phot"], score.get("posterior")
    final = score.get("vetted_probability", after)
    if final is None or (alone >= _YES) == (final >= _YES):
        return None
    what = [f"p_phot is {probability(alone)}"]
    what += [] if after is None else [f"the posterior {probability(after)}"]
    what += [f"after vetting {probability(final)}"] if after is None or abs(final - after) > 1e-3 * after else []
    return f"the light curve is contradicted: {', '.join(what)} ({'; '.join(_reasons(score, final >= _YES))})"


def _reasons(score: Mapping[str, Any], yes: bool) -> list[str]:
    """What moved the probability, up where `yes`, else down."""
    found = []
    sky, prior = score.get("sky_factor"), score.get("prior")
    if sky is not None and (sky > 1 / _TELLING if yes else sky < _TELLING):
        by = "position and distance" if score.get("sky_factor_dimensions") == 3 else "position"
        found.append(f"sky factor {figure(float(sky))} by {by}")
    if prior is not None and (prior > _YES) == yes:
        found.append(f"prior {probability(prior)}")
    for one in score.get("vetting", {}).get("verdicts", ()):
        if not yes and one["counted"] and one["check"] != "host" and one["factor"] < 1:
            found.append(one["words"])
    return found or ["by all factors together"]
