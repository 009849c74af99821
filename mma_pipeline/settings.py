"""All settings of the pipeline. Only this module reads the environment; other modules get values.

Add a setting here: a field with its variable's name, a description and a default. `docs/settings.md` and `mma settings`
follow by themselves. Names of the GWTM listeners and of the SCiMMA demonstration work beside ours (`MMA_…`).
Not here: what the values are used for. A group is read when it is first asked for, so that a wrong value of one
(a galaxy ranking) names itself where it is used, and never keeps the alerts from being read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.hopskotch.stream import HOPSKOTCH, HopBroker
from mma_pipeline.adapters.kafka.gcn import GcnBroker
from mma_pipeline.adapters.publishing.config import Access
from mma_pipeline.adapters.redact import hide, secret_values
from mma_pipeline.adapters.spacecraft.orbits import CELESTRAK
from mma_pipeline.adapters.spacecraft.pointing import FSSC
from mma_pipeline.adapters.store.environment import url_of_source
from mma_pipeline.adapters.surveys.schemas import RUBIN_SCHEMAS, Schemas
from mma_pipeline.adapters.surveys.stream import SurveyBroker
from mma_pipeline.notices.gcn.declaration import CoreStream
from mma_pipeline.notices.gcn.streams import CORE_STREAMS
from mma_pipeline.notices.photometry.same_object import Nearness
from mma_pipeline.science.coincidence.searches import SEARCHES, Search, SearchRules, searches_from
from mma_pipeline.science.surveys.vetting import Thresholds
from mma_pipeline.science.vetting.checks import Check

#: Variables with our prefix that other programs read: the TOM's own settings, and the tests' servers.
FOREIGN_PREFIXES = ("MMA_TOM_", "MMA_SERVICES_")


def _parts(value: Any) -> Any:
    """Comma-separated text as a tuple without empty parts."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _plain_web_address(value: str | None, what: str) -> str | None:
    """The address is not repeated in the complaint: somebody may have written a password into it."""
    parts = urlsplit(value or "")
    if value is not None and (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise ValueError(f"must be an http or https address without credentials, query or fragment, below which {what}")
    return value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parts)]
Start = Literal["earliest", "latest"]


def _setting(default: Any, *names: str, about: str, empty_counts: bool = False) -> Any:
    """A field: its default, the variables that set it (the first that is set wins), and what it is for.

    Args:
        default: value where no variable is set.
        names: variables, ours first.
        about: one sentence for people.
        empty_counts: whether an empty variable is a value; elsewhere it means that the variable is not set.
    """
    extra: dict[str, Any] = {"empty_counts": empty_counts}
    return Field(default, validation_alias=AliasChoices(*names), description=about, json_schema_extra=extra)


class Group(BaseSettings):
    """Settings that belong together. Values come from the mapping that `Settings` was given, never from elsewhere."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is handed in: `Settings` has read the environment already."""
        return (init_settings,)


class KafkaSettings(Group):
    """Where alerts are read: NASA GCN, or a broker without authentication in its place."""

    client_id: str | None = _setting(None, "KAFKA_CLIENT_ID", about="GCN client credentials: the id.")
    client_secret: SecretStr | None = _setting(None, "KAFKA_CLIENT_SECRET", about="GCN client credentials: the secret.")
    group_id: str | None = _setting(
        None, "KAFKA_GROUP_ID", about="Consumer group; by default `mma-` and the client id."
    )
    offset_reset: Start = _setting("earliest", "KAFKA_OFFSET_RESET", about="Where a new group begins.")
    domain: str = _setting("gcn.nasa.gov", "GCN_DOMAIN", about="Another GCN, such as `test.gcn.nasa.gov`.")
    bootstrap: str | None = _setting(
        None, "MMA_KAFKA_BOOTSTRAP", about="A broker without authentication in place of GCN (tests, demonstration)."
    )


