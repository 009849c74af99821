"""What a notice lets one expect: whether there may be a kilonova, with which probability, and from which masses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: A probability below this is a notice's way to say no.
NEGLIGIBLE = 0.001
#: Below this HasRemnant the forecast is introduced by the words that no kilonova is expected.
UNLIKELY = 0.01


@dataclass(frozen=True)
class ChirpMasses:
    """A notice's histogram of the source's chirp mass (`mchirp_source`)."""

    bin_edges: tuple[float, ...]
    """Solar masses, K + 1 values."""
    probabilities: tuple[float, ...]
    """K values."""


@dataclass(frozen=True)
class Outlook:
    """What is expected of a version."""

    applies: bool
    """Whether a forecast can be made."""
    words: str
    """One or two sentences: what is expected, or why there is no forecast."""
    has_remnant: float | None = None
    """Probability that matter stays outside, as the notice gives it."""
    p_kilonova: float | None = None
    """(1 - P(terrestrial)) × HasRemnant; None where the notice lacks either."""
    classes: Mapping[str, float] = field(default_factory=dict)
    """Odds of BNS and NSBH, summing to one; empty where the notice gives none."""


def outlook(classification: Mapping[str, float], properties: Mapping[str, float]) -> Outlook:
    """Judge a notice by the probabilities of its classes (p_astro) and properties (HasNS, HasRemnant)."""
    stars, remnant = properties.get("HasNS"), properties.get("HasRemnant")
    with_star = {name: classification[name] for name in ("BNS", "NSBH") if classification.get(name)}
    total = sum(with_star.values())
    classes = {name: value / total for name, value in with_star.items()} if total >= NEGLIGIBLE else {}
    if stars is not None and stars < NEGLIGIBLE:
        return Outlook(False, f"No forecast: no neutron star is expected (HasNS {_percent(stars)}).", remnant)
    if stars is None and "BBH" in classification and not classes:
        return Outlook(False, "No forecast: by its classes this is no merger with a neutron star.", remnant)
    if remnant is None:
        return Outlook(
            True,
            "The notice gives no HasRemnant, so the probability of a kilonova is not stated. The forecast holds if matter "
            "is ejected.",
            None,
            None,
            classes,
        )
    noise = classification.get("Terrestrial")
    expected = None if noise is None else (1 - noise) * remnant
    said = "No kilonova is expected" if remnant < UNLIKELY else "A kilonova is possible"
    return Outlook(
        True,
        f"{said} (HasRemnant {_percent(remnant)}). The forecast holds if matter is ejected.",
        remnant,
        expected,
        classes,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
