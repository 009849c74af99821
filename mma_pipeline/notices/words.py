"""Numbers as people write them, for pages, tables and drafts; full digits are in the JSON files."""

from __future__ import annotations

import math
import re
from typing import Any

from mma_pipeline.notices.text import plain_number

#: Seconds in a year of 365.25 days.
YEAR_S = 365.25 * 86_400
_MILLION = 1e6
#: From here on a number has all its digits before the point, up to where they are too many.
_THOUSAND, _LONG = 1e3, 1e9
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_ASCII = str.maketrans({"×": "x", "°": " deg", "±": "+/-"})
_EXPONENT = re.compile(r"(-?\d+(?:\.\d+)?)e([+-]\d+)")
_SUPERSCRIPT = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_NAMES = {"deg2": "deg²", "mpc": "Mpc", "mpc3": "Mpc³", "hz": "Hz"}
_UNITS = ((1.0, "year"), (1 / 12, "month"), (1 / 365.25, "day"), (1 / 365.25 / 24, "hour"))


def false_alarm(far_hz: float | None) -> str:
    """A false alarm rate (Hz): `one in 3,200 years`, `one in 51 million years`, `3.6 an hour`; empty if not known, or zero."""
    if not far_hz or far_hz <= 0 or not math.isfinite(far_hz):
        return ""
    years = 1 / far_hz / YEAR_S
    if years > 1e300:  # also where the inverse is larger than the largest number
        return f"one in more than {_power(1.0, 300)} years"
    if years >= _MILLION:
        return f"one in {many(years)} years"
    for size, unit in _UNITS:
        if years >= size:
            return f"one in {_count(years / size)} {unit}s"
    per, unit = next(((s, u) for s, u in ((3600, "an hour"), (60, "a minute")) if far_hz * s < 100), (1, "a second"))
    return f"{many(far_hz * per)} {unit}"


def false_alarms_in_words(far_hz: float | None) -> str:
    """The same as a phrase: `one false alarm in 3,200 years`."""
    first, _, rest = false_alarm(far_hz).partition(" ")
    return f"{first} false alarm{'' if first in {'one', '1'} else 's'} {rest}" if rest else ""


def chance(probability: float | None) -> str:
    """A small probability: `1.9 %`, `1 in 3,200`, `1 in 310 million`, `1 in 5.1 × 10¹³`; empty for None."""
    if probability is None or not math.isfinite(probability):
        return ""
    if probability <= 0 or probability >= 0.01:
        return share(probability)
    against = 1 / probability
    return f"1 in more than {_power(1.0, 300)}" if against > 1e300 else f"1 in {many(against)}"


def probability(value: float) -> str:
    """A probability as a number: `0.996`, `0.05`, `<0.001`, `>0.999`; 0 and 1 are only what is exactly that."""
    if 0 < value < 0.001:
        return "<0.001"
    return ">0.999" if 0.9995 <= value < 1 else f"{value:.3g}"


def many(value: float) -> str:
    """A large number to two digits: `3,200`, `51 million`, `1.2 billion`, `5.1 × 10¹³`; small ones as they are."""
    rounded = float(f"{value:.2g}")
    if rounded >= 1e12:
        power = math.floor(math.log10(rounded))
        # The logarithm of 10^15 may be a digit below 15.
        power += rounded / 10.0**power >= 9.95
        return _power(rounded / 10.0**power, power)
    for size, name in ((1e9, "billion"), (_MILLION, "million")):
        if rounded >= size:
            return f"{float(f'{rounded / size:.2g}'):g} {name}"
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def _power(mantissa: float, power: int) -> str:
    front = f"{mantissa:.2g}"
    return f"{'' if front == '1' else f'{front} × '}10{str(power).translate(_RAISED)}"


def share(value: float | None) -> str:
    """A share (0 to 1) in per cent: `86 %`, `3.4 %`; 0 and 100 % are only what is exactly that; empty for None."""
    if value is None or not math.isfinite(value):
        return ""
    if value in {0, 1}:
        return f"{value:.0%}".replace("%", " %")
    if value < 0.0005:
        return "<0.1 %"
    if value >= 0.9995:
        return ">99.9 %"
    digits = 0 if 0.0995 <= value < 0.99 else 1
    return f"{value:.{digits}%}".replace("%", " %")


