"""What the service modules share: free ports, waiting, a child in its own process group, "not available here"."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class ServiceUnavailableError(RuntimeError):
    """The machine lacks what a service needs; the message says what to install."""


def free_ports(count: int) -> list[int]:
    """Return `count` different free TCP ports of the loopback interface."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def port_open(port: int) -> bool:
    """Return whether something listens on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(ready: Callable[[], bool], what: str, *, timeout: float = 60, every: float = 0.05) -> None:
    """Wait until `ready()` is true; TimeoutError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(every)


def unprivileged_user() -> str | None:
    """Return the account that a server which refuses root runs under; None where we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise ServiceUnavailableError("running as root and there is no account postgres or nobody to step down to")


class Child:
    """One server process in its own process group, its output in a log file."""

    def __init__(self, name: str, command: list[str], log: Path, **popen: Any) -> None:
        self.name, self.log = name, log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True, **popen
            )

    @property
    def alive(self) -> bool:
        """Return whether the process runs."""
        return self.process.poll() is None

    def wait_ready(self, ready: Callable[[], bool], timeout: float = 60) -> None:
        """Wait for readiness; RuntimeError with the end of the log where the process died instead."""

        def check() -> bool:
            if not self.alive:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
            return ready()

        try:
            wait_until(check, self.name, timeout=timeout)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.tail()}") from None

    def tail(self, lines: int = 30) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def end(self, how: signal.Signals = signal.SIGTERM, timeout: float = 30) -> None:
        """Signal the whole group and wait; SIGKILL where it does not end in time."""
        if self.alive:
            os.killpg(self.process.pid, how)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(timeout)
