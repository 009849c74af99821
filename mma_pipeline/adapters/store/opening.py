"""Chooses the backend that serves a URL. Makes no request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mma_pipeline.adapters.errors import AdapterError, AddressError, ConfigurationError
from mma_pipeline.adapters.redact import secret_values
from mma_pipeline.adapters.store.failures import as_adapter_error
from mma_pipeline.adapters.store.keys import check_prefix
from mma_pipeline.adapters.store.local import LocalBackend
from mma_pipeline.adapters.store.memory import MemoryBackend
from mma_pipeline.adapters.store.model import Backend

KNOWN = "a folder, file:///folder, memory://name, s3://bucket/prefix, abfs://container, swift://container"


def backend_for(
    url: str,
    *,
    environ: Mapping[str, str] | None = None,
    endpoint: str | None = None,
    timeout_s: float = 30.0,
    create: bool | None = None,
) -> Backend:
    """Build the backend for a path or URL.

    Args:
        url: where; never with credentials in it.
        environ: credentials by the names of the clouds' own tools; by default none.
        endpoint: server of an s3 or abfs store that is not the cloud's own.
        timeout_s: for connecting, and for each wait for bytes, seconds.
        create: make a missing bucket or container on the first write (default: Azure and Swift yes, S3 no).

    Raises:
        AddressError: empty, of an unknown scheme, or with credentials inside.
        ConfigurationError: settings are missing.
    """
    if "://" not in url:
        if not url.strip():
            raise AddressError(f"the store's address is empty; known: {KNOWN}")
        return LocalBackend(Path(url).expanduser())
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise AddressError(f"a {parts.scheme}:// address must not hold credentials: set them in the environment")
    place = unquote(parts.path)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise AddressError(f"file://{parts.netloc}/… names another machine: write file:///folder")
        return LocalBackend(Path(place))
    if parts.scheme == "memory":
        return MemoryBackend.named(f"{parts.netloc}{place}".strip("/"))
    try:
        prefix = check_prefix(place.strip("/"))
        return _remote(parts.scheme, parts.netloc, prefix, environ, endpoint, timeout_s, create)
    except AdapterError:
        raise
    except Exception as exc:  # noqa: BLE001  (a client's constructor may raise anything on a malformed key or URL)
        failure = as_adapter_error(exc, "open", url, secret_values(environ or {}))
    raise ConfigurationError(str(failure))


def _remote(
    scheme: str,
    host: str,
    prefix: str,
    environ: Mapping[str, str] | None,
    endpoint: str | None,
    timeout_s: float,
    create: bool | None,
) -> Backend:
    """Build a backend that talks to a server; its library is imported only here."""
    environ = {} if environ is None else environ
    if not host and scheme in ("s3", "swift"):
        raise AddressError(f"{scheme}:// needs the name of a bucket or container: {scheme}://name")
    if scheme == "s3":
        from mma_pipeline.adapters.store.s3 import S3Backend

        return S3Backend(host, prefix, environ=environ, endpoint=endpoint, timeout_s=timeout_s, create=bool(create))
    if scheme in ("abfs", "abfss", "az"):
        from mma_pipeline.adapters.store.azure import AzureBackend

        return AzureBackend(
            host, prefix, environ=environ, endpoint=endpoint, timeout_s=timeout_s, create=create is not False
        )
    if scheme == "swift":
        from mma_pipeline.adapters.store.swift import SwiftBackend

        return SwiftBackend(host, prefix, environ=environ, timeout_s=timeout_s, create=create is not False)
    raise AddressError(f"no store for {scheme}:// addresses; known: {KNOWN}")
