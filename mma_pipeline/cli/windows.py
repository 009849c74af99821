"""`mma windows`: from where and when the newest map of an event can be observed, tonight or on any date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mma_pipeline.cli.app import Exit, JsonOption, clear_errors, console, fail, open_archive, open_store, print_json
from mma_pipeline.cli.completion import complete_event, complete_site
from mma_pipeline.cli.events import newest_map_of, say_if_retracted

if TYPE_CHECKING:
    from mma_pipeline.science.observing.sites import Site

#: Sun and Moon hold from 1900 to 2100 (ERFA, `epv00`); nobody observed a merger before 1950.
_YEARS = 1950, 2100


def windows(
    event: Annotated[
        str,
        typer.Argument(
            help="Superevent id (newest map), or a version: its partition key, or the name of its files.",
            autocompletion=complete_event,
        ),
    ],
    site: Annotated[
        list[str] | None,
        typer.Option(help="An observatory, by name or its beginning; repeat it.", autocompletion=complete_site),
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(
            help="2023-09-22: the night that begins that evening at each site; with a time: 24 h from then, UTC."
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the airmass plot (PNG) here; not with a bare date.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Night, observable probability, Moon of each observatory; with --site also the best order of galaxies and candidates."""
    from mma_pipeline.adapters.earth_orientation import orientation_at
    from mma_pipeline.adapters.errors import NotFoundError
    from mma_pipeline.defs.observing.configuration import limits, sites
    from mma_pipeline.defs.observing.observability import targets_of
    from mma_pipeline.products.inputs import ProductInput
    from mma_pipeline.science.observing import windows as science
    from mma_pipeline.science.observing.sites import SiteError, named
    from mma_pipeline.science.observing.targets import best_order
    from mma_pipeline.science.observing.windows_table import document
    from mma_pipeline.settings import current

    try:
        begins, nightly = _begins(date)
    except ValueError as error:
        raise fail(f"--date {date!r} is no date such as 2023-09-22 or 2023-09-22T03:00", Exit.USAGE) from error
    if not _YEARS[0] <= begins.year <= _YEARS[1]:
        raise fail(f"--date {date!r}: the positions of Sun and Moon hold from {_YEARS[0]} to {_YEARS[1]}", Exit.USAGE)
    if plot is not None and plot.suffix.lower() != ".png":
        raise fail(f"--plot writes PNG: name a file that ends with .png, not {plot.name}", Exit.USAGE)
    if plot is not None and nightly:
        raise fail("--plot shows one span of 24 h: give --date with a time, or leave it out", Exit.USAGE)
    with clear_errors():
        archive, store, settings = open_archive(), open_store(), current()
        chosen_map, retracted_by = newest_map_of(archive, event)
        key = chosen_map.partition_key
        source = ProductInput(archive, store, key, settings)
        skymap = source.skymap_as_sent
        if skymap is None:
            raise NotFoundError(f"{key} has no sky map that can be used")
        try:
            known = sites(settings)
            chosen = known if not site else tuple(named(known, name) for name in site)
            groups = [(begins, chosen)] if not nightly else [(_noon(begins, one), (one,)) for one in chosen]
            found = []
            for start, group in groups:
                earth = orientation_at(start)
                found.append(
                    science.windows(
                        skymap, group, start, limits=limits(settings), ut1_utc=earth.ut1_utc, pole=earth.pole
                    )
                )
        except SiteError as error:
            raise fail(str(error), Exit.USAGE if site else Exit.FAILED) from error
        targets = targets_of(archive, source.record.version.event_id, skymap, settings) if site else []
        spans = [document(w, {one.site.name: best_order(w, one, targets) for one in w.sites}) for w in found]
        if plot is not None:
            from mma_pipeline.science.plots.windows import draw_windows

            plot.write_bytes(draw_windows(found[0], str(source.record.stem)))
    rows = [one | {"span_begins": span["begins"]} for span in spans for one in span["sites"]]
    if as_json:
        about = {"measured_until": str(earth.measured_until), "predicted_until": str(earth.predicted_until)}
        print_json(
            {
                "version": key,
                "retracted_by": retracted_by,
                "hours": science.HOURS,
                "sites": rows,
                "earth_orientation": about,
            }
        )
        return
    say_if_retracted(chosen_map.version.event_id, retracted_by)
    span = f"each site's noon of {begins:%Y-%m-%d}" if nightly else f"{begins:%Y-%m-%d %H:%M} UTC"
    _print(f"{key}, 24 h from {span}", rows, ordered=bool(site))


def _begins(date: str | None) -> tuple[datetime, bool]:
    """Begin of the 24 h, and whether each site has its own: the noon before the night of a bare date."""
    if date is None:
        return datetime.now(UTC).replace(second=0, microsecond=0), False
    read = datetime.fromisoformat(date)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)), len(date) <= len("2023-09-22")


def _noon(day: datetime, site: Site) -> datetime:
    """Local mean noon of a site on a date."""
    east = (site.longitude_deg + 180) % 360 - 180
    return (day + timedelta(hours=12 - east / 15)).replace(second=0, microsecond=0)


def _print(title: str, rows: Sequence[Mapping[str, Any]], *, ordered: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from mma_pipeline.notices.words import share

    table = Table(title=Text(title))
    heads = ("site", "of the map", "from", "to", "most at", "then", "peak airmass", "Moon", "lit", "dark from", "to")
    for head in heads:
        table.add_column(head)
    for row in sorted(rows, key=lambda r: (-round(r["probability"], 2), r["begins"] or "9", r["site"])):
        if row["begins"] is None:
            why = "never dark" if not row["dark"] else "nothing within the limits"
            table.add_row(Text(row["site"]), "0 %", Text(why), *[""] * 6, _minute(row["dusk"]), _minute(row["dawn"]))
            continue
        table.add_row(
            Text(row["site"]),
            share(row["probability"]),
            *(_minute(row[name]) for name in ("begins", "ends", "best")),
            share(row["best_probability"]),
            "" if row["peak_airmass"] is None else f"{row['peak_airmass']:.2f}",
            f"{row['moon_separation_deg']:.0f}°{' (down)' if row['moon_altitude_deg'] < 0 else ''}",
            share(row["moon_illumination"]),
            _minute(row["dusk"]),
            _minute(row["dawn"]),
        )
    console.print(table)
    for row in rows if ordered else ():
        order = Table(title=Text(f"{row['site']}: best order"))
        for head in ("time (UTC)", "target", "kind", "RA, deg", "Dec, deg", "airmass", "from", "to"):
            order.add_column(head)
        for one in row["order"]:
            place = f"{one['ra_deg']:.4f}", f"{one['dec_deg']:.4f}", f"{one['airmass']:.2f}"
            spell = _minute(one["begins"]), _minute(one["ends"])
            order.add_row(_minute(one["time"]), Text(one["name"]), one["kind"], *place, *spell)
        console.print(
            order if row["order"] else f"{row['site']}: no galaxy or candidate that it can observe", highlight=False
        )


def _minute(text: str | None) -> str:
    return "" if text is None else text[5:16].replace("T", " ")
