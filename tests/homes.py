"""Homes for tests: a folder with archive, store and Dagster settings, and what a sensor or a person does with it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.alerts import real_paths

if TYPE_CHECKING:
    import dagster as dg

    from mma_pipeline.adapters.archive import Archive, VersionRecord
    from mma_pipeline.adapters.store import Store

ROOT = Path(__file__).resolve().parents[1]
SQLITE = "sqlite:///"
#: Settings of the machine that must not reach a test.
FOREIGN = (
    *("KAFKA_CLIENT_ID", "KAFKA_CLIENT_SECRET", "KAFKA_GROUP_ID", "KAFKA_OFFSET_RESET", "MMA_KAFKA_BOOTSTRAP"),
    *("DRY_RUN", "WRITE_TO_STORAGE", "GCN_DOMAIN"),
)


class Home:
    """A DAGSTER_HOME with the project's settings, an archive and a store of its own."""

    def __init__(self, folder: Path) -> None:
        """Make the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "dagster_home" / "dagster.yaml", folder)
        self.folder = folder
        self.products = folder / "products"
        self.env = {
            "DAGSTER_HOME": str(folder),
            "MMA_ARCHIVE_URL": f"sqlite:///{folder / 'archive.db'}",
            "MMA_STORE_URL": self.products.as_uri(),
        }
        self._next_offset = 0
        self._instance: dg.DagsterInstance | None = None

    def take_over(self, other: Home) -> None:
        """Copy archive and files of another home into this one, which is empty; Dagster's instance in memory stays there.

        The store's notes on its files hold for the other's files only: it looks at these itself.
        """
        shutil.copytree(other.folder, self.folder, dirs_exist_ok=True)
        self._next_offset = other._next_offset

    @contextlib.contextmanager
    def active(self) -> Iterator[Home]:
        """The process's environment points here."""
        with pytest.MonkeyPatch.context() as patch:
            for name in FOREIGN:
                patch.delenv(name, raising=False)
            for name, value in self.env.items():
                patch.setenv(name, value)
            yield self

    @property
    def archive(self) -> Archive:
        """The archive."""
        return new_archive(self.env["MMA_ARCHIVE_URL"])

    @property
    def store(self) -> Store:
        """The store."""
        from mma_pipeline.adapters.store import Store

        return Store.open(self.env["MMA_STORE_URL"])

    @property
    def instance(self) -> dg.DagsterInstance:
        """A Dagster instance in memory, the same for the life of the home."""
        import dagster as dg

        if self._instance is None:
            self._instance = dg.DagsterInstance.ephemeral()
        return self._instance

    def receive(self, body: bytes) -> tuple[VersionRecord, ...]:
        """Archive a message as the sensor of its stream does; returns its versions."""
        from mma_pipeline.adapters.kafka.message import StreamMessage
        from mma_pipeline.defs.alerts.streams import stream_of
        from mma_pipeline.products.ingest import Quarantined, ingest

        stream = stream_of(body)
        message = StreamMessage(
            stream.name, stream.topic, 0, self._next_offset, body, None, (), None, datetime.now(UTC)
        )
        self._next_offset += 1
        outcome = ingest(self.archive, message, stream.parse)
        assert not isinstance(outcome, Quarantined), outcome
        return outcome.versions

    def make(self, record: VersionRecord, only: Sequence[str] | None = None) -> dg.ExecuteInProcessResult:
        """Run the job of all products for a version, or of some assets alone."""
        return self.make_all([record], only)

    def make_all(
        self, records: Sequence[VersionRecord], only: Sequence[str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run the job of all products for one version, or for several in one run as a backfill does."""
        import dagster as dg

        from mma_pipeline.definitions import defs
        from mma_pipeline.defs.partitions import alert_versions

        keys = [record.partition_key for record in records]
        self.instance.add_dynamic_partitions(alert_versions.name or "", keys)
        where: dict[str, object] = {"partition_key": keys[0]}
        if len(keys) > 1:
            ordered = self.instance.get_dynamic_partitions(alert_versions.name or "")
            assert ordered[ordered.index(keys[0]) :][: len(keys)] == keys, "a range holds neighbours"
            where = {
                "tags": {
                    "dagster/asset_partition_range_start": keys[0],
                    "dagster/asset_partition_range_end": keys[-1],
                }
            }
        with self.active():
            return defs.resolve_job_def("alert_products").execute_in_process(
                instance=self.instance,
                raise_on_error=False,
                asset_selection=None if only is None else [dg.AssetKey(name) for name in only],
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                **where,
            )

    def files(self) -> dict[str, bytes]:
        """Every file of the store by its key."""
        return {
            path.relative_to(self.products).as_posix(): path.read_bytes()
            for path in sorted(self.products.rglob("*"))
            if path.is_file() and ".mma" not in path.relative_to(self.products).parts
        }


def instance_for_test(**options: Any) -> AbstractContextManager[dg.DagsterInstance]:
    """As `dagster.instance_for_test`, with the storage of dagster_home: a run of all products takes half as long."""
    import dagster as dg

    storage = yaml.safe_load((ROOT / "dagster_home" / "dagster.yaml").read_text())["storage"]
    return dg.instance_for_test(**{**options, "overrides": {"storage": storage, **options.get("overrides", {})}})


def new_archive(url: str) -> Archive:
    """Open an archive, empty where the database is new: on SQLite a copy of what the migrations made once."""
    from mma_pipeline.adapters.archive import Archive

    path = Path(url.removeprefix(SQLITE))
    if url.startswith(SQLITE) and not path.exists():
        path.write_bytes(_empty_database())
    return Archive(url, create=True)


@cache
def _empty_database() -> bytes:
    from mma_pipeline.adapters.archive import Archive

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archive.db"
        Archive(f"{SQLITE}{path}", create=True).engine.dispose()
        assert tree(Path(folder)) == {str(path)}, "all is in the one file"
        return path.read_bytes()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An empty home that the environment points to."""
    with Home(tmp_path / "home").active() as fresh:
        yield fresh


@pytest.fixture(scope="session")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, list[dict[str, str]]]:
    """A home into which `mma replay --direct` brought every real alert and the bad one, and what it reported.

    Made once for all workers of the session: read only.
    """
    import json

    from typer.testing import CliRunner

    from mma_pipeline.cli import app
    from tests.alerts import BAD_FOLDER, REAL_FOLDER

    if not real_paths():
        pytest.skip(f"no real alerts: {REAL_FOLDER} is not there (see CONTRIBUTING.md)")
    # Workers of pytest-xdist have their folders side by side in one of the whole run.
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "replayed"
    told = folder / "outcome.json"
    with one_at_a_time(folder.with_suffix(".lock")):
        home = Home(folder)
        if not told.exists():
            with home.active():
                answer = CliRunner().invoke(app, ["replay", "--direct", "--json", str(REAL_FOLDER), str(BAD_FOLDER)])
            assert answer.exit_code == 0, answer.output
            told.write_text(answer.stdout)
    return home, json.loads(told.read_text())


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock file, for what one worker of pytest-xdist makes for all."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def tree(folder: Path) -> set[str]:
    """Paths of all files below a folder."""
    return {str(Path(top, name)) for top, _, names in os.walk(folder) for name in names}
