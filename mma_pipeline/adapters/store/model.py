"""The description of a stored object, and the interface of a backend.

The `Store` holds all rules (keys, digests, retries, unchanged objects); a backend only moves bytes.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

_CHUNK = 1 << 20

Payload = bytes | Path
"""An object's content: bytes, or the path of a local file for what should not be held in memory."""


@dataclass(frozen=True)
class StoredObject:
    """One object in a store.

    Attributes:
        key: relative POSIX path.
        size: bytes.
        sha256: hex digest; None only if another program wrote the object and the store keeps no SHA-256.
        md5: hex digest as the server keeps it; None if it keeps none (multipart uploads, local folders).
        content_type: media type, None if a listing does not tell it.
        metadata: names and values given to `put`.
        written: True if this call wrote it, False if it was there already (or was only looked up).
    """

    key: str
    size: int
    sha256: str | None = None
    md5: str | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    written: bool = False


@dataclass(frozen=True)
class Digest:
    """Digests and size (bytes) of one payload, taken in a single pass."""

    sha256: str
    md5: str
    size: int

    @classmethod
    def of(cls, data: Payload) -> Digest:
        """Hash bytes, or a file in pieces of 1 MiB."""
        sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
        for piece in pieces(data, _CHUNK):
            sha256.update(piece)
            md5.update(piece)
            size += len(piece)
        return cls(sha256.hexdigest(), md5.hexdigest(), size)

    def same_as(self, found: StoredObject) -> bool:
        """Whether a stored object has these bytes; False also if the store cannot tell."""
        if found.size != self.size:
            return False
        if found.sha256 is not None:
            return found.sha256 == self.sha256
        return found.md5 is not None and found.md5 == self.md5


class Backend(Protocol):
    """Moves bytes to and from one place. Keys are already checked; every method may raise the library's own errors."""

    name: str
    """Address of the place for errors and `Store.url`, without credentials and final slash."""
    secrets: tuple[str, ...]
    """Values that no message may show."""

    def write(self, key: str, data: Payload, digest: Digest, content_type: str, metadata: Mapping[str, str]) -> None:
        """Write the object in one step as seen by readers; the server verifies the received bytes."""

    def read(self, key: str, into: Path | None = None) -> tuple[StoredObject, bytes]:
        """Return one version of the object, its description and content, in one request.

        With ``into`` the content goes to that file, and the bytes returned are empty.
        """

    def part(self, key: str, start: int, length: int) -> tuple[StoredObject, bytes]:
        """Return ``length`` bytes (at least one) from ``start``, and what the same answer says of the whole object.

        The whole object's size and SHA-256 must be right; its other values may be missing.
        """

    def head(self, key: str) -> StoredObject | None:
        """Look up one object without reading it, None if it is not there."""

    def ls(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects whose keys start with ``prefix``, in no promised order."""

    def copy(self, src: str, dst: str) -> None:
        """Copy within the store, on the server's side, with type and metadata."""

    def delete(self, key: str) -> None:
        """Remove one object; FileNotFoundError if it is not there."""


def guess_content_type(key: str) -> str:
    """Media type by the name's ending; FITS and gzip as the IANA registry has them (RFC 4047, RFC 6713)."""
    if key.endswith(".gz"):
        return "application/gzip"
    if key.endswith((".fits", ".fit")):
        return "application/fits"
    if key.endswith(".geojson"):
        return "application/geo+json"
    return mimetypes.guess_type(key, strict=False)[0] or "application/octet-stream"


def pieces(data: Payload, size: int) -> Iterator[bytes]:
    """Yield the content in pieces of ``size`` bytes (the last may be shorter)."""
    if isinstance(data, bytes):
        for start in range(0, len(data), size):
            yield data[start : start + size]
        return
    with data.open("rb") as file:
        while piece := file.read(size):
            yield piece


def whole_size(content_range: str | None, received: int) -> int:
    """Size of the whole object (bytes) by the header Content-Range of a part, or what was received without one."""
    total = (content_range or "").rpartition("/")[2]
    return int(total) if total.isdecimal() else received


def check_size(found: StoredObject, received: int) -> None:
    """Raise EOFError (worth another try) if a connection ended before the last byte."""
    if received != found.size:
        raise EOFError(f"received {received} of {found.size} bytes")
