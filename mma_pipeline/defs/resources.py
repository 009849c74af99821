"""Dagster resources: thin shells that build the plain objects of `adapters` from the settings.

Loading them uses neither network nor disk; each object is made once per process, on first use.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import dagster as dg
from pydantic import Field

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.gracedb import PUBLIC_API, GraceDB
from mma_pipeline.adapters.kafka.reader import StreamReader
from mma_pipeline.adapters.kafka.stream import StreamConfig
from mma_pipeline.adapters.photometry.stream import photometry_stream
from mma_pipeline.adapters.publishing.config import DestinationConfig, load
from mma_pipeline.adapters.publishing.service import Publications
from mma_pipeline.adapters.spacecraft.orbits import TleArchive
from mma_pipeline.adapters.spacecraft.pointing import FermiPointing
from mma_pipeline.adapters.store import Store
from mma_pipeline.defs.alerts.streams import Stream, stream_config
from mma_pipeline.defs.observing import configuration
from mma_pipeline.science.observing.visibility import Instrument
from mma_pipeline.settings import PublicationSettings, Settings, current


class SettingsResource(dg.ConfigurableResource["SettingsResource"]):
    """All settings, for assets, checks and sensors that need more than an open archive or store.

    It has no fields, because the UI shows a resource's fields and settings hold secrets.
    """

    def get(self) -> Settings:
        """The settings of this process; its groups raise ConfigurationError where a value cannot be used."""
        return current()

    def portal_url(self) -> str | None:
        """Address of the portal for links in definitions; None without one, or where the setting cannot be used."""
        try:
            return current().portal.url
        except ConfigurationError:
            # The definitions load all the same: what needs the address says what is wrong with it.
            return None


class ArchiveResource(dg.ConfigurableResource["ArchiveResource"]):
    """The archive database: `MMA_ARCHIVE_URL`, or an SQLite file in DAGSTER_HOME."""

    url: str | None = Field(default=None, description="SQLAlchemy URL; by default from the environment.")

    def open(self) -> Archive:
        """The archive; one per process."""
        return _archive(self.url or current().archive_url)

    def mock_days(self) -> int:
        """Days after which mock and test versions are removed."""
        return current().archive.mock_days


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

    def settings(self) -> Settings:
        """What is configured, with this resource's broker where it has one."""
        found = current()
        return found.with_(MMA_KAFKA_BOOTSTRAP=self.bootstrap) if self.bootstrap else found

    def reader(self, stream: Stream) -> StreamReader | None:
        """The consumer of a stream; None if nothing is configured. Raises ConfigurationError."""
        config = stream_config(self.settings(), stream)
        return None if config is None else resident_reader(config)


class GraceDBResource(dg.ConfigurableResource["GraceDBResource"]):
    """GraceDB's public API, or the one at `MMA_GRACEDB_API`."""

    api: str | None = Field(default=None, description="Address that ends in /api/; by default from the environment.")

    def open(self) -> GraceDB:
        """A client; sends no request yet."""
        return GraceDB(self.api or current().archive.gracedb_api or PUBLIC_API)


class PublicationResource(dg.ConfigurableResource["PublicationResource"]):
    """Where we publish and by which rules: `MMA_PUBLICATION_CONFIG`, or a destination for each address that is set.

    It has no fields, because the UI shows a resource's fields and they could hold a token.
    """

    def open(self, archive: Archive, store: Store) -> Publications:
        """Publication as configured; one per process, so that its connections are reused."""
        settings = current()
        path = settings.publication.config
        written = path.stat().st_mtime_ns if path is not None and path.is_file() else None
        key = (id(archive), store.url(), written, id(settings))
        if key not in _publications:
            _publications.clear()
            _publications[key] = Publications(archive, settings.publication.public_address, settings.access)
        return _publications[key]

    def telling(self, archive: Archive) -> Publications:
        """Publication for messages to people, which need no products: it works while the store is away."""
        return Publications(archive, str, current().access)

    def names(self) -> tuple[str, ...]:
        """Names of the destinations; none if their configuration is wrong, which doctor and publication say."""
        return destination_names(current())

    def destinations(self) -> tuple[DestinationConfig, ...]:
        """The configured destinations; none of them is opened. Raises ConfigurationError."""
        return load(current().access)

    def settings(self) -> PublicationSettings:
        """Settings of publication."""
        return current().publication


class PhotometryResource(dg.ConfigurableResource["PhotometryResource"]):
    """The stream of photometry: `MMA_PHOTOMETRY_TOPICS` of Hopskotch, or a broker without authentication."""

    def settings(self) -> Settings:
        """What is configured."""
        return current()

    def reader(self) -> StreamReader | None:
        """The process's only consumer; None if nothing is configured. Raises ConfigurationError."""
        config = photometry_config(self.settings())
        return None if config is None else resident_reader(config)


class ObservingResource(dg.ConfigurableResource["ObservingResource"]):
    """Instruments in orbit, and where their orbital elements and pointing come from."""

    def instruments(self) -> tuple[Instrument, ...]:
        """Instruments of `MMA_INSTRUMENTS`, else Fermi GBM and LAT; raises ConfigurationError."""
        return configuration.instruments(current())

    def elements(self, store: Store) -> TleArchive:
        """Orbital elements: those in the store, and those of `MMA_TLE_SOURCE`."""
        return configuration.tle_archive(store, current())

    def pointing(self, store: Store, name: str | None) -> FermiPointing | None:
        """Source of an instrument's boresight; None for an instrument without one. Raises ConfigurationError."""
        return configuration.pointing_source(store, name, current(), fetch=True)


def destination_names(settings: Settings) -> tuple[str, ...]:
    """Names of the configured destinations; none if their configuration is wrong."""
    try:
        return tuple(destination.name for destination in load(settings.access))
    except ConfigurationError:
        return ()


def photometry_config(settings: Settings) -> StreamConfig | None:
    """How to read photometry; None if it is not configured. Raises ConfigurationError."""
    wanted = settings.kilonova
    return photometry_stream(wanted.topics, settings.hop_broker, settings.gcn_broker, wanted.offset_reset)


_publications: dict[tuple[Any, ...], Publications] = {}
_readers: dict[str, tuple[StreamConfig, StreamReader]] = {}
_readers_lock = threading.Lock()


def resident_reader(config: StreamConfig) -> StreamReader:
    """The process's only consumer of a stream, because GCN asks users to avoid short-lived ones. A changed setting replaces it."""
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
