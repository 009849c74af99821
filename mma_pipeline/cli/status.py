"""`mma status`: lists the archived events, their products, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from mma_pipeline.cli.app import MOST_ROWS, Exit, JsonOption, clear_errors, console, fail, open_archive, print_json
from mma_pipeline.notices.words import area

if TYPE_CHECKING:
    from mma_pipeline.adapters.archive import Archive, ProductRecord, VersionRecord
    from mma_pipeline.adapters.archive.coincidences import PairRecord
    from mma_pipeline.adapters.kafka.message import StreamMessage


def _open() -> Archive:
    return open_archive()


def describe(archive: Archive, records: Sequence[VersionRecord]) -> list[dict[str, Any]]:
    """Versions with their products, their missing files, and the message that each came from."""
    from mma_pipeline.adapters.archive.event_history import retraction_of

    events = archive.versions_of({record.version.event_id for record in records})
    retractions = {event_id: retraction_of(found) for event_id, found in events.items()}
    products = archive.products_of(record.partition_key for record in records)
    origins = archive.origins(record.message_id for record in records)
    return [
        _described(
            record, products[record.partition_key], origins[record.message_id], retractions[record.version.event_id]
        )
        for record in records
    ]


def _described(
    record: VersionRecord, products: Sequence[ProductRecord], origin: StreamMessage, retraction: VersionRecord | None
) -> dict[str, Any]:
    from mma_pipeline.defs.all_products import expected_files
    from mma_pipeline.defs.events.page.write import page_key
    from mma_pipeline.notices.source_words import source_words
    from mma_pipeline.settings import current

    names = {product.name for product in products}
    statistics: dict[str, Any] = {}
    for product in products:
        statistics[product.asset] = dict(product.statistics)
    return {
        "partition": record.partition_key,
        "event": record.version.event_id,
        "type": record.version.label,
        "stem": str(record.stem),
        "created": record.version.created.isoformat(),
        "role": record.version.role.value,
        "retracted_by": None if retraction is None else retraction.partition_key,
        "page": page_key(record.version.event_id),
        "facts": dict(record.facts),
        "source": list(source_words(record.facts)),
        "degraded": list(record.facts.get("degraded", ())),
        "message": {
            "stream": origin.stream,
            "topic": origin.topic,
            "partition": origin.partition,
            "offset": origin.offset,
            "received": origin.received.isoformat(),
            "sha256": origin.sha256,
        },
        "products": [
            {
                "name": product.name,
                "asset": product.asset,
                "key": product.store_key,
                "size_bytes": product.size,
                "sha256": product.sha256,
                "content_type": product.content_type,
                "written": product.written.isoformat(),
            }
            for product in products
        ],
        "missing": sorted(expected_files(record, current()) - names),
        "statistics": statistics,
    }


def status(
    limit: Annotated[int, typer.Option(help="Show at most this many events, newest first.", min=1, max=MOST_ROWS)] = 50,
    real: Annotated[bool, typer.Option("--real", help="Leave mock and test events out.")] = False,
    since: Annotated[
        str | None, typer.Option(help="Events with a version created since a time, such as 2026-01-31; UTC.")
    ] = None,
    versions: Annotated[
        bool, typer.Option("--versions", help="A row for each version, with its files, not for each event.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List events, newest first: what each is, how well it is located, and what is missing."""
    from mma_pipeline.adapters.archive.coincidences import claimed_pairs
    from mma_pipeline.adapters.archive.overview import newest_events

    begin = _time(since)
    with clear_errors():
        archive = _open()
        counts = archive.counts()
        events = newest_events(archive, limit=limit, real=real, since=begin)
        found = archive.versions_of(events)
        records = sorted(
            (record for some in found.values() for record in some), key=lambda r: r.version.created, reverse=True
        )
        if as_json or versions:
            records = [r for r in records if begin is None or r.version.created >= begin][:limit]
        described = describe(archive, records)
        pairs = claimed_pairs(archive)
    if not events and (real or begin is not None):
        said = " real" * real, "" if begin is None else f" since {begin:%Y-%m-%d %H:%M} UTC"
        raise fail(f"no{said[0]} event{said[1]} is archived", Exit.NOTHING)
    if as_json:
        print_json({"counts": counts, "versions": described})
        return
    by_event: dict[str, list[dict[str, Any]]] = {}
    for entry in described:
        by_event.setdefault(entry["event"], []).append(entry)
    title = ", ".join(f"{count} {name}" for name, count in counts.items())
    ordered = {event: by_event[event] for event in events if event in by_event}
    console.print(_version_table(described, title) if versions else _event_table(ordered, found, pairs, title))


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise fail(f"--since {text!r} is no time such as 2026-01-31 or 2026-01-31T12:00", Exit.USAGE) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _narrow(title: str) -> Table:
    # The title is a line of its own: it would widen a narrow table, or be broken by it.
    console.print(title, highlight=False, soft_wrap=True)
    return Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))


