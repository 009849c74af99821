"""One message of a stream as the broker gave it. Kafka readers, files and the archive exchange this value."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property


@dataclass(frozen=True)
class StreamMessage:
    """A message with everything that the broker gives about it."""

    stream: str
    """Name of the stream as configured, such as `gcn-gwalert`."""
    topic: str
    partition: int
    offset: int
    body: bytes
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    broker_time: datetime | None
    """Time stamp of the broker or producer, UTC; None if it gives none."""
    received: datetime
    """When this process received the message from the broker, UTC."""

    digest: str | None = field(default=None, compare=False)
    """SHA-256 as archived, for a message that was read without its body; None: taken from the body."""

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the body as received."""
        return self.digest or hashlib.sha256(self.body).hexdigest()

    @property
    def coordinates(self) -> str:
        """`topic/partition/offset`, for messages to people."""
        return f"{self.topic}/{self.partition}/{self.offset}"