def _count(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{float(f'{value:.2g}'):,.0f}"


def figure(value: Any) -> str:
    """Any value for people: three significant digits, `1,240`, `1 × 10⁻¹¹⁶`, `yes`; empty for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if _THOUSAND <= abs(value) < _LONG else typeset(plain_number(value, 3))
    if isinstance(value, list | tuple):
        return ", ".join(figure(entry) for entry in value)
    return str(value)


def label(name: Any) -> str:
    """The name of a statistic for people: `area_90_deg2` is `area 90 deg²`."""
    return " ".join(_NAMES.get(part, part) for part in str(name).split("_"))


def typeset(text: str) -> str:
    """A number in e-notation as people write it: `3.17e+03` is `3,170`, `1.004e-116` is `1.004 × 10⁻¹¹⁶`."""

    def written(match: re.Match[str]) -> str:
        power = int(match[2])
        if 0 <= power <= 6:
            return f"{float(match[0]):,.0f}"
        return f"{match[1]} × 10{str(power).translate(_RAISED)}"

    return _EXPONENT.sub(written, text)


def in_ascii(text: str) -> str:
    """The same for mail: `5.1 × 10¹³` is `5.1 x 10^13`, `deg²` is `deg^2`."""
    lowered = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    return _SUPERSCRIPT.sub(lambda match: f"^{match[0].translate(lowered)}", text).translate(_ASCII)


def amount(value: float | None) -> str:
    """A number for a cell: three digits, thousands separated; empty for None."""
    if value is None or not math.isfinite(value):
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def area(value: float | None) -> str:
    """An area (deg²): `460`, `28`, `9.1`, `0.04`, `<0.001`; empty for None."""
    if value is None or not math.isfinite(value):
        return ""
    if 0 < value < 0.001:
        return "<0.001"
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 1 or value == 0 else f"{value:.1g}"


def distance(mean: float, width: float | None) -> str:
    """A distance and its width (Mpc), to whole megaparsecs from 10 Mpc on: `280 ± 69`.

    Both end where the width's second digit stands: 8,577 ± 2,696 is `8,600 ± 2,700`.
    """
    if width is not None and width >= 99.5:
        # The width itself may round up to another digit, as 995 does.
        places = 1 - math.floor(math.log10(float(f"{width:.2g}")))
        mean, width = round(mean, places), round(width, places)
    digits = 0 if mean >= 10 else 1
    return f"{mean:,.{digits}f}" + ("" if width is None else f" ± {width:,.{digits}f}")


def seconds(value: float) -> str:
    """A time (s), without a sign: `1.7 s`, `78 s`, `12 min`, `3.4 h`, `21 days`."""
    size = abs(value)
    if size >= 72 * 3600:
        return f"{size / 86_400:,.0f} days"
    if size < 100:
        return f"{size:.3g} s" if size < 10 else f"{size:.0f} s"
    return f"{size / 60:.0f} min" if size < 7200 else f"{size / 3600:.1f} h"


def counted(number: int, one: str, several: str | None = None) -> str:
    """A number of things: `1 message`, `2,000 messages`; `several` where that is not `one` with an s."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def degrees(ra: float, dec: float, digits: int) -> str:
    """A position (deg) as `150.12346 +20.50000 deg`, to so many digits behind the point."""
    return f"{ra:.{digits}f} {dec:+.{digits}f} deg"


def sexagesimal(ra: float, dec: float) -> str:
    """A position (deg) as `06:48:00.0 -30:15:00` (hours, degrees), rounded without a 60 in it."""
    tenths = round(ra % 360 / 15 * 36_000) % (24 * 36_000)
    arcseconds = round(abs(dec) * 3600)
    sign = "-" if dec < 0 and arcseconds else "+"
    hours, minutes, rest = tenths // 36_000, tenths // 600 % 60, tenths % 600
    return (
        f"{hours:02d}:{minutes:02d}:{rest / 10:04.1f} "
        f"{sign}{arcseconds // 3600:02d}:{arcseconds // 60 % 60:02d}:{arcseconds % 60:02d}"
    )
