"""The GWTM listeners' short names of stores as addresses.

On Azure the site uses two containers, ``fit`` and ``test``: the first segment of every key (``abfs://``).
"""

from __future__ import annotations

from mma_pipeline.adapters.errors import AddressError

DEFAULT_BUCKET = "gwtreasuremap"


def url_of_source(source: str, *, bucket: str = DEFAULT_BUCKET, container: str = DEFAULT_BUCKET) -> str:
    """Address of ``s3``, ``abfs`` (or ``azure``), ``swift``; anything else is an address already.

    Args:
        source: short name, URL or folder.
        bucket: S3 bucket.
        container: Swift container.

    Raises:
        AddressError: a bare word that is none of these.
    """
    if source == "s3":
        return f"s3://{bucket}"
    if source in ("abfs", "azure"):
        return "abfs://"
    if source == "swift":
        return f"swift://{container}"
    if "/" in source:
        return source
    raise AddressError(f"storage {source!r:.40} is not known: s3, abfs, swift, a URL or a folder's path")