class NoticeSettings(Group):
    """Streams of other observatories on GCN: which are read. A topic that the broker lacks is passed over."""

    fermi_gbm: bool = _setting(True, "MMA_NOTICES_FERMI_GBM", about="Fermi GBM's triggers.")
    fermi_gbm_classic: bool = _setting(
        True,
        "MMA_NOTICES_FERMI_GBM_CLASSIC",
        about="The same as VOEvents, which GCN sends until the JSON notices come.",
    )
    fermi_gbm_targeted: bool = _setting(
        False, "MMA_NOTICES_FERMI_GBM_TARGETED", about="Fermi GBM's targeted searches (not public)."
    )
    swift_bat_guano: bool = _setting(True, "MMA_NOTICES_SWIFT_BAT_GUANO", about="Swift BAT's bursts by GUANO.")
    einstein_probe_wxt: bool = _setting(
        True, "MMA_NOTICES_EINSTEIN_PROBE_WXT", about="Einstein Probe's X-ray transients."
    )
    icecube_tracks: bool = _setting(True, "MMA_NOTICES_ICECUBE_TRACKS", about="IceCube's gold and bronze tracks.")
    km3net: bool = _setting(True, "MMA_NOTICES_KM3NET", about="KM3NeT's neutrinos.")
    superk_sn: bool = _setting(True, "MMA_NOTICES_SUPERK_SN", about="Super-Kamiokande's supernova alerts.")
    chime_frb: bool = _setting(True, "MMA_NOTICES_CHIME_FRB", about="Fast radio bursts of CHIME.")
    dsa110_frb: bool = _setting(True, "MMA_NOTICES_DSA110_FRB", about="Fast radio bursts of DSA-110.")
    maxi_gsc_unknown: bool = _setting(True, "MMA_NOTICES_MAXI_GSC_UNKNOWN", about="MAXI's new X-ray transients.")
    maxi_gsc_known: bool = _setting(
        False, "MMA_NOTICES_MAXI_GSC_KNOWN", about="MAXI's outbursts of known sources, most of them in the Galaxy."
    )
    svom: bool = _setting(True, "MMA_NOTICES_SVOM", about="SVOM's triggers.")
    burstcube: bool = _setting(False, "MMA_NOTICES_BURSTCUBE", about="BurstCube, which has ended.")
    glowbug: bool = _setting(False, "MMA_NOTICES_GLOWBUG", about="Glowbug, which has ended.")
    map_seconds: float = Field(
        20.0,
        gt=0,
        le=40,
        validation_alias=AliasChoices("MMA_NOTICES_MAP_SECONDS"),
        description="Longest time for one fetch of a map that a notice names, s.",
    )
    map_megabytes: float = Field(
        64.0,
        gt=0,
        le=500,
        validation_alias=AliasChoices("MMA_NOTICES_MAP_MEGABYTES"),
        description="Largest such map, MB.",
    )
    map_hours: float = Field(
        24.0,
        ge=0,
        le=240,
        validation_alias=AliasChoices("MMA_NOTICES_MAP_HOURS"),
        description="Hours after a notice in which its map is tried again; 0 fetches none.",
    )


class HopskotchSettings(Group):
    """SCiMMA Hopskotch: the credential, and how streams are read with it."""

    username: str | None = _setting(None, "HOP_USERNAME", about="Credential: the user name.")
    password: SecretStr | None = _setting(None, "HOP_PASSWORD", about="Credential: the password.")
    streams: bool = _setting(
        False, "MMA_HOP_STREAMS", about="Read streams with the credential that `hop auth` keeps in auth.toml."
    )
    tests: bool = _setting(False, "MMA_HOP_TESTS", about="Take messages that are marked as tests too.")
    bootstrap: str = _setting(HOPSKOTCH, "MMA_HOP_BOOTSTRAP", about="Another Hopskotch broker.")
    protocol: Literal["SASL_SSL", "SASL_PLAINTEXT", "SSL", "PLAINTEXT"] = _setting(
        "SASL_SSL",
        "MMA_HOP_PROTOCOL",
        about="`SASL_PLAINTEXT` for a broker without TLS; `PLAINTEXT` or `SSL` for one that asks for no credential.",
    )
    group: str = _setting("mma", "MMA_HOP_GROUP", about="Part of the group id after the user name.")


class ArchiveSettings(Group):
    """The archive database."""

    url: SecretStr | None = _setting(
        None,
        "MMA_ARCHIVE_URL",
        about="SQLAlchemy address, `sqlite:///…` or `postgresql+psycopg2://…`; by default SQLite in `DAGSTER_HOME`.",
    )
    mock_days: int = Field(
        30,
        ge=1,
        validation_alias=AliasChoices("MMA_MOCK_DAYS"),
        description="Days after which mock and test events are removed.",
    )
    gracedb_api: str | None = _setting(None, "MMA_GRACEDB_API", about="Another GraceDB, by the address of its API.")


