"""A real Redis (or Valkey, which speaks the same protocol) with a password and without a disk, on a free loopback port.

`with RedisServer.running() as server: url = server.url`. Port and password outlive `kill()`; what it held does not.
"""

from __future__ import annotations

import secrets
import shutil
import signal
from pathlib import Path

import redis

from tests.services.installed import program
from tests.services.process import Child, free_ports
from tests.services.server import Server


class RedisServer(Server):
    """One server; `folder` holds its log only."""

    def __init__(self, folder: Path) -> None:
        """Prepare (not start) a server."""
        super().__init__(folder)
        (self.port,) = free_ports(1)
        self.password = secrets.token_hex(12)

    @property
    def url(self) -> str:
        """Its address with the password."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def command(self) -> list[str]:
        """The command line that runs it."""
        found = shutil.which("valkey-server") or program("redis-server", "redis-server")
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "requirepass": self.password,
            "save": "",
            "dir": "/tmp",
        }
        return [found, *(word for name, value in settings.items() for word in (f"--{name}", value))]

    def start(self) -> None:
        """Start and wait until it answers."""
        self._child = Child("Redis", self.command, self.folder / "redis.log")
        self._child.wait_ready(self.answers)

    def kill(self) -> None:
        """SIGKILL; everything in it is lost."""
        if self._child is not None:
            self._child.end(signal.SIGKILL)
            self._child = None

    def answers(self) -> bool:
        """Whether it answers to its password."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
