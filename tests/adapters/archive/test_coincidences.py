"""Pairs in the archive, on SQLite and PostgreSQL: events of a time are found, a pair is kept once, from either side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.coincidences import (
    PairRecord,
    PairState,
    events_near,
    looked_at,
    pairs_of,
    pairs_of_events,
    pairs_since,
    record_pairs,
)
from mma_pipeline.adapters.archive.database import open_engine
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.notices.key import EventVersion
from tests.homes import new_archive

T0 = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Archive]:
    """An empty archive."""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").create_database()
    else:
        url = f"sqlite:///{tmp_path / 'a.db'}"
    opened = new_archive(url)
    yield opened
    opened.engine.dispose()
    open_engine.cache_clear()


def pair(gw: str = "S240301a", other: str = "Fermi_731246338", **changes: object) -> PairRecord:
    """A pair with every field set."""
    one = PairRecord(
        gw, other, "observation", T0, PairState.CLAIMED, f"{gw}-x", f"{other}-x", "0" * 64, {"overlap": 12.5, "far_hz": None}
    )  # fmt: skip
    return replace(one, **changes)  # type: ignore[arg-type]


def test_events_of_a_time(archive: Archive) -> None:
    """Events are found by the time that their early notices state, not by when these were made; roles are apart."""
    for number, (event, time, created) in enumerate(
        [
            ("S240301a", T0, T0 + timedelta(minutes=1)),
            ("S240301a", T0 + timedelta(seconds=0.2), T0 + timedelta(days=30)),
            ("Fermi_731246338", T0 + timedelta(seconds=2), T0 + timedelta(days=6)),
            ("Fermi_731246999", T0 + timedelta(seconds=700), T0 + timedelta(minutes=20)),
            ("MS240301b", T0, T0 + timedelta(minutes=1)),
            ("S240301c", None, T0 + timedelta(minutes=1)),
        ]
    ):
        version = EventVersion(event, created, "Initial", f"{number:010x}")
        sent = StreamMessage("s", "t", 0, number, b"%d" % number, None, (), None, created)
        archive.record(sent, [(version, {"time": None if time is None else time.isoformat()})])
    reach = timedelta(seconds=600)
    assert events_near(archive, T0 - reach, T0 + reach, "observation") == ["Fermi_731246338", "S240301a"]
    assert events_near(archive, T0 - reach, T0 + reach, "test") == ["MS240301b"]


def test_a_pair_is_kept_once_from_either_side(archive: Archive) -> None:
    """Both events' runs write the same row; the newest wins, and a pair that an event no longer makes is outside."""
    first, second = pair(), pair(other="CHIME_123456", gw_time=T0 + timedelta(seconds=1))
    record_pairs(archive, "S240301a", [first, second], T0)
    changed = replace(first, state=PairState.WITHDRAWN, figures={"overlap": 1.0})
    record_pairs(archive, "Fermi_731246338", [changed], T0)
    record_pairs(archive, "Fermi_731246338", [changed], T0)
    assert pairs_of(archive, "S240301a") == [changed, second]
    assert pairs_of(archive, "CHIME_123456") == [second]
    assert pairs_of_events(archive, ["CHIME_123456", "S240301z"]) == {"CHIME_123456": [second], "S240301z": []}
    record_pairs(archive, "S240301a", [changed], T0)
    assert [p.state for p in pairs_of(archive, "S240301a")] == [PairState.WITHDRAWN, PairState.OUTSIDE]


def test_pairs_looked_at(archive: Archive) -> None:
    """Pairs count by role and by the time of the gravitational wave, without the one that is asked about."""
    later = pair("S240401a", gw_time=T0 + timedelta(days=31))
    for one in (pair(), later, pair("MS240301b", "TFermi_731246338", role="test")):
        record_pairs(archive, one.gw_event, [one], T0)
    assert looked_at(archive, "observation", T0, ("S240301a", "CHIME_123456")) == 1
    assert looked_at(archive, "observation", later.gw_time, ("S240401a", "Fermi_731246338")) == 1
    assert looked_at(archive, "test", T0, ("S240301a", "Fermi_731246338")) == 1
    assert [p.gw_event for p in pairs_since(archive, T0 + timedelta(days=1), limit=9)] == ["S240401a"]
