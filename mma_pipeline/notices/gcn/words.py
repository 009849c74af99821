"""What a notice of another observatory says of the source, as people read it, from its summary in the archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mma_pipeline.notices.text import plain_number
from mma_pipeline.notices.words import share

#: Numbers of a notice in the order in which an observer asks: name, words before the number, unit.
_NUMBERS = (
    ("rate_snr", "signal to noise", ""),
    ("image_snr", "signal to noise in the image", ""),
    ("snr", "signal to noise", ""),
    ("t90_s", "T90", " s"),
    ("rate_duration_s", "over", " s"),
    ("net_count_rate_per_s", "net rate", " per s"),
    ("dispersion_measure_pc_cm3", "dispersion measure", " pc/cm³"),
    ("neutrino_energy_tev", "energy", " TeV"),
    ("neutrinos", "neutrinos:", ""),
    ("luminosity_distance_mpc", "distance", " Mpc"),
)

#: What a trigger is: by its stream, else by what arrived.
_KINDS = {
    "icecube_tracks": "neutrino track",
    "superk_sn": "supernova neutrinos",
    "chime_frb": "fast radio burst",
    "dsa110_frb": "fast radio burst",
    "maxi_gsc_known": "outburst of a known X-ray source",
    "X-rays": "X-ray transient",
    "neutrinos": "neutrino",
    "radio": "radio transient",
}


def trigger_kind(facts: Mapping[str, Any]) -> str:
    """`gamma-ray burst`, `X-ray transient`, `neutrino track`: what a trigger is, from the facts of a version.

    One of gamma rays is a burst where its notice holds that for most probable, else only a `gamma-ray trigger`. Empty
    without a messenger, as of a gravitational wave.
    """
    messenger = str(facts.get("messenger") or "")
    if messenger == "gamma rays":
        classes = facts.get("classification") or {}
        likeliest = max(classes, key=lambda name: (classes[name], name), default="")
        return "gamma-ray burst" if str(likeliest).upper() == "GRB" else "gamma-ray trigger"
    return _KINDS.get(str(facts.get("stream"))) or _KINDS.get(messenger, messenger)


def trigger_words(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Lines such as `gamma rays, Fermi GBM: signal to noise 9.7, over 4.096 s`, and where it is; empty for a retraction."""
    return () if facts.get("alert_type") == "Retraction" else tuple(_lines(facts))


def localisation_words(facts: Mapping[str, Any]) -> str:
    """The stated error, and what is added to it: `circle of 1.08 deg (68 %), with …`; empty where none is stated."""
    shape = facts.get("localisation")
    if not shape:
        return ""
    level = f"({shape['containment']:.0%}".replace("%", " %)")
    if shape["corners"]:
        words = f"rectangle {level}"
    elif shape["semi_major"] == shape["semi_minor"]:
        words = f"circle of {plain_number(shape['semi_major'], 4)} deg {level}"
    else:
        axes = f"{plain_number(shape['semi_major'], 4)} by {plain_number(shape['semi_minor'], 4)} deg"
        words = f"ellipse of {axes} at {plain_number(shape['position_angle'], 4)} deg {level}"
    return f"{words}, and the systematic error of {shape['source']}" if shape["source"] else words


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    signal = facts.get("signal") or {}
    numbers = [f"{words} {plain_number(signal[name], 4)}{unit}" for name, words, unit in _NUMBERS if name in signal]
    if (astrophysical := signal.get("p_astro")) is not None:
        numbers.append(f"astrophysical with a probability of {share(astrophysical)}")
    head = f"{facts.get('messenger')}, {', '.join(facts.get('instruments') or ())}"
    yield f"{head}: {', '.join(numbers)}" if numbers else head
    if classes := facts.get("classification"):
        yield ", ".join(f"{name} {value:.0%}".replace("%", " %") for name, value in sorted(classes.items()))
    if signal.get("known_source"):
        yield f"known source {signal['known_source']}"
    if signal.get("follow_up_event"):
        yield f"searched after {signal.get('follow_up_type') or 'event'} {signal['follow_up_event']}"
    where = localisation_words(facts)
    if facts.get("fetched_for"):
        yield "map by the address in the notice"
    elif where:
        yield where
    if facts.get("no_map"):
        yield str(facts["no_map"])
