"""Requests to one Swift account: tokens, connections, objects, large objects in segments, listings.

Paths are ``container/key``. Objects above `SEGMENT_BYTES` are static large objects: their segments lie in
``<container>_segments``, and the object appears when its manifest was accepted. No retries: the `Store` has them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import swiftclient
from swiftclient import client as swift

from mma_pipeline.adapters.store.model import Payload, pieces

SEGMENT_BYTES = 64 << 20
_PAGE = 10_000
"""Names in one listing request; Swift's own limit."""
_READ = 1 << 20

# The client writes a traceback for each 404, and the first letters of the token with each request.
logging.getLogger("swiftclient").setLevel(logging.CRITICAL)
swiftclient.client.logger_settings["reveal_sensitive_prefix"] = 0


class SwiftAccount:
    """One account behind a login.

    Args:
        session: a ``keystoneauth1`` session.
        storage_url: the account's address; by default from Keystone's catalog.
        region: which entry of the catalog; by default the first.
        cacert: file with the certificate authority of the object store.
        timeout_s: for connecting, and for each wait for bytes, seconds.
    """

    def __init__(
        self,
        session: Any,
        storage_url: str | None = None,
        region: str | None = None,
        cacert: str | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        self._session, self._storage_url, self._region = session, storage_url, region
        self._cacert, self._timeout_s = cacert, timeout_s
        self._threads = threading.local()  # a connection serves one request at a time

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
        container, key = split_path(path)
        try:
            return dict(self.call(swift.head_object, container, key))
        except swift.ClientException as exc:
            if exc.http_status == 404:
                return None
            raise

    def fetch(self, path: str, into: Path | None = None, **options: Any) -> tuple[dict[str, str], bytes]:
        """Headers and bytes of one object; the bytes go to the file ``into`` where one is named."""
        container, key = split_path(path)
        headers, body = self.call(swift.get_object, container, key, resp_chunk_size=_READ, **options)
        with contextlib.ExitStack() as unless_read:
            unless_read.callback(self._drop_connection)  # the rest of the answer would still be on its way
            if into is None:
                data = b"".join(body)
                _check(headers, len(data))
            else:
                data = b""
                with into.open("wb") as file:
                    _check(headers, sum(file.write(piece) for piece in body))
            unless_read.pop_all()
        return headers, data

    def _drop_connection(self) -> None:
        self._threads.connection = None

    def send(
        self, path: str, data: Payload, *, md5: str, size: int, content_type: str, headers: Mapping[str, str]
    ) -> None:
        """Write one object in one step as readers see it; Swift compares the MD5 of what it received."""
        container, key = split_path(path)
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
        container, key = split_path(path)
        query = "multipart-manifest=get"
        headers, body = self.call(swift.get_object, container, key, query_string=query)
        if headers.get("x-static-large-object", "").lower() != "true":
            return []
        return [split_path(segment["name"].lstrip("/")) for segment in json.loads(body)]

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

    def rm_segments(self, segments: list[tuple[str, str]]) -> None:
        """Delete segments that no manifest names any more; those already gone are as wanted."""
        for container, name in segments:
            try:
                self.call(swift.delete_object, container, name)
            except swift.ClientException as exc:
                if exc.http_status != 404:
                    raise


def split_path(path: str) -> tuple[str, str]:
    """Container and key of a path, with or without ``swift://``."""
    container, _, key = str(path).removeprefix("swift://").strip("/").partition("/")
    return container, key


def _check(headers: Mapping[str, str], received: int) -> None:
    """Raise EOFError if a connection ended before the last byte."""
    announced = headers.get("content-length")
    if announced is not None and int(announced) != received:
        raise EOFError(f"received {received} of {announced} bytes")
