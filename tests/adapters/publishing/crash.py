"""A publisher that dies at a chosen place; test_kill runs it as a process of its own."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import hop.io  # noqa: F401 - imported before the processes are forked, which saves each the time

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.publications import Answer, Publication
from mma_pipeline.adapters.publishing.gwtm import GwtmDestination
from mma_pipeline.adapters.publishing.gwtm_client import GwtmClient
from mma_pipeline.adapters.publishing.hopskotch import HopskotchDestination
from mma_pipeline.adapters.publishing.model import Note
from mma_pipeline.adapters.publishing.publisher import Backoff, Publisher
from tests.services.gwtm_schemas import ADMIN


def die() -> None:
    """As the machine does it: no farewell."""
    os.kill(os.getpid(), signal.SIGKILL)


class Mortal:
    """A destination around which the process dies."""

    def __init__(self, target: Any, where: str) -> None:
        self._target, self._where = target, where
        self.name, self.settle_s, self.per_minute = target.name, 0.0, None
        self.prepare, self.preview = target.prepare, target.preview

    def send(self, item: Publication, note: Note) -> Answer:
        """Send, or die before or after it."""
        if self._where == "before send":
            die()
        answer: Answer = self._target.send(item, note)
        if self._where == "after send":
            die()
        return answer


def publish(url: str, address: str, where: str, ahead_s: float) -> None:
    """Publish what is due, or one item where the process is to die.

    Args:
        url: the archive.
        address: base address of the GWTM stand-in, or `kafka://…`.
        where: `before send` (the claim is committed), `after send` (the answer is not noted), `after note`, `never`.
        ahead_s: seconds that the clock runs ahead, so that leases have run out.
    """
    target: Any
    if address.startswith("kafka://"):
        target = HopskotchDestination("dest", address, anonymous=True, timeout_s=20.0)
    else:
        target = GwtmDestination(GwtmClient(address, ADMIN, timeout_s=20.0), "dest")
    sender = Publisher(
        Archive(url).engine,
        {"dest": Mortal(target, where)},
        backoff=Backoff(first_s=0.0, longest_s=0.0, waiting_s=0.0),
        lease_s=60.0,
        clock=lambda: datetime.now(UTC) + timedelta(seconds=ahead_s),
    )
    sender.run("dest", limit=1 if where != "never" else 100)
    if where == "after note":
        die()
