"""The laptop's storage: what it writes is what the stock storage writes, and it keeps its files open."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml
from sqlalchemy import event

from tests.homes import ROOT

#: The storage that dagster_home/dagster.yaml names.
KEPT = yaml.safe_load((ROOT / "dagster_home" / "dagster.yaml").read_text())["storage"]
PARTITIONS = dg.DynamicPartitionsDefinition(name="versions")


@dg.asset(partitions_def=PARTITIONS)
def skymap() -> dg.MaterializeResult:
    """An asset."""
    return dg.MaterializeResult(metadata={"area": 28.1})


@dg.asset(partitions_def=PARTITIONS, deps=[skymap])
def contours() -> None:
    """An asset behind it."""


def _instance(home: Path, monkeypatch: pytest.MonkeyPatch, storage: dict[str, Any]) -> dg.DagsterInstance:
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text(yaml.safe_dump({"storage": storage, "telemetry": {"enabled": False}}))
    return dg.DagsterInstance.get()


def _made(instance: dg.DagsterInstance, key: str) -> str:
    instance.add_dynamic_partitions("versions", [key])
    result = dg.materialize([skymap, contours], instance=instance, partition_key=key)
    assert result.success
    return result.run_id


def _seen(instance: dg.DagsterInstance, run_id: str) -> list[Any]:
    """What a person finds of a run."""
    run = instance.get_run_by_id(run_id)
    assert run is not None
    record = instance.fetch_materializations(dg.AssetKey("skymap"), limit=1).records[0]
    assert record.asset_materialization is not None
    return [
        run.status,
        run.tags,
        [(entry.timestamp, entry.dagster_event_type) for entry in instance.all_logs(run_id)],
        (record.run_id, record.partition_key, record.asset_materialization.metadata),
        sorted(instance.get_dynamic_partitions("versions")),
        sorted(instance.get_materialized_partitions(dg.AssetKey("contours"))),
    ]


def test_stock_storage_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock storage and kept storage read each other's runs, events and partitions, and see the same."""
    stock = {"sqlite": {"base_dir": str(tmp_path / "home")}}
    for writes, reads in ((KEPT, stock), (stock, KEPT)):
        with _instance(tmp_path / "home", monkeypatch, writes) as instance:
            run_id = _made(instance, f"S230518h-{next(iter(writes))}")
            seen = _seen(instance, run_id)
        with _instance(tmp_path / "home", monkeypatch, reads) as instance:
            assert _seen(instance, run_id) == seen


def test_a_run_opens_its_own_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many statements a run makes, files that were open already are not opened again."""
    with _instance(tmp_path / "home", monkeypatch, KEPT) as instance:
        _made(instance, "S230518h-1")
        opened: list[str] = []

        def note(connection: Any, _record: object) -> None:
            opened.append(Path(connection.execute("PRAGMA database_list").fetchone()[2]).name)

        event.listen(sa.pool.Pool, "connect", note)
        try:
            run_id = _made(instance, "S230518h-2")
        finally:
            event.remove(sa.pool.Pool, "connect", note)
        assert set(opened) == {f"{run_id}.db"}
        assert len(opened) < 10, "to make its tables, and to fill them"


def test_threads_write_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that write events, runs and partitions at once lose none."""
    with _instance(tmp_path / "home", monkeypatch, KEPT) as instance:

        def write(number: int) -> None:
            for turn in range(5):
                key = f"S{number}-{turn}"
                instance.add_dynamic_partitions("versions", [key])
                instance.report_runless_asset_event(dg.AssetMaterialization("skymap", partition=key))

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wanted = {f"S{number}-{turn}" for number in range(8) for turn in range(5)}
        assert set(instance.get_dynamic_partitions("versions")) == wanted
        assert instance.get_materialized_partitions(dg.AssetKey("skymap")) == wanted


def test_after_everything_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `dagster run wipe` removed is gone at once, and the next run is there."""
    with _instance(tmp_path / "home", monkeypatch, KEPT) as instance:
        gone = _made(instance, "S230518h-1")
        instance.wipe()
        assert instance.all_logs(gone) == []
        assert instance.get_run_by_id(gone) is None
        assert instance.all_logs(_made(instance, "S230518h-2"))