def _event_table(
    events: Mapping[str, Sequence[dict[str, Any]]],
    records: Mapping[str, Sequence[VersionRecord]],
    pairs: Mapping[str, Sequence[PairRecord]],
    title: str,
) -> Table:
    """A row for each event. Ids and kinds are never cut, whatever the width; what is left wraps."""
    from mma_pipeline.notices.source_words import percent
    from mma_pipeline.portal.summary import summary_of

    summaries = {
        event: summary_of(
            records[event],
            {e["partition"]: s for e in entries if (s := e["statistics"].get("skymap_statistics"))},
            pairs.get(event, ()),
        )
        for event, entries in events.items()
    }
    table = _narrow(title)
    table.add_column("event", no_wrap=True, overflow="ignore", min_width=max(map(len, events), default=5))
    kinds = (len(summary.kind) for summary in summaries.values())
    table.add_column("newest", no_wrap=True, overflow="ignore", min_width=max(kinds, default=6))
    table.add_column("time (UTC)", no_wrap=True, min_width=14)
    table.add_column("source", min_width=11)
    for column in ("90 %", "Mpc"):
        table.add_column(column, justify="right", min_width=5)
    table.add_column("status", min_width=9)
    for event, entries in events.items():
        summary = summaries[event]
        likeliest = summary.likeliest
        table.add_row(
            event,
            summary.kind,
            "not stated" if summary.time is None else f"{summary.time:%y-%m-%d %H:%M}",
            # Classes and groups are the sender's words: nothing in them is markup.
            Text(summary.group or "" if likeliest is None else f"{likeliest[0]} {percent(likeliest[1])}"),
            area(summary.best_area_90_deg2) + ("*" if summary.best_combined else ""),
            "" if summary.best_distance_mpc is None else f"{summary.best_distance_mpc:.0f}",
            _event_state(entries),
        )
    if any(summary.best_combined for summary in summaries.values()):
        table.caption, table.caption_justify = (
            "* combined with another event: holds only if both are one source",
            "left",
        )
    return table


def _event_state(entries: Sequence[Mapping[str, Any]]) -> str:
    if entries[0]["retracted_by"] is not None:
        return "[red]retracted[/red]"
    missing = len({name for entry in entries for name in entry["missing"]})
    said = ["[yellow]degraded[/yellow]"] if any(entry["facts"].get("degraded") for entry in entries) else []
    return ", ".join([*said, *([f"lacks {missing}"] if missing else [])])


def _version_table(entries: Sequence[Mapping[str, Any]], title: str) -> Table:
    """A row for each version."""
    table = _narrow(title)
    stems = [(entry["event"], entry["stem"].removeprefix(entry["event"] + "-")) for entry in entries]
    for number, column in enumerate(("event", "version")):
        widest = max((len(stem[number]) for stem in stems), default=len(column))
        table.add_column(column, no_wrap=True, overflow="ignore", min_width=widest)
    table.add_column("created (UTC)", no_wrap=True, min_width=14)
    table.add_column("status", min_width=9)
    for column in ("files", "lacks", "50 %", "90 %"):
        table.add_column(column, justify="right")
    for stem, entry in zip(stems, entries, strict=True):
        areas = entry["statistics"].get("skymap_statistics", {})
        table.add_row(
            *stem,
            entry["created"][2:16].replace("T", " "),
            _state(entry),
            str(len(entry["products"])),
            str(len(entry["missing"]) or ""),
            area(areas.get("area_50_deg2")),
            area(areas.get("area_90_deg2")),
        )
    return table


def _state(entry: Mapping[str, Any]) -> str:
    if entry["retracted_by"] is not None:
        return "[red]retracted[/red]"
    # `mma show` names the parts that could not be used.
    return "[yellow]degraded[/yellow]" if entry["facts"].get("degraded") else ""
