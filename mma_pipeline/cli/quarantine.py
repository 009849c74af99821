"""`mma quarantine`: lists messages that could not be used, saves, retries or dismisses them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from mma_pipeline.cli.app import (
    MOST_NUMBER,
    MOST_ROWS,
    Exit,
    JsonOption,
    clear_errors,
    console,
    fail,
    open_archive,
    open_store,
    print_json,
)
from mma_pipeline.cli.backfill import parse_range
from mma_pipeline.cli.completion import complete_event
from mma_pipeline.notices.key import spelled_event_id
from mma_pipeline.notices.words import counted

if TYPE_CHECKING:
    from mma_pipeline.adapters.archive import Archive
    from mma_pipeline.adapters.archive.quarantine import Choice, QuarantinedMessage
    from mma_pipeline.adapters.archive.refusals import Refused

quarantine = typer.Typer(help="List messages that could not be used; save, retry or dismiss them.")

Ids = Annotated[
    list[int] | None, typer.Argument(help="Numbers of messages, see `mma quarantine`.", min=1, max=MOST_NUMBER)
]
EventOption = Annotated[
    str | None, typer.Option("--event", help="Only messages of this superevent.", autocompletion=complete_event)
]
SinceOption = Annotated[str | None, typer.Option(help="Received since a UTC time, such as 2026-11-28T12:00.")]
BetweenOption = Annotated[str | None, typer.Option(help="Received START..END, UTC, end excluded.")]
AllOption = Annotated[bool, typer.Option("--all", help="All unsolved messages.")]


def _open() -> Archive:

    return open_archive()


@quarantine.callback(invoke_without_command=True)
def list_(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="Show at most this many, newest first.", min=1, max=MOST_ROWS)] = 20,
    event: EventOption = None,
    solved: Annotated[bool, typer.Option("--all", help="Include solved ones.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List messages that could not be used, and why; by default those that are unsolved."""
    if context.invoked_subcommand is not None:
        return
    from mma_pipeline.adapters.archive.quarantine import Choice, quarantined
    from mma_pipeline.adapters.archive.refusals import unsolved

    with clear_errors():
        archive = _open()
        wanted = Choice(event_ids=_ids(event), solved=solved, surveys=solved)
        found = quarantined(archive, wanted, limit=limit)
        of_surveys = [] if solved or event is not None else unsolved(archive)
    if as_json:
        print_json([*map(plain, found), *map(plain_packets, of_surveys)])
    if event is not None and not found:
        raise fail(f"no message of {event} is in quarantine", Exit.NOTHING)
    if as_json:
        return
    table = Table(title=f"{counted(len(found), 'message')} in quarantine")
    columns = [
        "message",
        "event",
        "topic/partition/offset",
        "received (UTC)",
        "reason",
        *(["solved"] if solved else []),
    ]
    for column in columns:
        table.add_column(column, overflow="fold")
    for entry in found:
        # Text from a message may look like markup; it must not be read as such.
        cells = [Text(entry.event_id or ("mock" if entry.rehearsal else "unknown")), Text(entry.coordinates)]
        cells += [Text(f"{entry.received:%Y-%m-%d %H:%M:%S}"), Text(entry.reason)]
        if solved:
            cells.append(Text(f"{entry.solved:%Y-%m-%d %H:%M} {entry.solution}" if entry.solved else ""))
        table.add_row(str(entry.id), *cells)
    console.print(table)
    if of_surveys:
        console.print(_packets(of_surveys))


def _packets(found: list[Refused]) -> Table:
    """Packets of surveys, a line for each cause."""
    table = Table(title="packets of surveys that cannot be used, by cause")
    for column in ("newest", "stream", "packets", "kept here", "last (UTC)", "reason"):
        table.add_column(column, overflow="fold")
    for one in found:
        counts = str(one.packets), str(one.kept), f"{one.last:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(one.message_id), Text(one.stream), *counts, Text(one.reason))
    return table


@quarantine.command()
def save(
    number: Annotated[int, typer.Argument(help="Number of the message, see `mma quarantine`.", min=1, max=MOST_NUMBER)],
    file: Annotated[Path, typer.Argument(help="File to write.", dir_okay=False)],
) -> None:
    """Write the body of a message to a file, byte for byte."""
    from mma_pipeline.adapters.archive.quarantine import Choice, quarantined

    with clear_errors():
        archive = _open()
        if not quarantined(archive, Choice(ids=[number], solved=True)):
            raise fail(f"no message {number} is in quarantine", Exit.NOTHING)
        body = archive.message(number).body
    try:
        file.write_bytes(body)
    except OSError as error:
        raise fail(f"{file} cannot be written: {error.strerror}") from error
    console.print(f"{len(body)} bytes in {file}", highlight=False)