class StoreSettings(Group):
    """The product store and its credentials, under the names of the clouds' own tools and of the GWTM listeners."""

    url: str | None = _setting(
        None,
        "MMA_STORE_URL",
        about="Where products go: a folder, `s3://…`, `abfs://…`, `swift://…`; by default `products` in `DAGSTER_HOME`.",
    )
    source: str | None = _setting(
        None, "STORAGE_BUCKET_SOURCE", about="The GWTM listeners' name for it: `s3`, `abfs` or `swift`."
    )
    write: bool = _setting(
        True, "WRITE_TO_STORAGE", about="`false`: nothing goes to that place, everything into the local folder."
    )
    aws_bucket: str = _setting("gwtreasuremap", "AWS_BUCKET", about="Bucket where `STORAGE_BUCKET_SOURCE` is `s3`.")
    aws_access_key_id: str | None = _setting(None, "AWS_ACCESS_KEY_ID", about="S3 credential: the key's id.")
    aws_secret_access_key: SecretStr | None = _setting(
        None, "AWS_SECRET_ACCESS_KEY", about="S3 credential: the secret."
    )
    aws_session_token: SecretStr | None = _setting(
        None, "AWS_SESSION_TOKEN", about="S3 credential: token of a temporary one."
    )
    aws_default_region: str | None = _setting(None, "AWS_DEFAULT_REGION", "AWS_REGION", about="S3 region.")
    aws_endpoint_url: str | None = _setting(None, "AWS_ENDPOINT_URL", about="An S3 server other than Amazon's.")
    azure_storage_connection_string: SecretStr | None = _setting(
        None, "AZURE_STORAGE_CONNECTION_STRING", about="Azure credential: the connection string, in place of the next."
    )
    azure_account_name: str | None = _setting(
        None, "AZURE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_NAME", about="Azure credential: the account."
    )
    azure_account_key: SecretStr | None = _setting(
        None, "AZURE_ACCOUNT_KEY", "AZURE_STORAGE_ACCOUNT_KEY", about="Azure credential: its key."
    )
    azure_storage_sas_token: SecretStr | None = _setting(
        None, "AZURE_STORAGE_SAS_TOKEN", about="Azure credential: a SAS token in place of the key."
    )
    azure_blob_endpoint: str | None = _setting(
        None, "AZURE_BLOB_ENDPOINT", about="A Blob service other than Azure's own."
    )
    os_auth_url: str | None = _setting(None, "OS_AUTH_URL", about="Keystone's address.")
    os_storage_url: str | None = _setting(None, "OS_STORAGE_URL", about="Swift's address, if Keystone's is not used.")
    os_username: str | None = _setting(
        None, "OS_USERNAME", about="User; 32 hexadecimal digits are the id of an application credential."
    )
    os_password: SecretStr | None = _setting(None, "OS_PASSWORD", about="Its password or secret.")
    os_application_credential_id: str | None = _setting(
        None, "OS_APPLICATION_CREDENTIAL_ID", about="Application credential: the id."
    )
    os_application_credential_secret: SecretStr | None = _setting(
        None, "OS_APPLICATION_CREDENTIAL_SECRET", about="Application credential: the secret."
    )
    os_project_name: str | None = _setting(None, "OS_PROJECT_NAME", about="Project.")
    os_user_domain_name: str | None = _setting(None, "OS_USER_DOMAIN_NAME", about="Domain of the user (`Default`).")
    os_project_domain_name: str | None = _setting(
        None, "OS_PROJECT_DOMAIN_NAME", about="Domain of the project (`Default`)."
    )
    os_region_name: str | None = _setting(None, "OS_REGION_NAME", about="Region, where the catalog has several.")
    os_cacert: str | None = _setting(
        None, "OS_CACERT", about="File of the authority that signed Keystone's certificate."
    )
    os_container_name: str = _setting(
        "gwtreasuremap", "OS_CONTAINER_NAME", about="Container where `STORAGE_BUCKET_SOURCE` is `swift`."
    )

    @property
    def credentials(self) -> Mapping[str, str]:
        """What the backends log in with, by variable name; what is not set is absent."""
        found = {}
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if name.startswith(("aws_", "azure_", "os_")) and value is not None:
                found[_names(info)[0]] = _plain(value)
        return MappingProxyType(found)


class PublicationSettings(Group):
    """What is sent to others, and where."""

    api_base: str | None = _setting(
        None, "API_BASE", about="The Treasure Map's API, an address that ends in `/api/v1/`."
    )
    api_token: SecretStr | None = _setting(None, "API_TOKEN", about="Its token.")
    observing_run: str = _setting("O4", "OBSERVING_RUN", about="Observing run named in its rows.")
    hop_url: str | None = _setting(
        None, "MMA_HOP_URL", about="Hopskotch topic for derived alerts, `kafka://host/topic`."
    )
    webhook_url: SecretStr | None = _setting(None, "MMA_WEBHOOK_URL", about="Chat or other webhook for people.")
    public_url: str | None = _setting(
        None,
        "MMA_PUBLIC_URL",
        about="Address below which people can fetch the store's files; links of messages lead there.",
    )
    gwtm_bare_rows: bool = _setting(
        False,
        "MMA_GWTM_BARE_ROWS",
        about="Post Treasure Map rows without their map's values where products failed for good.",
    )
    gwtm_remove_mocks: bool = _setting(True, "MMA_GWTM_REMOVE_MOCKS", about="Remove mocks from the Treasure Map.")
    gwtm_mock_hours: float = Field(
        48.0,
        ge=0,
        le=87_600,
        validation_alias=AliasChoices("MMA_GWTM_MOCK_HOURS"),
        description="Hours after its last row at which a mock event is removed there.",
    )
    config: Path | None = _setting(
        None, "MMA_PUBLICATION_CONFIG", about="TOML file with destinations and rules in place of the above."
    )
    dry_run: bool = _setting(False, "DRY_RUN", about="Decide, but publish nothing and write to the local folder only.")

    @field_validator("public_url")
    @classmethod
    def _plain_address(cls, value: str | None) -> str | None:
        return _plain_web_address(value, "the keys of the store are served")

    def public_address(self, key: str) -> str | None:
        """Where people outside fetch a storage key; None if nothing is served to them.

        The store's own address (a folder, `s3://…`) leads nobody from outside to a file, so it never stands in.
        """
        return None if self.public_url is None else f"{self.public_url.rstrip('/')}/{quote(key)}"


