"""Pointings in the archive: recorded once, updated with their history, on both databases; forgotten with a mock event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mma_pipeline.adapters.archive import Archive, open_engine
from mma_pipeline.adapters.archive.pointings import PointingArchive, RecordedPointings
from mma_pipeline.adapters.archive.transfer import export_archive, import_archive
from mma_pipeline.notices.footprints import box, circle
from mma_pipeline.notices.pointings import Pointing, Status
from tests.homes import new_archive

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
ONE = Pointing(
    "gwtm", "7", "TRC", Status.PLANNED, NOW, 200.5, -12.25, 30.0, "r", 20.5, "ab_mag", box(2.0, 1.0)
)  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'archive.db'}"
    else:
        yield request.getfixturevalue("postgres_url")
    open_engine.cache_clear()


def test_a_change_of_status_is_an_update_with_history(url: str) -> None:
    """What is recorded again changes nothing; another status is an update; the history says what was before."""
    archive = PointingArchive(new_archive(url))
    two = replace(ONE, source_id="8", time=None, depth=None, footprint=None, band=None)
    assert archive.record("S1", [ONE, two], NOW) == RecordedPointings(2, 0, 0)
    assert archive.record("S1", [ONE, two], NOW) == RecordedPointings(0, 0, 2)
    assert archive.record("S2", [ONE], NOW) == RecordedPointings(1, 0, 0)
    before = archive.changed_since(0)
    assert set(before) == {"S1", "S2"}
    done = replace(ONE, status=Status.COMPLETED, time=NOW + timedelta(minutes=5))
    assert archive.record("S1", [done], NOW + timedelta(hours=1)) == RecordedPointings(0, 1, 0)
    assert archive.pointings("S1") == [done, two]
    assert archive.pointings("S2") == [ONE]
    assert set(archive.changed_since(max(before.values()))) == {"S1"}
    *first, last = archive.history("S1")
    assert [entry["was"] for entry in first] == [None, None]
    assert (last["source_id"], last["was"]) == ("7", {"status": "planned", "time": NOW.isoformat()})


def test_instruments_are_kept(url: str) -> None:
    """An instrument has the footprint that its source gave last."""
    archive = PointingArchive(new_archive(url))
    archive.record_instruments("gwtm", [("1", "TRC", box(2, 1)), ("2", "none", None)], NOW)
    archive.record_instruments("gwtm", [("1", "TRC", circle(0.5))], NOW)
    assert {i.name: i.footprint for i in archive.instruments("gwtm")} == {"TRC": circle(0.5), "none": None}
    assert archive.instruments("own") == []


def test_pointings_move_with_the_archive(tmp_path: Path) -> None:
    """An exported archive brings them along, and recording goes on there."""
    old = new_archive(f"sqlite:///{tmp_path / 'old.db'}")
    PointingArchive(old).record("S1", [ONE], NOW)
    export_archive(old.engine, tmp_path / "archive.gz")
    new = open_engine(f"sqlite:///{tmp_path / 'new.db'}")
    import_archive(new, tmp_path / "archive.gz")
    moved = PointingArchive(Archive(f"sqlite:///{tmp_path / 'new.db'}"))
    assert moved.pointings("S1") == [ONE]
    assert moved.record("S1", [ONE, replace(ONE, source_id="9")], NOW) == RecordedPointings(1, 0, 1)
