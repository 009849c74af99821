"""The windows of an event as seen at a moment: which night they are of, what is to come, what is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mma_pipeline.defs.events.page.nights import nights

BEGINS = datetime(2026, 11, 29, 6, tzinfo=UTC)


def site(name: str, probability: float, begins: float, ends: float) -> dict[str, Any]:
    """An observatory whose window is so many hours after the begin."""
    first, last = (f"{BEGINS + timedelta(hours=h):%Y-%m-%dT%H:%M:%SZ}" for h in (begins, ends))
    return {"site": name, "probability": probability, "begins": first, "ends": last}


SITES = (site("evening", 1.0, 1, 5), site("poor", 0.4, 12, 24), site("late", 0.9, 18, 23), site("never", 0.0, 0, 0) | {"begins": None})  # fmt: skip


@pytest.mark.parametrize(
    ("hours", "words", "to_come", "over"),
    [
        (0, "tonight", ["evening", "late", "poor"], []),
        (4.99, "tonight", ["evening", "late", "poor"], []),
        (5, "tonight", ["late", "poor"], ["evening"]),
        (23.5, "tonight", ["poor"], ["evening", "late"]),
        (24, "the night of 2026-11-29", [], ["evening", "late", "poor"]),
        (-1, "the night of 2026-11-29", ["evening", "late", "poor"], []),
    ],
)
def test_what_is_to_come(hours: float, words: str, to_come: list[str], over: list[str]) -> None:
    """Windows end when they end, the best of each kind first; it is tonight within the 24 h alone."""
    seen = nights(
        {"begins": "2026-11-29T06:00:00Z"}, "2026-11-25T03:42:00+00:00", BEGINS + timedelta(hours=hours), SITES
    )
    assert seen is not None
    assert (seen.words, [s["site"] for s in seen.to_come], [s["site"] for s in seen.over]) == (words, to_come, over)


def test_a_later_spell_is_still_to_come() -> None:
    """A site whose fullest spell is over is to come while another is ahead; all its spells are there."""
    spells = [[SITES[0]["begins"], SITES[0]["ends"]], [SITES[2]["begins"], SITES[2]["ends"]]]
    two = {**SITES[0], "spells": spells}
    for hours, to_come in ((6, 1), (22.9, 1), (23, 0)):
        seen = nights({"begins": "2026-11-29T06:00:00Z"}, None, BEGINS + timedelta(hours=hours), (two,))
        assert seen is not None
        assert (len(seen.to_come), len(seen.over)) == (to_come, 1 - to_come)
        assert (seen.to_come + seen.over)[0]["spells"] == spells


def test_the_night_after_the_event() -> None:
    """An old event's windows are those of its own night, by its date; without a moment nothing is over or tonight."""
    statistics = {"begins": "2023-05-18T12:00:00Z", "sites": [SITES[0]]}
    for now in (None, datetime(2026, 11, 30, tzinfo=UTC)):
        seen = nights(statistics, "2023-05-18T12:59:08+00:00", now)
        assert seen is not None
        assert seen.words == "the night after the event (2023-05-18)"
    assert nights(statistics, None, None).words == "the night of 2023-05-18"
    assert nights({}, None, None) is None
