"""What observers configured: galaxy catalog and ranking, instruments in orbit and where their data come from.

Read from the environment, here and nowhere else; opened once per process and setting.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mma_pipeline.adapters import settings
from mma_pipeline.adapters.errors import ConfigurationError, NotFoundError
from mma_pipeline.adapters.spacecraft.orbits import CELESTRAK, TleArchive
from mma_pipeline.adapters.spacecraft.pointing import FSSC, FermiPointing
from mma_pipeline.adapters.store import Store
from mma_pipeline.science.observing.visibility import (
    DEFAULT_INSTRUMENTS,
    Instrument,
    InstrumentError,
    instruments_from_json,
)

if TYPE_CHECKING:
    from mma_pipeline.adapters.catalogs.index import CatalogIndex
    from mma_pipeline.science.galaxies.ranking import Choice

CATALOG = "MMA_GALAXY_CATALOG"
OLD_CATALOG_CONFIG = "PATH_TO_GALAXY_CATALOG_CONFIG"
#: Galaxies of a version that are offered to the GWTM site.
PUBLISHED_GALAXIES = 1000


@dataclass(frozen=True)
class GalaxySettings:
    """How galaxies are ranked here."""

    choice: Choice
    published: int
    """Longest list offered to other services."""

    def identity(self, catalog: CatalogIndex) -> str:
        """Everything that a list depends on beside the map, as text."""
        return json.dumps([catalog.digest, len(catalog), asdict(self.choice), self.published], sort_keys=True)


def catalog_folder(env: Mapping[str, str]) -> Path:
    """Folder of the galaxy index: `MMA_GALAXY_CATALOG`, else `galaxies` in the home folder."""
    return Path(env.get(CATALOG) or settings.home(env) / "galaxies")


def galaxy_catalog(env: Mapping[str, str] | None = None) -> CatalogIndex | None:
    """The catalog index; None where none was imported and none is named.

    Raises NotFoundError where one is named that is not there, PermanentError where it is damaged.
    """
    from mma_pipeline.adapters.catalogs.index import MANIFEST, CatalogIndex

    env = os.environ if env is None else env
    folder = catalog_folder(env)
    manifest = folder / MANIFEST
    if not manifest.is_file():
        if env.get(CATALOG):
            raise NotFoundError(f"{CATALOG} names {folder}, but there is no index: make it with `mma catalog import`")
        return None
    stat = manifest.stat()
    return _opened(folder, stat.st_mtime_ns, stat.st_ino, CatalogIndex)


@lru_cache(maxsize=2)
def _opened(folder: Path, changed: int, inode: int, kind: type[CatalogIndex]) -> CatalogIndex:  # noqa: ARG001
    return kind.open(folder)


def has_catalog() -> bool:
    """Whether a catalog is configured or imported; a named one that is missing counts, so that its absence is said."""
    return bool(os.environ.get(CATALOG)) or (catalog_folder(os.environ) / "manifest.json").is_file()


def galaxy_settings(env: Mapping[str, str] | None = None) -> GalaxySettings:
    """Ranking as configured: `MMA_GALAXY_*`, else the old listener's `gal_catalog_config.ini`, else defaults.

    Raises ConfigurationError for a value that cannot be used.
    """
    from mma_pipeline.adapters.catalogs.configuration import GwtmGalaxySettings, read_gwtm_settings
    from mma_pipeline.science.galaxies.ranking import Choice, Detectability, GalaxyError

    env = os.environ if env is None else env
    old = read_gwtm_settings(env[OLD_CATALOG_CONFIG]) if env.get(OLD_CATALOG_CONFIG) else GwtmGalaxySettings()
    plain, assumed = Choice(), Detectability()
    weight = env.get("MMA_GALAXY_WEIGHT") or plain.weight
    limiting = _number(env, "MMA_GALAXY_LIMITING_MAGNITUDE", old.limiting_magnitude or assumed.limiting_magnitude)
    try:
        choice = Choice(
            level=_number(env, "MMA_GALAXY_LEVEL", old.level or plain.level),
            weight=None if weight == "none" else weight,
            detectability=Detectability(
                limiting,
                brightest=assumed.brightest if old.brightest is None else old.brightest,
                faintest=assumed.faintest if old.faintest is None else old.faintest,
                floor=assumed.floor if old.floor is None else old.floor,
            ),
            max_distance=_number(env, "MMA_GALAXY_MAX_DISTANCE_MPC", 0.0) or None,
            limit=int(_number(env, "MMA_GALAXY_LIMIT", plain.limit)),
        )
    except GalaxyError as error:
        raise ConfigurationError(f"galaxy ranking: {error}") from error
    return GalaxySettings(choice, int(_number(env, "MMA_GALAXY_PUBLISHED", old.limit or PUBLISHED_GALAXIES)))


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        return float(text)
    except ValueError as error:
        raise ConfigurationError(f"{name} is {text!r}, not a number") from error


def instruments(env: Mapping[str, str] | None = None) -> tuple[Instrument, ...]:
    """Instruments in orbit: the JSON file that `MMA_INSTRUMENTS` names, else Fermi GBM and LAT.

    Raises ConfigurationError where the file cannot be used.
    """
    env = os.environ if env is None else env
    path = env.get("MMA_INSTRUMENTS")
    if not path:
        return DEFAULT_INSTRUMENTS
    try:
        return instruments_from_json(Path(path).read_text())
    except (OSError, InstrumentError) as error:
        raise ConfigurationError(f"MMA_INSTRUMENTS: {error}") from error


def tle_archive(store: Store, env: Mapping[str, str] | None = None) -> TleArchive:
    """Orbital elements: kept ones, and those of `MMA_TLE_SOURCE` (files or addresses, comma-separated; empty: none)."""
    env = os.environ if env is None else env
    return TleArchive(store, _sources(env.get("MMA_TLE_SOURCE", CELESTRAK)))


def pointing_source(
    store: Store, name: str | None, *, fetch: bool, env: Mapping[str, str] | None = None
) -> FermiPointing | None:
    """Where an instrument's boresight comes from; None for an instrument without one.

    `fetch` allows asking `MMA_FT2_SOURCE` (address or folder; empty: none). Raises ConfigurationError for an unknown name.
    """
    if name is None:
        return None
    if name != "fermi-ft2":
        raise ConfigurationError(f"there is no pointing source {name!r}: fermi-ft2 is the one that is known")
    env = os.environ if env is None else env
    sources = _sources(env.get("MMA_FT2_SOURCE", FSSC))
    return FermiPointing(store, sources[0] if fetch and sources else None)


def _sources(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
