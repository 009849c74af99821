"""Pointings of the GWTM stand-in, as recorded: refused entries answer 200, a second link doubles what was completed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator
from starlette.requests import Request

from tests.services.gwtm_instruments import Instruments
from tests.services.gwtm_pointing_filters import BANDS, FILTERS, listed
from tests.services.gwtm_schemas import SUBMITTERS, Refusal, body_of, point, to_utc, user_of

DEPTH_UNITS = ("ab_mag", "vega_mag", "flux_erg", "flux_jy")
STATUSES = ("completed", "planned", "cancelled")
#: Names of each enumeration; the site counts them from 1 and takes either.
_NAMES = {"band": BANDS, "depth_unit": DEPTH_UNITS, "status": STATUSES}
_BAD_POSITION = (
    "Invalid position argument. Must be decimal format ra/RA, dec/DEC, or geometry type \"POINT(RA DEC)\""
)  # fmt: skip


class _Pointing(BaseModel):
    """Fields in the order in which the site repeats them in a refusal."""

    position: str | None = None
    ra: float | None = None
    dec: float | None = None
    instrumentid: int | None = None
    depth: float | None = None
    depth_err: float | None = None
    depth_unit: str | int | None = None
    band: str | int | None = None
    pos_angle: float | None = None
    time: datetime | None = None
    status: str | int | None = "completed"
    central_wave: float | None = None
    bandwidth: float | None = None
    id: int | None = None

    @field_validator("depth_unit", "band", "status")
    @classmethod
    def _named(cls, value: str | int | None, info: ValidationInfo) -> str | int | None:
        names = _NAMES[str(info.field_name)]
        return names[value - 1] if isinstance(value, int) and 1 <= value <= len(names) else value

    @model_validator(mode="after")
    def _whole(self) -> _Pointing:
        errors = []
        # Without a status nothing is required, although the row is stored as completed.
        if self.id is None and "status" in self.model_fields_set:
            needed = {"completed": ("depth", "depth_unit", "band", "time"), "planned": ("time",)}.get(
                str(self.status), ()
            )
            errors = [
                f"{name} is required for {self.status} observations" for name in needed if not getattr(self, name)
            ]
        if self.id is None and not self.position and (self.ra is None or self.dec is None):
            errors.append("Position information required (either position string or ra/dec coordinates)")
        if self.position and ("," in self.position or not re.search(r"POINT ?\(.* .*\)", self.position)):
            errors.append(_BAD_POSITION)
        if errors:
            raise ValueError("; ".join(errors))
        if self.ra is not None and self.dec is not None:
            self.position = f"POINT({self.ra} {self.dec})"
        return self


class _Request(BaseModel):
    graceid: str
    pointing: _Pointing | None = None
    pointings: list[_Pointing] | None = None


class _Update(BaseModel):
    status: str
    ids: list[int]

    @model_validator(mode="after")
    def _cancels(self) -> _Update:
        if self.status != "cancelled":
            raise ValueError("Only 'cancelled' status updates are currently supported")
        return self


class _CancelAll(BaseModel):
    graceid: str
    instrumentid: int


class _Doi(BaseModel):
    ids: list[int] = Field(default_factory=list)
    doi_url: str | None = None


@dataclass
class Pointings:
    """What the site knows of pointings.

    Args:
        alerts: rows of alerts, which give events and their other names.
        instruments: the site's instruments.
    """

    alerts: list[dict[str, Any]]
    instruments: Instruments
    rows: list[dict[str, Any]] = field(default_factory=list)
    links: list[tuple[int, str]] = field(default_factory=list)
    """Pointing and event; completing a planned pointing adds a second one."""

    def post(self, request: Request) -> Any:
        """POST pointings."""
        user = user_of(request)
        body: _Request = body_of(request, _Request)
        if all(row["graceid"] != body.graceid for row in self.alerts):
            hint = f"The graceid '{body.graceid}' does not exist in the database"
            raise Refusal(400, "Invalid graceid", [{"message": hint}])
        entries = [body.pointing] if body.pointing else body.pointings or []
        if any(
            getattr(e, n) is not None and getattr(e, n) not in names for e in entries for n, names in _NAMES.items()
        ):
            raise Refusal(500, "A database error occurred")
        taken: list[int] = []
        errors = []
        for entry in entries:
            try:
                taken.append(self._take(entry, user, body.graceid))
            except Refusal as refusal:
                shown = refusal.body["message"] if refusal.status == 200 else f"400: {refusal.body}"
                errors.append([f"Object: {entry.model_dump()}", [shown]])
        return {"pointing_ids": taken, "ERRORS": errors, "WARNINGS": [], "DOI": None}

    def _take(self, entry: _Pointing, user: str, graceid: str) -> int:
        number = self._completed(entry, user) if entry.id is not None else self._added(entry, user, graceid)
        self.links.append((number, graceid))
        return number

    def _completed(self, entry: _Pointing, user: str) -> int:
        title = "Pointing validation error"
        row = next((r for r in self.rows if r["id"] == entry.id and r["submitterid"] == SUBMITTERS[user][0]), None)
        if row is None:
            raise Refusal(400, title, [{"message": f"Pointing with ID {entry.id} not found or not owned by you"}])
        if row["status"] != "planned":
            raise Refusal(400, title, [{"message": f"This pointing has already been {row['status']}"}])
        # Of what a completed observation brings only these two are taken over.
        row |= {"status": "completed", "time": to_utc(entry.time), "pos_angle": entry.pos_angle, "dateupdated": _now()}
        return int(row["id"])

    def _added(self, entry: _Pointing, user: str, graceid: str) -> int:
        if self.instruments.row(entry.instrumentid) is None:
            raise Refusal(
                400, "Invalid instrumentid", [{"message": f"Instrument with ID {entry.instrumentid} not found"}]
            )
        place = point(str(entry.position), space=False)
        values = entry.model_dump() | {"position": place, "ra": None, "dec": None, "time": to_utc(entry.time)}
        # With a space the site reads the position as (0, 0), and so it reads those that it compares with.
        if "POINT (" in str(entry.position) and self._is_known(values, graceid):
            raise Refusal(200, "Pointing already submitted")
        submitter = SUBMITTERS[user]
        row = values | {
            "status": values["status"] or "completed", "id": len(self.rows) + 1, "submitterid": submitter[0],
            "datecreated": _now(), "dateupdated": None, "doi_url": None, "doi_id": None, "username": submitter[1],
        }  # fmt: skip
        self.rows.append(row)
        return int(row["id"])

    def _is_known(self, values: dict[str, Any], graceid: str) -> bool:
        same = ("instrumentid", "band", "time", "pos_angle")
        mine = {number for number, event in self.links if event == graceid}
        return any(row["id"] in mine and all(row[k] == values[k] for k in same) for row in self.rows)

    def get(self, request: Request) -> Any:
        """GET pointings: no token, no paging, unknown parameters are ignored."""
        query = dict(request.query_params)
        keep = [
            test for name, value in query.items() if name in FILTERS and value for test in [FILTERS[name](value, query)]
        ]
        if "instrument" in query or "instruments" in query:
            keep.append(self._of_instruments(query))
        events = (
            listed(query["graceids"]) if "graceids" in query else [query["graceid"]] if "graceid" in query else None
        )
        rows = self.rows
        if events is not None:
            named = {self._graceid(event) for event in events}
            by_id = {row["id"]: row for row in self.rows}
            rows = [by_id[number] for number, event in sorted(self.links) if event in named]
        return [self._shown(row) for row in rows if all(test(row) for test in keep)]

    def _shown(self, row: dict[str, Any]) -> dict[str, Any]:
        instrument = self.instruments.row(row["instrumentid"]) or {}
        moment = row["time"].isoformat() if row["time"] else None
        return row | {
            "time": moment,
            "instrument_name": instrument.get("nickname") or instrument.get("instrument_name"),
        }

    def _graceid(self, name: str) -> str:
        """The event of a name, which may be its alternate one."""
        return next((str(row["graceid"]) for row in self.alerts if name == row["alternateid"]), name)

    def _of_instruments(self, query: dict[str, str]) -> Callable[[dict[str, Any]], bool]:
        if "instrument" in query:
            name = query["instrument"]
            found = {
                r["id"]
                for r in self.instruments.rows
                if (str(r["id"]) == name if name.isdigit() else name in r["instrument_name"])
            }
        else:
            names = listed(query["instruments"])
            found = {
                r["id"]
                for r in self.instruments.rows
                for name in map(str, names)
                if name in r["instrument_name"] or name in (r["nickname"] or "") or name == str(r["id"])
            }
        return lambda row: row["instrumentid"] in found

    def update(self, request: Request) -> Any:
        """POST update_pointings: cancels one's own planned ones, and is silent about all others."""
        user = user_of(request)
        body: _Update = body_of(request, _Update)
        return {"message": f"Updated {self._cancel(user, lambda row: row['id'] in body.ids)} pointings successfully."}

    def cancel_all(self, request: Request) -> Any:
        """POST cancel_all: one's own planned ones of an instrument for an event."""
        user = user_of(request)
        body: _CancelAll = body_of(request, _CancelAll)
        if self.instruments.row(body.instrumentid) is None:
            raise Refusal(404, f"Instrument with ID {body.instrumentid} not found")
        event = self._graceid(body.graceid)
        mine = {number for number, of in self.links if of == event}
        count = self._cancel(user, lambda row: row["id"] in mine and row["instrumentid"] == body.instrumentid)
        return {"message": f"Updated {count} Pointings successfully"}

    def _cancel(self, user: str, chosen: Callable[[dict[str, Any]], bool]) -> int:
        own = SUBMITTERS[user][0]
        rows = [r for r in self.rows if chosen(r) and r["submitterid"] == own and r["status"] == "planned"]
        for row in rows:
            row |= {"status": "cancelled", "dateupdated": _now()}
        return len(rows)

    def request_doi(self, request: Request) -> Any:
        """POST request_doi with an address of one's own; without one the real site mints a DOI, which is refused here."""
        user = user_of(request)
        body: _Doi = body_of(request, _Doi)
        if body.doi_url is None:
            raise Refusal(500, "An unexpected error occurred")
        warnings = []
        for row in (r for r in self.rows if r["id"] in body.ids):
            if row["status"] == "completed" and row["submitterid"] == SUBMITTERS[user][0]:
                row |= {"doi_url": body.doi_url, "doi_id": 0}
            else:
                warnings.append(
                    f"Invalid doi request for pointing: {row['id']} (status: {STATUSES.index(row['status']) + 1})"
                )
        return {"DOI_URL": body.doi_url, "WARNINGS": warnings}


def _now() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat()
