"""Numbers as people write them, for pages, tables and drafts; full digits are in the JSON files."""

from __future__ import annotations

import math

#: Seconds in a year of 365.25 days.
YEAR_S = 365.25 * 86_400
_UNITS = ((1.0, "year"), (1 / 12, "month"), (1 / 365.25, "day"), (1 / 365.25 / 24, "hour"))


def false_alarm(far_hz: float | None) -> str:
    """A false alarm rate (Hz): `one in 3,200 years`; empty if it is not known, or zero."""
    if not far_hz or far_hz <= 0 or not math.isfinite(far_hz):
        return ""
    years = 1 / far_hz / YEAR_S
    if years > 1e300:  # also where the inverse is larger than the largest number
        return "one in more than 10^300 years"
    if years >= 1e6:
        return f"one in 10^{math.floor(math.log10(years))} years"
    for size, unit in _UNITS:
        if years >= size:
            return f"one in {_count(years / size)} {unit}s"
    return "several an hour"


def false_alarms_in_words(far_hz: float | None) -> str:
    """The same as a phrase: `one false alarm in 3,200 years`."""
    first, _, rest = false_alarm(far_hz).partition(" ")
    return f"{first} false alarm{'' if first == 'one' else 's'} {rest}" if rest else ""


def chance(probability: float | None) -> str:
    """A small probability: `1.9 %`, `1 in 3,200`, `1 in 10^12`; empty for None."""
    if probability is None or not math.isfinite(probability):
        return ""
    if probability <= 0 or probability >= 0.01:
        return share(probability)
    against = 1 / probability
    if not against < 1e6:
        power = 300 if math.isinf(against) else math.floor(math.log10(against))
        return f"1 in {'more than ' if math.isinf(against) else ''}10^{power}"
    return f"1 in {_count(against)}"


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


def amount(value: float | None) -> str:
    """A number for a cell: three digits, thousands separated; empty for None."""
    if value is None or not math.isfinite(value):
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def area(value: float | None) -> str:
    """An area (deg²): `460`, `28`, `9.1`, `0.04`; empty for None."""
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.1g}"


def distance(mean: float, width: float | None) -> str:
    """A distance and its width (Mpc), to whole megaparsecs from 10 Mpc on: `280 ± 69`."""
    digits = 0 if mean >= 10 else 1
    return f"{mean:,.{digits}f}" + ("" if width is None else f" ± {width:,.{digits}f}")


def seconds(value: float) -> str:
    """A time (s), without a sign: `1.7 s`, `78 s`, `12 min`, `3.4 h`."""
    size = abs(value)
    if size < 100:
        return f"{size:.3g} s" if size < 10 else f"{size:.0f} s"
    return f"{size / 60:.0f} min" if size < 7200 else f"{size / 3600:.1f} h"


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
