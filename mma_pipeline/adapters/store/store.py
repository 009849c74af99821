"""The object store as the rest of the project uses it: one class for all kinds of place.

All rules live here: keys are checked, an object that is there with the same digest is not written again, what is read
is compared with its digest, failures are translated and retried within limits.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import tenacity

from mma_pipeline.adapters.deadline import left
from mma_pipeline.adapters.errors import (
    DigestError,
    InvalidKeyError,
    NotFoundError,
)
from mma_pipeline.adapters.retry import worth_another
from mma_pipeline.adapters.store.failures import as_adapter_error
from mma_pipeline.adapters.store.keys import check_key, check_prefix
from mma_pipeline.adapters.store.model import Backend, Digest, Payload, StoredObject, guess_content_type

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_NOTE_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PIECE = 4 << 20
"""Bytes of one request of `Store.pieces`."""
_NOTES_BYTES = 1900
"""S3 allows 2,048; the digest takes some."""


class Store:
    """Objects by key in a folder, a bucket, a container or memory; safe to share between threads.

    Args:
        backend: where the bytes go.
        attempts: how often one request is tried before its TransientError is raised.
        first_wait_s: pause before the second try, seconds; doubled for each further one, with jitter, at most 8 s.
        reopen: makes the backend anew in a process that was forked off (connections cannot be shared).
        writes: False turns `put`, `copy` and `delete` into log lines (dry run, WRITE_TO_STORAGE=False).
    """

    def __init__(
        self,
        backend: Backend,
        *,
        attempts: int = 4,
        first_wait_s: float = 0.25,
        writes: bool = True,
        reopen: Callable[[], Backend] | None = None,
    ) -> None:
        self._opened, self._process, self._reopen = backend, os.getpid(), reopen
        self._writes = writes
        self._attempts = attempts
        self._wait = tenacity.wait_exponential_jitter(initial=first_wait_s, max=8.0, jitter=first_wait_s)

    @classmethod
    def open(cls, url: str | Path, **options: Any) -> Store:
        """Open a store by URL; makes no request.

        Args:
            url: a folder, ``file:///…``, ``memory://name``, ``s3://bucket/prefix``, ``abfs://container``,
                ``swift://container``; ``abfs://`` alone takes the first segment of each key as container.
            options: those of `Store` and of `mma_pipeline.adapters.store.opening.backend_for`.

        Raises:
            ConfigurationError: an address that no backend serves, or a setting that is missing.
        """
        from mma_pipeline.adapters.store.opening import backend_for

        kept = {name: options.pop(name) for name in ("attempts", "first_wait_s", "writes") if name in options}

        def make() -> Backend:
            return backend_for(str(url), **options)

        return cls(make(), reopen=make, **kept)

    @property
    def _backend(self) -> Backend:
        """The backend of this process."""
        if self._process != os.getpid() and self._reopen is not None:
            self._opened, self._process = self._reopen(), os.getpid()
        return self._opened

    def __repr__(self) -> str:
        return f"Store({self._backend.name!r})"

    def put(
        self,
        key: str,
        data: Payload,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        look: bool = True,
    ) -> StoredObject:
        """Write one object, unless the same bytes are there already.

        Args:
            key: relative POSIX path.
            data: bytes, or the path of a file that is not to be held in memory.
            content_type: media type; by default from the key's ending.
            metadata: names (a-z, 0-9, ``_``) and values (printable ASCII, at most 256), never secrets.
            look: False if the caller has just seen that the object is missing, and saves the request.

        Returns:
            The object with its digest; ``written`` is False if nothing had to be done.

        Raises:
            InvalidKeyError: the key, or a metadata name or value, is not acceptable.
            StoreFullError, TransientError: try again later.
            CredentialsError, PermanentError: somebody has to change something.
        """
        check_key(key)
        notes = _checked_metadata(metadata or {})
        digest = Digest.of(data)
        found = self.stat(key) if look else None
        if found is not None and digest.same_as(found):
            return StoredObject(key, digest.size, digest.sha256, digest.md5, found.content_type, found.metadata)
        kind = content_type or guess_content_type(key)
        if not self._may_write("put", key):
            return StoredObject(key, digest.size, digest.sha256, digest.md5, kind, notes)
        self._try("put", key, lambda: self._backend.write(key, data, digest, kind, notes))
        return StoredObject(key, digest.size, digest.sha256, digest.md5, kind, notes, written=True)

    def get(self, key: str) -> bytes:
        """Return one object's bytes, compared with the digest it was written with.

        Raises:
            NotFoundError: no such object.
            DigestError: the bytes are not those that were written.
        """
        return self.read(key)[1]

    def get_file(self, key: str, path: Path) -> StoredObject:
        """Write one object to a local file without holding it in memory; errors as for `get`."""
        check_key(key)
        found, _ = self._try("get", key, lambda: self._backend.read(key, path))
        digest = Digest.of(path)
        self._compare(found, digest)
        return replace(found, sha256=digest.sha256, md5=digest.md5)

    def read(self, key: str) -> tuple[StoredObject, bytes]:
        """Return one object with what is said of it, compared with its digest; errors as for `get`."""
        check_key(key)
        found, data = self._try("get", key, lambda: self._backend.read(key))
        digest = Digest.of(data)
        self._compare(found, digest)
        return replace(found, sha256=digest.sha256, md5=digest.md5), data

    def verify(self, key: str) -> bool:
        """Read one object whole and compare it with its digest; False if the store has none (others wrote it).

        Raises:
            NotFoundError: no such object.
            DigestError: the bytes are not those that were written.
        """
        check_key(key)
        with tempfile.TemporaryDirectory(prefix="mma-verify-") as folder:
            path = Path(folder, "object")
            found, _ = self._try("get", key, lambda: self._backend.read(key, path))
            self._compare(found, Digest.of(path))
        return found.sha256 is not None or found.md5 is not None

    def pieces(self, found: StoredObject, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield an object that was just looked up, or its bytes from ``start`` up to ``stop``, in pieces of 4 MiB.

        Each piece is one request with its own retries, so that nothing is held in memory and no connection waits for a
        slow reader. Where the whole object is read, its last piece comes only if the digest is right.

        Raises:
            NotFoundError: the object is gone.
            DigestError: the object was replaced meanwhile, or the bytes are not those that were written.
        """
        key, end = check_key(found.key), found.size if stop is None else min(stop, found.size)
        whole, sha256 = (start, end) == (0, found.size), hashlib.sha256()
        while start < end:
            length = min(_PIECE, end - start)
            now, data = self._try("get", key, partial(self._backend.part, key, start, length))
            if now.size != found.size or len(data) != length or _differ(now, found):
                raise DigestError(f"get {self.url(key)}: the object was replaced while it was read; read it again")
            start += length
            sha256.update(data)
            if whole and start == end and found.sha256 not in {None, sha256.hexdigest()}:
                raise DigestError(f"get {self.url(key)}: the bytes are not those that were written; write them again")
            yield data

    def stat(self, key: str) -> StoredObject | None:
        """Look one object up (one request, no listing), None if it is not there."""
        check_key(key)
        return self._try("stat", key, lambda: self._backend.head(key))

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return self.stat(key) is not None

    def copy(self, src: str, dst: str) -> StoredObject:
        """Copy one object inside the store, with its type and metadata, unless the same bytes are there already.

        Raises:
            NotFoundError: no object ``src``.
        """
        check_key(dst)
        source, target = self.stat(src), self.stat(dst)
        if source is None:
            raise NotFoundError(f"copy {self.url(src)}: there is no such object")
        same = target is not None and source.sha256 is not None and target.sha256 == source.sha256
        write = not same and self._may_write("copy", dst)
        if write:
            self._try("copy", dst, lambda: self._backend.copy(src, dst))
        return StoredObject(
            dst, source.size, source.sha256, source.md5, source.content_type, source.metadata, written=write
        )

    def delete(self, key: str) -> None:
        """Remove one object.

        Raises:
            NotFoundError: no such object.
        """
        if self.stat(key) is None:
            raise NotFoundError(f"delete {self.url(key)}: there is no such object")
        if self._may_write("delete", key):
            self._try("delete", key, lambda: self._backend.delete(key))

    def ls(self, prefix: str = "") -> list[StoredObject]:
        """List the objects whose keys start with ``prefix`` by key; for people and migrations, not for runs.

        Digests, types and metadata are filled only where the backend's listing has them.
        """
        check_prefix(prefix)
        found = self._try("list", prefix, lambda: list(self._backend.ls(prefix)))
        return sorted(found, key=lambda entry: entry.key)

    def url(self, key: str = "") -> str:
        """Address of an object (or of the store), without credentials."""
        place = self._backend.name
        return f"{place if place.endswith('/') else f'{place}/'}{quote(key)}" if key else place

    def _compare(self, found: StoredObject, digest: Digest) -> None:
        known = found.sha256 is not None or found.md5 is not None
        if known and not digest.same_as(found):
            raise DigestError(
                f"get {self.url(found.key)}: {digest.size} bytes with SHA-256 {digest.sha256[:12]}… are not the "
                f"{found.size} bytes that were written; restore the object or write it again"
            )

    def _may_write(self, action: str, key: str) -> bool:
        if not self._writes:
            _log.info("dry run: would %s %s", action, self.url(key))
        return self._writes

    def _try(self, action: str, key: str, request: Callable[[], _T]) -> _T:
        """Run one request: translate its failure, try again while that can help."""

        def once() -> _T:
            left(math.inf)  # no request begins after the end of the time that the caller has
            try:
                return request()
            except Exception as exc:  # noqa: BLE001  (every library has errors of its own: sorted in one place)
                failure = as_adapter_error(exc, action, self.url(key), self._backend.secrets)
            raise failure  # outside the handler: the library's exception, which may hold secrets, is not chained

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(worth_another),
            wait=self._wait,
            stop=tenacity.stop_after_attempt(self._attempts),
            before_sleep=lambda state: _log.warning(
                "%s; try %d of %d",
                state.outcome and state.outcome.exception(),
                state.attempt_number,
                self._attempts,
            ),
            reraise=True,
        )
        return retrying(once)


