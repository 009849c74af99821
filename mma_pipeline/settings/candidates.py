"""Candidates of an event: photometry, what they are compared with, and alerts of surveys."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, field_validator

from mma_pipeline.adapters.surveys.schemas import RUBIN_SCHEMAS
from mma_pipeline.notices.photometry.same_object import Nearness
from mma_pipeline.science.surveys.vetting import Thresholds
from mma_pipeline.science.vetting.checks import Check
from mma_pipeline.settings.base import Group, Start, Words, setting


class KilonovaSettings(Group):
    """Photometry of candidates."""

    topics: Words = setting(
        (),
        "MMA_PHOTOMETRY_TOPICS",
        about="Topics of photometry, comma-separated; with a Hopskotch credential its topics.",
    )
    offset_reset: Start | None = setting(
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

    star_catalog: Path | None = setting(
        None, "MMA_STAR_CATALOG", about="Folder of the table of stars; by default `stars` in `DAGSTER_HOME`."
    )
    agn_catalog: Path | None = setting(
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
    off: Words = setting(
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
    mocks: bool = setting(False, "MMA_SURVEY_MOCKS", about="Take candidates of mock and test events too.")
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

    schema_registry: str | None = setting(
        RUBIN_SCHEMAS,
        "MMA_SURVEY_SCHEMA_REGISTRY",
        about="Schema registry for packets that do not carry their schema (Rubin's); empty for none.",
        empty_counts=True,
    )
    schema_folder: Path | None = setting(
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
