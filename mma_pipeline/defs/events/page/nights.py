"""From where an event's map can be observed, as seen at a moment: what is still to come, what is over, which night it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mma_pipeline.science.observing.windows import HOURS
from mma_pipeline.science.observing.windows_table import first_targets

#: Span that windows describe.
SPAN = timedelta(hours=HOURS)


@dataclass(frozen=True, slots=True)
class Nights:
    """The windows of 24 hours; rows are those of `observability.json`, best first."""

    begins: datetime
    ends: datetime
    tonight: bool
    """Whether the moment lies in them."""
    night: str
    """Which night it is, by its date."""
    to_come: tuple[Mapping[str, Any], ...]
    """Observatories that have a spell that is not over."""
    over: tuple[Mapping[str, Any], ...]
    """Observatories whose last spell is."""

    @property
    def words(self) -> str:
        """`tonight` while it is true, else `the night after the event (2023-05-18)` or `the night of 2023-05-21`."""
        return "tonight" if self.tonight else self.night


def nights(
    statistics: Mapping[str, Any], event_time: str | None, now: datetime | None, sites: Sequence[Mapping[str, Any]] = ()
) -> Nights | None:
    """The windows of a version as seen at a moment; without a moment nothing is over, and no night is tonight.

    Args:
        statistics: of the product `observability`.
        event_time: of the event, ISO 8601; None if it is not known.
        now: the moment, UTC.
        sites: all observatories of `observability.json`; without them the best ones of the statistics.
    """
    if not statistics.get("begins"):
        return None
    begins = datetime.fromisoformat(statistics["begins"])
    rows = [row for row in (_row(site) for site in sites or statistics.get("sites", ())) if row["begins"] is not None]
    rows.sort(key=lambda row: (-round(row["probability"], 2), row["begins"], row["site"]))
    over = [now is not None and datetime.fromisoformat(row["last"]) <= now for row in rows]
    return Nights(
        begins,
        begins + SPAN,
        now is not None and begins <= now < begins + SPAN,
        _night(begins, event_time),
        tuple(row for row, gone in zip(rows, over, strict=True) if not gone),
        tuple(row for row, gone in zip(rows, over, strict=True) if gone),
    )


def _row(site: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its first targets, all its spells and the end of the last; statistics have one spell of a site."""
    known = site.get("first_targets")
    spells = site.get("spells") or [[site["begins"], site["ends"]]]
    targets = first_targets(site.get("order", ())) if known is None else known
    return {**site, "first_targets": targets, "spells": spells, "last": spells[-1][1]}


def _night(begins: datetime, event_time: str | None) -> str:
    # The 24 h begin with the full hour before the notice.
    if event_time is not None and abs(begins - datetime.fromisoformat(event_time)) < SPAN:
        return f"the night after the event ({begins:%Y-%m-%d})"
    return f"the night of {begins:%Y-%m-%d}"
