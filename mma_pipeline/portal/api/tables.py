"""Tables in and out: positions as CSV, ECSV, VOTable or JSON; answers as VOTable, ECSV or JSON.

What strangers send is read with care: a VOTable may otherwise name a file or an address to be read in its place.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException, Response
from pydantic import ValidationError

from mma_pipeline.portal.api.models import Format, Position, Positions
from mma_pipeline.science.tables import ecsv, votable

if TYPE_CHECKING:
    from astropy.table import Table

#: Media type of each format.
TYPES: Mapping[str, str] = {
    "json": "application/json",
    "votable": "application/x-votable+xml",
    "ecsv": "text/x.ecsv",
}
_LARGEST = 20_000
#: Markup that leads out of a VOTable: other files, other addresses, definitions that grow.
#: A value of an attribute holds no <, so that the search up to the next one covers a whole tag.
_LEADING_OUT = re.compile(rb"<!(?!--|\[CDATA\[)|<[^<>\s/]*stream\b[^<]*href", re.IGNORECASE)
_ENCODING = re.compile(rb"""<\?xml[^>]*encoding\s*=\s*["']([^"']*)""")


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
        return Positions.model_validate({"positions": _rows(_table(body, kind))}).positions
    except ValidationError as error:
        found = [
            {"loc": ["body", *one["loc"]], "msg": one["msg"], "type": one["type"]}
            for one in error.errors(include_url=False, include_context=False, include_input=False)[:20]
        ]
        raise HTTPException(422, found) from error


def _table(body: bytes, kind: str) -> Table:
    from astropy.table import Table

    readers = {
        "text/csv": "ascii.csv",
        "text/x.ecsv": "ascii.ecsv",
        "application/x-ecsv": "ascii.ecsv",
        "application/x-votable+xml": "votable",
        "text/xml": "votable",
    }
    if kind not in readers:
        raise HTTPException(415, f"send {', '.join(['application/json', *readers])}, not {kind[:60]!r}")
    if readers[kind] == "votable":
        encoding = _ENCODING.match(body.lstrip())
        if _LEADING_OUT.search(body) or (encoding and encoding[1].lower() not in {b"utf-8", b"us-ascii"}):
            raise HTTPException(422, "a VOTable must hold its rows itself, in UTF-8, and define no entities")
    try:
        text = body.decode()
        if readers[kind] == "votable":
            return Table.read(io.BytesIO(body), format="votable")
        return Table.read(text.splitlines(), format=readers[kind], **({"guess": False} if "csv" in kind else {}))
    except HTTPException:
        raise
    except Exception as error:  # the readers raise whatever their parsers do
        raise HTTPException(422, f"the table cannot be read: {' '.join(str(error).split())[:300]}") from error


def _rows(table: Table) -> list[dict[str, Any]]:
    names = {str(name).lower(): name for name in table.colnames}
    missing = {"ra", "dec"} - names.keys()
    if missing:
        raise HTTPException(422, f"the table has no column {', '.join(sorted(missing))}")
    if len(table) > _LARGEST:
        raise HTTPException(422, f"the table has more than {_LARGEST} rows")
    columns = {
        name: [None if value is None else value for value in table[names[name]].tolist()]
        for name in ("name", "ra", "dec", "distance")
        if name in names
    }
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for row in rows:
        distance = row.get("distance")
        if isinstance(distance, float) and not distance > 0:
            row["distance"] = None  # unknown, as `mma crossmatch` has it
        if row.get("name") is not None:
            row["name"] = str(row["name"])
    return rows
