"""From a URL to the backend that serves it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.store.local import LocalBackend
from mma_pipeline.adapters.store.memory import MemoryBackend
from mma_pipeline.adapters.store.model import Backend

SCHEMES = ("file:///folder", "memory://name")


def backend_for(url: str) -> Backend:
    """Build the backend for a path or URL; makes no request.

    Raises:
        ConfigurationError: empty, of an unknown scheme, or with credentials inside.
    """
    if "://" not in url:
        if not url.strip():
            raise ConfigurationError("the store's address is empty: give a folder or a URL such as " + SCHEMES[0])
        return LocalBackend(Path(url).expanduser())
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ConfigurationError(f"a {parts.scheme}:// address must not hold credentials: set them in the environment")
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise ConfigurationError(f"file://{parts.netloc}/… names another machine: write file:///folder")
        return LocalBackend(Path(unquote(parts.path)))
    if parts.scheme == "memory":
        return MemoryBackend.named(f"{parts.netloc}{parts.path}".strip("/"))
    raise ConfigurationError(f"no store for {parts.scheme}:// addresses; known: a folder, {', '.join(SCHEMES)}")
