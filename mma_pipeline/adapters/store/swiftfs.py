"""OpenStack Swift as an fsspec filesystem: python-swiftclient for the requests, Keystone v3 for the login.

Paths are ``container/key``. Files above `SEGMENT_BYTES` are static large objects: their segments lie in
``<container>_segments``, and the object appears when its manifest was accepted.

Not here: retries (the `Store` has them) and listings that are remembered.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import swiftclient
from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile
from swiftclient import client as swift

from mma_pipeline.adapters.store.model import Payload, pieces

SEGMENT_BYTES = 64 << 20
_PAGE = 10_000
"""Names in one listing request; Swift's own limit."""
_READ = 1 << 20

# The client writes a traceback for each 404, and the first letters of the token with each request.
logging.getLogger("swiftclient").setLevel(logging.CRITICAL)
swiftclient.client.logger_settings["reveal_sensitive_prefix"] = 0


class SwiftFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files in the containers of one account.

    Args:
        session: a ``keystoneauth1`` session; by default made from the ``OS_*`` environment.
        storage_url: the account's address; by default from Keystone's catalog.
        region: which entry of the catalog; by default the first.
        cacert: file with the certificate authority of the object store.
        timeout_s: for connecting, and for each wait for bytes, seconds.
    """

    protocol = "swift"
    cachable = False  # a session may hold another user's login

    def __init__(
        self,
        session: Any = None,
        storage_url: str | None = None,
        region: str | None = None,
        cacert: str | None = None,
        timeout_s: float = 30.0,
        **options: Any,
    ) -> None:
        super().__init__(use_listings_cache=False, **options)
        if session is None:
            import os

            from mma_pipeline.adapters.store.swift_session import keystone_session

            session = keystone_session(os.environ, timeout_s)
            storage_url, region = storage_url or os.environ.get("OS_STORAGE_URL"), os.environ.get("OS_REGION_NAME")
        self._session, self._storage_url, self._region = session, storage_url, region
        self._cacert, self._timeout_s = cacert, timeout_s
        self._threads = threading.local()  # a connection serves one request at a time

    # -- requests ------------------------------------------------------------------------------------------------

    def call(self, request: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Make one request of ``swiftclient.client``; with a new token if the old one has expired meanwhile.

        Raises:
            swiftclient.exceptions.ClientException: Swift's answer, with its HTTP status.
        """
        for last in (False, True):
            url = self._url()
            token = self._session.get_token()
            try:
                return request(url, token, *args, http_conn=self._connection(url), **options)
            except swift.ClientException as exc:
                if exc.http_status != 401 or last or not self._session.invalidate():
                    raise
            except OSError:
                self._threads.connection = None  # in an unknown state
                raise
        raise AssertionError("unreachable")

    def _url(self) -> str:
        if self._storage_url is None:
            found = self._session.get_endpoint(
                service_type="object-store", interface="public", region_name=self._region
            )
            if not found:
                raise swift.ClientException(
                    "no object-store in Keystone's catalog; set OS_STORAGE_URL", http_status=404
                )
            self._storage_url = found
        return self._storage_url

    def _connection(self, url: str) -> Any:
        if getattr(self._threads, "connection", None) is None:
            self._threads.connection = swift.http_connection(url, cacert=self._cacert, timeout=self._timeout_s)
        return self._threads.connection

    def head(self, path: str) -> dict[str, str] | None:
        """Headers of one object, lower case; None if it is not there."""
        container, key = self._split(path)
        try:
            return dict(self.call(swift.head_object, container, key))
        except swift.ClientException as exc:
            if exc.http_status == 404:
                return None
            raise

    def fetch(self, path: str, into: Path | None = None, **options: Any) -> tuple[dict[str, str], bytes]:
        """Headers and bytes of one object; the bytes go to the file ``into`` where one is named."""
        container, key = self._split(path)
        headers, body = self.call(swift.get_object, container, key, resp_chunk_size=_READ, **options)
        try:
            if into is None:
                data = b"".join(body)
                _check(headers, len(data))
                return headers, data
            with into.open("wb") as file:
                _check(headers, sum(file.write(piece) for piece in body))
        except BaseException:
            self._threads.connection = None  # the rest of the answer is still on its way
            raise
        return headers, b""

    def send(
        self, path: str, data: Payload, *, md5: str, size: int, content_type: str, headers: Mapping[str, str]
    ) -> None:
        """Write one object in one step as readers see it; Swift compares the MD5 of what it received."""
        container, key = self._split(path)
        described = {**headers, "Content-Type": content_type}
        if size <= SEGMENT_BYTES:
            body = data if isinstance(data, bytes) else data.read_bytes()
            self.call(swift.put_object, container, key, contents=body, etag=md5, headers=described)
            return
        manifest = []
        store = f"{container}_segments"
        self.call(swift.put_container, store)
        for number, piece in enumerate(pieces(data, SEGMENT_BYTES)):
            # no key holds "//", so that one object's segments are never below another's name
            name, etag = f"{key}//{md5}/{number:06d}", hashlib.md5(piece, usedforsecurity=False).hexdigest()
            self.call(swift.put_object, store, name, contents=piece, etag=etag)
            manifest.append({"path": f"/{store}/{name}", "etag": etag, "size_bytes": len(piece)})
        self.call(
            swift.put_object,
            container,
            key,
            contents=json.dumps(manifest).encode(),
            query_string="multipart-manifest=put",
            headers=described,
        )

    def segments(self, path: str) -> list[tuple[str, str]]:
        """Container and name of each segment of a static large object; empty for any other."""
        container, key = self._split(path)
        query = "multipart-manifest=get"
        headers, body = self.call(swift.get_object, container, key, query_string=query)
        if headers.get("x-static-large-object", "").lower() != "true":
            return []
        return [self._split(segment["name"].lstrip("/")) for segment in json.loads(body)]

    def listing(self, container: str, prefix: str, delimiter: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield what Swift lists below a prefix, page by page; nothing if the container is missing."""
        marker = None
        while True:
            try:
                _, page = self.call(
                    swift.get_container, container, prefix=prefix, delimiter=delimiter, marker=marker, limit=_PAGE
                )
            except swift.ClientException as exc:
                if exc.http_status == 404:
                    return
                raise
            yield from page
            if len(page) < _PAGE:
                return
            marker = page[-1].get("name") or page[-1].get("subdir")

    # -- fsspec --------------------------------------------------------------------------------------------------

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(path).removeprefix("swift://").strip("/")

    def _split(self, path: str) -> tuple[str, str]:
        container, _, key = self._strip_protocol(path).partition("/")
        return container, key

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size (bytes), type, MD5 (``etag``) and media type of a file; or that it is a directory."""
        path = self._strip_protocol(path)
        container, key = self._split(path)
        headers = self.head(path) if key else None
        if headers is not None:
            return {
                "name": path,
                "size": int(headers["content-length"]),
                "type": "file",
                "etag": headers.get("etag", "").strip('"'),
                "content_type": unquote(headers.get("content-type", "")),
            }
        if not container or next(self.listing(container, f"{key}/" if key else "", "/"), None) is not None:
            return {"name": path, "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """One level of a container, or the account's containers."""
        path = self._strip_protocol(path)
        container, key = self._split(path)
        if not container:
            _, found = self.call(swift.get_account, full_listing=True)
            entries = [{"name": one["name"], "size": 0, "type": "directory"} for one in found]
        else:
            entries = [_entry(container, one) for one in self.listing(container, f"{key}/" if key else "", "/")]
            if not entries:
                entries = [self.info(path)]
        return entries if detail else [entry["name"] for entry in entries]

    def find(self, path: str, maxdepth: int | None = None, withdirs: bool = False, **options: Any) -> Any:
        """All files below a path in as few requests as Swift allows."""
        detail = options.pop("detail", False)
        if maxdepth is not None or withdirs:
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **options)
        container, key = self._split(path)
        prefix = options.pop("prefix", "")
        found = self.listing(container, (f"{key}/" if key else "") + prefix)
        entries = {entry["name"]: entry for entry in (_entry(container, one) for one in found)}
        if not entries and key and not prefix and self.isfile(path):
            entries = {self._strip_protocol(path): self.info(path)}
        return entries if detail else sorted(entries)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Bytes of a file, or of a range of it."""
        try:
            if start is None and end is None:
                return self.fetch(path)[1]
            size = self.info(path)["size"]
            first = max(0, size + start if (start or 0) < 0 else start or 0)
            last = min(size, size if end is None else size + end if end < 0 else end)
            if first >= last:
                return b""
            return self.fetch(path, headers={"Range": f"bytes={first}-{last - 1}"})[1]
        except swift.ClientException as exc:
            if exc.http_status != 404:
                raise
        raise FileNotFoundError(path)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        """Write a file."""
        if mode == "create" and self.exists(path):
            raise FileExistsError(path)
        digest = hashlib.md5(value, usedforsecurity=False).hexdigest()
        kind = "application/octet-stream"
        self.send(path, value, md5=digest, size=len(value), content_type=kind, headers={})

    def rm_file(self, path: str) -> None:
        """Delete a file, and its segments where it has some."""
        headers = self.head(path)
        if headers is None:
            raise FileNotFoundError(path)
        parts = self.segments(path) if headers.get("x-static-large-object", "").lower() == "true" else []
        self.call(swift.delete_object, *self._split(path))
        self.rm_segments(parts)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Delete files, with ``recursive`` all below a path (directories are only names, there is nothing else)."""
        for one in [path] if isinstance(path, str) else path:
            for name in self.find(one, maxdepth=maxdepth) if recursive else [one]:
                self.rm_file(name)

    def rm_segments(self, segments: list[tuple[str, str]]) -> None:
        """Delete segments that no manifest names any more; those already gone are as wanted."""
        for container, name in segments:
            try:
                self.call(swift.delete_object, container, name)
            except swift.ClientException as exc:
                if exc.http_status != 404:
                    raise

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copy on the server's side, with media type and metadata."""
        (source, src), (container, key) = self._split(path1), self._split(path2)
        headers = {"X-Copy-From": f"{swift.quote(source)}/{swift.quote(src)}"}
        self.call(swift.put_object, container, key, contents=b"", headers=headers)

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:  # noqa: ARG002  (fsspec's signature)
        """Make the container; there are no other directories."""
        container, _key = self._split(path)
        if container:
            self.call(swift.put_container, container)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:  # noqa: ARG002  (fsspec's signature)
        """Make the container."""
        self.mkdir(path)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> AbstractBufferedFile:
        if mode not in ("rb", "wb", "xb"):
            raise ValueError(f"Swift files open as rb, wb or xb, not {mode}")
        if mode == "xb" and self.exists(path):
            raise FileExistsError(path)
        options.pop("autocommit", None)
        return _SwiftFile(self, path, mode="wb" if mode == "xb" else mode, **options)


class _SwiftFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """Reads by ranges; writes into a temporary file that is sent when closed."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.cat_file(self.path, start, end))

    def _initiate_upload(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._unsent = Path(self._folder.name, "unsent")

    def _upload_chunk(self, final: bool = False) -> bool:
        with self._unsent.open("ab") as file:
            file.write(self.buffer.getvalue())
        if final:
            from mma_pipeline.adapters.store.model import Digest, guess_content_type

            digest, kind = Digest.of(self._unsent), guess_content_type(self.path)
            with self._folder:
                self.fs.send(self.path, self._unsent, md5=digest.md5, size=digest.size, content_type=kind, headers={})
        return True


def _entry(container: str, one: Mapping[str, Any]) -> dict[str, Any]:
    """Turn one line of Swift's listing into fsspec's form."""
    if "subdir" in one:
        return {"name": f"{container}/{one['subdir'].rstrip('/')}", "size": 0, "type": "directory"}
    # a large object's hash is that of its manifest
    etag = None if "slo_etag" in one else one["hash"]
    kind = one["content_type"]
    return {
        "name": f"{container}/{one['name']}",
        "size": one["bytes"],
        "type": "file",
        "etag": etag,
        "content_type": kind,
    }


def _check(headers: Mapping[str, str], received: int) -> None:
    """Raise EOFError if a connection ended before the last byte."""
    announced = headers.get("content-length")
    if announced is not None and int(announced) != received:
        raise EOFError(f"received {received} of {announced} bytes")
