"""Starts Dagster's web server, daemon and code server, and the portal, on this machine, and stops them again."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from mma_pipeline.adapters.http import client
from mma_pipeline.cli.app import Exit, fail
from mma_pipeline.settings import environment_of_child

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 20.0
_DAEMONS = '{"query": "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy required } } } }"}'


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Local(ABC):
    """A program on this machine, in a process group of its own so that none of its children stays behind."""

    def __init__(self, command: list[str], home: Path, log: str, port: int, env: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = home / log
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment_of_child(**{"DAGSTER_HOME": str(home), **env}),
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Return once it answers as it should; the error names the log file."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise fail(f"{self.name} ended with code {self._process.returncode}: see {self.log}")
            if self._healthy():
                return
            time.sleep(0.5)
        raise fail(f"{self.name} was not ready within {START_TIMEOUT_S:.0f} s: see {self.log}")

    name = "the program"

    @abstractmethod
    def _healthy(self) -> bool:
        """Whether the program answers as it should."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process of the group; those that ignore the signal are killed."""
        group = self._process.pid
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(group, sign)
            except ProcessLookupError:
                return
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while time.monotonic() < deadline and _group_lives(group):
                self._process.poll()
                time.sleep(0.1)
            if not _group_lives(group):
                return


class LocalDagster(_Local):
    """`dagster dev` on a workspace: ready once the web server answers and every daemon is healthy."""

    name = "Dagster"

    def __init__(self, home: Path, workspace: Path, port: int, env: dict[str, str]) -> None:
        """Start it; what it prints goes to `dagster.log` in `home`."""
        command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(port)]
        super().__init__(command, home, "dagster.log", port, env)

    def _healthy(self) -> bool:
        import httpx

        headers = {"content-type": "application/json"}
        try:
            with client(base=self.url, headers=headers) as asking:
                answer = asking.post("/graphql", content=_DAEMONS, timeout=5.0)
            statuses = answer.json()["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            # Still starting: it does not answer, or not yet with the data asked for.
            return False
        needed = [status for status in statuses if status["required"]]
        return bool(needed) and all(status["healthy"] for status in needed)


class LocalPortal(_Local):
    """`mma serve`: ready once it lists events."""

    name = "the portal"

    def __init__(self, home: Path, port: int, env: dict[str, str]) -> None:
        """Start it; what it prints goes to `portal.log` in `home`."""
        command = [sys.executable, "-c", "from mma_pipeline.cli import app; app()", "serve", "--port", str(port)]
        super().__init__(command, home, "portal.log", port, env)

    def _healthy(self) -> bool:
        import httpx

        try:
            with client(base=self.url) as asking:
                return asking.get("/api/v1/events", timeout=5.0).is_success
        except httpx.HTTPError:
            return False


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def fresh_home(parent: Path) -> Path:
    """An empty DAGSTER_HOME in `parent`/demo with `parent`'s dagster.yaml; files of an earlier demo are removed.

    Ends the command if a demo runs there, or if the folder is not one that a demo made. It is this process's until that ends.
    """
    settings = parent / "dagster.yaml"
    if not settings.is_file():
        raise fail(
            f"{settings} is missing: run this in the project's folder, or set DAGSTER_HOME to its dagster_home",
            Exit.USAGE,
        )
    home = parent / "demo"
    _take(parent / "demo.lock", home)
    if home.exists():
        if not (home / settings.name).is_file() and any(home.iterdir()):
            raise fail(f"{home} is not the folder of an earlier demo, and would be emptied: move it away", Exit.USAGE)
        shutil.rmtree(home)
    home.mkdir(parents=True)
    shutil.copy(settings, home)
    return home


def _take(lock: Path, home: Path) -> None:
    """Take a folder for this process, for as long as it lives."""
    held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(held)
        raise fail(
            f"a demo is running in {home}: end it with Ctrl-C, or set DAGSTER_HOME to another copy of dagster_home"
        ) from error
