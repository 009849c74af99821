"""Resources: thin shells that build the plain objects of `adapters` from the settings.

Loading them touches neither network nor disk; each object is made once per process, on first use.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import lru_cache

import dagster as dg
from pydantic import Field

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.gracedb import PUBLIC_API, GraceDB
from mma_pipeline.adapters.hopskotch.stream import hop_stream
from mma_pipeline.adapters.kafka.gcn import gcn_stream
from mma_pipeline.adapters.kafka.reader import StreamReader
from mma_pipeline.adapters.kafka.stream import StreamConfig
from mma_pipeline.adapters.store import Store
from mma_pipeline.settings import current


class ArchiveResource(dg.ConfigurableResource["ArchiveResource"]):
    """The archive database: `MMA_ARCHIVE_URL`, or an SQLite file in DAGSTER_HOME."""

    url: str | None = Field(default=None, description="SQLAlchemy URL; by default from the environment.")

    def open(self) -> Archive:
        """The archive, brought to this code's schema; one per process."""
        return _archive(self.url or current().archive_url)


class StoreResource(dg.ConfigurableResource["StoreResource"]):
    """The product store: `MMA_STORE_URL`, or a folder in DAGSTER_HOME."""

    url: str | None = Field(default=None, description="Store URL without credentials; by default from the environment.")

    def open(self) -> Store:
        """The store; one per process."""
        settings = current()
        return _store(self.url or settings.store_url, tuple(sorted(settings.store.credentials.items())))


class KafkaResource(dg.ConfigurableResource["KafkaResource"]):
    """The resident consumers, one per stream and process."""

    bootstrap: str | None = Field(
        default=None, description="Broker without authentication in place of GCN; by default MMA_KAFKA_BOOTSTRAP."
    )

    def reader(self, stream: str, topic: str) -> StreamReader | None:
        """The consumer of a GCN topic; None where nothing is configured."""
        broker = current().gcn_broker
        if self.bootstrap:
            broker = replace(broker, bootstrap=self.bootstrap)
        config = gcn_stream(broker, stream, topic)
        return None if config is None else resident_reader(config)


class GraceDBResource(dg.ConfigurableResource["GraceDBResource"]):
    """GraceDB's public API, or the one at `MMA_GRACEDB_API`."""

    api: str | None = Field(default=None, description="Address that ends in /api/; by default from the environment.")

    def open(self) -> GraceDB:
        """A client; nothing is asked yet."""
        return GraceDB(self.api or current().archive.gracedb_api or PUBLIC_API)


def hop_reader(stream: str, topic: str) -> StreamReader | None:
    """The consumer of a Hopskotch topic; None where there is no credential. Raises ConfigurationError."""
    config = hop_stream(current().hop_broker, stream, topic)
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
def _store(url: str, credentials: tuple[tuple[str, str], ...]) -> Store:
    return Store.open(url, environ=dict(credentials))
