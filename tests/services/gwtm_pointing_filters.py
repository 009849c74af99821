"""Filters of GET pointings of the GWTM stand-in, as recorded: bands, depths (turned round for magnitudes), times, ranges."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.services.gwtm_schemas import Refusal

BANDS = (
    "U", "B", "V", "R", "I", "J", "H", "K", "u", "g", "r", "i", "z", "UVW1", "UVW2", "UVM2", "XRT", "clear", "open", "UHF",
    "VHF", "L", "S", "C", "X", "other", "TESS", "BAT", "HESS", "WISEL", "q",
)  # fmt: skip
_ANGSTROM = {"angstrom": 1.0, "nanometer": 10.0, "micron": 1e4}
Row = dict[str, Any]
Test = Callable[[Row], bool]


def listed(text: str) -> list[Any]:
    """A list as the site takes it: JSON, or parts between commas."""
    return list(json.loads(text)) if "[" in text else [part.strip() for part in text.split(",")]


def _band(value: str, _: dict[str, str]) -> Test:
    if value not in BANDS:
        inner = {"message": "Invalid band", "errors": [{"message": f"The band '{value}' is not valid"}]}
        raise Refusal(400, "Invalid request", [{"message": f"400: {inner}"}])
    return lambda row: row["band"] == value


def _depth(value: str, query: dict[str, str], *, deeper: bool) -> Test:
    """Limits of depth: turned round for magnitudes, and blind to the unit of a row."""
    limit, turned = float(value), query.get("depth_unit", "ab_mag").endswith("mag")
    if deeper != turned:
        return lambda row: row["depth"] is not None and row["depth"] >= limit
    return lambda row: row["depth"] is not None and row["depth"] <= limit


def _wavelength(value: str, query: dict[str, str]) -> Test:
    low, high = (float(one) * _ANGSTROM[query.get("wavelength_unit", "angstrom")] for one in json.loads(value))

    def inside(row: Row) -> bool:
        centre, width = row["central_wave"], row["bandwidth"]
        return centre is not None and width is not None and low <= centre - width / 2 and centre + width / 2 <= high

    return inside


def _time(status: str, *, after: bool) -> Callable[[str, dict[str, str]], Test]:
    def made(value: str, _: dict[str, str]) -> Test:
        limit = datetime.fromisoformat(value)

        def inside(row: Row) -> bool:
            moment = row["time"]
            return row["status"] == status and moment is not None and (moment >= limit if after else moment <= limit)

        return inside

    return made


#: Filter of each parameter, made of its value and the whole query.
FILTERS: dict[str, Callable[[str, dict[str, str]], Test]] = {
    "id": lambda value, _: lambda row: row["id"] == int(value),
    "ids": lambda value, _: lambda row: row["id"] in [int(one) for one in listed(value)],
    "status": lambda value, _: lambda row: row["status"] == value,
    "statuses": lambda value, _: lambda row: row["status"] in listed(value),
    "band": _band,
    "bands": lambda value, _: lambda row: row["band"] in listed(value),
    "depth_gt": lambda value, query: _depth(value, query, deeper=True),
    "depth_lt": lambda value, query: _depth(value, query, deeper=False),
    "wavelength_regime": _wavelength,
    "completed_after": _time("completed", after=True),
    "completed_before": _time("completed", after=False),
    "planned_after": _time("planned", after=True),
    "planned_before": _time("planned", after=False),
}