class PortalSettings(Group):
    """The portal: pages and API over all events (`mma serve`)."""

    url: str | None = _setting(
        None,
        "MMA_PORTAL_URL",
        about="Address of the portal for people; links of the Dagster UI to files lead there.",
    )

    @field_validator("url")
    @classmethod
    def _plain_address(cls, value: str | None) -> str | None:
        return _plain_web_address(value, "the portal answers")

    def file_address(self, key: str) -> str | None:
        """Where the portal serves a storage key; None without a portal."""
        return None if self.url is None else f"{self.url.rstrip('/')}/files/{quote(key)}"


class GalaxySettings(Group):
    """The galaxy catalog, and how its galaxies are ranked."""

    catalog: Path | None = _setting(
        None, "MMA_GALAXY_CATALOG", about="Folder of the galaxy index; by default `galaxies` in `DAGSTER_HOME`."
    )
    gwtm_catalog_config: Path | None = _setting(
        None, "PATH_TO_GALAXY_CATALOG_CONFIG", about="The GWTM listeners' `gal_catalog_config.ini`."
    )
    weight: str | None = _setting(
        None, "MMA_GALAXY_WEIGHT", about="Weight of a galaxy: `mass`, a luminosity, or `none`."
    )
    level: float | None = _setting(None, "MMA_GALAXY_LEVEL", about="Credible level of the volume searched.")
    limit: int | None = _setting(None, "MMA_GALAXY_LIMIT", about="Longest list that is kept.")
    published: int | None = _setting(None, "MMA_GALAXY_PUBLISHED", about="Longest list that is published (1000).")
    limiting_magnitude: float | None = _setting(
        None, "MMA_GALAXY_LIMITING_MAGNITUDE", about="Depth of the search for a counterpart, mag."
    )
    max_distance_mpc: float | None = _setting(
        None, "MMA_GALAXY_MAX_DISTANCE_MPC", about="Farthest galaxy, Mpc; by default none."
    )


class ObservingSettings(Group):
    """Instruments in orbit and where their positions come from; observatories on the ground."""

    instruments: Path | None = _setting(
        None, "MMA_INSTRUMENTS", about="JSON file of instruments in orbit, in place of Fermi GBM and LAT."
    )
    tle_source: Words = _setting(
        (CELESTRAK,),
        "MMA_TLE_SOURCE",
        about="Files or addresses of orbital elements, comma-separated; empty: none.",
        empty_counts=True,
    )
    ft2_source: Words = _setting(
        (FSSC,),
        "MMA_FT2_SOURCE",
        about="Address or folder of Fermi's pointing files; empty: none.",
        empty_counts=True,
    )

    sites: Path | None = _setting(
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
        description="Days after a notice in which its windows are made again each day.",
    )


class CoverageSettings(Group):
    """Pointings of telescopes, and what they cover of a sky map."""

    pointings_url: str | None = _setting(
        None,
        "MMA_POINTINGS_URL",
        about="The Treasure Map's API whose pointings are read, an address that ends in `/api/v1/`; by default `API_BASE`, "
        "empty: none.",
        empty_counts=True,
    )
    tom_url: str | None = _setting(
        None,
        "MMA_POINTINGS_TOM_URL",
        about="Address of the TOM's start page, whose observation requests are read as pointings; without it none.",
    )
    tom_token: SecretStr | None = _setting(
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


class KilonovaSettings(Group):
    """Photometry of candidates."""

    topics: Words = _setting(
        (),
        "MMA_PHOTOMETRY_TOPICS",
        about="Topics of photometry, comma-separated; with a Hopskotch credential its topics.",
    )
    offset_reset: Start | None = _setting(
        None,
        "MMA_PHOTOMETRY_OFFSET_RESET",
        about="Where a new group of these begins; by default as `KAFKA_OFFSET_RESET`.",
    )
    look_back_days: float = Field(
        100.0,
        gt=0,
        le=36_500,
        validation_alias=AliasChoices("MMA_LOOK_BACK_DAYS"),
        description="Days before a merger in which detections exclude a candidate.",
    )
    same_object_arcsec: float = Field(
        2.0,
        gt=0,
        le=6,
        validation_alias=AliasChoices("MMA_SAME_OBJECT_ARCSEC"),
        description="Objects no further apart, arcsec, are one candidate, whatever their names.",
    )
    same_name_arcsec: float = Field(
        10.0,
        gt=0,
        le=3600,
        validation_alias=AliasChoices("MMA_SAME_NAME_ARCSEC"),
        description="A known name further from where it is known, arcsec, is refused.",
    )

    @property
    def nearness(self) -> Nearness:
        """Which objects are one."""
        return Nearness(self.same_object_arcsec, self.same_name_arcsec)


class VettingSettings(Group):
    """What candidates are compared with, and when a match counts."""

    star_catalog: Path | None = _setting(
        None, "MMA_STAR_CATALOG", about="Folder of the table of stars; by default `stars` in `DAGSTER_HOME`."
    )
    agn_catalog: Path | None = _setting(
        None, "MMA_AGN_CATALOG", about="Folder of the table of active nuclei; by default `agn` in `DAGSTER_HOME`."
    )
    match_arcsec: float = Field(
        1.5,
        gt=0,
        le=30,
        validation_alias=AliasChoices("MMA_VETTING_MATCH_ARCSEC"),
        description="Largest separation of a star or an active nucleus at a candidate's place, arcsec.",
    )
    host_chance: float = Field(
        0.1,
        gt=0,
        le=1,
        validation_alias=AliasChoices("MMA_VETTING_HOST_CHANCE"),
        description="Largest probability of a chance coincidence at which a galaxy counts as the host.",
    )
    off: Words = _setting(
        (),
        "MMA_VETTING_OFF",
        about="Checks that are told but do not count: `host`, `star`, `agn`, `minor_planet`, `earlier`.",
    )

    @field_validator("off")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - {check.value for check in Check})
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no check: {', '.join(check.value for check in Check)}")
        return value


