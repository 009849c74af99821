"""Galaxies, instruments in orbit, observatories on the ground, and pointings."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr

from mma_pipeline.adapters.spacecraft.orbits import CELESTRAK
from mma_pipeline.adapters.spacecraft.pointing import FSSC
from mma_pipeline.settings.base import Group, Words, setting


class GalaxySettings(Group):
    """The galaxy catalog, and how its galaxies are ranked."""

    catalog: Path | None = setting(
        None, "MMA_GALAXY_CATALOG", about="Folder of the galaxy index; by default `galaxies` in `DAGSTER_HOME`."
    )
    gwtm_catalog_config: Path | None = setting(
        None, "PATH_TO_GALAXY_CATALOG_CONFIG", about="The GWTM listeners' `gal_catalog_config.ini`."
    )
    weight: str | None = setting(
        None, "MMA_GALAXY_WEIGHT", about="Weight of a galaxy: `mass`, a luminosity, or `none`."
    )
    level: float | None = setting(None, "MMA_GALAXY_LEVEL", about="Credible level of the volume searched.")
    limit: int | None = setting(None, "MMA_GALAXY_LIMIT", about="Longest list that is kept.")
    published: int | None = setting(None, "MMA_GALAXY_PUBLISHED", about="Longest list that is published (1000).")
    limiting_magnitude: float | None = setting(
        None, "MMA_GALAXY_LIMITING_MAGNITUDE", about="Depth of the search for a counterpart, mag."
    )
    max_distance_mpc: float | None = setting(
        None, "MMA_GALAXY_MAX_DISTANCE_MPC", about="Farthest galaxy, Mpc; by default none."
    )


class ObservingSettings(Group):
    """Instruments in orbit and where their positions come from; observatories on the ground."""

    instruments: Path | None = setting(
        None, "MMA_INSTRUMENTS", about="JSON file of instruments in orbit, in place of Fermi GBM and LAT."
    )
    tle_source: Words = setting(
        (CELESTRAK,),
        "MMA_TLE_SOURCE",
        about="Files or addresses of orbital elements, comma-separated; empty: none.",
        empty_counts=True,
    )
    ft2_source: Words = setting(
        (FSSC,),
        "MMA_FT2_SOURCE",
        about="Address or folder of Fermi's pointing files; empty: none.",
        empty_counts=True,
    )

    sites: Path | None = setting(
        None, "MMA_SITES", about="JSON file of observatories on the ground, in place of the shipped list."
    )
    airmass_max: float = Field(
        2.5,
        gt=1,
        le=40,
        validation_alias=AliasChoices("MMA_AIRMASS_MAX"),
        description="Largest airmass at which a site observes.",
    )
    moon_min_deg: float = Field(
        20.0,
        ge=0,
        lt=180,
        validation_alias=AliasChoices("MMA_MOON_MIN_DEG"),
        description="Least angle to the Moon while it is up, deg.",
    )
    sun_max_deg: float = Field(
        -18.0,
        ge=-90,
        le=0,
        validation_alias=AliasChoices("MMA_SUN_MAX_DEG"),
        description="Altitude of the Sun below which it is dark, deg.",
    )
    windows_days: int = Field(
        7,
        ge=0,
        le=365,
        validation_alias=AliasChoices("MMA_WINDOWS_DAYS"),
        description="Days after a notice's first in which its windows are made again every three hours; 0: never.",
    )


class CoverageSettings(Group):
    """Pointings of telescopes, and what they cover of a sky map."""

    pointings_url: str | None = setting(
        None,
        "MMA_POINTINGS_URL",
        about="The Treasure Map's API whose pointings are read, an address that ends in `/api/v1/`; by default `API_BASE`, "
        "empty: none.",
        empty_counts=True,
    )
    tom_url: str | None = setting(
        None,
        "MMA_POINTINGS_TOM_URL",
        about="Address of the TOM's start page, whose observation requests are read as pointings; without it none.",
    )
    tom_token: SecretStr | None = setting(
        None, "MMA_POINTINGS_TOM_TOKEN", about="Token for it: what the TOM has as `TOM_POINTINGS_TOKEN`."
    )
    minutes: float = Field(
        10.0,
        ge=1,
        le=1440,
        validation_alias=AliasChoices("MMA_POINTINGS_MINUTES"),
        description="Minutes between two looks at the pointings of an event of the last day; older ones are looked at less.",
    )
    days: float = Field(
        14.0,
        gt=0,
        le=365,
        validation_alias=AliasChoices("MMA_POINTINGS_DAYS"),
        description="Days after an event's last notice in which its pointings are looked at.",
    )
    absolute_magnitude: float = Field(
        -16.0,
        ge=-30,
        le=0,
        validation_alias=AliasChoices("MMA_COVERAGE_ABSOLUTE_MAGNITUDE"),
        description="Absolute magnitude of the source whose reach weights coverage.",
    )
