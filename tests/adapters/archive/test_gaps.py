"""Messages that brokers dropped before a sensor read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from mma_pipeline.adapters.archive.gaps import LostMessages, lost_messages, note_gaps
from mma_pipeline.adapters.kafka.stream import Gap
from tests.homes import new_archive

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)


def test_spans_that_overlap_count_once(tmp_path: Path) -> None:
    """Offsets 10 to 104 and 150 to 159 are 105 messages, in however many overlapping gaps they were noted."""
    archive = new_archive(f"sqlite:///{tmp_path / 'archive.db'}")
    spans = [(15, 100), (10, 100), (10, 105), (150, 160)]
    for minute, (wanted, resumed) in enumerate(spans):
        note_gaps(archive, [("s", Gap("t", 0, wanted, resumed))], NOW + timedelta(minutes=minute))
    assert lost_messages(archive, NOW) == [LostMessages("s", "t", 0, 10, 160, 105, NOW)]


def test_partitions_streams_and_times_are_apart(tmp_path: Path) -> None:
    """Each partition of each stream has its own entry, and what was noticed before the time asked for is left out."""
    archive = new_archive(f"sqlite:///{tmp_path / 'archive.db'}")
    note_gaps(archive, [("a", Gap("t", 0, 1, 2)), ("a", Gap("t", 1, 1, 3)), ("b", Gap("t", 0, 1, 4))], NOW)
    note_gaps(archive, [("c", Gap("t", 0, 1, 5))], NOW - timedelta(days=2))
    note_gaps(archive, [], NOW)
    assert [(one.stream, one.partition, one.lost) for one in lost_messages(archive, NOW)] == [
        ("a", 0, 1), ("a", 1, 2), ("b", 0, 3),
    ]  # fmt: skip


def test_topic_made_again(tmp_path: Path) -> None:
    """Where a topic was created again, nobody knows how many messages were lost: None, never a number."""
    archive = new_archive(f"sqlite:///{tmp_path / 'archive.db'}")
    note_gaps(archive, [("s", Gap("t", 0, 500, 0))], NOW)
    assert lost_messages(archive, NOW) == [LostMessages("s", "t", 0, 500, 0, None, NOW)]