class SurveySettings(Group):
    """Alerts of surveys: which are candidates of a live event, and how long all of them are kept."""

    days: float = Field(
        14.0,
        gt=0,
        le=365,
        validation_alias=AliasChoices("MMA_SURVEY_DAYS"),
        description="Days after an event in which its region takes candidates.",
    )
    level: float = Field(
        0.99,
        gt=0,
        le=1,
        validation_alias=AliasChoices("MMA_SURVEY_LEVEL"),
        description="Credible level of the region.",
    )
    mocks: bool = _setting(False, "MMA_SURVEY_MOCKS", about="Take candidates of mock and test events too.")
    nights: int = Field(
        3,
        ge=1,
        le=60,
        validation_alias=AliasChoices("MMA_SURVEY_NIGHTS"),
        description="Nights of which all alerts are kept, so that a new map finds what came before it.",
    )
    ztf_real_bogus: float = Field(
        0.3,
        ge=0,
        le=1,
        validation_alias=AliasChoices("MMA_SURVEY_ZTF_REAL_BOGUS"),
        description="Lowest score of ZTF (`drb`, else `rb`) that is taken for real.",
    )
    lsst_reliability: float = Field(
        0.5,
        ge=0,
        le=1,
        validation_alias=AliasChoices("MMA_SURVEY_LSST_RELIABILITY"),
        description="Lowest `reliability` of Rubin that is taken for real.",
    )
    star_score: float = Field(
        0.76,
        ge=0,
        le=1,
        validation_alias=AliasChoices("MMA_SURVEY_STAR_SCORE"),
        description="Score above which the nearest catalog source is a star, 0 (galaxy) to 1 (star).",
    )
    star_arcsec: float = Field(
        1.5,
        ge=0,
        le=60,
        validation_alias=AliasChoices("MMA_SURVEY_STAR_ARCSEC"),
        description="Largest separation of that star, arcsec.",
    )
    solar_system_arcsec: float = Field(
        5.0,
        ge=0,
        le=60,
        validation_alias=AliasChoices("MMA_SURVEY_SOLAR_SYSTEM_ARCSEC"),
        description="Largest separation of a known object of the solar system, arcsec.",
    )
    earlier_snr: float = Field(
        5.0,
        gt=0,
        le=100,
        validation_alias=AliasChoices("MMA_SURVEY_EARLIER_SNR"),
        description="Signal to noise from which a point before the event keeps an object out.",
    )
    margin_days: float = Field(
        0.01,
        ge=0,
        le=10,
        validation_alias=AliasChoices("MMA_SURVEY_MARGIN_DAYS"),
        description="Days before the event that still belong to it.",
    )
    look_back_days: float | None = Field(
        None,
        gt=0,
        validation_alias=AliasChoices("MMA_SURVEY_LOOK_BACK_DAYS"),
        description="Days before the event in which detections count; by default all that the packet knows of.",
    )

    schema_registry: str | None = _setting(
        RUBIN_SCHEMAS,
        "MMA_SURVEY_SCHEMA_REGISTRY",
        about="Schema registry for packets that do not carry their schema (Rubin's); empty for none.",
        empty_counts=True,
    )
    schema_folder: Path | None = _setting(
        None,
        "MMA_SURVEY_SCHEMA_FOLDER",
        about=(
            "Folder of Avro schemas, `1000.avsc` for number 1000 or Rubin's own tree, asked before the registry; what the "
            "registry gave is kept there. By default `survey_schemas` in `DAGSTER_HOME`."
        ),
    )

    @property
    def thresholds(self) -> Thresholds:
        """What keeps an alert out."""
        return Thresholds(
            real_bogus={"ztf": self.ztf_real_bogus, "lsst": self.lsst_reliability},
            star_score=self.star_score,
            star_arcsec=self.star_arcsec,
            solar_system_arcsec=self.solar_system_arcsec,
            earlier_snr=self.earlier_snr,
            margin_days=self.margin_days,
            look_back_days=self.look_back_days,
        )


