"""`mma survey replay` of files that others made."""

from __future__ import annotations

import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.cli import app
from mma_pipeline.notices.photometry.candidate_key import CandidateNight
from mma_pipeline.notices.photometry.measurement import Measurement, PhotometryNotice, candidate_of
from tests.adapters.surveys.oracle import SURVEYS, needs_packets
from tests.homes import Home


def replayed(path: Path, code: int = 0) -> dict[str, Any]:
    """What a replay says, which ends with that exit code."""
    answer = CliRunner().invoke(app, ["survey", "replay", str(path), "--json"])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


def counts(told: dict[str, Any]) -> dict[str, Any]:
    """The numbers of packets."""
    return {name: told[name] for name in ("seen", "inside", "kept", "quarantined")}


@needs_packets
def test_parquet_of_fink_and_a_folder_of_packets(home: Home, monkeypatch: pytest.MonkeyPatch):
    """Every row of Fink's Parquet and every packet of a folder is among the kept alerts, as pyarrow reads the file."""
    import pyarrow.parquet as pq

    monkeypatch.setenv("MMA_SURVEY_SCHEMA_REGISTRY", "")
    path = SURVEYS / "ztf" / "fink_regular_2.parquet"
    expected = {str(candid) for candid in pq.read_table(path, columns=["candid"])["candid"].to_pylist()}
    assert counts(replayed(path)) == {"seen": 67, "inside": 0, "kept": 0, "quarantined": 0}
    # Three packets, 67 rows of alerts and 18 of pairs.
    pairs = pq.read_table(SURVEYS / "ztf" / "fink_grb.parquet", columns=["candid"])["candid"].to_pylist()
    assert counts(replayed(SURVEYS / "ztf")) == {"seen": 88, "inside": 0, "kept": 0, "quarantined": 0}
    expected |= {str(candid) for candid in pairs}
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
def test_everything_below_a_folder(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Packets, Parquet and tar files of all folders below are taken, the others said; a single packet is enough."""
    monkeypatch.setenv("MMA_SURVEY_SCHEMA_REGISTRY", "")
    given = tmp_path / "given"
    packets = sorted((SURVEYS / "ztf").glob("*.avro"))
    below = given / "2026" / "night"
    below.mkdir(parents=True)
    with tarfile.open(given / "night.tar.gz", "w:gz") as packed:
        packed.add(packets[0], packets[0].name)
    (below / "a.avro").write_bytes(packets[1].read_bytes())
    (below / "fink.parquet").write_bytes((SURVEYS / "ztf" / "fink_grb.parquet").read_bytes())
    (below / "README.md").write_text("about")
    told = replayed(given)
    assert (told["seen"], told["left_out"], told["quarantined"]) == (1 + 1 + 18, 1, 0)
    answer = CliRunner().invoke(app, ["survey", "replay", str(given)])
    assert "1 file of another kind left out (.md)" in answer.stdout
    assert replayed(packets[2])["seen"] == 1


def test_what_is_hidden_is_left_out(home: Home, tmp_path: Path):
    """Hidden files and folders below the named one are not read, and their number is said; a hidden folder that is named is."""
    given = tmp_path / "given"
    cache = given / ".cache"
    cache.mkdir(parents=True)
    (cache / "a.json").write_text("{}")
    (cache / "b.json").write_text("{}")
    (given / ".hidden.avro").write_text("no packet")
    answer = CliRunner().invoke(app, ["survey", "replay", str(given)])
    assert answer.exit_code == 3
    assert "2 hidden files and folders left out (.cache, .hidden.avro)" in answer.stdout
    (given / "c.json").write_text("{}")
    told = replayed(given, 1)
    assert (told["seen"], told["hidden"], told["left_out"]) == (1, 2, 0)
    assert replayed(cache, 1)["seen"] == 2


@needs_packets
def test_why_packets_cannot_be_used(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Packets that cannot be used are named by cause with their number, damaged files by name, and the exit code is 1."""
    monkeypatch.setenv("MMA_SURVEY_SCHEMA_REGISTRY", "")
    given = tmp_path / "given"
    given.mkdir()
    (given / "good.avro").write_bytes(sorted((SURVEYS / "ztf").glob("*.avro"))[0].read_bytes())
    for number in range(3):
        (given / f"bad{number}.json").write_text('{"a": [1]}')
    told = replayed(given, code=1)
    assert counts(told) == {"seen": 4, "inside": 0, "kept": 0, "quarantined": 3}
    assert [(one["packets"], "no survey alert" in one["reason"]) for one in told["reasons"]] == [(3, True)]
    (given / "broken.parquet").write_text("no Parquet")
    answer = CliRunner().invoke(app, ["survey", "replay", str(given)])
    assert answer.exit_code == 1
    assert "3 in quarantine: the JSON message is no survey alert" in answer.stdout
    assert "broken.parquet is no Parquet file" in answer.stderr
    assert "3 of 4 packets cannot be used" in answer.stderr


@pytest.mark.parametrize("name", ["MS261125a-kn", "ms261125a-KN", "MS261125A - kn"])
def test_a_candidate_of_photometry_is_explained(home: Home, name: str):
    """A candidate that came as photometry is explained night by night, by any spelling of its name; one not scored is named, too."""
    photometry = PhotometryArchive(home.archive)
    photometry.record(*measured("MS261125a-kn"))
    (said,) = explained(name)
    assert (said["event_id"], said["verdict"]) == (None, "measured")
    score = {"event_id": "MS261125a", "candidate": "MS261125a-kn", "night": 61369, "p_phot": 0.9, "status": "ranked"}
    key = CandidateNight("MS261125a", "MS261125a-kn", 61369).partition_key
    photometry.record_scores({key: score | {"credible_level": 0.4}})
    (said,) = explained(name)
    assert (said["event_id"], said["mjd"], said["verdict"]) == ("MS261125a", 61369.0, "ranked")
    assert "P (light curve) 0.9, credible level 0.4" in said["why"]


def measured(name: str) -> tuple[StreamMessage, PhotometryNotice]:
    """A message with one measurement."""
    point = Measurement(candidate_of(name, 150.0, 20.0), 61369.1, "ztfg", 20.0, 0.1, False, "P48", "ZTF")
    message = StreamMessage("photometry", "t", 0, 0, b"{}", None, (), None, datetime.now(UTC))
    return message, PhotometryNotice((point,), "ours")


def explained(name: str) -> list[dict[str, Any]]:
    """What `mma survey explain` says."""
    answer = CliRunner().invoke(app, ["survey", "explain", name, "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


@needs_packets
def test_what_is_said_where_no_event_is_live(home: Home, monkeypatch: pytest.MonkeyPatch):
    """Who replays without an event, or with a mock one that takes no candidates, reads why nothing is inside."""
    monkeypatch.setenv("MMA_SURVEY_SCHEMA_REGISTRY", "")
    answer = CliRunner().invoke(app, ["survey", "replay", str(SURVEYS / "ztf")])
    assert "MMA_SURVEY_MOCKS" in answer.output
    name = oracle_name(SURVEYS / "ztf")
    for spelled in (name, f" {name[:3]} {name[3:]}".lower()):
        (said,) = explained(spelled)
    assert (said["verdict"], "MMA_SURVEY_MOCKS" in said["why"]) == ("outside", True)


def oracle_name(folder: Path) -> str:
    """Name of the object of the first packet, by fastavro alone."""
    import fastavro

    with sorted(folder.glob("*.avro"))[0].open("rb") as packed:
        return str(next(fastavro.reader(packed))["objectId"])
