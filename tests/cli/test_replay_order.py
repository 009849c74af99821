"""Files replayed together arrive as their senders sent them: in order of creation, whatever their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.gracedb import GraceDB
from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from mma_pipeline.cli import app
from mma_pipeline.defs.operations.completeness import archive_superevent
from tests.alerts import body
from tests.defs.malformed import tiny_map
from tests.homes import Home
from tests.services.gracedb import GraceDBStandIn

FAULTS = Path("/work/shared/data/faults/order")
FIRST, SECOND, THIRD = "2024-03-01T12:00:00Z", "2024-03-01T12:05:00.500Z", "2024-03-01T12:05:01Z"


def preliminary(created: str) -> bytes:
    """A first or later Preliminary of the same event."""
    return body("MS240301a", created=created, skymap=tiny_map())


def replay(*arguments: object, code: int = 0) -> Any:
    """The JSON answer of `mma replay`, which ends with that exit code."""
    answer = CliRunner().invoke(app, ["replay", *map(str, arguments), "--json"])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


def test_numbers_follow_creation(home: Home, tmp_path: Path) -> None:
    """The earliest notice has the stem without number, also where its file comes last; what has no time goes last.

    A message that cannot be used makes the exit code 1.
    """
    (tmp_path / "a.json").write_bytes(preliminary(SECOND))
    (tmp_path / "b.json").write_bytes(b"no alert")
    (tmp_path / "c.json").write_bytes(preliminary(FIRST))
    outcome = replay("--direct", "--force", tmp_path, code=1)
    assert [(entry["name"], entry.get("stem")) for entry in outcome] == [
        ("c.json", "MS240301a-Preliminary"),
        ("a.json", "MS240301a-Preliminary1"),
        ("b.json", None),
    ]


@pytest.mark.skipif(not FAULTS.is_dir(), reason="no real inputs: /work/shared/data is not there (see CONTRIBUTING.md)")
def test_folder_of_an_old_listener(home: Home) -> None:
    """Files named by an old listener get the numbers that it gave them."""
    outcome = replay("--direct", FAULTS)
    assert {entry["name"]: entry["stem"] for entry in outcome} == {
        "TS260402ac-Preliminary_alert.json": "TS260402ac-Preliminary",
        "TS260402ac-Preliminary1_alert.json": "TS260402ac-Preliminary1",
    }


def test_order_holds_on_a_topic_of_several_partitions(tmp_path: Path) -> None:
    """Through Kafka the notices of an event are written in order of creation, to one partition, which keeps the order."""
    for name, created in (("a", THIRD), ("b", FIRST), ("c", SECOND)):
        (tmp_path / f"{name}.json").write_bytes(preliminary(created))
    with EmbeddedKafka() as kafka:
        kafka.create_topic("igwn.gwalert")
        sent = replay(tmp_path, "--bootstrap", kafka.bootstrap)
    assert [entry["name"] for entry in sent] == ["b.json", "c.json", "a.json"]
    assert len({entry["partition"] for entry in sent}) == 1
    assert [entry["offset"] for entry in sent] == sorted(entry["offset"] for entry in sent)


def test_notices_of_gracedb_are_archived_in_order_of_creation(home: Home) -> None:
    """An upload that is older than one before it has the lower number all the same."""
    uploads = {"MS240301a-preliminary.json,0": preliminary(SECOND), "MS240301a-preliminary.json,1": preliminary(FIRST)}
    with GraceDBStandIn({"MS240301a": uploads}) as gracedb:
        archive_superevent(home.archive, GraceDB(gracedb.api), "MS240301a")
    found = {record.version.created.minute: str(record.stem) for record in home.archive.versions("MS240301a")}
    assert found == {0: "MS240301a-Preliminary", 5: "MS240301a-Preliminary1"}
