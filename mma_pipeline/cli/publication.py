"""`mma explain` and `mma publication`: say why something was sent or not, list what waits or failed, and send it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from mma_pipeline.cli.app import Exit, JsonOption, clear_errors, console, fail, open_archive, print_json
from mma_pipeline.cli.candidates import candidate_lines, candidates_of
from mma_pipeline.cli.completion import complete_event
from mma_pipeline.cli.events import event_named
from mma_pipeline.notices.words import counted
from mma_pipeline.settings import current

if TYPE_CHECKING:
    from mma_pipeline.adapters.archive import VersionRecord
    from mma_pipeline.adapters.archive.publications import Publication
    from mma_pipeline.adapters.publishing.service import Publications

publication = typer.Typer(
    help="Show what is published, what waits and what failed; retry or release it.", no_args_is_help=True
)


def _open() -> Publications:
    from mma_pipeline.adapters.publishing.service import Publications

    settings = current()
    return Publications(open_archive(), settings.publication.public_address, settings.access)


def explain(
    event: Annotated[
        str,
        typer.Argument(help="Superevent id, such as S230518h, or a partition key.", autocompletion=complete_event),
    ],
    as_json: JsonOption = False,
) -> None:
    """Explain for each destination why the versions of an event are published or not. Sends nothing.

    Names the checks that block a version with their values, products that are not made yet, and a release with its reason.
    Then every verdict on the event's candidates, in words.
    """
    with clear_errors():
        published = _open()
        records = published.archive.versions_named(event)
        if not records:
            raise fail(f"the archive has no version of {event}", Exit.NOTHING)
        if not published.configs:
            raise fail("no destination is configured: see docs/publication.md", Exit.NOTHING)
        found: list[dict[str, Any]] = []
        states = {record.partition_key: _readiness(published, record) for record in records}
        candidates = candidates_of(published.archive, records[0].version.event_id)
        for record in reversed(records):
            for decision in published.explain(record):
                sent = published.of_version(record.partition_key, [decision.destination])
                found.append(
                    {
                        "partition": record.partition_key,
                        "destination": decision.destination,
                        "wanted": decision.accepted,
                        **states[record.partition_key],
                        "reasons": [reason.to_json() for reason in decision.reasons],
                        "would_send": [draft.kind for draft in decision.drafts],
                        "publications": [_plain(item) for item in sent],
                    }
                )
    if as_json:
        print_json(found)
        return
    table = Table(title=f"Publications of {event}" + (" (DRY_RUN is set)" if published.dry_run else ""))
    for column in ("version", "destination", "wanted", "why", "sent"):
        table.add_column(column, overflow="fold")
    for row in found:
        why = "\n".join(f"{'✓' if r['passed'] else '✗'} {r['criterion']}: {r['found']}" for r in row["reasons"])
        went = "\n".join(f"{p['kind']} {p['state']} {p['reference'] or p['error'] or ''}" for p in row["publications"])
        table.add_row(
            row["partition"], row["destination"], "yes" if row["wanted"] else "no", Text(why), Text(went or "nothing")
        )
    console.print(table)
    for key, state in states.items():
        for line in _reasons(key, state):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
    for line in candidate_lines(candidates, everything=True):
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _readiness(published: Publications, record: VersionRecord) -> dict[str, Any]:
    """Why a version is or was held back, as JSON values."""
    from mma_pipeline.defs.all_products import expected_files
    from mma_pipeline.defs.publication.readiness import failed_checks

    products = published.archive.products(record.partition_key)
    checks = [finding.to_json() for finding in failed_checks(products)]
    block = published.block(record.partition_key)
    noted = [] if block is None else [dict(f) for f in block.findings]
    known = {finding["check"] for finding in checks}
    # Only the run that publishes finds that the store lacks a file; its note says so.
    checks += [finding for finding in noted if finding["check"] not in known and "." not in finding["check"]]
    released = None if block is None or block.released is None else block.released.isoformat()
    return {
        "blocked": released is None and any(finding["blocks"] for finding in checks),
        "checks": checks,
        "blocked_since": None if block is None or not noted else block.since.isoformat(),
        "released": None if block is None or released is None else {"time": released, "reason": block.reason},
        "lacking": sorted(expected_files(record, current()) - {product.name for product in products}),
    }


def _reasons(key: str, state: Mapping[str, Any]) -> Iterator[str]:
    """What keeps a version from being published, one line for each reason."""
    from mma_pipeline.defs.publication.readiness import describe

    for finding in state["checks"]:
        stops = "NOT published" if finding["blocks"] and state["blocked"] else "does not pass"
        yield f"{key} {stops}: {describe(finding)}"
    if state["blocked"]:
        yield f"{key}: to publish it anyway, run mma publication release {key} --reason WHY"
    if state["released"]:
        yield f"{key}: released at {state['released']['time']}: {state['released']['reason']}"
    if state["lacking"]:
        yield f"{key} waits for its products: {', '.join(state['lacking'])}"


@publication.command("list")
def list_(
    event: Annotated[str | None, typer.Argument(help="Superevent id; by default all events.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only publications that failed for good.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the outbox, oldest first."""
    from mma_pipeline.adapters.archive import outbox, reading
    from mma_pipeline.adapters.archive.publications import State

    with clear_errors():
        archive = _open().archive
        wanted = None if event is None else event_named(archive, event)
        with reading(archive.engine) as connection:
            items = outbox.publications(connection, event_id=wanted, state=State.FAILED if failed else None)
    if as_json:
        print_json([_plain(item) for item in items])
        return
    table = Table(title=f"{counted(len(items), 'publication')}")
    for column in ("id", "event", "destination", "kind", "state", "attempts", "answer or error"):
        table.add_column(column, overflow="fold")
    for item in items:
        said = item.error or str(item.answer.get("reference", ""))
        table.add_row(
            str(item.id), item.event_id, item.destination, item.kind, item.state, str(item.attempts), Text(said)
        )
    console.print(table)