def _differ(one: StoredObject, other: StoredObject) -> bool:
    """Whether two objects are known to have different bytes."""
    return one.sha256 is not None and other.sha256 is not None and one.sha256 != other.sha256


def notes_that_fit(found: StoredObject) -> dict[str, str]:
    """Metadata of an object that another program may have written, less what not every store can carry."""
    kept: dict[str, str] = {}
    for name, value in found.metadata.items():
        plain = {name.lower().replace("-", "_"): value}
        if _objection(plain) is None and _objection(kept | plain) is None:
            kept |= plain
    return kept


def _checked_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    reason = _objection(metadata)
    if reason is not None:
        raise InvalidKeyError(f"metadata refused: {reason}")
    return dict(metadata)


def _objection(metadata: Mapping[str, str]) -> str | None:
    """Say what one of the stores could not carry: Azure wants identifiers, Swift 256 letters, S3 2 KB in all."""
    for name, value in metadata.items():
        if not _NOTE_NAME.fullmatch(name) or name == "sha256":
            return f"the name {name!r:.80} is not a-z, 0-9 and _, starting with a letter"
        if not (value.isascii() and value.isprintable() and value == value.strip() and 0 < len(value) <= 256):
            return f"the value of {name!r} is not 1 to 256 letters of printable ASCII"
    if sum(len(name) + len(value) for name, value in metadata.items()) > _NOTES_BYTES:
        return f"it takes more than {_NOTES_BYTES} bytes in all"
    return None
