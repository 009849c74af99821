"""What the real GWTM v1 server accepts and how it words a refusal, as pydantic models; used by its stand-in."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any

from dateutil.parser import parse as parse_date
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, create_model, field_validator, model_validator
from starlette.requests import Request

ADMIN, USER = "test_token_admin_001", "test_token_user_002"
USERS = {ADMIN: "admin", USER: "user"}
#: Number and login of each user, as pointings and candidates show them.
SUBMITTERS = {"admin": (1, "admin"), "user": (2, "testuser")}
NO_TOKEN = "Authentication required. Please provide a valid JWT token or API token."
#: Lengths of the text columns of the real server's table gw_alert.
LENGTHS = {"graceid": 50, "alternateid": 50, "role": 20, "alert_type": 50, "detectors": 100, "description": 500,
           "skymap_fits_url": 500, "group": 50, "observing_run": 20, "pipeline": 50, "search": 50, "ivorn": 100,
           "ext_coinc_observatory": 50, "ext_coinc_search": 50}  # fmt: skip
Probability = Annotated[float, Field(ge=0, le=1)]
Area = Annotated[float, Field(ge=0)]
_FIELDS: dict[str, Any] = {
    "id": int, "datecreated": datetime, "graceid": str, "alternateid": str, "role": str, "timesent": datetime,
    "time_of_signal": datetime, "packet_type": int, "alert_type": str, "detectors": str, "description": str,
    "far": float, "skymap_fits_url": str, "distance": float, "distance_error": float, "prob_bns": Probability,
    "prob_nsbh": Probability, "prob_gap": Probability, "prob_bbh": Probability, "prob_terrestrial": Probability,
    "prob_hasns": Probability, "prob_hasremenant": Probability, "group": str, "centralfreq": float,
    "duration": float, "avgra": Annotated[float, Field(ge=0, le=360)],
    "avgdec": Annotated[float, Field(ge=-90, le=90)], "observing_run": str, "pipeline": str, "search": str,
    "area_50": Area, "area_90": Area, "gcn_notice_id": int, "ivorn": str, "ext_coinc_observatory": str,
    "ext_coinc_search": str, "time_coincidence_far": float, "time_sky_position_coincidence_far": float,
    "time_difference": float, "pointing_count": int,
}  # fmt: skip
_REQUIRED = ("graceid", "role", "alert_type")


class _AlertChecks(BaseModel):
    @field_validator("far", check_fields=False)
    @classmethod
    def _far(cls, value: float | None) -> float | None:
        if value is not None and value < 0:
            raise ValueError("False Alarm Rate must be positive")
        return value


Alert = create_model(
    "Alert", __base__=_AlertChecks,
    **{n: (t, ...) if n in _REQUIRED else (t | None, None) for n, t in _FIELDS.items()},
)  # fmt: skip


class Galaxy(BaseModel):
    """One entry of a list, validated as the server does."""

    name: str
    score: float
    position: str | None = None
    ra: float | None = None
    dec: float | None = None
    rank: int
    info: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _place(self) -> Galaxy:
        if self.position is None and (self.ra is None or self.dec is None):
            raise ValueError("Either position string or both ra and dec must be provided")
        if self.position is not None and "," in self.position:
            raise ValueError("Position must be in WKT format: 'POINT(lon lat)'")
        return self


class Creator(BaseModel):
    """Author of a DOI."""

    name: str
    affiliation: str


class GalaxyList(BaseModel):
    """Body of POST event_galaxies."""

    graceid: str
    timesent_stamp: str
    groupname: str | None = None
    reference: str | None = None
    request_doi: bool | None = False
    creators: list[Creator] | None = None
    doi_group_id: int | str | None = None
    galaxies: list[Galaxy]

    @field_validator("timesent_stamp")
    @classmethod
    def _stamp(cls, value: str) -> str:
        try:
            parse_date(value)
        except ValueError:
            raise ValueError("Time format must be %Y-%m-%dT%H:%M:%S.%f, e.g. 2019-05-01T12:00:00.00") from None
        return value


_NUMBERS = ("pval_generic", "pval_bayesian", "most_probable_direction_ra", "most_probable_direction_dec",
            "flux_sens_low", "flux_sens_high", "sens_energy_range_low", "sens_energy_range_high")  # fmt: skip
Notice = create_model(
    "Notice", ref_id=(str, ...), graceid=(str, ...),
    **dict.fromkeys(("alert_datetime", "observation_start", "observation_stop"), (datetime | None, None)),
    **dict.fromkeys(_NUMBERS, (float | None, None)),
)  # fmt: skip
_EVENT_NUMBERS = ("event_dt", "ra", "dec", "containment_probability", "event_pval_generic", "event_pval_bayesian",
                  "ra_uncertainty")  # fmt: skip
Coincident = create_model(
    "Coincident", **dict.fromkeys(_EVENT_NUMBERS, (float | None, None)), uncertainty_shape=(str | None, None)
)
NoticeBody = create_model("NoticeBody", notice_data=(Notice, ...), events_data=(list[Coincident], ...))  # type: ignore[valid-type]


class Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    """An answer other than 200."""

    def __init__(self, status: int, message: str, errors: list[Any] | None = None) -> None:
        self.status = status
        self.body = {"message": message} | ({} if errors is None else {"errors": errors})


def checked(adapter: Any, where: str, value: Any) -> Any:
    """The value as the model has it; raises the server's refusal where it does not fit."""
    try:
        return TypeAdapter(adapter).validate_python(value, from_attributes=True)
    except ValidationError as error:
        raise invalid([(where, *e["loc"], e) for e in error.errors()]) from None


def invalid(problems: list[tuple[Any, ...]]) -> Refusal:
    """The 400 that names each problem and its place."""
    shown = [
        {"message": e["msg"], "code": "validation_error",
         "params": {"field": ".".join(map(str, loc)), "type": e["type"]}}
        for *loc, e in problems
    ]  # fmt: skip
    return Refusal(400, "Request validation error", shown)


def user_of(request: Request, *, admin: bool = False) -> str:
    """Who asks, by the token in the header; raises the server's refusal where it is none or lacks the right."""
    token = request.headers.get("api_token") or request.headers.get("authorization", "").removeprefix("Bearer ")
    if token not in USERS:
        raise Refusal(401, NO_TOKEN)
    if admin and token != ADMIN:
        raise Refusal(403, "Only admins can access this endpoint")
    return USERS[token]


def body_of(request: Request, model: Any) -> Any:
    """The JSON body as a model; raises the server's refusal."""
    if not request.state.body:
        raise invalid([("body", {"msg": "Field required", "type": "missing"})])
    try:
        value = json.loads(request.state.body)
    except json.JSONDecodeError as error:
        raise invalid([("body", error.pos, {"msg": "JSON decode error", "type": "json_invalid"})]) from None
    return checked(model, "body", value)


def to_utc(value: datetime | None) -> datetime | None:
    """A time as the database keeps it: UTC, without zone."""
    return value if value is None or value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def point(text: str, *, space: bool) -> str:
    """A position as the database gives it back: longitude from -180 to 180."""
    lon, lat = (float(number) for number in re.findall(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?", text)[:2])
    lon = (lon + 180) % 360 - 180
    return f"POINT{' ' if space else ''}({lon:.10g} {lat:.10g})"