class SurveyStreamSettings(Group):
    """Where survey alerts are read: one broker per reader (`mma survey read`)."""

    topics: Words = _setting(
        (),
        "MMA_SURVEY_TOPICS",
        about="Topics of survey alerts, comma-separated; a name that begins with `^` is a pattern.",
    )
    name: str = _setting(
        "survey", "MMA_SURVEY_STREAM", about="Name of the stream, for several readers of several brokers."
    )
    broker: str | None = _setting(
        None, "MMA_SURVEY_BROKER", about="Broker, `host:port`; by default Hopskotch with its credential."
    )
    username: str | None = _setting(None, "MMA_SURVEY_USERNAME", about="Credential there: the user name.")
    password: SecretStr | None = _setting(None, "MMA_SURVEY_PASSWORD", about="Credential there: the password.")
    protocol: Literal["SASL_SSL", "SASL_PLAINTEXT", "SSL", "PLAINTEXT"] | None = _setting(
        None, "MMA_SURVEY_PROTOCOL", about="By default `SASL_SSL` with a user and `PLAINTEXT` without."
    )
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = _setting(
        "SCRAM-SHA-512", "MMA_SURVEY_MECHANISM", about="How the password is proven."
    )
    group: str = _setting(
        "mma-survey", "MMA_SURVEY_GROUP", about="Consumer group, which the readers of a stream share."
    )
    offset_reset: Start = _setting("latest", "MMA_SURVEY_OFFSET_RESET", about="Where a new group begins.")


class LaneSettings(Group):
    """Runs: the warm lane's queue, and how long a version may take."""

    celery_broker: SecretStr | None = _setting(
        None,
        "MMA_CELERY_BROKER",
        about="Queue of the resident workers: `redis://…` (Redis, Valkey), `amqp://…` (RabbitMQ), or `filesystem://` on one "
        "machine without a server, which Celery calls experimental.",
    )
    celery_backend: SecretStr | None = _setting(
        None,
        "MMA_CELERY_BACKEND",
        about="Where workers note that a run began and how it ended: `db+postgresql+psycopg2://…`.",
    )
    dagster_postgres: SecretStr | None = _setting(
        None, "DAGSTER_PG_URL", about="PostgreSQL for Dagster's own storage, named in `dagster.yaml`."
    )
    unfinished_after_s: float = Field(
        600.0,
        gt=0,
        lt=3 * 86_400,
        validation_alias=AliasChoices("MMA_UNFINISHED_AFTER_S"),
        description="Seconds after which a version that lacks products gets another run.",
    )


@dataclass(frozen=True, slots=True)
class InForce:
    """One setting as it is in force."""

    group: str
    name: str
    """The variable that sets it; the first of several."""
    aliases: tuple[str, ...]
    about: str
    default: str
    value: str
    """As people may see it: secrets are asterisks."""
    origin: str
    """The variable that set it, or `default`."""


class CoincidenceSettings(Group):
    """Pairs of events of different messengers: by which searches they are compared, and which are claimed."""

    searches: Path | None = _setting(
        None,
        "MMA_COINCIDENCE_SEARCHES",
        about="JSON file with search windows, rates and sources in place of the published ones.",
    )
    far_per_year: float = Field(
        1.0,
        gt=0,
        validation_alias=AliasChoices("MMA_COINCIDENCE_FAR_PER_YEAR"),
        description="Joint false-alarm rate, per year, up to which a pair is claimed and published.",
    )
    gw_per_day: float = Field(
        2.0,
        gt=0,
        validation_alias=AliasChoices("MMA_COINCIDENCE_GW_PER_DAY"),
        description="False-alarm rate, per day, to which gravitational-wave alerts are sent.",
    )
    sure_gw_days: float = Field(
        3.0,
        gt=0,
        validation_alias=AliasChoices("MMA_COINCIDENCE_SURE_GW_DAYS"),
        description="Days between sure gravitational waves: pairs of significant ones are rated by it too.",
    )
    alerts: bool = _setting(True, "MMA_COINCIDENCE_ALERTS", about="Publish claimed pairs as derived alerts.")

    @property
    def rules(self) -> SearchRules:
        """By which pairs are compared; raises ConfigurationError if the file cannot be used."""
        return SearchRules(
            searches=SEARCHES if self.searches is None else _searches(self.searches),
            far_max=self.far_per_year / (365.25 * 86400.0),
            far_gw_max=self.gw_per_day / 86400.0,
            rate_gw=1.0 / (self.sure_gw_days * 86400.0),
        )


def _searches(path: Path) -> tuple[Search, ...]:
    try:
        return searches_from(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"MMA_COINCIDENCE_SEARCHES: {path} cannot be used: {error}") from error


