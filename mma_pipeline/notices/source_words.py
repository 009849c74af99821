"""What a notice says of the source, as people read it: classes, properties, chirp mass, and what a burst lacks.

Every figure is the notice's own. Meanings follow the LVK public alerts user guide (Data Products, "Inference"): the
properties hold if the source is astrophysical, and mass is source-frame. Not here: parsing (`lvk`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mma_pipeline.notices.gcn.words import trigger_words
from mma_pipeline.notices.words import figure, seconds

#: Properties that the user guide defines, in the order of the question that an observer asks.
PROPERTIES = {
    "HasNS": "contains a neutron star",
    "HasRemnant": "ejecta",
    "HasMassGap": "a component of 3 to 5 solar masses",
    "HasSSM": "a component below one solar mass",
}
#: Probability that the named range of chirp masses holds at least.
MASS_LEVEL = 0.9


def percent(value: float) -> str:
    """A probability for people: whole per cent, and never 0 or 100 % for what is not exactly that."""
    text = f"{value:.0%}".replace("%", " %")
    if text == "0 %" and value > 0:
        return "<1 %"
    return ">99 %" if text == "100 %" and value < 1 else text


def class_words(classification: Mapping[str, float]) -> str:
    """`NSBH 86 %, Terrestrial 10 %, BBH 4 %, BNS 0 %`: the most probable first; empty where no class is stated."""
    ordered = sorted(classification.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {percent(value)}" for name, value in ordered)


def property_words(properties: Mapping[str, float]) -> str:
    """`contains a neutron star 100 %, ejecta 0 %`: known properties in words, others by their own name."""
    names = [*(n for n in PROPERTIES if n in properties), *sorted(n for n in properties if n not in PROPERTIES)]
    return ", ".join(f"{PROPERTIES.get(name, name)} {percent(properties[name])}" for name in names)


def chirp_mass_words(histogram: Mapping[str, Any]) -> str:
    """`chirp mass 1.0-1.3 solar masses: 92 %`: the narrowest run of bins, in log mass, that holds 90 %.

    Args:
        histogram: `bin_edges_msun`, K + 1 edges in solar masses, and `probabilities`, K values.
    """
    edges, shares = histogram.get("bin_edges_msun") or (), histogram.get("probabilities") or ()
    found = narrowest(edges, shares, MASS_LEVEL)
    if found is None:
        return ""
    first, last, held = found
    return f"chirp mass {edges[first]:g}-{edges[last]:g} solar masses: {percent(held)}"


def narrowest(edges: Sequence[float], shares: Sequence[float], level: float) -> tuple[int, int, float] | None:
    """The run of bins, narrowest in log mass, that holds `level` of the histogram's total: edges' indices and probability.

    None where there is no bin, no probability, or an edge that is no mass.
    """
    total = math.fsum(shares)
    if len(edges) != len(shares) + 1 or total <= 0 or min(edges) <= 0:
        return None
    runs = [
        (math.log(edges[last] / edges[first]), first, last, held)
        for first in range(len(shares))
        for last in range(first + 1, len(edges))
        if (held := math.fsum(shares[first:last])) >= level * total - 1e-9
    ]
    _, first, last, held = min(runs, key=lambda run: (run[0], -run[3]))
    return first, last, min(held, 1.0)


def source_words(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """All of it, one line each, from the facts of a version as the archive keeps them; empty for a retraction."""
    if facts.get("messenger"):
        return trigger_words(facts)
    return tuple(line for line in _lines(facts) if line)


def no_source_words(facts: Mapping[str, Any]) -> str:
    """Why a notice says nothing of whether matter is left outside the remnant; empty where it states HasRemnant.

    Two searches never state it: those for bursts, which assume no kind of source, and the one for sub-solar masses.
    """
    if "HasRemnant" in (facts.get("properties") or {}):
        return ""
    if is_burst(facts):
        return "a burst search assumes no kind of source and states no HasRemnant"
    if is_sub_solar(facts):
        return "the sub-solar-mass search states no HasRemnant: what such a merger ejects is not known"
    return "the notice states no HasRemnant"


def is_burst(facts: Mapping[str, Any]) -> bool:
    """Whether the notice is of a search that assumes no kind of source."""
    return str(facts.get("group") or "").upper() == "BURST"


def is_sub_solar(facts: Mapping[str, Any]) -> bool:
    """Whether the notice is of the search for components below one solar mass."""
    return str(facts.get("search") or "").upper() == "SSM" or "HasSSM" in (facts.get("properties") or {})


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    classes, properties = facts.get("classification") or {}, facts.get("properties") or {}
    yield class_words(classes)
    yield property_words(properties)
    yield chirp_mass_words(facts.get("chirp_mass") or {})
    if is_burst(facts):
        yield _burst(facts)
    if "time" not in facts:
        return
    if not classes:
        kind = "a burst search" if is_burst(facts) else "the sub-solar-mass search" if is_sub_solar(facts) else ""
        yield f"no class is stated: {kind} states none" if kind else "no class is stated"
    if not properties or (is_sub_solar(facts) and "HasRemnant" not in properties):
        yield no_source_words(facts)


def _burst(facts: Mapping[str, Any]) -> str:
    duration, frequency = facts.get("duration_s"), facts.get("central_frequency_hz")
    words = ["burst"]
    if duration is not None:
        words.append(f"of {seconds(duration)}")
    if frequency is not None:
        words.append(f"at {figure(float(frequency))} Hz")
    return "" if len(words) == 1 else " ".join(words)
