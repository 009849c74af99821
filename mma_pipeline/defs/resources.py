"""Resources: thin shells that build the plain objects of `adapters` from the environment.

Loading them touches neither network nor disk; each object is made once per process, on first use.
"""

from __future__ import annotations

import os
import threading
from functools import lru_cache

import dagster as dg
from pydantic import Field

from mma_pipeline.adapters import settings
from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.gracedb import PUBLIC_API, GraceDB
from mma_pipeline.adapters.hopskotch.stream import hop_stream
from mma_pipeline.adapters.kafka.reader import StreamReader
from mma_pipeline.adapters.kafka.stream import StreamConfig
from mma_pipeline.adapters.store import Store


class ArchiveResource(dg.ConfigurableResource["ArchiveResource"]):
    """The archive database: `MMA_ARCHIVE_URL`, or an SQLite file in DAGSTER_HOME."""

    url: str | None = Field(default=None, description="SQLAlchemy URL; by default from the environment.")

    def open(self) -> Archive:
        """The archive, brought to this code's schema; one per process."""
        return _archive(self.url or settings.archive_url(os.environ))


class StoreResource(dg.ConfigurableResource["StoreResource"]):
    """The product store: `MMA_STORE_URL`, or a folder in DAGSTER_HOME."""

    url: str | None = Field(default=None, description="Store URL without credentials; by default from the environment.")

    def open(self) -> Store:
        """The store; one per process."""
        return _store(self.url or settings.store_url(os.environ))


class KafkaResource(dg.ConfigurableResource["KafkaResource"]):
    """The resident consumers, one per stream and process."""

    bootstrap: str | None = Field(
        default=None, description="Broker without authentication in place of GCN; by default MMA_KAFKA_BOOTSTRAP."
    )

    def reader(self, stream: str, topic: str) -> StreamReader | None:
        """The consumer of a GCN topic; None where nothing is configured."""
        env = dict(os.environ)
        if self.bootstrap:
            env["MMA_KAFKA_BOOTSTRAP"] = self.bootstrap
        config = settings.gcn_stream(env, stream, topic)
        return None if config is None else resident_reader(config)


class GraceDBResource(dg.ConfigurableResource["GraceDBResource"]):
    """GraceDB's public API, or the one at `MMA_GRACEDB_API`."""

    api: str | None = Field(default=None, description="Address that ends in /api/; by default from the environment.")

    def open(self) -> GraceDB:
        """A client; nothing is asked yet."""
        return GraceDB(self.api or os.environ.get("MMA_GRACEDB_API") or PUBLIC_API)


def hop_reader(stream: str, topic: str) -> StreamReader | None:
    """The consumer of a Hopskotch topic; None where there is no credential. Raises ConfigurationError."""
    config = hop_stream(os.environ, stream, topic)
    return None if config is None else resident_reader(config)


_readers: dict[str, tuple[StreamConfig, StreamReader]] = {}
_readers_lock = threading.Lock()


def resident_reader(config: StreamConfig) -> StreamReader:
    """The process's one consumer of a stream: GCN asks for no short-lived ones. A changed setting replaces it."""
    with _readers_lock:
        known = _readers.get(config.name)
        if known is not None and known[0] == config:
            return known[1]
        if known is not None:
            known[1].close()
        reader = StreamReader(config)
        _readers[config.name] = (config, reader)
        return reader


@lru_cache(maxsize=4)
def _archive(url: str) -> Archive:
    return Archive(url, create=True)


@lru_cache(maxsize=4)
def _store(url: str) -> Store:
    return Store.open(url)
