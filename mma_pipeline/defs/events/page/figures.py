"""Values of notices and products as text for the page: any value that a table may hold."""

from __future__ import annotations

import re
from typing import Any

from mma_pipeline.notices.text import plain_number

_POWER = re.compile(r"(-?\d+(?:\.\d+)?)e([+-]\d+)")
_TEN = re.compile(r"\b10\^(\d+)")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
#: Numbers between these have all their digits before the point.
_THOUSAND, _LONG = 1e3, 1e9
_UNITS = {"deg2": "deg²", "mpc": "Mpc", "mpc3": "Mpc³", "hz": "Hz"}


def words(name: Any) -> str:
    """The name of a statistic for people: `area_90_deg2` is `area 90 deg²`."""
    return " ".join(_UNITS.get(part, part) for part in str(name).split("_"))


def figure(value: Any) -> str:
    """A value for people: three significant digits, an empty text for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if _THOUSAND <= abs(value) < _LONG else typeset(plain_number(value, 3))
    if isinstance(value, list | tuple):
        return ", ".join(figure(entry) for entry in value)
    return str(value)


def typeset(text: str) -> str:
    """A number in e-notation as people write it: `3.17e+03` is `3,170`, `1.004e-116` is `1.004 × 10⁻¹¹⁶`, `10^12` is `10¹²`."""

    def written(match: re.Match[str]) -> str:
        power = int(match[2])
        if 0 <= power <= 6:
            return f"{float(match[0]):,.0f}"
        return f"{match[1]} × 10{str(power).translate(_RAISED)}"

    return _TEN.sub(lambda match: f"10{match[1].translate(_RAISED)}", _POWER.sub(written, text))
