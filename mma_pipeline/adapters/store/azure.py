"""Azure Blob Storage, through adlfs's connection.

As with S3, the calls are made on adlfs's own client: its file methods fix the metadata they write and list where a blob
is missing.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from mma_pipeline.adapters.errors import ConfigurationError, TransientError
from mma_pipeline.adapters.store.model import Digest, Payload, StoredObject, check_size, whole_size

_T = TypeVar("_T")
_OTHERS_NOTES = {"is_directory", "hdi_isfolder"}
"""Metadata that other programs put on blobs for themselves."""


class AzureBackend:
    """One container, a prefix of it, or a whole account.

    Args:
        container: empty for the layout of the GWTM site, where the first segment of a key (``fit``, ``test``) is the
            container.
        prefix: keys live under ``prefix/``; only with a container.
        environ: AZURE_STORAGE_CONNECTION_STRING, or AZURE_ACCOUNT_NAME with AZURE_ACCOUNT_KEY or
            AZURE_STORAGE_SAS_TOKEN; with the name alone, Azure's own chain (managed identity and others) is asked.
        endpoint: server other than Azure's, e.g. ``http://127.0.0.1:10000/account``.
        timeout_s: for connecting, and for each wait for bytes, seconds.
        create: make a container that is missing on the first write.
    """

    def __init__(
        self,
        container: str,
        prefix: str,
        *,
        environ: Mapping[str, str],
        endpoint: str | None = None,
        timeout_s: float = 30.0,
        create: bool = True,
    ) -> None:
        import adlfs

        self.name = "abfs://" + "/".join(part for part in (container, prefix) if part)
        self._container, self._prefix, self._create = container, f"{prefix}/" if prefix else "", create
        # `Store` retries, nobody else
        self._limits = {"connection_timeout": timeout_s, "read_timeout": timeout_s, "retry_total": 0}
        login = _login(environ, endpoint)
        self.secrets = tuple(value for name, value in login.items() if name != "account_name")
        self.secrets += tuple(v for v in (environ.get("AZURE_ACCOUNT_KEY"),) if v)
        self._fs = adlfs.AzureBlobFileSystem(**login, anon=False, use_listings_cache=False, skip_instance_cache=True)

    def write(self, key: str, data: Payload, digest: Digest, content_type: str, metadata: Mapping[str, str]) -> None:
        """Upload; above 64 MiB in blocks that become the blob when the last one was accepted."""
        notes = {**metadata, "sha256": digest.sha256}
        self._run(lambda: self._in_container(key, lambda: self._upload(key, data, digest, content_type, notes)))

    def read(self, key: str, into: Path | None = None) -> tuple[StoredObject, bytes]:
        """Get the blob's properties and bytes from one answer."""
        return self._run(lambda: self._read(key, into))

    def part(self, key: str, start: int, length: int) -> tuple[StoredObject, bytes]:
        """Get a range of bytes."""
        return self._run(lambda: self._part(key, start, length))

    def head(self, key: str) -> StoredObject | None:
        """Get the properties."""
        return self._run(lambda: self._head(key))

    def ls(self, prefix: str) -> Iterator[StoredObject]:
        """Page through the container, or through every container of the account that the prefix allows."""
        yield from self._run(lambda: self._ls(prefix))

    def copy(self, src: str, dst: str) -> None:
        """Copy on the server's side; type and metadata come along."""
        self._run(lambda: self._in_container(dst, lambda: self._copy(src, dst)))

    def delete(self, key: str) -> None:
        """Delete the blob."""

        async def delete() -> None:
            async with self._blob(key) as blob:
                await blob.delete_blob(**self._limits)

        self._run(delete)

    def _run(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        from fsspec.asyn import sync

        result: _T = sync(self._fs.loop, work)
        return result

    def _place(self, key: str) -> tuple[str, str]:
        """Container and blob name of a key."""
        if self._container:
            return self._container, self._prefix + key
        container, _, name = key.partition("/")
        if not name:
            raise ConfigurationError(f"{key}: on abfs:// without a container, a key starts with one (fit/…, test/…)")
        return container, name

    @asynccontextmanager
    async def _blob(self, key: str) -> AsyncIterator[Any]:
        container, name = self._place(key)
        async with self._fs.service_client.get_blob_client(container=container, blob=name) as blob:
            yield blob

    async def _in_container(self, key: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run an action on the key's container, which may have to be created first."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            await work()
        except ResourceNotFoundError as exc:
            if not self._create or getattr(exc, "error_code", None) != "ContainerNotFound":
                raise
            await self._make_container(self._place(key)[0])
            await work()

    async def _make_container(self, container: str) -> None:
        from azure.core.exceptions import ResourceExistsError

        try:
            await self._fs.service_client.create_container(container, **self._limits)
        except ResourceExistsError:
            return  # another writer was faster

    async def _upload(
        self, key: str, data: Payload, digest: Digest, content_type: str, metadata: Mapping[str, str]
    ) -> None:
        from azure.storage.blob import ContentSettings

        settings = ContentSettings(content_type=content_type, content_md5=bytearray.fromhex(digest.md5))
        options: dict[str, Any] = {
            "overwrite": True,
            "length": digest.size,
            "metadata": dict(metadata),
            "content_settings": settings,
            "validate_content": True,  # an MD5 goes with every request and is compared by the server
            "max_concurrency": 4,
            **self._limits,
        }
        async with self._blob(key) as blob:
            if isinstance(data, bytes):
                await blob.upload_blob(data, **options)
                return
            with data.open("rb") as file:
                await blob.upload_blob(file, **options)

    async def _head(self, key: str) -> StoredObject | None:
        from azure.core.exceptions import ResourceNotFoundError

        async with self._blob(key) as blob:
            try:
                return _described(key, await blob.get_blob_properties(**self._limits))
            except ResourceNotFoundError:
                return None

    async def _part(self, key: str, start: int, length: int) -> tuple[StoredObject, bytes]:
        async with self._blob(key) as blob:
            stream = await blob.download_blob(offset=start, length=length, **self._limits)
            data = await stream.readall()
        found = _described(key, stream.properties)
        return replace(found, size=whole_size(stream.properties.content_range, len(data))), data

    async def _read(self, key: str, into: Path | None) -> tuple[StoredObject, bytes]:
        async with self._blob(key) as blob:
            stream = await blob.download_blob(max_concurrency=4, **self._limits)
            found = _described(key, stream.properties)
            if into is None:
                data = await stream.readall()
                check_size(found, len(data))
                return found, data
            with into.open("wb") as file:
                check_size(found, await stream.readinto(file))
        return found, b""

    async def _ls(self, prefix: str) -> list[StoredObject]:
        if self._container:
            return [found async for found in self._blobs(self._container, self._prefix + prefix, self._prefix)]
        wanted, slash, rest = prefix.partition("/")
        if slash:
            return [found async for found in self._blobs(wanted, rest, "", f"{wanted}/")]
        service = self._fs.service_client
        names = [c.name async for c in service.list_containers(name_starts_with=wanted or None, **self._limits)]
        return [found for name in names async for found in self._blobs(name, "", "", f"{name}/")]

    async def _blobs(self, container: str, starts: str, cut: str, put: str = "") -> AsyncIterator[StoredObject]:
        from azure.core.exceptions import ResourceNotFoundError

        async with self._fs.service_client.get_container_client(container) as client:
            try:
                async for blob in client.list_blobs(name_starts_with=starts or None, **self._limits):
                    yield _described(put + blob.name.removeprefix(cut), blob)
            except ResourceNotFoundError:  # a missing container is empty
                return

    async def _copy(self, src: str, dst: str) -> None:
        import asyncio

        async with self._blob(src) as source, self._blob(dst) as target:
            answer = await target.start_copy_from_url(source.url, **self._limits)
            status, until = answer["copy_status"], time.monotonic() + 300
            while status == "pending":  # within an account it is usually done at once
                if time.monotonic() > until:
                    raise TransientError(f"copy to {self.name}/{dst}: not finished after 300 s")
                await asyncio.sleep(0.5)
                status = (await target.get_blob_properties(**self._limits)).copy.status
            if status != "success":
                raise TransientError(f"copy to {self.name}/{dst}: ended as {status}")


def _login(environ: Mapping[str, str], endpoint: str | None) -> dict[str, str]:
    """Arguments with the credentials for adlfs."""
    given = environ.get("AZURE_STORAGE_CONNECTION_STRING")
    if given:
        return {"connection_string": given}
    account = environ.get("AZURE_ACCOUNT_NAME") or environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    key = environ.get("AZURE_ACCOUNT_KEY") or environ.get("AZURE_STORAGE_ACCOUNT_KEY")
    sas = environ.get("AZURE_STORAGE_SAS_TOKEN")
    if not account:
        raise ConfigurationError("Azure storage: set AZURE_ACCOUNT_NAME (and AZURE_ACCOUNT_KEY)")
    endpoint = endpoint or environ.get("AZURE_BLOB_ENDPOINT")
    if endpoint and key:
        parts = {
            "DefaultEndpointsProtocol": endpoint.partition("://")[0],
            "AccountName": account,
            "AccountKey": key,
            "BlobEndpoint": endpoint,
        }
        return {"connection_string": ";".join(f"{name}={value}" for name, value in parts.items())}
    login = {"account_name": account}
    if key:
        login["account_key"] = key
    elif sas:
        login["sas_token"] = sas
    return login


def _described(key: str, properties: Any) -> StoredObject:
    """Read blob properties (of an answer or a listing)."""
    notes = {
        name.lower(): value for name, value in (properties.metadata or {}).items() if name.lower() not in _OTHERS_NOTES
    }
    settings = properties.content_settings
    md5 = bytes(settings.content_md5).hex() if settings.content_md5 else None
    return StoredObject(key, properties.size, notes.pop("sha256", None), md5, settings.content_type, notes)
