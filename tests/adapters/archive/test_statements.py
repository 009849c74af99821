"""What lists versions asks the database as often for many as for few."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from mma_pipeline.adapters.archive import Archive, ProductRecord
from mma_pipeline.adapters.archive.recent import recent_versions
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.cli.status import describe
from mma_pipeline.defs.events.page.state import event_states
from mma_pipeline.defs.neutrinos.sensors import outdated
from mma_pipeline.defs.observing.sensors import _states
from mma_pipeline.defs.operations.health import health
from mma_pipeline.notices.key import EventVersion

NOW = datetime.now(UTC)
FEW, MANY = 3, 60


def filled(place: Path, count: int) -> Archive:
    """An archive with so many events of an alert and a neutrino notice each, all with a file."""
    archive = Archive(f"sqlite:///{place / f'{count}.db'}", create=True)
    for number in range(count):
        event_id = f"S2605{number // 26 + 10:02d}{'abcdefghijklmnopqrstuvwxyz'[number % 26]}"
        for place_in_topic, label in enumerate(("Preliminary", "IceCube")):
            version = EventVersion(event_id, NOW.replace(microsecond=0) - timedelta(hours=1), label, "0123456789")
            body = f"{event_id} {label}".encode()
            message = StreamMessage("s", label, 0, number * 2 + place_in_topic, body, None, (), NOW, NOW)
            archive.record(message, [(version, {"time": NOW.isoformat(), "skymap_sha256": "0" * 64})])
            for name in ("visibility", "coincidence"):
                archive.record_product(
                    ProductRecord(
                        version.partition_key, name, name, f"mma/{event_id}/{label}/{name}", "0" * 64, 1, "text/plain",
                        "1", "0" * 64, {"Fermi_state": "unknown", "counterpart": []}, NOW,
                    )
                )  # fmt: skip
    return archive


@contextmanager
def counted(archive: Archive) -> Iterator[list[str]]:
    """The statements that the database gets meanwhile."""
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    sa.event.listen(archive.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sa.event.remove(archive.engine, "before_cursor_execute", note)


def _health(archive: Archive) -> None:
    with dg.DagsterInstance.local_temp() as instance:
        health(instance, archive, datetime.now(UTC))


LISTS: dict[str, Callable[[Archive], object]] = {
    "recent versions": lambda archive: recent_versions(archive, NOW - timedelta(days=1), NOW + timedelta(days=1)),
    "status": lambda archive: describe(archive, archive.versions()),
    "pages": lambda archive: event_states(archive, sorted({v.version.event_id for v in archive.versions()})),
    "neutrinos": lambda archive: list(outdated(archive, NOW)),
    "visibility": lambda archive: _states(archive, archive.versions()),
    "health": _health,
}


@pytest.mark.parametrize("name", LISTS)
def test_statements_do_not_grow_with_the_archive(name: str, tmp_path: Path) -> None:
    """Twenty times the versions, the same number of statements."""
    asked = []
    for count in (FEW, MANY):
        archive = filled(tmp_path, count)
        with counted(archive) as statements:
            LISTS[name](archive)
        asked.append(len(statements))
    assert asked[0] == asked[1] > 0
