"""The pipeline as separate processes with a supervisor, as in production: code server, daemon, warm worker.

Settings are the project's own (dagster_home/warm/dagster.yaml) with the paths of the run and shorter waits. Whatever
dies is started again, as Kubernetes or systemd would. For the kill test, the soak and the latency benchmark.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import yaml

from mma_pipeline.adapters.archive import Archive
from tests.services.kafka import KafkaBroker
from tests.services.postgres import PostgresServer
from tests.services.process import Child, free_ports, wait_until

ROOT = Path(__file__).parents[2]
#: How long a supervisor takes to notice, seconds.
RESTART_S = 1.0


class Stack:
    """One deployment on free ports in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        kafka: KafkaBroker,
        postgres: PostgresServer | None,
        *,
        warm: bool,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Write settings; nothing runs yet. `warm` needs PostgreSQL; without it the laptop's settings on SQLite.

        `env`: further variables for every process, such as where to publish.
        """
        self.folder, self.warm = folder, warm
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        (self.port,) = free_ports(1)
        self.archive_url = f"sqlite:///{folder / 'archive.db'}"
        self.postgres = postgres
        self.database = ""
        if postgres is not None:
            url = postgres.create_database()
            self.database = url.rpartition("/")[2]
            self.archive_url = url
        self.env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "DAGSTER_HOME": str(self.home),
            "MMA_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "MMA_ARCHIVE_URL": self.archive_url,
            "MMA_UNFINISHED_AFTER_S": "45",
            "MMA_STORE_URL": (folder / "products").as_uri(),
            **(env or {}),
        }
        self._write_settings()
        self._children: dict[str, Child] = {}
        self._died: dict[str, float] = {}
        self._commands = {
            "code-server": [
                *["dagster", "api", "grpc", "-m", "mma_pipeline.definitions", "-h", "127.0.0.1", "-p"],
                str(self.port),
            ],
            "daemon": ["dagster-daemon", "run", "-w", str(folder / "workspace.yaml")],
        }
        if warm:
            self._commands["worker"] = [sys.executable, "-c", "from mma_pipeline.cli import app; app()", "worker"]

    @contextlib.contextmanager
    def running(self) -> Iterator[Stack]:
        """Start everything; SIGKILL everything at the end."""
        with self.instance() as instance:
            instance.upgrade()  # what `dagster instance migrate` does
        Archive(self.archive_url, create=True)
        try:
            for name in self._commands:
                self._start(name)
            wait_until(self.ready, "the sensor's first tick", timeout=180, every=0.5)
            yield self
        finally:
            for child in self._children.values():
                for pid in [*_descendants(child.process.pid), child.process.pid]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                child.process.wait()

    def ready(self) -> bool:
        """Whether a sensor has ticked."""
        with self.instance() as instance:
            return bool(instance.all_instigator_state())

    def supervise(self) -> None:
        """Start again what has died some time ago."""
        for name, child in self._children.items():
            if child.alive:
                continue
            died = self._died.setdefault(name, time.monotonic())
            if time.monotonic() - died >= RESTART_S:
                del self._died[name]
                self._start(name)

    def check_alive(self) -> None:
        """RuntimeError with the end of its log where a process has ended: for tests that kill none."""
        for name, child in self._children.items():
            if not child.alive:
                raise RuntimeError(f"{name} ended with {child.process.returncode}:\n{child.tail(60)}")

    def kill(self, name: str) -> None:
        """SIGKILL one process of the deployment, without its children, as the kernel's memory killer does."""
        child = self._children[name]
        if child.alive:
            child.process.kill()
            child.process.wait()

    def kill_run(self) -> bool:
        """SIGKILL the process of a run; False where none is there."""
        parent = self._children["worker" if self.warm else "code-server"]
        found = [pid for pid in _descendants(parent.process.pid) if self.warm or _is_run(pid)]
        if not found:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(found[-1], signal.SIGKILL)
        return True

    @contextlib.contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The deployment's Dagster instance, seen from outside."""
        with _environment(self.env), dg.DagsterInstance.from_config(str(self.home)) as instance:
            yield instance

    def archive(self) -> Archive:
        """The deployment's archive."""
        return Archive(self.archive_url)

    def log(self, name: str) -> str:
        """The end of a process's log."""
        return self._children[name].tail(60)

    def _start(self, name: str) -> None:
        if name == "worker":
            for pid in self._orphans():  # pool processes of a killed worker, which its container would take along
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._children[name] = Child(name, self._commands[name], self.folder / f"{name}.log", env=self.env, cwd=ROOT)

    def _orphans(self) -> list[int]:
        if "worker" not in self._children:
            return []
        group = self._children["worker"].process.pid
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError, psutil.Error):
                if os.getpgid(process.pid) == group:
                    found.append(process.pid)
        return found

    def _write_settings(self) -> None:
        source = ROOT / "dagster_home" / ("warm" if self.warm else "") / "dagster.yaml"
        settings: dict[str, Any] = yaml.safe_load(source.read_text())
        settings["run_monitoring"] |= {
            "poll_interval_seconds": 3,
            "start_timeout_seconds": 45,
            "max_runtime_seconds": 120,
        }
        if self.warm:
            queue = self.folder / "queue"
            (queue / "control").mkdir(parents=True)
            options = settings["run_launcher"]["config"]["config_source"]["broker_transport_options"]
            options |= {"data_folder_in": str(queue), "data_folder_out": str(queue)}
            options["control_folder"] = str(queue / "control")
            self.env["MMA_CELERY_BROKER"] = "filesystem://"
            self.env["MMA_CELERY_BACKEND"] = f"db+{self.archive_url}"
            self.env["DAGSTER_PG_URL"] = self.archive_url.replace("+psycopg2", "")
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(settings))
        place = {"host": "127.0.0.1", "port": self.port, "location_name": "mma_pipeline"}
        (self.folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"grpc_server": place}]}))
        shutil.copy(self.home / "dagster.yaml", self.folder / "dagster.yaml")


def _descendants(pid: int) -> list[int]:
    with contextlib.suppress(psutil.Error):
        return [process.pid for process in psutil.Process(pid).children(recursive=True)]
    return []


def _is_run(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return "spawn_main" in " ".join(psutil.Process(pid).cmdline())
    return False


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
