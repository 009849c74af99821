"""`mma crossmatch`: finds where positions lie in the newest map of an event."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mma_pipeline.cli.app import Exit, JsonOption, console, fail, open_archive, open_store
from mma_pipeline.cli.completion import complete_event

if TYPE_CHECKING:
    from mma_pipeline.adapters.archive import Archive


def crossmatch(
    event: Annotated[
        str,
        typer.Argument(help="Superevent id (newest map) or partition key of a version.", autocompletion=complete_event),
    ],
    ra: Annotated[float | None, typer.Option(help="Right ascension, deg.", min=-360, max=360)] = None,
    dec: Annotated[float | None, typer.Option(help="Declination, deg.", min=-90, max=90)] = None,
    distance: Annotated[float | None, typer.Option(help="Luminosity distance, Mpc.")] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="CSV or ECSV with columns ra, dec, optionally distance (Mpc) and name.", exists=True, dir_okay=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show searched probability and area, 2-D and 3-D credible level, and offset of one position or a table of them."""
    given = (ra, dec, distance)
    if (ra is None or dec is None) if table is None else any(value is not None for value in given):
        raise fail("give --ra and --dec, or only --table FILE", Exit.USAGE)
    from mma_pipeline.adapters.errors import AdapterError, NotFoundError
    from mma_pipeline.products.inputs import ProductInput
    from mma_pipeline.science.skymaps.crossmatch import crossmatch as match
    from mma_pipeline.science.sphere import PositionError
    from mma_pipeline.settings import current

    try:
        archive, store = open_archive(), open_store()
        key = _newest(archive, event)
        if key is None:
            raise fail(f"{event} has no version with a map in the archive", Exit.NOTHING)
        names, ras, decs, distances = ([None], [ra], [dec], [distance]) if table is None else _read(table)
        known = [math.nan if d is None else d for d in distances]
        skymap = ProductInput(archive, store, key, current()).skymap
        found = match(skymap, ras, decs, known if any(d == d for d in known) else None)  # type: ignore[arg-type]
    except OSError as error:
        raise fail(f"{table} cannot be read: {error.strerror or error}") from error
    except PositionError as error:
        raise fail(str(error), Exit.USAGE if table is None else Exit.FAILED) from error
    except AdapterError as error:
        raise fail(str(error), Exit.NOTHING if isinstance(error, NotFoundError) else Exit.FAILED) from error
    except ValueError as error:
        raise fail(f"{table} cannot be read as a table of positions: {error}") from error
    rows: list[dict[str, Any]] = []
    for i, (name, x, y, d) in enumerate(zip(names, ras, decs, distances, strict=True)):
        rows.append({"name": name, "ra_deg": x, "dec_deg": y, "distance_mpc": d, **found.figures(i)})
    if as_json:
        typer.echo(json.dumps({"version": key, "positions": rows}))
        return
    _print(key, rows)


def _newest(archive: Archive, event: str) -> str | None:
    from mma_pipeline.adapters.archive.event_history import newest_map

    found = newest_map(archive.versions_named(event), combined=True)
    return None if found is None else found.partition_key


def _read(path: Path) -> tuple[list[str | None], list[float], list[float], list[float | None]]:
    import pandas as pd

    if path.suffix == ".ecsv":
        from astropy.table import Table

        frame = Table.read(path, format="ascii.ecsv").to_pandas()
    else:
        frame = pd.read_csv(path, comment="#")
    missing = {"ra", "dec"} - set(frame.columns)
    if missing:
        raise ValueError(f"{path} has no column {', '.join(sorted(missing))}")
    count = len(frame)
    names = [str(n) for n in frame["name"]] if "name" in frame else [None] * count
    values = pd.to_numeric(frame["distance"], errors="coerce") if "distance" in frame else [math.nan] * count
    distances = [None if d != d or d <= 0 else float(d) for d in values]
    return list(names), [float(v) for v in frame["ra"]], [float(v) for v in frame["dec"]], distances


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
    keys = ("ra_deg", "dec_deg", "distance_mpc", "searched_prob", "searched_area_deg2", "offset_deg")
    for head in heads:
        shown.add_column(head)
    for row in rows:
        values = [row[k] for k in (*keys, "searched_prob_vol", "searched_vol_mpc3")]
        shown.add_row(Text(row["name"] or "-"), *("-" if v is None else f"{v:.5g}" for v in values))
    console.print(shown)
