"""What a server of one process has in common with the others: a throw-away folder, a child, an end."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from tests.services.process import Child


class Server(ABC):
    """One server; `start` makes `_child`."""

    def __init__(self, folder: Path) -> None:
        """Prepare (not start) a server whose files and log lie in `folder`."""
        self.folder = folder
        self._child: Child | None = None

    @classmethod
    @contextlib.contextmanager
    def running(cls, **options: Any) -> Iterator[Self]:
        """Run a server in a throw-away folder; `options` are those of the class."""
        prefix = f"mma-{cls.__name__.lower()}-"
        with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
            server = cls(Path(folder), **options)
            server.start()
            try:
                yield server
            finally:
                server.stop()

    @abstractmethod
    def start(self) -> None:
        """Start and wait until it answers."""

    def stop(self) -> None:
        """End the server."""
        if self._child is not None:
            self._child.end(signal.SIGKILL)
            self._child = None
