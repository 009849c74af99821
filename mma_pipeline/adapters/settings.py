"""Where things are, by environment variable: one pure function per thing, so that tests pass a mapping.

Names of the predecessors are kept where they had one; ours begin with `MMA_`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.kafka.stream import StreamConfig
from mma_pipeline.adapters.store.environment import store_settings

GCN_GWALERT = "gcn-gwalert"


def home(env: Mapping[str, str]) -> Path:
    """Folder for local state: `DAGSTER_HOME`, else `dagster_home` below the current folder."""
    return Path(env.get("DAGSTER_HOME") or "dagster_home").absolute()


def archive_url(env: Mapping[str, str]) -> str:
    """SQLAlchemy URL of the archive: `MMA_ARCHIVE_URL`, else an SQLite file in `home`."""
    return env.get("MMA_ARCHIVE_URL") or f"sqlite:///{home(env) / 'archive.db'}"


def store_url(env: Mapping[str, str]) -> str:
    """URL of the product store: `MMA_STORE_URL` or the listeners' names, else the folder `products` in `home`.

    Where `DRY_RUN` is true or `WRITE_TO_STORAGE` false, products go to that folder too. Raises ConfigurationError
    where a name has a value that cannot be meant.
    """
    return store_settings(env, local=(home(env) / "products").as_uri()).url


def public_address(env: Mapping[str, str]) -> Callable[[str], str | None]:
    """Where people outside fetch a storage key: below `MMA_PUBLIC_URL`; nowhere (None) without it.

    The store's own address (a folder, `s3://…`) leads nobody from outside to a file, so it never stands in for this
    one. Raises ConfigurationError where it is no plain http or https address.
    """
    base = (env.get("MMA_PUBLIC_URL") or "").strip()
    if not base:
        return lambda _key: None
    parts = urlsplit(base)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        # The address is not repeated: somebody may have written a password into it.
        raise ConfigurationError(
            "MMA_PUBLIC_URL must be an http or https address without credentials, query or fragment, below which the "
            "keys of the store are served"
        )
    return lambda key: f"{base.rstrip('/')}/{quote(key)}"


def gcn_stream(env: Mapping[str, str], name: str, topic: str) -> StreamConfig | None:
    """How to read a topic of GCN; None where neither credentials nor a broker are set.

    `KAFKA_CLIENT_ID` and `KAFKA_CLIENT_SECRET` are the GCN client credentials, `KAFKA_GROUP_ID` the consumer group,
    `KAFKA_OFFSET_RESET` where a new group begins. `MMA_KAFKA_BOOTSTRAP` names another broker without authentication
    (the demo's, a test's); `GCN_DOMAIN` another GCN than gcn.nasa.gov. Raises ConfigurationError where only one
    half of the credentials is set.
    """
    client: dict[str, Any] = {}
    if env.get("KAFKA_GROUP_ID"):
        client["group.id"] = f"{env['KAFKA_GROUP_ID']}"
    start = env.get("KAFKA_OFFSET_RESET") or "earliest"
    bootstrap = env.get("MMA_KAFKA_BOOTSTRAP")
    if bootstrap:
        return StreamConfig(name, (topic,), client | {"bootstrap.servers": bootstrap}, start)
    client_id, secret = env.get("KAFKA_CLIENT_ID"), env.get("KAFKA_CLIENT_SECRET")
    if not client_id and not secret:
        return None
    if not client_id or not secret:
        raise ConfigurationError("set both KAFKA_CLIENT_ID and KAFKA_CLIENT_SECRET, the GCN client credentials")
    from gcn_kafka.core import get_config

    client.setdefault("group.id", f"mma-{client_id}")
    settings: dict[str, Any] = get_config(  # type: ignore[no-untyped-call]
        "consumer",
        client,
        client_id=client_id,
        client_secret=secret,
        domain=env.get("GCN_DOMAIN") or "gcn.nasa.gov",
    )
    return StreamConfig(name, (topic,), settings, start)
