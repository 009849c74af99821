"""`mma pointings`: pointings of telescopes for an event, from files and from the Treasure Map, and what they cover."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from mma_pipeline.cli.app import MOST_ROWS, Exit, JsonOption, clear_errors, console, fail, open_archive, print_json
from mma_pipeline.cli.completion import complete_event
from mma_pipeline.cli.events import event_named, newest_map_of, say_if_retracted
from mma_pipeline.notices.words import area, counted, share

if TYPE_CHECKING:
    from mma_pipeline.adapters.archive import Archive, VersionRecord
    from mma_pipeline.adapters.archive.pointings import PointingArchive
    from mma_pipeline.notices.pointings import Pointing
    from mma_pipeline.science.skymaps.model import SkyMap

pointings = typer.Typer(help="Pointings of telescopes, and what they cover of the map.", no_args_is_help=True)

EventArgument = Annotated[str, typer.Argument(help="Superevent id such as S230518h.", autocompletion=complete_event)]


@pointings.command(name="import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="CSV or ECSV: ra, dec, and time, band, depth, instrument, pos_angle, status.")
    ],
    event: Annotated[str, typer.Option(help="Superevent that was pointed for.", autocompletion=complete_event)],
    instrument: Annotated[str | None, typer.Option(help="Name of the instrument, where the file has none.")] = None,
    footprint: Annotated[
        str | None,
        typer.Option(help="'circle RADIUS', 'box WIDTH HEIGHT' (degrees), WKT, or a file with WKT or DS9 polygons."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Archive the pointings of a file; the same file again changes nothing, another status or depth is an update."""
    from mma_pipeline.adapters.archive.pointings import PointingArchive
    from mma_pipeline.adapters.pointings.files import OWN, read_pointings
    from mma_pipeline.notices.footprints import parse_footprint

    with clear_errors():
        archive = open_archive()
        named = archive.versions_named(event)
        if not named:
            raise fail(f"no version of {event} is archived: see `mma status` for what is", Exit.NOTHING)
        event = named[0].version.event_id
        kept = PointingArchive(archive)
        given = None if footprint is None else parse_footprint(_text_of(footprint))
        known = {i.name.lower(): i.footprint for i in kept.instruments() if i.footprint is not None}
        held = read_pointings(file, footprints=known, instrument=instrument, footprint=given)
        now = datetime.now(UTC)
        recorded = kept.record(event, held.pointings, now)
        if given is not None:
            names = {p.instrument for p in held.pointings if p.footprint == given}
            kept.record_instruments(OWN, [(name, name, given) for name in sorted(names)], now)
    if as_json:
        counts = {"new": recorded.new, "changed": recorded.changed, "same": recorded.same}
        print_json({"event": event, **counts, "skipped": list(held.skipped)})
        return
    console.print(
        f"{event}: {counted(recorded.new, 'pointing')} new, {recorded.changed} changed, {recorded.same} known",
        highlight=False,
    )
    for reason in held.skipped:
        console.print(f"[yellow]left out[/yellow] {escape(reason)}", highlight=False)


def _text_of(footprint: str) -> str:
    """The text of a footprint, or that of the file that is named."""
    path = Path(footprint)
    return path.read_text() if len(footprint) < 500 and path.is_file() else footprint


@pointings.command(name="list")
def list_(
    event: EventArgument,
    limit: Annotated[int, typer.Option(help="Show at most this many, by time.", min=1, max=MOST_ROWS)] = 50,
    as_json: JsonOption = False,
) -> None:
    """Pointings that are archived of an event."""
    with clear_errors():
        archive = open_archive()
        event = event_named(archive, event)
        found = _pointings(archive, event)
    if as_json:
        print_json([_plain(p) for p in found])
        return
    counts = Counter(p.status.value for p in found)
    table = Table(title=f"{event}: " + ", ".join(f"{n} {status}" for status, n in sorted(counts.items())))
    for column in ("time (UTC)", "status", "instrument", "RA, deg", "Dec, deg", "band", "depth", "source"):
        table.add_column(column)
    for p in found[:limit]:
        table.add_row(
            "" if p.time is None else f"{p.time:%Y-%m-%d %H:%M:%S}",
            p.status.value,
            escape(p.instrument) + ("" if p.footprint is not None else " (no footprint)"),
            f"{p.ra:.4f}",
            f"{p.dec:+.4f}",
            escape(p.band or ""),
            "" if p.depth is None else f"{p.depth:.2f} {p.depth_unit or ''}",
            f"{p.source} {escape(p.source_id)}",
        )
    console.print(table)
    if len(found) > limit:
        console.print(f"and {len(found) - limit} more: --limit, or --json for all", highlight=False)


@pointings.command()
def coverage(event: EventArgument, as_json: JsonOption = False) -> None:
    """What the archived pointings cover of an event's newest map, computed now."""
    from dataclasses import asdict

    from mma_pipeline.defs.observing.coverage_ledger import ledger_of
    from mma_pipeline.science.coverage.tables import row_words
    from mma_pipeline.settings import current

    with clear_errors():
        archive = open_archive()
        record, retracted_by = newest_map_of(archive, event)
        event = record.version.event_id
        magnitude = current().coverage.absolute_magnitude
        found, _, figures = ledger_of(_map_of(archive, record), _pointings(archive, event), record.facts, magnitude)
    if as_json:
        curve = [{"hours": h, "probability": p, "area_deg2": a} for h, p, a in found.curve]
        rows = [asdict(row) for row in found.rows]
        about = {"event": event, "partition": record.partition_key, "retracted_by": retracted_by}
        print_json({**about, **figures, "rows": rows, "curve": curve})
        return
    say_if_retracted(event, retracted_by)
    table = Table(title=f"{record.stem}: {share(figures['probability_covered'])} covered")
    for column in ("of", "visits", "probability", "area, deg²", "within reach"):
        table.add_column(column, justify="left" if column == "of" else "right")
    for row in found.rows:
        reached = "" if row.reached is None else share(row.reached)
        cells = (str(row.visits), share(row.probability), area(row.area_deg2), reached)
        table.add_row(escape(row_words(row)), *cells)
    console.print(table)
    console.print(
        f"left of the 90 % region: {share(figures['probability_left_in_90'])} on {area(figures['area_left_in_90_deg2'])} deg²",
        highlight=False,
    )
    if figures["pointings_without_footprint"]:
        console.print(
            f"[yellow]{figures['pointings_without_footprint']} pointings have no footprint and count nowhere[/yellow]"
        )


