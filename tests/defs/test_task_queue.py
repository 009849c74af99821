"""The resident workers' queue on a real PostgreSQL, where another process makes it at the same moment."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml
from celery import Celery
from kombu.transport.sqlalchemy.models import metadata

from mma_pipeline.instance.task_queue import declare_queue
from tests.services.postgres import PostgresServer
from tests.services.process import Child, wait_until

QUEUE = "dagster"
ROW = "INSERT INTO kombu_queue (id, name) VALUES (nextval('queue_id_sequence'), 'dagster')"


@pytest.fixture
def app(postgres_url: str) -> Celery:
    """A Celery app whose broker is an empty PostgreSQL database; its class of channel defines the tables."""
    app = Celery(broker=f"sqla+{postgres_url}", set_as_current=False)
    with app.connection_for_write() as connection:
        assert connection.default_channel is not None
    return app


@pytest.fixture
def engine(postgres_url: str) -> sa.Engine:
    """The same database, without a pool."""
    return sa.create_engine(postgres_url, poolclass=sa.NullPool)


def _tables(connection: sa.Connection) -> None:
    metadata.create_all(connection)


def _row(connection: sa.Connection) -> None:
    connection.execute(sa.text(ROW))


@pytest.mark.parametrize("first", [_tables, _row], ids=["tables", "row"])
def test_whoever_is_second_has_the_queue_too(
    app: Celery, engine: sa.Engine, postgres: PostgresServer, first: Callable[[sa.Connection], None]
) -> None:
    """Tables, or the queue's row, made by an uncommitted transaction: the other one waits, is refused, and goes on."""
    if first is _row:
        with engine.begin() as connection:
            _tables(connection)
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            first(connection)
            done = pool.submit(declare_queue, app, QUEUE)
            wait_until(postgres.somebody_waits, "the second one at the first one's lock", timeout=60)
        done.result(timeout=60)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT name FROM kombu_queue")).scalars().all() == [QUEUE]


def test_no_connection_is_left_to_a_fork(app: Celery, engine: sa.Engine) -> None:
    """After declaring, the database sees no connection but the asking one."""
    declare_queue(app, QUEUE)
    query = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    with engine.connect() as connection:
        assert connection.execute(query).scalar() == 1


def test_a_broker_that_needs_no_queue_is_left_alone(tmp_path: Path) -> None:
    """The file system's broker takes the declaration as well."""
    folder = {"data_folder_in": str(tmp_path), "data_folder_out": str(tmp_path), "control_folder": str(tmp_path)}
    app = Celery(broker="filesystem://", set_as_current=False)
    app.conf.broker_transport_options = folder
    declare_queue(app, QUEUE)


def test_a_worker_that_starts_while_the_queue_is_made_serves(
    app: Celery, engine: sa.Engine, postgres: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    """The worker comes second at the queue's row, and is ready afterwards."""
    settings = {
        "run_launcher": {
            "module": "dagster_celery.launcher",
            "class": "CeleryRunLauncher",
            "config": {"broker": f"sqla+{postgres_url}", "backend": f"db+{postgres_url}"},
        }
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with engine.begin() as connection:
        _tables(connection)
    command = [sys.executable, "-c", "from mma_pipeline.cli import app; app()", "worker", "--loglevel", "info"]
    env = {**os.environ, "DAGSTER_HOME": str(tmp_path)}
    with contextlib.ExitStack() as stack:
        with engine.begin() as connection:
            _row(connection)
            worker = Child("worker", command, tmp_path / "worker.log", env=env)
            stack.callback(worker.end)
            worker.wait_ready(postgres.somebody_waits, timeout=120)
        worker.wait_ready(lambda: " ready." in worker.log.read_text(), timeout=120)
