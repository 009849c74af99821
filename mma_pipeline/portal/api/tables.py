"""Tables in and out: positions as CSV, ECSV, VOTable or JSON; answers as VOTable, ECSV or JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import HTTPException, Response
from pydantic import ValidationError

from mma_pipeline.portal.api.models import Format, Position, Positions
from mma_pipeline.science.position_tables import Kind, TableError, positions_of_table, read_table
from mma_pipeline.science.sphere import PositionError
from mma_pipeline.science.tables import ecsv, unit_of, votable

#: Media type of each format.
TYPES: Mapping[str, str] = {
    "json": "application/json",
    "votable": "application/x-votable+xml",
    "ecsv": "text/x.ecsv",
}
_LARGEST = 20_000
#: Content types of tables and what they hold; a VOTable is XML, and comes as such.
READ: Mapping[str, Kind] = {
    "text/csv": "csv",
    "text/x.ecsv": "ecsv",
    "application/x-ecsv": "ecsv",
    "application/x-votable+xml": "votable",
    "text/xml": "votable",
    "application/xml": "votable",
}


def wanted_format(named: Format | None, accept: str | None) -> Format:
    """The format that a request asks for: by its parameter, else by its header Accept, else JSON."""
    if named is not None:
        return named
    asked = (accept or "").lower()
    if "votable" in asked:
        return "votable"
    return "ecsv" if "ecsv" in asked else "json"


def table_response(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, type], kind: Format, **meta: str
) -> Response:
    """Rows as a table with the given columns; numbers that are missing are NaN, texts that are missing are empty."""
    from astropy.table import Table

    values = {name: [_cell(row.get(name), type_) for row in rows] for name, type_ in columns.items()}
    dtypes = {float: "f8", int: "i8", bool: "?", str: "U1"}
    table = Table(
        {name: _column(found, columns[name], dtypes) for name, found in values.items()}, meta=dict(sorted(meta.items()))
    )
    for column in table.itercols():
        if column.dtype.kind == "f":
            column.unit = unit_of(column.name)
    body = votable(table) if kind == "votable" else ecsv(table)
    headers = {"content-disposition": f"attachment; filename=table.{'vot' if kind == 'votable' else 'ecsv'}"}
    return Response(body, media_type=TYPES[kind], headers=headers)


def _column(values: list[Any], type_: type, dtypes: Mapping[type, str]) -> Any:
    import numpy as np

    return np.asarray(values) if values and type_ is str else np.asarray(values, dtype=dtypes[type_])


def _cell(value: Any, type_: type) -> Any:
    if type_ is float:
        return math.nan if value is None else float(value)
    if type_ is str:
        return "" if value is None else ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return type_(value or 0)


def positions_of(body: bytes, content_type: str) -> list[Position]:
    """The positions of a request's body; raises HTTPException 415 or 422 with what is wrong."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind in {"application/json", ""}:
            return Positions.model_validate_json(body).positions
        return Positions.model_validate({"positions": _rows(body, kind)}).positions
    except ValidationError as error:
        found = [
            {"loc": ["body", *one["loc"]], "msg": one["msg"], "type": one["type"]}
            for one in error.errors(include_url=False, include_context=False, include_input=False)[:20]
        ]
        raise HTTPException(422, found) from error


def _rows(body: bytes, kind: str) -> list[dict[str, Any]]:
    if kind not in READ:
        raise HTTPException(415, f"send {', '.join(['application/json', *READ])}, not {kind[:60]!r}")
    try:
        table = read_table(body, READ[kind])
        if len(table) > _LARGEST:
            raise HTTPException(422, f"the table has more than {_LARGEST} rows")
        found = positions_of_table(table)
    except (TableError, PositionError) as error:
        raise HTTPException(422, str(error)) from error
    return [
        {"name": name, "ra": ra, "dec": dec, "distance": None if math.isnan(distance) else distance}
        for name, ra, dec, distance in zip(
            found.names, found.ra.tolist(), found.dec.tolist(), found.distance.tolist(), strict=True
        )
    ]