@pointings.command()
def post(
    event: EventArgument,
    instrument_id: Annotated[
        list[str] | None, typer.Option(help="The site's id of an instrument, NAME=ID; not for those known from there.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Post one's own pointings to the Treasure Map, each once: planned, then completed or cancelled."""
    from mma_pipeline.adapters.archive import outbox, writing
    from mma_pipeline.adapters.archive.pointings import PointingArchive
    from mma_pipeline.adapters.errors import ConfigurationError
    from mma_pipeline.adapters.pointings.files import OWN
    from mma_pipeline.adapters.publishing import gwtm_pointings
    from mma_pipeline.adapters.publishing.config import GWTM
    from mma_pipeline.adapters.publishing.service import Publications
    from mma_pipeline.notices.pointings import TREASURE_MAP
    from mma_pipeline.settings import current

    settings, told, left_out = current(), list[dict[str, Any]](), list[str]()
    with clear_errors():
        archive = open_archive()
        event = event_named(archive, event)
        kept = PointingArchive(archive)
        own = [p for p in _pointings(archive, event) if p.source == OWN]
        published = Publications(archive, settings.publication.public_address, settings.access)
        if not published.of_kind(GWTM):
            raise ConfigurationError("no Treasure Map is configured to publish to: set API_BASE and API_TOKEN")
        ids = {i.name.lower(): int(i.source_id) for i in kept.instruments(TREASURE_MAP)} | _named_ids(instrument_id)
        planned, now = _planned_for(kept, event, own), datetime.now(UTC)
        for destination in published.of_kind(GWTM):
            drafts, left_out = gwtm_pointings.drafts(
                destination.name, event, own, lambda name: ids.get(name.lower()), planned
            )
            if published.dry_run:
                told += [{"key": d.dedupe_key, "state": "dry run"} for d in drafts]
                continue
            with writing(archive.engine) as connection:
                new = {d.dedupe_key for d in drafts if outbox.enqueue(connection, d, now)}
            sent = published.publisher.run(destination.name, event_id=event, limit=len(drafts) + 1)
            told += [{"key": s.dedupe_key, "state": s.state.value, "error": s.error} for s in sent]
            told += [{"key": key, "state": "waiting"} for key in sorted(new - {s.dedupe_key for s in sent})]
    if as_json:
        print_json({"event": event, "publications": told, "left_out": left_out})
        return
    for entry in told:
        error = f": {escape(str(entry['error']))}" if entry.get("error") else ""
        console.print(f"{escape(str(entry['key']))}  {entry['state']}{error}", highlight=False)
    for reason in left_out:
        console.print(f"[yellow]left out[/yellow] {escape(reason)}", highlight=False)
    if not told and not left_out:
        console.print("nothing new: everything is posted")


def _named_ids(options: list[str] | None) -> dict[str, int]:
    found: dict[str, int] = {}
    for option in options or ():
        name, _, number = option.rpartition("=")
        if not name or not number.isdigit():
            raise fail(f"{option!r} is not NAME=ID, such as ZTF=47", Exit.USAGE)
        found[name.lower()] = int(number)
    return found


def _planned_for(kept: PointingArchive, event: str, own: list[Pointing]) -> dict[str, str]:
    """For when pointings that are not planned any more were planned, by name: the last time before the change."""
    times = {p.source_id: p.time for p in own}
    found: dict[str, str] = {}
    for entry in kept.history(event):
        was, name = entry["was"] or {}, str(entry["source_id"])
        time = was.get("time") or times.get(name)
        if was.get("status") == "planned" and time is not None:
            found[name] = time if isinstance(time, str) else time.isoformat()
    return found


def _map_of(archive: Archive, record: VersionRecord) -> SkyMap:
    """The version's map from its message, so that no product needs to be there."""
    from mma_pipeline.products.maps import decoded_map

    found = decoded_map(archive, record)
    if found is None:
        raise fail(f"the map of {record.partition_key} is missing in its message", Exit.NOTHING)
    return found


def _pointings(archive: Archive, event: str) -> list[Pointing]:
    from mma_pipeline.adapters.archive.pointings import PointingArchive

    found = PointingArchive(archive).pointings(event)
    if not found:
        raise fail(f"no pointings for {event} are archived: `mma pointings import FILE --event {event}`", Exit.NOTHING)
    return found


def _plain(pointing: Pointing) -> dict[str, Any]:
    names = ("source", "source_id", "instrument", "ra", "dec", "pos_angle", "band", "depth", "depth_unit")
    return {name: getattr(pointing, name) for name in names} | {
        "status": pointing.status.value,
        "time": None if pointing.time is None else pointing.time.isoformat(),
        "footprint_sha256": None if pointing.footprint is None else pointing.footprint.sha256,
    }
