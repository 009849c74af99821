"""`mma backfill`: makes products again from the archive, or fetches events from GraceDB that were never received."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mma_pipeline.cli.app import (
    Exit,
    JsonOption,
    clear_errors,
    console,
    fail,
    open_archive,
    open_instance,
    print_json,
    wrong_usage,
)
from mma_pipeline.cli.completion import complete_event
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.observing_runs import observing_run
from mma_pipeline.notices.words import counted

if TYPE_CHECKING:
    from mma_pipeline.adapters.archive import Archive, VersionRecord

#: What became of one version or event, as printed with `--json`.
Entry = dict[str, Any]


def backfill(
    events: Annotated[
        list[str] | None, typer.Argument(help="Superevent ids or partition keys.", autocompletion=complete_event)
    ] = None,
    between: Annotated[
        str | None,
        typer.Option(help="START..END: notices created in this time range, UTC, such as 2023-05-18..2023-05-20."),
    ] = None,
    run: Annotated[str | None, typer.Option(help="An observing run, such as O4b or O4.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every version in the archive.")] = False,
    from_gracedb: Annotated[
        str | None,
        typer.Option(
            help="START..END: fetch public superevents of these days from GraceDB if they were never received."
        ),
    ] = None,
    gracedb: Annotated[str | None, typer.Option(help="Another GraceDB, by the address of its API.")] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Only versions that lack products.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be made, without making it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make products again from the archive, in this process: it needs neither Kafka nor a daemon.

    The same message and code give the same bytes. Example: mma backfill --run O4a --missing
    """
    ways = (bool(events), between is not None, run is not None, everything, from_gracedb is not None)
    if sum(ways) != 1:
        raise fail("choose exactly one of: events, --between, --run, --all, --from-gracedb", Exit.USAGE)
    with wrong_usage(NoticeError):
        times = parse_range(between) if between is not None else None if run is None else observing_run(run)
    with clear_errors():
        archive = _open()
        fetched: list[Entry] = []
        if from_gracedb is not None:
            fetched = _fetch(archive, from_gracedb, gracedb, dry_run=dry_run)
            records = [archive.version(key) for entry in fetched for key in entry.get("partitions", ())]
        else:
            records = _chosen(archive, events or [], times)
        if missing:
            records = _incomplete(archive, records)
        if not records and not fetched:
            raise fail("nothing to make: `mma status` shows what is archived", Exit.NOTHING)
        made = [_planned(record, as_json) for record in records] if dry_run else _make(archive, records, as_json)
        entries = fetched + made
    if as_json:
        print_json(entries)
    bad = [entry for entry in entries if entry["outcome"] in {"failed", "nothing usable"} or "reason" in entry]
    if bad:
        names = ", ".join(entry.get("partition") or entry["event"] for entry in bad)
        raise fail(f"failed: {names}")


def parse_range(text: str) -> tuple[datetime, datetime]:
    """START..END as two UTC times; a day alone means its midnight. Raises typer.BadParameter."""
    first, dots, last = text.partition("..")
    try:
        start, end = (datetime.fromisoformat(part.strip()) for part in (first, last))
    except ValueError:
        start = end = datetime.max.replace(tzinfo=UTC)
    start, end = (t if t.tzinfo else t.replace(tzinfo=UTC) for t in (start, end))
    if not dots or start >= end:
        raise typer.BadParameter(f"{text!r} is not a time range: write 2023-05-18..2023-05-20 (UTC, end excluded)")
    return start, end


def _open() -> Archive:
    return open_archive(create=True)


def _chosen(archive: Archive, events: list[str], times: tuple[datetime, datetime | None] | None) -> list[VersionRecord]:
    """Versions of some events, or of a span of time, or all; in order of creation."""
    if events:
        found = [r for e in events for r in archive.versions_named(e)]
    else:
        found = archive.versions()
        if times is not None:
            start, end = times
            found = [r for r in found if start <= r.version.created and (end is None or r.version.created < end)]
    return sorted(found, key=lambda record: (record.version.created, record.partition_key))


def _incomplete(archive: Archive, records: list[VersionRecord]) -> list[VersionRecord]:
    """The given versions that lack a file."""
    from mma_pipeline.defs.all_products import expected_files
    from mma_pipeline.settings import current

    settings = current()
    written = archive.products_of(record.partition_key for record in records)
    return [r for r in records if expected_files(r, settings) - {product.name for product in written[r.partition_key]}]


def _planned(record: VersionRecord, quiet: bool) -> Entry:
    if not quiet:
        console.print(f"would make {record.partition_key}", highlight=False)
    return {"partition": record.partition_key, "outcome": "planned"}


def _make(archive: Archive, records: list[VersionRecord], quiet: bool) -> list[Entry]:
    from mma_pipeline.cli.materialise import materialise

    entries: list[Entry] = []
    with open_instance() as instance:
        for count, record in enumerate(records, 1):
            key = record.partition_key
            before = {product.name: product.sha256 for product in archive.products(key)}
            done = materialise(instance, record)
            after = {product.name: product.sha256 for product in archive.products(key)}
            changed = sorted(name for name, digest in before.items() if after.get(name) != digest)
            entry = {"partition": key, "outcome": "made" if done else "failed", "files": len(after), "changed": changed}
            entries.append(entry)
            if not quiet:
                note = f", changed: {', '.join(changed)}" if changed else ""
                console.print(
                    f"{count}/{len(records)} {key}: {entry['outcome']}, {counted(len(after), 'file')}{note}",
                    highlight=False,
                    soft_wrap=True,
                )
    return entries


def _fetch(archive: Archive, text: str, api: str | None, *, dry_run: bool) -> list[Entry]:
    """Archive notices of public superevents that the archive lacks; each is marked as coming from GraceDB."""
    from mma_pipeline.adapters.gracedb import PUBLIC_API, GraceDB
    from mma_pipeline.defs.operations.completeness import archive_superevent, unknown_superevents

    start, end = parse_range(text)
    service = GraceDB(api or PUBLIC_API)
    entries: list[Entry] = []
    for superevent_id in unknown_superevents(archive, service, start, end):
        if dry_run:
            console.print(f"would fetch {superevent_id}", highlight=False)
            entries.append({"event": superevent_id, "outcome": "planned"})
            continue
        keys, problem = archive_superevent(archive, service, superevent_id)
        entry: Entry = {"event": superevent_id, "outcome": "fetched" if keys else "nothing usable", "partitions": keys}
        entries.append(entry | ({"reason": problem} if problem else {}))
        console.print(
            f"{superevent_id}: {counted(len(keys), 'version')}{f' ({problem})' if problem else ''}",
            highlight=False,
            soft_wrap=True,
        )
    return entries
