"""The configured galaxy catalog and ranking, the instruments in orbit, and the sources of their data.

Each is opened once per process and setting. The product that needs a wrong setting reports it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mma_pipeline.adapters.errors import AdapterError, ConfigurationError, NotFoundError
from mma_pipeline.adapters.spacecraft.orbits import TleArchive
from mma_pipeline.adapters.spacecraft.pointing import FermiPointing
from mma_pipeline.adapters.store import Store
from mma_pipeline.science.observing.sites import Limits, Site, SiteError, shipped_sites, sites_from_json
from mma_pipeline.science.observing.visibility import (
    DEFAULT_INSTRUMENTS,
    Instrument,
    InstrumentError,
    instruments_from_json,
)
from mma_pipeline.settings import Settings

if TYPE_CHECKING:
    from mma_pipeline.adapters.catalogs.index import CatalogIndex
    from mma_pipeline.science.galaxies.ranking import Choice

#: Greatest number of galaxies of a version that are posted to the Treasure Map.
PUBLISHED_GALAXIES = 1000


@dataclass(frozen=True)
class GalaxySettings:
    """How galaxies are ranked."""

    choice: Choice
    published: int
    """Greatest length of a list that is published."""

    def identity(self, catalog: CatalogIndex) -> str:
        """Everything besides the map that a list depends on, as text."""
        return json.dumps([catalog.digest, len(catalog), asdict(self.choice), self.published], sort_keys=True)


def catalog_folder(settings: Settings) -> Path:
    """Folder of the galaxy index: `MMA_GALAXY_CATALOG`, else `galaxies` in the home folder."""
    return settings.galaxies.catalog or settings.home / "galaxies"


def galaxy_catalog(settings: Settings) -> CatalogIndex | None:
    """The catalog index; None if none was imported and no setting names one.

    Raises NotFoundError if the named one does not exist, PermanentError if it is damaged.
    """
    from mma_pipeline.adapters.catalogs.folder import MANIFEST
    from mma_pipeline.adapters.catalogs.index import CatalogIndex

    folder = catalog_folder(settings)
    manifest = folder / MANIFEST
    if not manifest.is_file():
        if settings.galaxies.catalog:
            raise NotFoundError(
                f"MMA_GALAXY_CATALOG names {folder}, but there is no index: make it with `mma catalog import`"
            )
        return None
    stat = manifest.stat()
    return _opened(folder, stat.st_mtime_ns, stat.st_ino, CatalogIndex)


@lru_cache(maxsize=2)
def _opened(folder: Path, changed: int, inode: int, kind: type[CatalogIndex]) -> CatalogIndex:  # noqa: ARG001
    return kind.open(folder)


def has_catalog(settings: Settings) -> bool:
    """Whether a catalog is configured or imported; one that is configured but missing counts, so that this is reported."""
    return settings.galaxies.catalog is not None or (catalog_folder(settings) / "manifest.json").is_file()


def galaxy_settings(settings: Settings) -> GalaxySettings:
    """Ranking as configured: `MMA_GALAXY_*`, else the old listener's `gal_catalog_config.ini`, else defaults.

    Raises ConfigurationError for a value that cannot be used.
    """
    from mma_pipeline.adapters.catalogs.configuration import GwtmGalaxySettings, read_gwtm_settings
    from mma_pipeline.science.galaxies.ranking import Choice, Detectability, GalaxyError

    ours = settings.galaxies
    old = GwtmGalaxySettings() if ours.gwtm_catalog_config is None else read_gwtm_settings(ours.gwtm_catalog_config)
    plain, assumed = Choice(), Detectability()
    weight = ours.weight or plain.weight
    try:
        choice = Choice(
            level=_first(ours.level, old.level, plain.level),
            weight=None if weight == "none" else weight,
            detectability=Detectability(
                _first(ours.limiting_magnitude, old.limiting_magnitude, assumed.limiting_magnitude),
                brightest=_first(old.brightest, assumed.brightest),
                faintest=_first(old.faintest, assumed.faintest),
                floor=_first(old.floor, assumed.floor),
            ),
            max_distance=ours.max_distance_mpc,
            limit=plain.limit if ours.limit is None else ours.limit,
        )
    except GalaxyError as error:
        raise ConfigurationError(f"galaxy ranking: {error}") from error
    return GalaxySettings(choice, int(_first(ours.published, old.limit, PUBLISHED_GALAXIES)))


def _first(*values: float | None) -> float:
    """The first value that is set; the last one always is."""
    return next(value for value in values if value is not None)


def instruments(settings: Settings) -> tuple[Instrument, ...]:
    """Instruments in orbit: the JSON file that `MMA_INSTRUMENTS` names, else Fermi GBM and LAT.

    Raises ConfigurationError if the file cannot be used.
    """
    path = settings.observing.instruments
    if path is None:
        return DEFAULT_INSTRUMENTS
    try:
        return instruments_from_json(path.read_text())
    except (OSError, InstrumentError) as error:
        raise ConfigurationError(f"MMA_INSTRUMENTS: {error}") from error


def sites(settings: Settings) -> tuple[Site, ...]:
    """Observatories on the ground: the JSON file that `MMA_SITES` names, else the shipped list.

    Raises ConfigurationError where the file cannot be used.
    """
    path = settings.observing.sites
    try:
        return shipped_sites() if path is None else sites_from_json(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"MMA_SITES: {error}") from error


def limits(settings: Settings) -> Limits:
    """What counts as observable where a site does not say otherwise; raises ConfigurationError."""
    wanted = settings.observing
    return Limits(wanted.airmass_max, wanted.moon_min_deg, wanted.sun_max_deg)


def wrong_sites(settings: Settings) -> str | None:
    """Why the configured sites or limits cannot be used; None where they can."""
    try:
        for site in sites(settings):
            site.limits(limits(settings))
    except (ConfigurationError, SiteError) as error:
        return str(error)
    return None


def usable_ranking(settings: Settings) -> tuple[CatalogIndex, GalaxySettings] | None:
    """Catalog and ranking; None without a catalog, or if a setting is wrong, which the asset `galaxies` reports."""
    try:
        catalog = galaxy_catalog(settings)
        return None if catalog is None else (catalog, galaxy_settings(settings))
    except ConfigurationError:
        return None


def wrong_instruments(settings: Settings) -> str | None:
    """Why the configured instruments cannot be used; None if they can, or if none are configured."""
    try:
        instruments(settings)
    except ConfigurationError as error:
        return str(error)
    return None


def wrong_ranking(settings: Settings) -> str | None:
    """Why the configured ranking of galaxies cannot be used; None if it can."""
    try:
        galaxy_settings(settings)
    except AdapterError as error:
        return str(error)
    return None


def tle_archive(store: Store, settings: Settings) -> TleArchive:
    """Orbital elements: stored ones, and those of `MMA_TLE_SOURCE` (files or addresses, comma-separated; empty: none)."""
    return TleArchive(store, list(settings.observing.tle_source))


def pointing_source(store: Store, name: str | None, settings: Settings, *, fetch: bool) -> FermiPointing | None:
    """Source of an instrument's boresight; None for an instrument without one.

    `fetch` allows asking `MMA_FT2_SOURCE` (address or folder; empty: none). Raises ConfigurationError for an unknown name.
    """
    if name is None:
        return None
    if name != "fermi-ft2":
        raise ConfigurationError(f"there is no pointing source {name!r}: the only known one is fermi-ft2")
    sources = settings.observing.ft2_source
    return FermiPointing(store, sources[0] if fetch and sources else None)