_GroupT = TypeVar("_GroupT", bound=Group)
GROUPS: Mapping[str, type[Group]] = MappingProxyType(
    {
        "kafka": KafkaSettings,
        "notices": NoticeSettings,
        "hopskotch": HopskotchSettings,
        "archive": ArchiveSettings,
        "store": StoreSettings,
        "publication": PublicationSettings,
        "portal": PortalSettings,
        "galaxies": GalaxySettings,
        "observing": ObservingSettings,
        "coverage": CoverageSettings,
        "kilonova": KilonovaSettings,
        "vetting": VettingSettings,
        "coincidences": CoincidenceSettings,
        "surveys": SurveySettings,
        "survey_stream": SurveyStreamSettings,
        "lanes": LaneSettings,
    }
)


class Settings:
    """The settings of one environment, by group; each group raises ConfigurationError if a value cannot be used."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Keep a copy of the environment; no group is read yet."""
        self.environ: Mapping[str, str] = MappingProxyType(dict(environ))

    def of_side(self, prefix: str) -> Settings:
        """These settings, where a variable with a prefix (`SOURCE_`, `DEST_`) wins over the one without."""
        names = {n.removeprefix(prefix): v for n, v in self.environ.items() if prefix and n.startswith(prefix)}
        return Settings({**self.environ, **names})

    @property
    def home(self) -> Path:
        """Folder for local state: `DAGSTER_HOME`, else `dagster_home` below the current folder."""
        return Path(self.environ.get("DAGSTER_HOME") or "dagster_home").absolute()

    @cached_property
    def kafka(self) -> KafkaSettings:
        """Where alerts are read."""
        return self._read(KafkaSettings)

    def with_(self, **changes: str) -> Settings:
        """The same settings with some variables changed."""
        return Settings({**self.environ, **changes})

    @cached_property
    def hopskotch(self) -> HopskotchSettings:
        """Credential and reading of Hopskotch."""
        return self._read(HopskotchSettings)

    @cached_property
    def archive(self) -> ArchiveSettings:
        """The archive database."""
        return self._read(ArchiveSettings)

    @cached_property
    def store(self) -> StoreSettings:
        """The product store."""
        return self._read(StoreSettings)

    @cached_property
    def publication(self) -> PublicationSettings:
        """What is sent to others."""
        return self._read(PublicationSettings)

    @cached_property
    def portal(self) -> PortalSettings:
        """The portal."""
        return self._read(PortalSettings)

    @cached_property
    def galaxies(self) -> GalaxySettings:
        """Galaxy catalog and ranking."""
        return self._read(GalaxySettings)

    @cached_property
    def observing(self) -> ObservingSettings:
        """Instruments in orbit."""
        return self._read(ObservingSettings)

    @cached_property
    def coverage(self) -> CoverageSettings:
        """Pointings and coverage."""
        return self._read(CoverageSettings)

    @property
    def pointings_url(self) -> str | None:
        """Where pointings are read; None for nowhere."""
        named = self.coverage.pointings_url
        return self.publication.api_base if named is None else named or None

    @property
    def pointings_tom(self) -> tuple[str, str] | None:
        """The TOM whose requests are read, and its token; None for none. Raises ConfigurationError for one without the other."""
        url, token = self.coverage.tom_url, _secret(self.coverage.tom_token)
        if url is None and token is None:
            return None
        if url is None or token is None:
            raise ConfigurationError(
                "MMA_POINTINGS_TOM_URL and MMA_POINTINGS_TOM_TOKEN belong together: set both or none"
            )
        return url, token

    @cached_property
    def kilonova(self) -> KilonovaSettings:
        """Photometry of candidates."""
        return self._read(KilonovaSettings)

    @cached_property
    def vetting(self) -> VettingSettings:
        """Vetting of candidates."""
        return self._read(VettingSettings)

    @cached_property
    def coincidences(self) -> CoincidenceSettings:
        """Pairs of events of different messengers."""
        return self._read(CoincidenceSettings)

    @cached_property
    def surveys(self) -> SurveySettings:
        """Alerts of surveys."""
        return self._read(SurveySettings)

    @cached_property
    def survey_stream(self) -> SurveyStreamSettings:
        """Where survey alerts are read."""
        return self._read(SurveyStreamSettings)

    @cached_property
    def lanes(self) -> LaneSettings:
        """Runs and their queue."""
        return self._read(LaneSettings)

    @property
    def survey_schemas(self) -> Schemas:
        """Where the schemas of survey packets are found; a reader keeps one, which remembers them."""
        return Schemas(self.surveys.schema_registry or None, self.surveys.schema_folder or self.home / "survey_schemas")

    @cached_property
    def notices(self) -> NoticeSettings:
        """Streams of other observatories."""
        return self._read(NoticeSettings)

    @property
    def notice_streams(self) -> tuple[CoreStream, ...]:
        """Those that are switched on."""
        return tuple(stream for stream in CORE_STREAMS if getattr(self.notices, stream.name))

    @property
    def gcn_broker(self) -> GcnBroker:
        """Where alerts and notices are read."""
        kafka = self.kafka
        return GcnBroker(
            kafka.client_id,
            _secret(kafka.client_secret),
            kafka.group_id,
            kafka.offset_reset,
            kafka.domain,
            kafka.bootstrap,
        )

    @property
    def hop_broker(self) -> HopBroker:
        """Where Hopskotch is read, and as whom."""
        hop = self.hopskotch
        return HopBroker(
            hop.username,
            _secret(hop.password),
            hop.streams,
            hop.bootstrap,
            hop.protocol,
            hop.group,
            self.kafka.offset_reset,
        )

    @property
    def survey_broker(self) -> SurveyBroker:
        """Where survey alerts are read, and as whom."""
        stream = self.survey_stream
        return SurveyBroker(
            stream.broker,
            stream.username,
            _secret(stream.password),
            stream.protocol,
            stream.mechanism,
            stream.group,
            stream.offset_reset,
            self.kafka.bootstrap,
        )

    @property
    def access(self) -> Access:
        """Where we may publish, and as whom."""
        publication, hop = self.publication, self.hopskotch
        return Access(
            api_base=publication.api_base,
            api_token=_secret(publication.api_token),
            observing_run=publication.observing_run,
            bare_rows=publication.gwtm_bare_rows,
            hop_url=publication.hop_url,
            hop_username=hop.username,
            hop_password=_secret(hop.password),
            webhook_url=_secret(publication.webhook_url),
            file=publication.config,
            dry_run=publication.dry_run,
            named=self.environ,
        )

    @property
    def archive_url(self) -> str:
        """SQLAlchemy address of the archive; by default an SQLite file in `home`."""
        return _secret(self.archive.url) or f"sqlite:///{self.home / 'archive.db'}"

    @property
    def store_url(self) -> str:
        """Where products go: `MMA_STORE_URL` or the listeners' names, else the folder `products` in `home`.

        With `DRY_RUN`, or `WRITE_TO_STORAGE=false`, products go to that folder too.
        """
        local = (self.home / "products").as_uri()
        if self.publication.dry_run or not self.store.write:
            return local
        named = self.store.url or self.store.source
        return (
            local
            if not named
            else url_of_source(named, bucket=self.store.aws_bucket, container=self.store.os_container_name)
        )

    def unknown(self) -> list[str]:
        """Variables that begin with `MMA_` and that nothing reads: misspelt, or of another release."""
        known = {name for kind in GROUPS.values() for info in kind.model_fields.values() for name in _names(info)}
        ours = (name for name in self.environ if name.startswith("MMA_") and not name.startswith(FOREIGN_PREFIXES))
        return sorted(name for name in ours if name not in known)

    def problems(self) -> dict[str, str]:
        """Groups that cannot be read, with the reason."""
        found = {}
        for group, kind in GROUPS.items():
            try:
                self._read(kind)
            except ConfigurationError as error:
                found[group] = str(error)
        return found

    def in_force(self) -> Iterator[InForce]:
        """Every setting with its value and where that came from; a value that cannot be used says so."""
        for group, kind in GROUPS.items():
            try:
                read = self._read(kind)
                problem = ""
            except ConfigurationError as error:
                read, problem = None, str(error)
            for name, info in kind.model_fields.items():
                names = _names(info)
                origin = next((n for n in names if self._has(n, info)), None)
                shown = problem if read is None else _shown(getattr(read, name))
                default = _shown(info.default)
                yield InForce(group, names[0], names[1:], info.description or "", default, shown, origin or "default")

    def _has(self, name: str, info: Any) -> bool:
        value = self.environ.get(name)
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        return value is not None and (bool(value.strip()) or bool(extra.get("empty_counts")))

    def _read(self, kind: type[_GroupT]) -> _GroupT:
        values = {}
        for info in kind.model_fields.values():
            name = next((n for n in _names(info) if self._has(n, info)), None)
            if name is not None:
                values[name] = self.environ[name].strip()
        try:
            return kind(**values)
        except ValidationError as error:
            raise ConfigurationError("; ".join(_said(kind, problem) for problem in error.errors())) from None


def current() -> Settings:
    """The settings of this process, as its environment is now. Their secrets are kept out of every text from here on."""
    return _of(tuple(sorted(os.environ.items())))


@lru_cache(maxsize=4)
def _of(items: tuple[tuple[str, str], ...]) -> Settings:
    environ = dict(items)
    hide(secret_values(environ))
    return Settings(environ)


def set_home(home: Path) -> None:
    """Name the folder for local state, for this process and those that it starts, where nobody named one."""
    os.environ.setdefault("DAGSTER_HOME", str(home))


def environment_of_child(**changes: str) -> dict[str, str]:
    """The environment for a process that this one starts."""
    return {**os.environ, **changes}


def _names(info: Any) -> tuple[str, ...]:
    alias = info.validation_alias
    return tuple(str(choice) for choice in alias.choices) if isinstance(alias, AliasChoices) else (str(alias),)


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()


def _plain(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ", ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _said(kind: type[Group], problem: Any) -> str:
    """One problem of a value, by the variable's name and without the value, which may be a secret."""
    at = str(problem["loc"][0]) if problem["loc"] else ""
    names = [_names(info) for field, info in kind.model_fields.items() if field == at or at in _names(info)]
    return f"{names[0][0] if names else at}: {problem['msg']}"
