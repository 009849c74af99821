"""All groups together, each read when it is first asked for, and what is made of several of them.

A wrong value of one group (a galaxy ranking) names itself where it is used, and never keeps the alerts from being read.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import ValidationError

from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.hopskotch.stream import HopBroker
from mma_pipeline.adapters.kafka.gcn import GcnBroker
from mma_pipeline.adapters.publishing.config import Access
from mma_pipeline.adapters.store.environment import url_of_source
from mma_pipeline.adapters.surveys.schemas import Schemas
from mma_pipeline.adapters.surveys.stream import SurveyBroker
from mma_pipeline.notices.gcn.declaration import CoreStream
from mma_pipeline.notices.gcn.streams import CORE_STREAMS
from mma_pipeline.settings.base import Group, names_of, secret
from mma_pipeline.settings.candidates import KilonovaSettings, SurveySettings, VettingSettings
from mma_pipeline.settings.coincidences import CoincidenceSettings
from mma_pipeline.settings.observing import CoverageSettings, GalaxySettings, ObservingSettings
from mma_pipeline.settings.publication import PortalSettings, PublicationSettings
from mma_pipeline.settings.storage import ArchiveSettings, LaneSettings, StoreSettings
from mma_pipeline.settings.streams import HopskotchSettings, KafkaSettings, NoticeSettings, SurveyStreamSettings

#: Variables with our prefix that other programs read: the TOM's own settings, and the tests' servers.
FOREIGN_PREFIXES = ("MMA_TOM_", "MMA_SERVICES_")

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
        url, token = self.coverage.tom_url, secret(self.coverage.tom_token)
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
            secret(kafka.client_secret),
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
            secret(hop.password),
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
            secret(stream.password),
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
            api_token=secret(publication.api_token),
            observing_run=publication.observing_run,
            bare_rows=publication.gwtm_bare_rows,
            hop_url=publication.hop_url,
            hop_username=hop.username,
            hop_password=secret(hop.password),
            webhook_url=secret(publication.webhook_url),
            file=publication.config,
            dry_run=publication.dry_run,
            named=self.environ,
        )

    @property
    def archive_url(self) -> str:
        """SQLAlchemy address of the archive; by default an SQLite file in `home`."""
        return secret(self.archive.url) or f"sqlite:///{self.home / 'archive.db'}"

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
        known = {name for kind in GROUPS.values() for info in kind.model_fields.values() for name in names_of(info)}
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
            whole = ""
            wrong: Mapping[str, str] = {}
            read: Group | None = None
            try:
                read = self._read(kind)
            except ConfigurationError as error:
                whole, wrong = str(error), self._wrong(kind)
                with suppress(ConfigurationError):
                    # What is wrong leaves what is not as it is; two values that do not go together concern all.
                    read = self._read(kind, without=wrong)
            for name, info in kind.model_fields.items():
                names = names_of(info)
                origin = next((n for n in names if self._has(n, info)), None)
                shown = wrong.get(names[0]) or (whole if read is None else _shown(getattr(read, name)))
                default = _shown(info.default)
                yield InForce(group, names[0], names[1:], info.description or "", default, shown, origin or "default")

    def _has(self, name: str, info: Any) -> bool:
        value = self.environ.get(name)
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        return value is not None and (bool(value.strip()) or bool(extra.get("empty_counts")))

    def _read(self, kind: type[_GroupT], *, without: Container[str] = ()) -> _GroupT:
        """Read a group; raises ConfigurationError. `without` names settings that are left at their defaults."""
        try:
            return kind(**self._given(kind, without))
        except ValidationError as error:
            raise ConfigurationError("; ".join(_said(kind, problem) for problem in error.errors())) from None

    def _given(self, kind: type[Group], without: Container[str] = ()) -> dict[str, str]:
        """What the environment says of a group, by the variables' names."""
        found = {}
        for info in kind.model_fields.values():
            names = names_of(info)
            name = next((n for n in names if self._has(n, info)), None)
            if name is not None and names[0] not in without:
                found[name] = self.environ[name].strip()
        return found

    def _wrong(self, kind: type[Group]) -> Mapping[str, str]:
        """What is wrong with single settings of a group, by their first names."""
        try:
            kind(**self._given(kind))
        except ValidationError as error:
            said = [_said(kind, problem) for problem in error.errors() if problem["loc"]]
            return {one.partition(":")[0]: one for one in said}
        return {}


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ", ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _said(kind: type[Group], problem: Any) -> str:
    """One problem of a value, by the variable's name and without the value, which may be a secret."""
    at = str(problem["loc"][0]) if problem["loc"] else ""
    names = [names_of(info) for field, info in kind.model_fields.items() if field == at or at in names_of(info)]
    return f"{names[0][0] if names else at}: {problem['msg']}"
