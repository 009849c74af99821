"""`mma crossmatch`: finds where positions lie in the newest map of an event."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mma_pipeline.cli.app import Exit, JsonOption, console, fail, open_archive, open_store
from mma_pipeline.cli.completion import complete_event
from mma_pipeline.cli.events import newest_map_of, say_if_retracted
from mma_pipeline.notices.words import amount, area, figure, many, share

if TYPE_CHECKING:
    from mma_pipeline.science.position_tables import TablePositions

#: Figures of a row, and how each is written.
_CELLS: dict[str, Callable[[float], str]] = {
    "ra_deg": figure,
    "dec_deg": figure,
    "distance_mpc": amount,
    "searched_prob": share,
    "searched_area_deg2": area,
    "offset_deg": figure,
    "searched_prob_vol": share,
    "searched_vol_mpc3": many,
}


def crossmatch(
    event: Annotated[
        str,
        typer.Argument(
            help="Superevent id (newest map), or a version: its partition key, or the name of its files.",
            autocompletion=complete_event,
        ),
    ],
    ra: Annotated[str | None, typer.Option(help="Right ascension: 184.86 (deg), 12:19:27 (hours).")] = None,
    dec: Annotated[str | None, typer.Option(help="Declination: 49.9 (deg), +49:53:49.")] = None,
    distance: Annotated[float | None, typer.Option(help="Luminosity distance, Mpc.")] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="CSV, ECSV or VOTable with columns ra, dec, optionally distance and name. Without units: deg, Mpc; also 12:19:27.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show searched probability and area, 2-D and 3-D credible level, and offset of one position or a table of them."""
    alone = (ra, dec, distance)
    if (ra is None or dec is None) if table is None else any(value is not None for value in alone):
        raise fail("give --ra and --dec, or only --table FILE", Exit.USAGE)
    from mma_pipeline.adapters.errors import AdapterError, NotFoundError
    from mma_pipeline.products.inputs import ProductInput
    from mma_pipeline.science.position_tables import angle
    from mma_pipeline.science.skymaps.crossmatch import crossmatch as match
    from mma_pipeline.science.sphere import PositionError, check_positions
    from mma_pipeline.settings import current

    names: tuple[str | None, ...] = (None,)
    ras, decs, known = list[float](), list[float](), [math.nan if distance is None else distance]
    try:
        if table is None:
            ras, decs = [angle(str(ra), "ra")], [angle(str(dec), "dec")]
            check_positions(ras, decs)
        archive, store = open_archive(), open_store()
        record, retracted_by = newest_map_of(archive, event)
        key = record.partition_key
        if table is not None:
            given = _read(table)
            names, ras, decs, known = given.names, given.ra.tolist(), given.dec.tolist(), given.distance.tolist()
        skymap = ProductInput(archive, store, key, current()).skymap
        found = match(skymap, ras, decs, known if any(d == d for d in known) else None)
    except OSError as error:
        raise fail(f"{table} cannot be read: {error.strerror or error}") from error
    except PositionError as error:
        if table is None:
            raise fail(str(error), Exit.USAGE) from error
        raise fail(f"{table}: {error}") from error
    except AdapterError as error:
        raise fail(str(error), Exit.NOTHING if isinstance(error, NotFoundError) else Exit.FAILED) from error
    except ValueError as error:
        raise fail(f"{table}: {error}") from error
    rows: list[dict[str, Any]] = []
    for i, (name, x, y, d) in enumerate(zip(names, ras, decs, known, strict=True)):
        mpc = None if math.isnan(d) else d
        rows.append({"name": name, "ra_deg": x, "dec_deg": y, "distance_mpc": mpc, **found.figures(i)})
    if as_json:
        typer.echo(json.dumps({"version": key, "retracted_by": retracted_by, "positions": rows}))
        return
    say_if_retracted(record.version.event_id, retracted_by)
    _print(key, rows)


def _read(path: Path) -> TablePositions:
    from mma_pipeline.science.position_tables import kind_of, positions_of_table, read_table

    data = path.read_bytes()
    return positions_of_table(read_table(data, kind_of(data)))


def _print(key: str, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=Text(key))
    heads = (
        "name",
        "RA, deg",
        "Dec, deg",
        "Mpc",
        "2-D level",
        "area, deg²",
        "offset, deg",
        "3-D level",
        "volume, Mpc³",
    )
    for head in heads:
        shown.add_column(head)
    for row in rows:
        told = {name: _told(name, row[name]) for name in _CELLS}
        shown.add_row(Text(row["name"] or "-"), *(text or "-" for text in told.values()))
    console.print(shown)


def _told(name: str, value: float | None) -> str:
    """A figure for people; empty where there is none."""
    if value is None:
        return ""
    return f"{value:.5f}" if name in {"ra_deg", "dec_deg"} else _CELLS[name](value)
