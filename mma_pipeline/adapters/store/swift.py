"""OpenStack Swift as a store, on `SwiftFileSystem`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from swiftclient.exceptions import ClientException

from mma_pipeline.adapters.store.model import Digest, Payload, StoredObject, whole_size
from mma_pipeline.adapters.store.swiftfs import SwiftFileSystem, account_of

_NOTE = "x-object-meta-"


class SwiftBackend:
    """One container, or a prefix of it.

    Args:
        container: where the objects go; large ones keep their segments in ``<container>_segments``.
        prefix: keys live under ``prefix/``; empty for the whole container.
        environ: the login (see `keystone_session`), and OS_STORAGE_URL and OS_REGION_NAME where the catalog does not
            decide.
        timeout_s: for connecting, and for each wait for bytes, seconds.
        create: make the container if it is missing on the first write.
    """

    def __init__(
        self,
        container: str,
        prefix: str,
        *,
        environ: Mapping[str, str],
        timeout_s: float = 30.0,
        create: bool = True,
    ) -> None:
        self.name = f"swift://{container}/{prefix}".rstrip("/")
        secrets = (environ.get("OS_PASSWORD"), environ.get("OS_APPLICATION_CREDENTIAL_SECRET"))
        self.secrets = tuple(value for value in secrets if value)
        self._container, self._prefix, self._create = container, f"{prefix}/" if prefix else "", create
        self._fs = SwiftFileSystem(account_of(environ, timeout_s))
        self._account = self._fs.account
        # Keys last seen as large objects: what replaces one must delete its segments, and asking each time would cost
        # every small write a request more (the store looks a key up before it writes it).
        self._large: set[str] = set()

    def write(self, key: str, data: Payload, digest: Digest, content_type: str, metadata: Mapping[str, str]) -> None:
        """Put the object, in segments above 64 MiB; segments of what it replaces are deleted afterwards."""
        path = self._path(key)
        old = self._account.segments(path) if key in self._large else []
        notes = {**metadata, "sha256": digest.sha256}
        headers = {f"{_NOTE}{name.replace('_', '-')}": value for name, value in notes.items()}
        for last in (False, True):
            try:
                self._account.send(
                    path, data, md5=digest.md5, size=digest.size, content_type=content_type, headers=headers
                )
                break
            except ClientException as exc:
                if last or exc.http_status != 404 or not self._create:
                    raise
            self._fs.mkdir(self._container)
        if old:
            kept = set(self._account.segments(path))
            self._account.rm_segments([segment for segment in old if segment not in kept])

    def read(self, key: str, into: Path | None = None) -> tuple[StoredObject, bytes]:
        """Get headers and bytes from one answer."""
        headers, data = self._account.fetch(self._path(key), into)
        return self._described(key, headers), data

    def part(self, key: str, start: int, length: int) -> tuple[StoredObject, bytes]:
        """Get a range of bytes in one request."""
        wanted = {"Range": f"bytes={start}-{start + length - 1}"}
        headers, data = self._account.fetch(self._path(key), headers=wanted)
        found = self._described(key, headers)
        return replace(found, size=whole_size(headers.get("content-range"), len(data))), data

    def head(self, key: str) -> StoredObject | None:
        """Ask for the headers."""
        headers = self._account.head(self._path(key))
        return None if headers is None else self._described(key, headers)

    def ls(self, prefix: str) -> Iterator[StoredObject]:
        """Page through the container, 10,000 names a request."""
        cut = len(self._container) + 1 + len(self._prefix)
        found = self._fs.find(self._container, prefix=self._prefix + prefix, detail=True)
        for name, entry in found.items():
            if not name.endswith("/") and entry["content_type"] != "application/directory":
                yield StoredObject(name[cut:], entry["size"], md5=entry["etag"], content_type=entry["content_type"])

    def copy(self, src: str, dst: str) -> None:
        """Copy on the server's side; type and metadata come along."""
        self._fs.cp_file(self._path(src), self._path(dst))

    def delete(self, key: str) -> None:
        """Delete the object and its segments."""
        self._fs.rm_file(self._path(key))

    def _path(self, key: str) -> str:
        return f"{self._container}/{self._prefix}{key}"

    def _described(self, key: str, headers: Mapping[str, str]) -> StoredObject:
        notes = {
            name.removeprefix(_NOTE).replace("-", "_"): value
            for name, value in headers.items()
            if name.startswith(_NOTE)
        }
        large = headers.get("x-static-large-object", "").lower() == "true"
        (self._large.add if large else self._large.discard)(key)
        return StoredObject(
            key,
            int(headers["content-length"]),
            notes.pop("sha256", None),
            None if large else headers.get("etag", "").strip('"') or None,
            headers.get("content-type"),
            notes,
        )
