"""The newest map of an event and its retraction: one rule each, whatever came in which order."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations

import pytest

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.archive.event_history import newest_map, retraction_of
from mma_pipeline.notices.key import EventVersion


def version(label: str, hour: int, *, skymap: bool = True) -> VersionRecord:
    """A version created at an hour, with a map that can be used or without."""
    created = datetime(2024, 3, 1, hour, tzinfo=UTC)
    facts = {"skymap_sha256": "0" * 64 if skymap else None}
    return VersionRecord(EventVersion("S240301a", created, label, f"{hour:010x}"), 0, hour, facts)


PRELIMINARY, INITIAL = version("Preliminary", 10), version("Initial", 11)
MAPLESS, COMBINED = version("Update", 12, skymap=False), version("Update-ExtCoinc", 12)
NEUTRINOS = version("IceCube", 13, skymap=False)
RETRACTION, SECOND = version("Retraction", 14, skymap=False), version("Retraction", 15, skymap=False)


@pytest.mark.parametrize(
    ("records", "own", "with_combined"),
    [
        ([], None, None),
        ([MAPLESS, NEUTRINOS], None, None),
        ([PRELIMINARY, INITIAL], INITIAL, INITIAL),
        ([PRELIMINARY, INITIAL, MAPLESS, NEUTRINOS], INITIAL, INITIAL),
        ([PRELIMINARY, MAPLESS, COMBINED], PRELIMINARY, PRELIMINARY),
        ([MAPLESS, COMBINED], None, COMBINED),
        ([PRELIMINARY, INITIAL, RETRACTION], INITIAL, INITIAL),
    ],
)
def test_the_newest_map(records: list[VersionRecord], own: VersionRecord | None, with_combined: VersionRecord | None):
    """The last created own map, past versions without one; a combined map only where asked for and no own is there."""
    for order in permutations(records):
        assert newest_map(order, combined=False) == own
        assert newest_map(order, combined=True) == with_combined


def test_the_retraction():
    """The earliest of several, whatever was created after it; none for an event that stands."""
    late = version("Update", 16)
    for order in permutations([PRELIMINARY, RETRACTION, SECOND, late]):
        assert retraction_of(order) == RETRACTION
    assert retraction_of([PRELIMINARY, COMBINED, NEUTRINOS]) is None
