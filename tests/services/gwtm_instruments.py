"""Instruments and footprints of the GWTM stand-in, as recorded: refusals that answer 200, footprints cut to 4 decimals."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, field_validator
from starlette.requests import Request

from tests.services.gwtm_schemas import SUBMITTERS, Refusal, body_of, user_of

_DEGREES = {"deg": 1.0, "arcmin": 1 / 60, "arcsec": 1 / 3600}
_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_RING = re.compile(rf"\({_NUMBER} {_NUMBER}(?:, ?{_NUMBER} {_NUMBER})*\)")
#: Corners of the polygon that the server makes of a circle.
_CORNERS = 20
Vertices = list[tuple[float, float]]


class _Instrument(BaseModel):
    instrument_name: str
    nickname: str | None = None
    instrument_type: int
    footprint_type: str
    unit: str = "deg"
    height: float | None = None
    width: float | None = None
    radius: float | None = None
    polygon: str | None = None

    @field_validator("height", "width")
    @classmethod
    def _positive(cls, value: float | None) -> float | None:
        if value is not None and value <= 0:
            raise ValueError("Height and width must be positive numbers")
        return value


class _Footprint(BaseModel):
    instrumentid: int
    footprint: str

    @field_validator("footprint")
    @classmethod
    def _wkt(cls, value: str) -> str:
        inside = value.removeprefix("POLYGON ")
        if not (inside.startswith("(") and inside.endswith(")") and _RING.fullmatch(inside[1:-1])):
            raise ValueError("Invalid WKT format: ParseException: Expected number but encountered end of stream")
        return value


@dataclass
class Instruments:
    """What the site knows of instruments; ids count from 1 in each table."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    footprints: list[dict[str, Any]] = field(default_factory=list)

    def row(self, number: int | None) -> dict[str, Any] | None:
        """An instrument by id."""
        return next((one for one in self.rows if one["id"] == number), None)

    def post(self, request: Request) -> Any:
        """POST instruments: a footprint that cannot be made is refused with status 200."""
        user = user_of(request)
        body: _Instrument = body_of(request, _Instrument)
        missing = _missing(body)
        if missing:
            return {"success": False, "message": "Validation failed", "instrument": None, "errors": [missing]}
        outlines, errors = _outlines(body)
        if errors:
            return {"success": False, "message": "Footprint processing failed", "instrument": None, "errors": errors}
        row = {
            "id": len(self.rows) + 1, "instrument_name": body.instrument_name, "nickname": body.nickname,
            "instrument_type": body.instrument_type, "datecreated": _now(), "submitterid": SUBMITTERS[user][0],
            "num_pointings": None,
        }  # fmt: skip
        self.rows.append(row)
        for outline in outlines:
            self._add(row["id"], _wkt(outline))
        message = f"Successfully created instrument with ID {row['id']}"
        return {"success": True, "message": message, "instrument": row, "errors": []}

    def get(self, request: Request) -> Any:
        """GET instruments by id, ids or part of name or nickname."""
        query, found = request.query_params, self.rows
        wanted = {int(query["id"])} if "id" in query else set(json.loads(query["ids"])) if "ids" in query else None
        if wanted is not None:
            found = [row for row in found if row["id"] in wanted]
        if name := query.get("name", "").lower():
            found = [
                row
                for row in found
                if name in row["instrument_name"].lower() or name in (row["nickname"] or "").lower()
            ]
        return found

    def post_footprint(self, request: Request) -> Any:
        """POST footprints: one more outline, by the instrument's owner only."""
        user = user_of(request)
        body: _Footprint = body_of(request, _Footprint)
        row = self.row(body.instrumentid)
        if row is None:
            raise Refusal(404, f"Instrument with ID {body.instrumentid} not found")
        if row["submitterid"] != SUBMITTERS[user][0]:
            raise Refusal(403, "You don't have permission to add footprints to this instrument")
        return self._add(body.instrumentid, body.footprint)

    def get_footprints(self, request: Request) -> Any:
        """GET footprints; `id` is the instrument's."""
        number = request.query_params.get("id")
        return [one for one in self.footprints if number is None or one["instrumentid"] == int(number)]

    def _add(self, instrument: int, outline: str) -> dict[str, Any]:
        made = {"id": len(self.footprints) + 1, "instrumentid": instrument, "footprint": outline}
        self.footprints.append(made)
        return made


def _now() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat()


def _missing(body: _Instrument) -> str | None:
    if body.footprint_type == "Circular" and body.radius is None:
        return "Radius is required for Circular shape"
    if body.footprint_type == "Rectangular" and (body.height is None or body.width is None):
        return "Height and width are required for Rectangular shape"
    if body.footprint_type == "Polygon" and not body.polygon:
        return "Polygon is required for Polygon shape"
    return None


def _outlines(body: _Instrument) -> tuple[list[Vertices], list[str]]:
    """Outlines in degrees about (0, 0), closed; and what was wrong."""
    unit = _DEGREES[body.unit]
    if body.footprint_type == "Circular":
        angles = [2 * math.pi * k / _CORNERS for k in range(_CORNERS)]
        found = [[(body.radius * math.sin(a), body.radius * math.cos(a)) for a in angles]]  # type: ignore[operator]
    elif body.footprint_type == "Rectangular":
        x, y = body.width / 2, body.height / 2  # type: ignore[operator]
        found = [[(-x, y), (x, y), (x, -y), (-x, -y)]]
    else:
        found, errors = [], []
        for text in re.findall(r"#\[(.*?)\]", body.polygon or "", re.DOTALL) or [body.polygon or ""]:
            vertices, wrong = _vertices(text)
            found.append(vertices)
            errors += wrong
        if errors:
            return [], errors
    return [[(x * unit, y * unit) for x, y in (*outline, outline[0])] for outline in found], []


def _vertices(text: str) -> tuple[Vertices, list[str]]:
    found, wrong = [], []
    for line in filter(None, map(str.strip, text.splitlines())):
        pair = re.fullmatch(rf"\(?\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)?", line)
        if pair is None:
            wrong.append(f"Invalid coordinate format: {line}")
        else:
            found.append((float(pair[1]), float(pair[2])))
    if len(found) < 3:
        wrong.append("Polygon must have at least 3 vertices")
    return found, wrong


def _wkt(outline: Sequence[tuple[float, float]]) -> str:
    def number(value: float) -> str:
        return f"{round(value, 4) + 0.0:g}"

    return f"POLYGON (({', '.join(f'{number(x)} {number(y)}' for x, y in outline)}))"
