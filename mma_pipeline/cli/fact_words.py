"""Names and values of a notice's facts and of products' figures, as people write them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mma_pipeline.notices.words import amount, area, chance, false_alarm, figure, many, share, typeset

#: From here on six digits would hide units: a time in GPS seconds.
_LARGE = 1e6
_NAMES = {
    "alert_type": "kind of notice",
    "time_created": "notice created",
    "time": "time of the event",
    "urls": "links",
    "skymap_sha256": "SHA-256 of the map",
    "peak_ra_deg": "peak RA, deg",
    "peak_dec_deg": "peak Dec, deg",
    "peak_density_per_deg2": "density at the peak, per deg²",
    "distance_mean_mpc": "distance, Mpc",
    "distance_std_mpc": "width of the distance, Mpc",
    "header_distance_mean_mpc": "distance in the map's header, Mpc",
    "header_distance_std_mpc": "its width there, Mpc",
    "information_bits": "information, bits",
    "probability_north": "in the northern sky",
    "probability_galactic_plane": "near the Galactic plane",
    "order_max": "finest HEALPix order",
    "rows": "pixels of the map",
    "best_p_spacetime": "chance of the best track by time and place",
    "best_p_trials": "the same, all tracks counted",
}
_UNITS = {
    "_deg2": "deg²", "_deg": "deg", "_mpc3": "Mpc³", "_mpc": "Mpc", "_msun": "solar masses", "_hz": "Hz", "_s": "s",
    "_bytes": "bytes",
}  # fmt: skip


def named(name: str) -> str:
    """A name of a fact or figure in words: `far_hz` is `false alarm rate`, `area_90_deg2` is `area 90 %, deg²`."""
    if name in _NAMES:
        return _NAMES[name]
    if name.endswith("far_hz"):
        return f"{name.removesuffix('far_hz').replace('_', ' ')}false alarm rate"
    words, unit = _parts(name)
    return f"{words}, {unit}" if unit else words


def _parts(name: str) -> tuple[str, str]:
    """The words of a name and its unit; an empty unit where it has none."""
    if name in _NAMES or name.endswith("far_hz"):
        return named(name), ""
    suffix = next((suffix for suffix in _UNITS if name.endswith(suffix)), "")
    parts = name.removesuffix(suffix).split("_")
    return " ".join(f"{part} %" if suffix and part in {"50", "90"} else part for part in parts), _UNITS.get(suffix, "")


def _within_words(name: str, text: str) -> str:
    words, unit = _parts(name)
    return f"{words} {text} {unit}".rstrip()


def written(name: str, value: Any) -> str:
    """A fact or statistic by its name, as people write it: rates as one in so many years, shares in per cent."""
    if isinstance(value, float):
        if name.endswith("far_hz"):
            return false_alarm(value) or "0"
        if name.startswith(("best_p_", "pval_", "p_")):
            return chance(value)
        if name.startswith("probability") or name.endswith("_credible_level"):
            return share(value)
        if name.endswith("area_deg2") or name.startswith("area_"):
            return area(value)
        if name.startswith("volume_"):
            return many(value)
        if name.endswith("_mpc"):
            return amount(value)
        if name.endswith(("ra_deg", "dec_deg")):
            return f"{value:.4f}"
        if name.startswith(("peak_density", "information")):
            return figure(value)
    if isinstance(value, str) and name in {"time", "time_created"}:
        return f"{datetime.fromisoformat(value):%Y-%m-%d %H:%M:%S} UTC"
    return readable(value)


def readable(value: Any) -> str:
    """A value of an alert or a product as one line for people: no braces, six digits, nothing for None."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return typeset(f"{value:.6g}") if abs(value) < _LARGE else f"{value:.10g}"
    if isinstance(value, Mapping):
        said = ((name, written(name, one)) for name, one in value.items() if one not in (None, "", {}, []))
        return ", ".join(
            _within_words(name, f"({text})" if isinstance(value[name], Mapping | list | tuple) else text)
            for name, text in said
        )
    if isinstance(value, list | tuple):
        return ", ".join(map(_within, value))
    return "" if value is None else str(value)


def _within(value: Any) -> str:
    """A value inside another one."""
    return f"({readable(value)})" if isinstance(value, Mapping | list | tuple) else readable(value)
