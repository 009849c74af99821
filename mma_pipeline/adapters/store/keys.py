"""Keys: the relative POSIX paths that name objects, the same in every store.

A key is checked before any backend sees it, so that nothing that arrives in an alert can name a place outside the
store, and so that what one store holds can always be moved into another.
"""

from __future__ import annotations

import unicodedata

from mma_pipeline.adapters.errors import InvalidKeyError

HIDDEN = ".mma"
"""First path segment that the local store keeps for itself (digests, unfinished writes)."""

_MAX_KEY_BYTES = 1024
"""S3's limit; Azure (1024 characters) and Swift (1024 bytes) agree."""
_MAX_SEGMENT_BYTES = 240
"""A file name of a common filesystem holds 255 bytes; the local store needs a few for a suffix."""


def check_key(key: str) -> str:
    """Return ``key`` if every store can hold it under its own prefix.

    Raises:
        InvalidKeyError: not a relative path of plain segments: empty, absolute, with ``..``, ``.``, an empty
            segment, a backslash, a control character, a segment that ends in a dot (Azure drops it), a name that
            is too long, or the store's own ``.mma`` folder.
    """
    reason = _objection(key)
    if reason is not None:
        raise InvalidKeyError(f"object key {key!r:.200} refused: {reason}")
    return key


def check_prefix(prefix: str) -> str:
    """Return ``prefix`` (a key, a key with a trailing slash, or empty for everything) if it is safe to list.

    Raises:
        InvalidKeyError: as for `check_key`.
    """
    if prefix.strip("/") or prefix.startswith("/"):
        check_key(prefix.removesuffix("/"))
    return prefix


def _objection(key: str) -> str | None:
    """Why a key is not acceptable; None if it is."""
    try:
        encoded = key.encode("utf-8")
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if not key:
        return "it is empty"
    if len(encoded) > _MAX_KEY_BYTES:
        return f"it is longer than {_MAX_KEY_BYTES} bytes"
    if "\\" in key:
        return "it holds a backslash"
    if any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cn", "Co") for c in key):
        return "it holds a control or unassigned character"
    segments = key.split("/")
    if segments[0] == HIDDEN:
        return f"{HIDDEN} belongs to the store itself"
    for segment in segments:
        if segment == "":
            return "it is absolute or has an empty path segment"
        if segment.endswith("."):
            return "a path segment is, or ends in, a dot"
        if len(segment.encode("utf-8")) > _MAX_SEGMENT_BYTES:
            return f"a path segment is longer than {_MAX_SEGMENT_BYTES} bytes"
    return None