@publication.command()
def retry(
    number: Annotated[
        int | None, typer.Argument(help="Number of a failed publication, see `mma publication list`.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every failed publication.")] = False,
    destination: Annotated[str | None, typer.Option(help="Failed publications to this destination.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Publications that failed since this time, ISO 8601; UTC by default.")
    ] = None,
) -> None:
    """Queue failed publications again; the sensor sends them."""
    from mma_pipeline.adapters.archive import outbox, writing

    several = everything or destination is not None or since is not None
    if several == (number is not None):
        raise fail("give either the number of a publication, or --all, --destination or --since", Exit.USAGE)
    began = _moment(since)
    with clear_errors(), writing(_open().archive.engine) as connection:
        now = datetime.now(UTC)
        if number is not None:
            outbox.retry(connection, number, now)
            chosen = [number]
        else:
            chosen = outbox.retry_failed(connection, now, destination=destination, since=began)
    if not chosen:
        raise fail("no failed publication matches", Exit.NOTHING)
    named = ", ".join(map(str, chosen))
    console.print(f"publication {named} will be sent again", highlight=False, soft_wrap=True)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise fail(f"{text!r:.40} is not a time: write 2026-11-28T20:00", Exit.USAGE) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@publication.command()
def blocked(as_json: JsonOption = False) -> None:
    """List versions that a check keeps from being published, with its values."""
    from mma_pipeline.adapters.archive import blocks, reading
    from mma_pipeline.defs.publication.readiness import describe

    with clear_errors(), reading(_open().archive.engine) as connection:
        held = blocks.blocks(connection, held=True)
    if as_json:
        print_json(
            [{"partition": b.partition_key, "since": b.since.isoformat(), "checks": list(b.findings)} for b in held]
        )
        return
    table = Table(title=f"{counted(len(held), 'version is', 'versions are')} held back")
    for column in ("version", "since", "check"):
        table.add_column(column, overflow="fold")
    for one in held:
        table.add_row(one.partition_key, f"{one.since:%Y-%m-%d %H:%M:%S}", Text("\n".join(map(describe, one.findings))))
    console.print(table)


@publication.command()
def release(
    key: Annotated[str, typer.Argument(help="Partition key of a version, see `mma explain`.")],
    reason: Annotated[str, typer.Option(help="Why it should be published anyway; recorded and shown.")],
) -> None:
    """Release a blocked version despite its checks; the sensor publishes it."""
    from mma_pipeline.adapters.archive import blocks, writing

    if not reason.strip():
        raise fail("say why with --reason", Exit.USAGE)
    with clear_errors():
        archive = _open().archive
        record = archive.version(key)
        with writing(archive.engine) as connection:
            blocks.release(connection, key, record.version.event_id, reason, datetime.now(UTC))
    console.print(f"{key} will be published", highlight=False, soft_wrap=True)


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
        console.print(
            f"{item.destination} {item.kind} {item.event_id}: {item.state} {said}", highlight=False, markup=False
        )
    console.print(f"{counted(len(items), 'publication')} attempted")
    wrong = [item for item in items if item.error]
    if wrong:
        raise fail(f"{len(wrong)} of them failed; the sensor retries those that were not given up")


@publication.command("delete-test-alerts")
def delete_test_alerts(
    yes: Annotated[
        bool, typer.Option("--yes", help="Confirm: rows with role test and files under test/ are removed.")
    ] = False,
) -> None:
    """Ask the Treasure Map to remove its test alerts. The pipeline never does this by itself."""
    from mma_pipeline.adapters.publishing.gwtm import GwtmDestination

    if not yes:
        raise fail("this removes test alerts for everybody: repeat with --yes", Exit.USAGE)
    with clear_errors():
        published = _open()
        if published.dry_run:
            raise fail("DRY_RUN is set: nothing is removed")
        treasure_maps = [published.destinations[config.name] for config in published.of_kind("gwtm")]
        if not treasure_maps:
            raise fail("no GWTM destination is configured", Exit.NOTHING)
        for treasure_map in treasure_maps:
            if isinstance(treasure_map, GwtmDestination):
                console.print(f"{treasure_map.name}: {treasure_map.client.delete_test_alerts()}", highlight=False)


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
