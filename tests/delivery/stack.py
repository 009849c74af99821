"""The pipeline as separate processes with a supervisor, as in production: code server, daemon, warm worker and its queue.

Settings are the project's own (dagster_home/warm/dagster.yaml) with the paths of the run and nothing else. Whatever
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
from tests.services.redis import RedisServer

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
        self.queue = RedisServer(folder)
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
            # A Redis that keeps nothing on disk: when it is killed, the queue is lost.
            self._commands = {"queue": self.queue.command, **self._commands}
            self._commands["worker"] = [sys.executable, "-c", "from mma_pipeline.cli import app; app()", "worker"]

    @contextlib.contextmanager
    def running(self) -> Iterator[Stack]:
        """Start everything; SIGKILL everything at the end."""
        with self.instance() as instance:
            instance.upgrade()  # what `dagster instance migrate` does
        Archive(self.archive_url, create=True)
        try:
            self.start()
            wait_until(self.ready, "the sensor's first tick", timeout=180, every=0.5)
            yield self
        finally:
            self.power_cut()

    def start(self) -> None:
        """Start every process, for the first time or after a power cut."""
        for name in self._commands:
            self._start(name)

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

    def power_cut(self) -> None:
        """SIGKILL everything at once."""
        for child in self._children.values():
            _kill([child.process.pid, *_descendants(child.process.pid), *_group(child.process.pid)])
        for child in self._children.values():
            child.process.wait()

    def kill_whole(self, name: str) -> None:
        """SIGKILL a process of the deployment with all its children, as the end of its container does."""
        child = self._children[name]
        _kill([child.process.pid, *_descendants(child.process.pid), *_group(child.process.pid)])
        child.process.wait()

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
        # Of the worker's pool the one that has a run, if it can be told: the one that works.
        found.sort(key=_worked)
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
        if name == "worker" and name in self._children:
            # Pool processes of a killed worker, which its container would take along.
            _kill(_group(self._children[name].process.pid))
        self._children[name] = Child(name, self._commands[name], self.folder / f"{name}.log", env=self.env, cwd=ROOT)

    def _write_settings(self) -> None:
        source = ROOT / "dagster_home" / ("warm" if self.warm else "") / "dagster.yaml"
        settings: dict[str, Any] = yaml.safe_load(source.read_text())
        if self.warm:
            self.env["MMA_CELERY_BROKER"] = self.queue.url
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


def _group(leader: int) -> list[int]:
    """Processes of a group, also those whose parent is gone."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            if os.getpgid(process.pid) == leader:
                found.append(process.pid)
    return found


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _is_run(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return "spawn_main" in " ".join(psutil.Process(pid).cmdline())
    return False


def _worked(pid: int) -> float:
    """CPU seconds of the last moment; a process that is gone has none."""
    with contextlib.suppress(psutil.Error):
        return float(psutil.Process(pid).cpu_percent(interval=0.05))
    return 0.0


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
