"""The ledger as JSON, as a table, and as the short table that people see."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mma_pipeline.notices.words import area, share
from mma_pipeline.science.coverage.ledger import Ledger, Row

if TYPE_CHECKING:
    from astropy.table import Table

_UNITS = {"area_deg2": "deg2", "first_hours": "h", "last_hours": "h", "depth_median": "mag"}
_ABOUT = {
    "by": "all, planned, time (hours after the event, until), band, depth (magnitude, at least) or instrument",
    "visits": "pointings counted",
    "probability": "probability of the map that they cover together",
    "area_deg2": "area that they cover together",
    "reached": "the same probability weighted by the share of the distance posterior within reach",
    "depth_median": "median limiting magnitude",
    "first_hours": "time of the first after the event",
    "last_hours": "time of the last after the event",
}
_WORDS = {"time": "until {} h", "depth": "{} mag or deeper", "planned": "planned", "all": "all completed"}


def ledger_json(ledger: Ledger, about: Mapping[str, Any]) -> bytes:
    """Figures, rows and curve as JSON; `about` goes into the head."""
    document = {
        **about,
        "figures": dict(ledger.figures),
        "rows": [asdict(row) for row in ledger.rows],
        "curve": [{"hours": h, "probability": p, "area_deg2": a} for h, p, a in ledger.curve],
    }
    return json.dumps(document, indent=1, allow_nan=False).encode()


def ledger_table(ledger: Ledger, about: Mapping[str, Any]) -> Table:
    """The rows, with units and descriptions."""
    from astropy.table import Column, MaskedColumn, Table

    table = Table(meta={name: value for name, value in about.items() if value is not None})
    for name in asdict(ledger.rows[0]):
        values = [getattr(row, name) for row in ledger.rows]
        kind = str if name in {"by", "value"} else int if name == "visits" else float
        absent = [value is None for value in values]
        filled = [kind() if value is None else value for value in values]
        column = (
            MaskedColumn(filled, mask=absent, dtype=kind)
            if any(absent)
            else Column(filled, dtype=kind if values else str)
        )
        column.unit, column.description = _UNITS.get(name), _ABOUT.get(name)
        table[name] = column
    return table


def row_words(row: Row) -> str:
    """Which visits a row counts, for people: `until 24 h`, `21 mag or deeper`, a band, an instrument."""
    return _WORDS.get(row.by, "{}").format(row.value)


def ledger_markdown(ledger: Ledger) -> str:
    """The rows as a Markdown table for people."""
    lines = ["| of | visits | probability | area, deg² | within reach |", "| --- | --- | --- | --- | --- |"]
    for row in ledger.rows:
        # Names of bands and instruments come from outside: nothing in them is markup.
        name = re.sub(r"[^\w .+/:'-]", " ", row_words(row))
        reached = "" if row.reached is None else share(row.reached)
        lines.append(f"| {name} | {row.visits} | {share(row.probability)} | {area(row.area_deg2)} | {reached} |")
    return "\n".join(lines)
