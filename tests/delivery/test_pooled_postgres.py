"""Dagster's storage with kept connections: few sessions, and none that a restart of the database has spoilt."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.scheduler.instigation import InstigatorType, TickData, TickStatus
from dagster._core.storage.schedules import SqlScheduleStorage

from mma_pipeline.instance import pooled_postgres
from tests.services.postgres import PostgresServer


@pytest.fixture
def database(postgres: PostgresServer) -> str:
    """A database of the test's own."""
    return postgres.create_database().rpartition("/")[2]


@pytest.fixture
def instance(
    postgres: PostgresServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance configured as dagster_home/warm is."""
    monkeypatch.setenv("DAGSTER_PG_URL", postgres.url(database).replace("+psycopg2", ""))
    config = Path(__file__).parents[2] / "dagster_home" / "warm" / "dagster.yaml"
    storage = config.read_text().split("storage:\n")[1].split("\n\n")[0]
    (tmp_path / "dagster.yaml").write_text(f"telemetry:\n  enabled: false\nstorage:\n{storage}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as found:
        yield found


def sessions(postgres: PostgresServer, database: str) -> int:
    """Connections that were ever opened to a database."""
    rows = postgres.execute(f"SELECT sessions FROM pg_stat_database WHERE datname = '{database}'")
    return int(str(rows[0][0]))


def test_connections_are_kept(postgres: PostgresServer, database: str, instance: dg.DagsterInstance) -> None:
    """Fifty operations of one kind open hardly any connection."""
    instance.add_dynamic_partitions("p", ["first"])
    before = sessions(postgres, database)
    for number in range(50):
        instance.add_dynamic_partitions("p", [str(number)])
    assert sessions(postgres, database) - before < 10
    assert len(instance.get_dynamic_partitions("p")) == 51


def test_instances_share_connections(postgres: PostgresServer, database: str, instance: dg.DagsterInstance) -> None:
    """An instance made anew for each tick, four at a time, opens no connection that was not there, and each works as its own."""
    reference = instance.get_ref()

    def tick(number: int) -> str:
        with dg.DagsterInstance.from_ref(reference) as own:
            own.add_dynamic_partitions("p", [str(number)])
            return own.run_storage.get_run_storage_id()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tick, range(20)))
        before = sessions(postgres, database)
        assert len(set(pool.map(tick, range(20, 60)))) == 1
    assert sessions(postgres, database) - before <= 2
    assert len(instance.get_dynamic_partitions("p")) == 60


def test_cut_connections_are_replaced(
    postgres: PostgresServer, database: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the database has cut every connection the next operation works, and so does one in another process."""
    monkeypatch.setattr(pooled_postgres, "IDLE_S", 0.0)
    instance.add_dynamic_partitions("p", ["before"])
    assert postgres.cut_connections(database) > 0
    instance.add_dynamic_partitions("p", ["after"])
    with dg.DagsterInstance.from_ref(instance.get_ref()) as other:
        assert other.get_dynamic_partitions("p") == ["before", "after"]
        assert type(other.get_ref().storage_data.rehydrate()).__name__ == "PooledPostgresStorage"


def test_what_is_there_is_asked_once(instance: dg.DagsterInstance) -> None:
    """Once tables, columns and a partition were there, a run asks no more for them; what was removed is gone at once."""
    parts = dg.DynamicPartitionsDefinition(name="p")

    @dg.asset(partitions_def=parts)
    def skymap() -> None:
        """An asset."""

    instance.add_dynamic_partitions("p", ["first", "second"])
    assert dg.materialize([skymap], instance=instance, partition_key="first").success
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        assert dg.materialize([skymap], instance=instance, partition_key="second").success
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    # The stock storage also looks at columns by no public method, in three statements: at a run's start, and for each newest event.
    assert len([statement for statement in asked if "pg_catalog" in statement]) <= 20
    assert len([statement for statement in asked if "FROM dynamic_partitions" in statement]) <= 1
    instance.delete_dynamic_partition("p", "second")
    assert not instance.has_dynamic_partition("p", "second")
    assert not instance.event_log_storage.has_table("a table that a migration may bring")


def test_a_daemon_asks_once_which_tables_are_there(instance: dg.DagsterInstance) -> None:
    """The second look at a sensor's state, its ticks and the queue asks nothing about tables, columns and migrations."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    def look() -> None:
        state = instance.get_instigator_state("origin", "selector")
        assert state is None
        assert instance.get_ticks("origin", "selector") == []
        assert instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])) == []
        instance.create_tick(
            TickData("origin", "sensor", InstigatorType.SENSOR, TickStatus.SKIPPED, 0.0, selector_id="selector")
        )
        instance.purge_ticks("origin", "selector", before=1.0)

    look()
    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        look()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert [one for one in asked if "pg_catalog" in one or "secondary_indexes" in one] == []
    assert isinstance(instance.schedule_storage, SqlScheduleStorage)
    assert not instance.schedule_storage.has_built_index("a migration that nobody has made")
