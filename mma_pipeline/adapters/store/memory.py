"""A store in this process's memory, for tests and for checking what a run would write."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mma_pipeline.adapters.store.model import Digest, Payload, StoredObject

_SHARED: dict[str, MemoryBackend] = {}


class MemoryBackend:
    """Objects in a dictionary."""

    def __init__(self, name: str) -> None:
        self.name = f"memory://{name}".rstrip("/")
        self._objects: dict[str, tuple[StoredObject, bytes]] = {}
        self.secrets: tuple[str, ...] = ()
        self._lock = threading.Lock()

    @classmethod
    def named(cls, name: str) -> MemoryBackend:
        """One backend per name and process, so that a sensor and its assets see the same objects."""
        return _SHARED.setdefault(name, cls(name))

    def write(self, key: str, data: Payload, digest: Digest, content_type: str, metadata: Mapping[str, str]) -> None:
        """Keep the bytes."""
        content = data if isinstance(data, bytes) else data.read_bytes()
        found = StoredObject(key, len(content), digest.sha256, digest.md5, content_type, dict(metadata))
        with self._lock:
            self._objects[key] = (found, content)

    def read(self, key: str, into: Path | None = None) -> tuple[StoredObject, bytes]:
        """Return the entry."""
        entry = self._objects.get(key)
        if entry is None:
            raise FileNotFoundError(key)
        if into is None:
            return entry
        into.write_bytes(entry[1])
        return entry[0], b""

    def part(self, key: str, start: int, length: int) -> tuple[StoredObject, bytes]:
        """Return a slice of the entry."""
        found, data = self.read(key)
        return found, data[start : start + length]

    def head(self, key: str) -> StoredObject | None:
        """Look it up."""
        entry = self._objects.get(key)
        return None if entry is None else entry[0]

    def ls(self, prefix: str) -> Iterator[StoredObject]:
        """Go over a snapshot of the keys."""
        with self._lock:
            found = [entry[0] for key, entry in self._objects.items() if key.startswith(prefix)]
        yield from found

    def copy(self, src: str, dst: str) -> None:
        """Copy the entry."""
        with self._lock:
            entry = self._objects.get(src)
            if entry is None:
                raise FileNotFoundError(src)
            self._objects[dst] = (replace(entry[0], key=dst), entry[1])

    def delete(self, key: str) -> None:
        """Remove the entry."""
        with self._lock:
            if self._objects.pop(key, None) is None:
                raise FileNotFoundError(key)
