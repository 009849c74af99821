"""Which events are live: by their newest map's time, standing, of other messengers and mocks only where wanted."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.live_events import live_events, recent_version_keys
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.notices.key import EventVersion
from mma_pipeline.notices.times import mjd_of_datetime
from tests.homes import new_archive

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
MJD = mjd_of_datetime(T0)


@pytest.fixture
def archive(tmp_path) -> Archive:
    """An empty archive."""
    return new_archive(f"sqlite:///{tmp_path / 'archive.db'}")


def put(
    archive: Archive, event: str, label: str, hours: float, *, t0: datetime | None = T0, sha: str | None = "a" * 64
) -> str:
    """Archive a version created some hours after T0; returns its partition key."""
    created = T0 + timedelta(hours=hours)
    version = EventVersion(event, created, label, hashlib.sha256(f"{event}{label}{hours}".encode()).hexdigest()[:10])
    facts: dict[str, Any] = {"time": None if t0 is None else t0.isoformat(), "skymap_sha256": sha}
    offset = int(hours * 3600) + 10**7
    message = StreamMessage("gcn", "topic", 0, offset, f"{event}{label}{hours}".encode(), None, (), None, created)
    archive.record(message, [(version, facts)])
    return version.partition_key


def live(archive: Archive, first: float = MJD + 1, last: float | None = None, **options: Any) -> list[tuple[str, str]]:
    """Live events with the version of their map."""
    found = live_events(archive, first, first if last is None else last, **{"days": 14.0, "mocks": False, **options})
    return [(event.event_id, event.record.partition_key) for event in found]


def test_the_newest_map_of_each_event_counts(archive):
    """A later map takes the place of an earlier one, a version without a map takes nobody's, a combined one only where it is all."""
    put(archive, "S260301a", "Preliminary", 0.1)
    newest = put(archive, "S260301a", "Update", 5, sha="b" * 64)
    put(archive, "S260301a", "Update", 6, sha=None)
    put(archive, "S260301a", "Update-ExtCoinc", 7)
    combined = put(archive, "S260301b", "Preliminary-ExtCoinc", 1)
    assert live(archive) == [("S260301a", newest), ("S260301b", combined)]


def test_what_is_over_retracted_or_has_no_place_or_time_is_not_live(archive):
    """Retracted events, those without a map or a time, and those too old or not begun yet are left out."""
    put(archive, "S260301c", "Preliminary", 0.1)
    put(archive, "S260301c", "Retraction", 2, sha=None, t0=None)
    put(archive, "S260301c", "Update", 3)
    put(archive, "S260301d", "Preliminary", 0.1, sha=None)
    put(archive, "S260301e", "Preliminary", 0.1, t0=None)
    put(archive, "S260301f", "IceCube", 0.1, sha=None)
    put(archive, "S260201a", "Update", 10, t0=T0 - timedelta(days=28))
    assert live(archive) == []


def test_the_days_after_the_event_are_counted_from_its_time(archive):
    """An event is live from its very moment to the end of its days, whenever its map came; a span takes all it touches."""
    key = put(archive, "S260301g", "Update", 24 * 20)
    for moment, expected in ((MJD - 0.001, False), (MJD, True), (MJD + 14.0, True), (MJD + 14.001, False)):
        assert bool(live(archive, moment)) is expected
    assert live(archive, MJD - 5, MJD + 0.001) == [("S260301g", key)]
    assert live(archive, MJD + 3, days=2.0) == []


def test_other_messengers_only_where_they_are_wanted(archive):
    """Bursts and neutrinos are live for who asks where something is, and take no candidates of surveys."""
    put(archive, "Fermi_731246338", "Initial", 0.1)
    assert live(archive) == []
    assert recent_version_keys(archive, MJD + 1, days=14.0, mocks=False) == ()
    assert [event for event, _ in live(archive, triggers=True)] == ["Fermi_731246338"]


def test_mocks_only_where_they_are_wanted(archive):
    """Mock and test events take candidates only by the setting."""
    put(archive, "MS260301a", "Preliminary", 0.1)
    assert live(archive) == []
    assert [event for event, _ in live(archive, mocks=True)] == ["MS260301a"]


def test_a_new_version_changes_what_a_reader_watches(archive):
    """A new map and a retraction change the keys that are asked for every few seconds; what is long over does not."""
    put(archive, "S260301h", "Preliminary", 0.1)
    seen = [recent_version_keys(archive, MJD + 1, days=14.0, mocks=False)]
    put(archive, "S251201a", "Update", -24 * 60, t0=T0 - timedelta(days=61))
    assert recent_version_keys(archive, MJD + 1, days=14.0, mocks=False) == seen[0]
    for label in ("Update", "Retraction"):
        put(archive, "S260301h", label, 5 if label == "Update" else 6)
        seen.append(recent_version_keys(archive, MJD + 1, days=14.0, mocks=False))
    assert len(set(seen)) == 3
