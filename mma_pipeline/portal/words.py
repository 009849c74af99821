"""Numbers, times and sizes as people write them: those of `notices.words`, and what only the portal says."""

from __future__ import annotations

from datetime import datetime

from mma_pipeline.notices.words import YEAR_S, area, distance, false_alarm, sexagesimal

__all__ = ["ago", "area", "distance", "false_alarm", "sexagesimal", "size"]


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


def size(count: int) -> str:
    """A number of bytes: `12 kB`."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    return ""