@quarantine.command()
def retry(
    ids: Ids = None,
    event: EventOption = None,
    since: SinceOption = None,
    between: BetweenOption = None,
    everything: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """Parse messages again with the current code; those that can be used now are processed as if they had just arrived.

    The running pipeline starts the runs. Exit code 1 if some still cannot be used.
    """
    from mma_pipeline.defs.alerts.quarantine import retry_messages
    from mma_pipeline.settings import current

    with clear_errors():
        archive = _open()
        chosen = _chosen(archive, _choice(ids, event, since, between, everything=everything))
        outcomes = retry_messages(archive, open_store, chosen, datetime.now(UTC), current())
    entries = [
        {
            "message": outcome.message.id,
            "event": outcome.message.event_id,
            "outcome": "read" if outcome.reason is None else "refused",
            "partitions": list(outcome.partitions),
            "reason": outcome.reason,
        }
        for outcome in outcomes
    ]
    if as_json:
        print_json(entries)
    else:
        for outcome in outcomes:
            said = ", ".join(outcome.partitions) or "read" if outcome.reason is None else f"refused: {outcome.reason}"
            console.print(f"message {outcome.message.id}: {said}", highlight=False, markup=False, soft_wrap=True)
    _say_missing(ids, chosen)
    refused = sum(outcome.reason is not None for outcome in outcomes)
    if refused:
        raise fail(f"{refused} of {counted(len(outcomes), 'message')} still cannot be used")


@quarantine.command()
def dismiss(
    ids: Ids = None,
    reason: Annotated[str, typer.Option(help="Why nothing needs to be done; kept with the message.")] = "",
    event: EventOption = None,
    since: SinceOption = None,
    between: BetweenOption = None,
    everything: AllOption = False,
) -> None:
    """Mark messages as solved because nothing needs to be done about them."""
    from mma_pipeline.adapters.archive import quarantine as archived
    from mma_pipeline.products.ingest import presentable

    if not reason.strip():
        raise fail("give the reason with --reason", Exit.USAGE)
    with clear_errors():
        archive = _open()
        chosen = _chosen(archive, _choice(ids, event, since, between, everything=everything))
        archived.dismiss(archive, [entry.id for entry in chosen], presentable(reason.strip()), datetime.now(UTC))
    console.print(f"{counted(len(chosen), 'message')} dismissed")
    _say_missing(ids, chosen)


def plain(entry: QuarantinedMessage) -> dict[str, Any]:
    """A message in quarantine as JSON values."""
    return {
        "message": entry.id,
        "event": entry.event_id,
        "mock": entry.rehearsal,
        "stream": entry.stream,
        "at": entry.coordinates,
        "received": entry.received.isoformat(),
        "size_bytes": entry.size,
        "sha256": entry.sha256,
        "reason": entry.reason,
        "solved": None if entry.solved is None else entry.solved.isoformat(),
        "solution": entry.solution,
    }


def plain_packets(one: Refused) -> dict[str, Any]:
    """Packets of a survey with one cause as JSON values; `message` is the newest that is kept."""
    return {
        "message": one.message_id,
        "stream": one.stream,
        "packets": one.packets,
        "kept": one.kept,
        "first": one.first.isoformat(),
        "last": one.last.isoformat(),
        "offsets": {place: list(span) for place, span in one.offsets.items()},
        "reason": one.reason,
    }


def _choice(
    ids: list[int] | None, event: str | None, since: str | None, between: str | None, *, everything: bool
) -> Choice:
    from mma_pipeline.adapters.archive.quarantine import Choice

    if sum((bool(ids), event is not None, since is not None, between is not None, everything)) != 1:
        raise typer.BadParameter("give one of: numbers, --event, --since, --between, --all")
    start = end = None
    if since is not None:
        start, _ = parse_range(f"{since}..9999-12-31")
    if between is not None:
        start, end = parse_range(between)
    return Choice(ids=ids or None, event_ids=_ids(event), since=start, before=end)


def _ids(event: str | None) -> list[str] | None:
    """An event's id as a person writes it, and as its observatory does."""
    return None if event is None else [event, spelled_event_id(event)]


def _chosen(archive: Archive, choice: Choice) -> list[QuarantinedMessage]:
    from mma_pipeline.adapters.archive.quarantine import quarantined

    found = quarantined(archive, choice)
    if not found:
        raise fail("no unsolved message in quarantine matches: see `mma quarantine --all`", Exit.NOTHING)
    return found


def _say_missing(ids: list[int] | None, chosen: list[QuarantinedMessage]) -> None:
    missing = sorted(set(ids or ()) - {entry.id for entry in chosen})
    if missing:
        raise fail(f"not in quarantine, or already solved: {', '.join(map(str, missing))}")
