"""The drills of docs/operations.md on a real PostgreSQL: a dump put back, a lost database rebuilt from an export."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
import yaml
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.cli import app
from mma_pipeline.cli.materialise import materialise
from mma_pipeline.notices import lvk
from mma_pipeline.products.ingest import ingest, parse_alert
from mma_pipeline.science.simulation.alerts import simulate_event
from tests.k8s.chart import BASE, dagster_settings, render
from tests.services.postgres import PostgresServer, binaries

DAY = datetime(2023, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Production settings on an empty database, which is Dagster's and the archive's; its name."""
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(dagster_settings(render(BASE))))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("MMA_STORE_URL", (tmp_path / "products").as_uri())
    monkeypatch.setenv("MMA_CELERY_BROKER", "redis://unused")
    monkeypatch.setenv("MMA_CELERY_BACKEND", "unused")
    url = postgres.create_database()
    use(url, monkeypatch)
    return url.rpartition("/")[2]


def use(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point Dagster and the archive to a database."""
    monkeypatch.setenv("DAGSTER_PG_URL", url.replace("+psycopg2", ""))
    monkeypatch.setenv("MMA_ARCHIVE_URL", url)


def receive(url: str, event: str) -> None:
    """Archive the first notice of a simulated event."""
    notice = simulate_event(event, time=DAY, seed=3, max_order=5)[0]
    body = json.dumps(lvk.to_record(notice)).encode()
    ingest(
        Archive(url, create=True), StreamMessage("s", event, 0, 0, body, None, (), DAY, datetime.now(UTC)), parse_alert
    )


def rows(postgres: PostgresServer, database: str) -> dict[str, tuple[object, ...]]:
    """Number of rows and digest of all of them, by table."""
    tables = postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database)
    text = 'string_agg(t::text, chr(10) ORDER BY t::text COLLATE "C")'
    return {
        str(name): postgres.execute(f"SELECT count(*), md5(coalesce({text}, '')) FROM \"{name}\" t", database)[0]
        for (name,) in tables
    }


def test_a_dump_put_back_is_the_same(
    database: str, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pg_dump and pg_restore as in the guide: every row of Dagster's storage and of the archive is there again."""
    receive(postgres.url(database), "S230601a")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.add_dynamic_partitions("alert_version", ["one"])
        assert all(materialise(instance, record) for record in Archive(postgres.url(database)).versions())
    before = rows(postgres, database)
    assert before["runs"][0] == before["message"][0] == 1
    where = ["-h", "127.0.0.1", "-p", str(postgres.port), "-U", "mma"]
    dump = str(tmp_path / "mma.dump")
    subprocess.run([binaries() / "pg_dump", "-Fc", *where, "-f", dump, database], check=True, timeout=120)
    restored = postgres.create_database().rpartition("/")[2]
    command = [binaries() / "pg_restore", *where, "-d", restored, "--no-owner", dump]
    subprocess.run(command, check=True, timeout=120)
    assert rows(postgres, restored) == before
    use(postgres.url(restored), monkeypatch)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert "one" in instance.get_dynamic_partitions("alert_version")
        assert instance.get_runs_count() == 1


def test_a_lost_database_is_rebuilt_from_the_export(
    database: str, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Export, a new database, import, backfill of what is missing: the same versions, names and digests as before.

    One event had its products, the other was archived and not made yet when the database was lost.
    """
    url = postgres.url(database)
    receive(url, "S230601a")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert all(materialise(instance, record) for record in Archive(url).versions())
    receive(url, "S230602b")
    made = products(Archive(url))
    assert made
    runner = CliRunner()
    export = str(tmp_path / "archive.jsonl.gz")
    assert runner.invoke(app, ["archive", "export", export]).exit_code == 0
    postgres.execute(f'DROP DATABASE "{database}" WITH (FORCE)')

    fresh = postgres.create_database()
    use(fresh, monkeypatch)
    for arguments in (["archive", "import", export], ["backfill", "--all", "--missing"]):
        answer = runner.invoke(app, arguments)
        assert answer.exit_code == 0, answer.output
    rebuilt = products(Archive(fresh))
    assert made.items() <= rebuilt.items()
    assert {event for event, _, _ in rebuilt} == {"S230601a", "S230602b"}


def products(archive: Archive) -> dict[tuple[str, str, str], tuple[str, str | None]]:
    """Event, version and product to file and digest."""
    return {
        (record.version.event_id, record.partition_key, product.name): (product.store_key, product.sha256)
        for record in archive.versions()
        for product in archive.products(record.partition_key)
    }
