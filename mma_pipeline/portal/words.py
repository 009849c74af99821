"""Numbers and times as people write them."""

from __future__ import annotations

import math
from datetime import datetime

from mma_pipeline.portal.summary import YEAR_S


def false_alarm(far_hz: float | None) -> str:
    """A false alarm rate (Hz): `one in 3,200 years`; empty if it is not known, or zero."""
    if not far_hz or far_hz <= 0 or not math.isfinite(far_hz):
        return ""
    years = 1 / far_hz / YEAR_S
    if years > 1e300:  # also where the inverse is larger than the largest number
        return "one in more than 10^300 years"
    if years >= 1e6:
        return f"one in 10^{math.floor(math.log10(years))} years"
    for size, unit in ((1.0, "year"), (1 / 12, "month"), (1 / 365.25, "day"), (1 / 365.25 / 24, "hour")):
        if years >= size:
            return f"one in {_count(years / size)} {unit}s"
    return "several an hour"


def _count(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{float(f'{value:.2g}'):,.0f}"


def ago(then: datetime, now: datetime) -> str:
    """Time since a moment: `5 min ago`, `3 h ago`, `12 d ago`; `in the future` where it has not come."""
    seconds = (now - then).total_seconds()
    if seconds < 0:
        return "in the future"
    if seconds >= 2 * YEAR_S:
        return f"{seconds / YEAR_S:.1f} yr ago"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size * (2 if size > 60 else 1):
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def amount(value: float | None) -> str:
    """A number for a cell: three digits, thousands separated; empty for None."""
    if value is None or not math.isfinite(value):
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def distance(mean: float, width: float | None) -> str:
    """A distance and its width (Mpc), to whole megaparsecs from 10 Mpc on: `280 ± 69`."""
    digits = 0 if mean >= 10 else 1
    return f"{mean:,.{digits}f}" + ("" if width is None else f" ± {width:,.{digits}f}")


def size(count: int) -> str:
    """A number of bytes: `12 kB`."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    return ""


def sexagesimal(ra: float, dec: float) -> str:
    """A position (deg) as `06:48:00.0 -30:15:00` (hours, degrees), rounded without a 60 in it."""
    tenths = round(ra % 360 / 15 * 36_000) % (24 * 36_000)
    seconds = round(abs(dec) * 3600)
    sign = "-" if dec < 0 and seconds else "+"
    hours, minutes, rest = tenths // 36_000, tenths // 600 % 60, tenths % 600
    return (
        f"{hours:02d}:{minutes:02d}:{rest / 10:04.1f} "
        f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    )
