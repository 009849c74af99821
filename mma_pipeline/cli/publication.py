"""`mma explain` and `mma publication`: why something was or was not sent, what waits, what failed, sending again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from .app import Exit, JsonOption, clear_errors, console, fail, print_json

if TYPE_CHECKING:
    from mma_pipeline.adapters.publishing.model import Publication
    from mma_pipeline.adapters.publishing.service import Publications

publication = typer.Typer(help="What is published, what waits, what failed.", no_args_is_help=True)


def _open() -> Publications:
    from mma_pipeline.adapters import settings
    from mma_pipeline.adapters.archive import Archive
    from mma_pipeline.adapters.publishing.service import Publications

    archive = Archive(settings.archive_url(os.environ), create=True)
    return Publications(archive, settings.public_address(os.environ), os.environ)


def explain(
    event: Annotated[str, typer.Argument(help="Superevent id, such as S230518h, or a partition key.")],
    as_json: JsonOption = False,
) -> None:
    """Why the versions of an event are or are not published, destination by destination. Sends nothing."""
    with clear_errors():
        published = _open()
        records = [r for r in published.archive.versions() if event in {r.version.event_id, r.partition_key}]
        if not records:
            raise fail(f"no version of {event} is archived", Exit.NOTHING)
        if not published.configs:
            raise fail("no destination is configured: see docs/publication.md", Exit.NOTHING)
        found: list[dict[str, Any]] = []
        for record in reversed(records):
            for decision in published.explain(record):
                sent = published.of_version(record.partition_key, [decision.destination])
                found.append(
                    {
                        "partition": record.partition_key,
                        "destination": decision.destination,
                        "wanted": decision.accepted,
                        "reasons": [reason.to_json() for reason in decision.reasons],
                        "would_send": [draft.kind for draft in decision.drafts],
                        "publications": [_plain(item) for item in sent],
                    }
                )
    if as_json:
        print_json(found)
        return
    table = Table(title=f"What is published of {event}" + (" (DRY_RUN is set)" if published.dry_run else ""))
    for column in ("version", "destination", "wanted", "why", "sent"):
        table.add_column(column, overflow="fold")
    for row in found:
        why = "\n".join(f"{'✓' if r['passed'] else '✗'} {r['criterion']}: {r['found']}" for r in row["reasons"])
        went = "\n".join(f"{p['kind']} {p['state']} {p['reference'] or p['error'] or ''}" for p in row["publications"])
        table.add_row(row["partition"], row["destination"], "yes" if row["wanted"] else "no", why, went or "nothing")
    console.print(table)


@publication.command("list")
def list_(
    event: Annotated[str | None, typer.Argument(help="Superevent id; all events by default.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only what was given up.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What is in the outbox, oldest first."""
    from mma_pipeline.adapters.archive import outbox, reading
    from mma_pipeline.adapters.publishing.model import State

    with clear_errors():
        engine = _open().archive.engine
        with reading(engine) as connection:
            items = outbox.publications(connection, event_id=event, state=State.FAILED if failed else None)
    if as_json:
        print_json([_plain(item) for item in items])
        return
    table = Table(title=f"{len(items)} publications")
    for column in ("id", "event", "destination", "kind", "state", "attempts", "answer or error"):
        table.add_column(column, overflow="fold")
    for item in items:
        said = item.error or str(item.answer.get("reference", ""))
        table.add_row(str(item.id), item.event_id, item.destination, item.kind, item.state, str(item.attempts), said)
    console.print(table)


@publication.command()
def retry(
    number: Annotated[int, typer.Argument(help="Number of a failed publication, see `mma publication list`.")],
) -> None:
    """Put a failed publication back; the sensor sends it."""
    from datetime import UTC, datetime

    from mma_pipeline.adapters.archive import outbox, writing

    with clear_errors(), writing(_open().archive.engine) as connection:
        outbox.retry(connection, number, datetime.now(UTC))
    console.print(f"publication {number} will be sent again")


@publication.command()
def send() -> None:
    """Send what is due now, in this process."""
    with clear_errors():
        published = _open()
        if published.dry_run:
            raise fail("DRY_RUN is set: nothing is sent")
        items = [item for config in published.configs for item in published.publisher.run(config.name)]
    for item in items:
        said = item.error or str(item.answer.get("reference", ""))
        console.print(f"{item.destination} {item.kind} {item.event_id}: {item.state} {said}", highlight=False)
    console.print(f"{len(items)} publications tried")


@publication.command("delete-test-alerts")
def delete_test_alerts(
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it: rows with role test and files under test/ are removed.")
    ] = False,
) -> None:
    """Ask the GWTM site to remove its test alerts. Never done by itself."""
    from mma_pipeline.adapters.publishing.gwtm import GwtmDestination

    with clear_errors():
        published = _open()
        if published.dry_run:
            raise fail("DRY_RUN is set: nothing is called")
        sites = [published.destinations[config.name] for config in published.of_kind("gwtm")]
        if not sites:
            raise fail("no GWTM destination is configured", Exit.NOTHING)
        if not yes:
            raise fail("this removes test alerts for everybody: repeat with --yes", Exit.USAGE)
        for site in sites:
            if isinstance(site, GwtmDestination):
                console.print(f"{site.name}: {site.client.delete_test_alerts()}", highlight=False)


def _plain(item: Publication) -> dict[str, Any]:
    """A publication as JSON values."""
    return {
        "id": item.id,
        "event": item.event_id,
        "partition": item.partition_key,
        "destination": item.destination,
        "kind": item.kind,
        "state": str(item.state),
        "attempts": item.attempts,
        "reference": item.answer.get("reference"),
        "answer": dict(item.answer),
        "error": item.error,
        "enqueued": item.created.isoformat(),
        "next_attempt": item.next_attempt.isoformat(),
        "finished": None if item.finished is None else item.finished.isoformat(),
    }
