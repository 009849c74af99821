"""Candidates of the GWTM stand-in, as recorded: reading needs a token, one bad entry refuses all, units come back as text."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, field_validator
from starlette.requests import Request

from tests.services.gwtm_pointings import DEPTH_UNITS
from tests.services.gwtm_schemas import SUBMITTERS, Refusal, body_of, point, user_of

_REGIMES = tuple(f"{of}_{what}" for of in ("wavelength", "frequency", "energy") for what in ("regime", "unit"))


class _Change(BaseModel):
    """Fields in the order in which the site gives them back."""

    candidate_name: str | None = None
    tns_name: str | None = None
    tns_url: str | None = None
    position: str | None = None
    ra: float | None = None
    dec: float | None = None
    discovery_date: datetime | None = None
    discovery_magnitude: float | None = None
    magnitude_central_wave: float | None = None
    magnitude_bandwidth: float | None = None
    magnitude_unit: str | None = None
    magnitude_bandpass: str | None = None
    associated_galaxy: str | None = None
    associated_galaxy_redshift: float | None = None
    associated_galaxy_distance: float | None = None

    @field_validator("magnitude_unit")
    @classmethod
    def _unit(cls, value: str | None) -> str | None:
        if value is not None and value not in DEPTH_UNITS:
            raise ValueError(f"Invalid magnitude unit: {value}. Must be one of {list(DEPTH_UNITS)}")
        return value


class _Candidate(_Change):
    candidate_name: str


class _Post(BaseModel):
    graceid: str
    candidate: _Candidate | None = None
    candidates: list[_Candidate] | None = None


class _Put(BaseModel):
    id: int
    candidate: _Change


class _Delete(BaseModel):
    id: int | None = None
    ids: list[int] | None = None


@dataclass
class Candidates:
    """What the site knows of candidates; `alerts` are its rows of alerts, which give the events."""

    alerts: list[dict[str, Any]]
    rows: list[dict[str, Any]] = field(default_factory=list)
    _last: int = 0

    def get(self, request: Request) -> Any:
        """GET candidate, by event."""
        user_of(request)
        event = request.query_params.get("graceid")
        return [_shown(row) for row in self.rows if event in {None, row["graceid"]}]

    def post(self, request: Request) -> Any:
        """POST candidate."""
        user = user_of(request)
        body: _Post = body_of(request, _Post)
        if all(row["graceid"] != body.graceid for row in self.alerts):
            raise Refusal(400, "Invalid 'graceid'. Visit https://treasuremap.space/alert_select for valid alerts")
        taken = []
        for entry in [body.candidate] if body.candidate else body.candidates or []:
            self._last += 1
            now = datetime.now(UTC).replace(tzinfo=None).isoformat()
            head = {"id": self._last, "graceid": body.graceid, "submitterid": SUBMITTERS[user][0], "datecreated": now}
            self.rows.append(head | _stored(entry))
            taken.append(self._last)
        return {"candidate_ids": taken, "ERRORS": [], "WARNINGS": []}

    def put(self, request: Request) -> Any:
        """PUT candidate: a place by `position` works, by `ra` and `dec` it is an error of the server."""
        user = user_of(request)
        body: _Put = body_of(request, _Put)
        row = self._found(body.id)
        if row["submitterid"] != SUBMITTERS[user][0]:
            raise Refusal(403, "Unable to alter other user's candidate records")
        if body.candidate.ra is not None or body.candidate.dec is not None:
            raise Refusal(500, "An unexpected error occurred")
        changed = _stored(body.candidate)
        row |= {name: changed[name] for name in body.candidate.model_fields_set}
        values = {name: row.get(name) for name in ("graceid", *_Change.model_fields)}
        moment = row["discovery_date"]
        values["discovery_date"] = moment.isoformat() if moment else None
        return {"id": body.id, "candidate": values | dict.fromkeys(_REGIMES)}

    def delete(self, request: Request) -> Any:
        """DELETE candidate, with the ids in the body."""
        user = user_of(request)
        body: _Delete = body_of(request, _Delete)
        own = SUBMITTERS[user][0]
        if body.id is not None:
            chosen = [self._found(body.id)]
            if chosen[0]["submitterid"] != own:
                raise Refusal(403, "Error: Unauthorized. Unable to alter other user's records")
        else:
            chosen = [row for row in self.rows if row["id"] in (body.ids or ())]
        mine = [row for row in chosen if row["submitterid"] == own]
        for row in mine:
            self.rows.remove(row)
        warning = "Some entries were not deleted. You cannot delete candidates you didn't submit"
        answer = {"message": f"Successfully deleted {len(mine)} candidate(s)", "deleted_ids": [r["id"] for r in mine]}
        return answer | {"warnings": [warning] if len(mine) < len(chosen) else []}

    def _found(self, number: int) -> dict[str, Any]:
        found = next((row for row in self.rows if row["id"] == number), None)
        if found is None:
            raise Refusal(404, f"No candidate found with 'id': {number}")
        return found


def _stored(entry: _Change) -> dict[str, Any]:
    values = entry.model_dump(exclude={"ra", "dec"})
    place = entry.position or (None if entry.ra is None or entry.dec is None else f"POINT({entry.ra} {entry.dec})")
    values["position"] = None if place is None else point(place, space=True)
    # An offset is dropped, not converted.
    values["discovery_date"] = entry.discovery_date.replace(tzinfo=None) if entry.discovery_date else None
    unit = entry.magnitude_unit
    values["magnitude_unit"] = None if unit is None else str(DEPTH_UNITS.index(unit) + 1)
    return values


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    moment = row["discovery_date"]
    return row | {"discovery_date": moment.isoformat() if moment else None}
