"""OpenStack Swift as an fsspec filesystem, for the store and for any other program; paths are ``container/key``."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile
from swiftclient import client as swift

from mma_pipeline.adapters.store.model import Digest, guess_content_type
from mma_pipeline.adapters.store.swift_account import SwiftAccount, split_path
from mma_pipeline.adapters.store.swift_session import keystone_session


class SwiftFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files in the containers of one account.

    Args:
        account: an account that is logged in.
        login: without one, the ``OS_*`` names with their values (see `keystone_session`), such as `os.environ`.

    Raises:
        ConfigurationError: neither is given, or the names are not enough to log in.
    """

    protocol = "swift"
    cachable = False  # an account may be another user's login

    def __init__(
        self, account: SwiftAccount | None = None, login: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        super().__init__(use_listings_cache=False, **options)
        self.account = account or account_of(login or {})

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(path).removeprefix("swift://").strip("/")

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size (bytes), type, MD5 (``etag``) and media type of a file; or that it is a directory."""
        path = self._strip_protocol(path)
        container, key = split_path(path)
        headers = self.account.head(path) if key else None
        if headers is not None:
            return {
                "name": path,
                "size": int(headers["content-length"]),
                "type": "file",
                "etag": headers.get("etag", "").strip('"'),
                "content_type": unquote(headers.get("content-type", "")),
            }
        if not container or next(self.account.listing(container, f"{key}/" if key else "", "/"), None) is not None:
            return {"name": path, "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """One level of a container, or the account's containers."""
        path = self._strip_protocol(path)
        container, key = split_path(path)
        if not container:
            _, found = self.account.call(swift.get_account, full_listing=True)
            entries = [{"name": one["name"], "size": 0, "type": "directory"} for one in found]
        else:
            entries = [_entry(container, one) for one in self.account.listing(container, f"{key}/" if key else "", "/")]
            if not entries:
                entries = [self.info(path)]
        return entries if detail else [entry["name"] for entry in entries]

    def find(self, path: str, maxdepth: int | None = None, withdirs: bool = False, **options: Any) -> Any:
        """All files below a path in as few requests as Swift allows."""
        detail = options.pop("detail", False)
        if maxdepth is not None or withdirs:
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **options)
        container, key = split_path(path)
        prefix = options.pop("prefix", "")
        found = self.account.listing(container, (f"{key}/" if key else "") + prefix)
        entries = {entry["name"]: entry for entry in (_entry(container, one) for one in found)}
        if not entries and key and not prefix and self.isfile(path):
            entries = {self._strip_protocol(path): self.info(path)}
        return entries if detail else sorted(entries)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Bytes of a file, or of a range of it."""
        try:
            if start is None and end is None:
                return self.account.fetch(path)[1]
            size = self.info(path)["size"]
            first = max(0, size + start if (start or 0) < 0 else start or 0)
            last = min(size, size if end is None else size + end if end < 0 else end)
            if first >= last:
                return b""
            return self.account.fetch(path, headers={"Range": f"bytes={first}-{last - 1}"})[1]
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
        self.account.send(path, value, md5=digest, size=len(value), content_type=kind, headers={})

    def rm_file(self, path: str) -> None:
        """Delete a file, and its segments where it has some."""
        headers = self.account.head(path)
        if headers is None:
            raise FileNotFoundError(path)
        parts = self.account.segments(path) if headers.get("x-static-large-object", "").lower() == "true" else []
        self.account.call(swift.delete_object, *split_path(path))
        self.account.rm_segments(parts)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Delete files, with ``recursive`` all below a path (directories are only names, there is nothing else)."""
        for one in [path] if isinstance(path, str) else path:
            for name in self.find(one, maxdepth=maxdepth) if recursive else [one]:
                self.rm_file(name)

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copy on the server's side, with media type and metadata."""
        (source, src), (container, key) = split_path(path1), split_path(path2)
        headers = {"X-Copy-From": f"{swift.quote(source)}/{swift.quote(src)}"}
        self.account.call(swift.put_object, container, key, contents=b"", headers=headers)

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:  # noqa: ARG002  (fsspec's signature)
        """Make the container; there are no other directories."""
        container, _key = split_path(path)
        if container:
            self.account.call(swift.put_container, container)

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
            digest, kind = Digest.of(self._unsent), guess_content_type(self.path)
            with self._folder:
                self.fs.account.send(
                    self.path, self._unsent, md5=digest.md5, size=digest.size, content_type=kind, headers={}
                )
        return True


def account_of(environ: Mapping[str, str], timeout_s: float = 30.0) -> SwiftAccount:
    """The account that the ``OS_*`` names give (see `keystone_session`); makes no request.

    OS_STORAGE_URL and OS_REGION_NAME count where the catalog does not decide, OS_CACERT names a certificate authority.
    """
    return SwiftAccount(
        keystone_session(environ, timeout_s),
        storage_url=environ.get("OS_STORAGE_URL") or None,
        region=environ.get("OS_REGION_NAME") or None,
        cacert=environ.get("OS_CACERT") or None,
        timeout_s=timeout_s,
    )


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
