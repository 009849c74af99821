"""The environment names of the GWTM listeners, which this project replaces, as store settings: a pure function.

| name | meaning |
|---|---|
| STORAGE_BUCKET_SOURCE | ``s3``, ``abfs`` or ``swift``: which of the places below |
| AWS_BUCKET | bucket, ``gwtreasuremap`` unless given |
| OS_CONTAINER_NAME | Swift container, ``gwtreasuremap`` unless given |
| WRITE_TO_STORAGE | ``false``: nothing goes to that place, everything into a local folder |
| DRY_RUN | ``true``: the same, and nothing is posted either |
| MMA_STORE_URL | address of the store; wins over STORAGE_BUCKET_SOURCE |

On Azure the site uses two containers, ``fit`` and ``test``: the first segment of every key (``abfs://``).
OBSERVING_RUN names the run in what is posted to the site; it is no part of any key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mma_pipeline.adapters.errors import ConfigurationError

DEFAULT_BUCKET = "gwtreasuremap"
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


@dataclass(frozen=True)
class StoreSettings:
    """Where products go.

    Attributes:
        url: address for `Store.open`.
        remote_url: the configured address that is left alone because of DRY_RUN or WRITE_TO_STORAGE; else None.
    """

    url: str
    remote_url: str | None = None


def url_of_source(source: str, environ: Mapping[str, str]) -> str:
    """Address of ``s3``, ``abfs`` (or ``azure``), ``swift``; anything else is an address already.

    Raises:
        ConfigurationError: a bare word that is none of these.
    """
    if source == "s3":
        return f"s3://{environ.get('AWS_BUCKET') or DEFAULT_BUCKET}"
    if source in ("abfs", "azure"):
        return "abfs://"
    if source == "swift":
        return f"swift://{environ.get('OS_CONTAINER_NAME') or DEFAULT_BUCKET}"
    if "/" in source:
        return source
    raise ConfigurationError(f"storage {source!r:.40} is not known: s3, abfs, swift, a URL or a folder's path")


def store_settings(environ: Mapping[str, str], *, local: str) -> StoreSettings:
    """Decide by the environment where products go.

    Args:
        environ: names and values, such as ``os.environ``.
        local: folder (path or URL) used when no store is named, and instead of it in a dry run.

    Raises:
        ConfigurationError: a value that cannot be meant.
    """
    source = environ.get("MMA_STORE_URL") or environ.get("STORAGE_BUCKET_SOURCE")
    url = url_of_source(source, environ) if source else local
    dry = flag(environ, "DRY_RUN", default=False) or not flag(environ, "WRITE_TO_STORAGE", default=True)
    if dry and url != local:
        return StoreSettings(local, remote_url=url)
    return StoreSettings(url)


def flag(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Read a boolean: true/1/yes/on or false/0/no/off, empty for the default.

    Raises:
        ConfigurationError: any other text (a mistyped DRY_RUN must not publish).
    """
    value = environ.get(name, "").strip().lower()
    if not value:
        return default
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    raise ConfigurationError(f"{name}={value!r:.20} is neither true nor false")
