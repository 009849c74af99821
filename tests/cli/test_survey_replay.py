"""`mma survey replay` of files that others made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.cli import app
from tests.adapters.surveys.oracle import SURVEYS, needs_packets
from tests.homes import Home


def replayed(path: Path) -> dict[str, int]:
    """What a replay says."""
    answer = CliRunner().invoke(app, ["survey", "replay", str(path), "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


@needs_packets
def test_parquet_of_fink_and_a_folder_of_packets(home: Home, monkeypatch: pytest.MonkeyPatch):
    """Every row of Fink's Parquet and every packet of a folder is among the kept alerts, as pyarrow reads the file."""
    import pyarrow.parquet as pq

    monkeypatch.setenv("MMA_SURVEY_SCHEMA_REGISTRY", "")
    path = SURVEYS / "ztf" / "fink_regular_2.parquet"
    expected = {str(candid) for candid in pq.read_table(path, columns=["candid"])["candid"].to_pylist()}
    assert replayed(path) == {"seen": 67, "inside": 0, "kept": 0, "quarantined": 0}
    assert replayed(SURVEYS / "ztf")["seen"] == 3
    expected |= {p.stem for p in (SURVEYS / "ztf").glob("*.avro")}
    rows = RecentNights(home.store).read(np.array([0]), np.array([12 << 58]), 0.0, 1e5, ["alert_id"])
    assert set(rows["alert_id"].to_pylist()) == expected


def test_what_is_no_packet(home: Home, tmp_path: Path):
    """A file of another kind, and a folder without packets, end with one sentence and an exit code."""
    other = tmp_path / "other.txt"
    other.write_text("no packets")
    assert CliRunner().invoke(app, ["survey", "replay", str(other)]).exit_code == 2
    assert CliRunner().invoke(app, ["survey", "replay", str(tmp_path)]).exit_code == 3
    broken = tmp_path / "broken.parquet"
    broken.write_text("no Parquet")
    assert CliRunner().invoke(app, ["survey", "replay", str(broken)]).exit_code == 1
    assert CliRunner().invoke(app, ["survey", "explain", "ZTF18abudxnw"]).exit_code == 3
    assert CliRunner().invoke(app, ["survey", "stats"]).exit_code == 3
    assert CliRunner().invoke(app, ["survey", "read", "--nice", "0"]).exit_code == 2


@needs_packets
def test_what_is_said_where_no_event_is_live(home: Home, monkeypatch: pytest.MonkeyPatch):
    """Who replays without an event, or with a mock one that takes no candidates, reads why nothing is inside."""
    monkeypatch.setenv("MMA_SURVEY_SCHEMA_REGISTRY", "")
    answer = CliRunner().invoke(app, ["survey", "replay", str(SURVEYS / "ztf")])
    assert "MMA_SURVEY_MOCKS" in answer.output
    name = oracle_name(SURVEYS / "ztf")
    (said,) = json.loads(CliRunner().invoke(app, ["survey", "explain", name, "--json"]).stdout)
    assert (said["verdict"], "MMA_SURVEY_MOCKS" in said["why"]) == ("outside", True)


def oracle_name(folder: Path) -> str:
    """Name of the object of the first packet, by fastavro alone."""
    import fastavro

    with sorted(folder.glob("*.avro"))[0].open("rb") as packed:
        return str(next(fastavro.reader(packed))["objectId"])
