"""What Hermes takes (LCOGT/hermes, hermes/serializers.py), as pydantic models: the fields of targets and photometry, and its checks."""

from __future__ import annotations

import math
from typing import Any, Literal

from dateutil.parser import parse
from pydantic import BaseModel, Field, field_validator, model_validator

_Unit = Literal["AB mag", "Vega mag", "mJy", "erg / s / cm² / Å"]


class _Reference(BaseModel, extra="forbid"):
    source: str | None = None
    citation: str | None = None
    url: str | None = None

    @model_validator(mode="after")
    def _told(self) -> _Reference:
        if not (self.source and self.citation) and (self.source or self.citation or not self.url):
            raise ValueError("Must set source/citation or url")
        return self


class _Target(BaseModel, extra="forbid"):
    name: str = Field(min_length=1)
    ra: str | None = None
    dec: str | None = None
    redshift: float | None = None
    host_name: str | None = None
    aliases: list[str] = []

    @model_validator(mode="after")
    def _placed(self) -> _Target:
        if self.ra is None or self.dec is None or not math.isfinite(float(self.ra)) or abs(float(self.dec)) > 90:
            raise ValueError("ra/dec or orbital elements are required")
        return self


class _Photometry(BaseModel, extra="forbid"):
    target_name: str
    date_obs: str
    telescope: str = ""
    instrument: str = ""
    bandpass: str = Field(min_length=1)
    brightness: float | None = None
    brightness_error: float | None = None
    brightness_unit: _Unit = "AB mag"
    limiting_brightness: float | None = None
    limiting_brightness_unit: _Unit = "AB mag"

    @field_validator("date_obs")
    @classmethod
    def _date(cls, value: str) -> str:
        try:
            float(value)
        except ValueError:
            parse(value)
        return value

    @model_validator(mode="after")
    def _measured(self) -> _Photometry:
        if not (self.telescope or self.instrument):
            raise ValueError("Must have at least one of telescope or instrument set")
        if not (self.brightness or self.limiting_brightness):
            raise ValueError("brightness or limiting_brightness are required")
        return self


class _Data(BaseModel, extra="allow"):
    references: list[_Reference] = []
    event_id: str | None = None
    targets: list[_Target] = []
    photometry: list[_Photometry] = []

    @model_validator(mode="after")
    def _named(self) -> _Data:
        names = [target.name for target in self.targets]
        if len(set(names)) < len(names):
            raise ValueError("The target name must be unique within the submission")
        if any(row.target_name not in names for row in self.photometry):
            raise ValueError("The target_name must reference a name in your target table")
        return self


class _Message(BaseModel, extra="forbid"):
    title: str = Field(min_length=1)
    topic: str = Field(min_length=1)
    submitter: str = Field(min_length=1)
    # Required of what comes over Hopskotch (alertstream_handlers/ingest_from_hop.py).
    authors: str
    message_text: str
    data: _Data


def check_message(body: Any) -> None:
    """Raise ValidationError if Hermes would refuse a message."""
    _Message.model_validate(body)
