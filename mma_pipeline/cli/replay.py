"""`mma replay`: sends past alerts again, through Kafka or straight into the archive and the assets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mma_pipeline.cli.app import (
    Exit,
    JsonOption,
    clear_errors,
    console,
    errors,
    fail,
    open_archive,
    open_instance,
    print_json,
)
from mma_pipeline.cli.sources import Item, gather, in_order_of_creation, no_notice
from mma_pipeline.notices.words import counted


def replay(
    targets: Annotated[
        list[str],
        typer.Argument(
            help="Files (alerts in JSON or Avro, notices in JSON or VOEvent), folders, or ids of public superevents (GraceDB)."
        ),
    ],
    direct: Annotated[
        bool, typer.Option("--direct", help="Make the products in this process, without Kafka, sensor or daemon.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="With --direct: also make products that exist already.")
    ] = False,
    topic: Annotated[
        str | None, typer.Option(help="Topic to write to; by default the topic of each message's stream.")
    ] = None,
    bootstrap: Annotated[
        str | None, typer.Option(envvar="MMA_KAFKA_BOOTSTRAP", help="Broker to write to, host:port.")
    ] = None,
    speed: Annotated[
        float, typer.Option(help="How many times faster than the notices were created to send; 0: all at once.", min=0)
    ] = 0.0,
    gracedb: Annotated[str | None, typer.Option(help="Another GraceDB, by the address of its API.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also send files that are no alert or notice at all: they go to quarantine.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Send past alerts again.

    Alerts are sent in order of creation, whatever their file names. A replayed alert gets the same version and file names
    as the first time; existing products stay as they are. Files that are neither JSON nor VOEvent nor Avro are refused, and all
    others are sent. The exit code is 1 if a file was refused or, with --direct, if a message went to quarantine or a product
    could not be made. Through Kafka the pipeline finds that out later: see `mma quarantine`.
    Example: mma replay S230518h --direct
    """
    if again and not direct:
        raise fail("--again needs --direct: through Kafka the pipeline decides what it makes", Exit.USAGE)
    if direct and (topic is not None or speed):
        raise fail("--topic and --speed are for a broker: leave out --direct", Exit.USAGE)
    # In the order in which they were sent first: the number in file names follows the order of arrival.
    gathered = in_order_of_creation(gather(targets, gracedb))
    if not direct and not bootstrap:
        raise fail("no broker is configured: set MMA_KAFKA_BOOTSTRAP, or use --direct", Exit.USAGE)
    items: list[Item] = []
    outcome: list[dict[str, Any]] = []
    for item in gathered:
        reason = None if force else no_notice(item)
        if reason is None:
            items.append(item)
            continue
        said = f"{item.name} is no alert or notice: {reason}; not sent"
        errors.print(said, highlight=False, soft_wrap=True, markup=False)
        outcome.append({"name": item.name, "outcome": "refused", "reason": reason})
    refused = len(outcome)
    if items:
        outcome += (
            _direct(items, again, quiet=as_json)
            if direct
            else _through_kafka(items, topic, bootstrap or "", speed, quiet=as_json)
        )
    if as_json:
        print_json(outcome)
    unusable = [entry["name"] for entry in outcome if entry["outcome"] == "quarantined"]
    failed = [entry["partition"] for entry in outcome if entry["outcome"] == "failed"]
    told = [
        f"{refused} of {counted(len(gathered), 'file')} {'is' if refused == 1 else 'are'} no alert or notice (--force sends them)"
    ] * bool(refused)
    told += [f"{len(unusable)} of {len(items)} went to quarantine: {', '.join(unusable)}"] * bool(unusable)
    told += [f"products of {', '.join(failed)} could not be made: see the run"] * bool(failed)
    if told:
        raise fail("; ".join(told))


def _progress(quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=quiet,
    )


def _through_kafka(
    items: Sequence[Item], wanted: str | None, bootstrap: str, speed: float, *, quiet: bool
) -> list[dict[str, Any]]:
    from mma_pipeline.adapters.kafka.producer import ConfirmedProducer
    from mma_pipeline.defs.alerts.streams import topic_of

    outcome = []
    last: datetime | None = None
    with (
        clear_errors(),
        _progress(quiet) as progress,
        ConfirmedProducer({"bootstrap.servers": bootstrap}) as producer,
    ):
        task = progress.add_task("writing", total=len(items))
        for item in items:
            if speed and last is not None and item.created is not None:
                time.sleep(max(0.0, (item.created - last).total_seconds() / speed))
            last = item.created or last
            topic = wanted or topic_of(item.body)
            partition, offset, _ = producer.send(topic, item.body, key=item.event)
            sent = {"name": item.name, "outcome": "sent", "topic": topic, "partition": partition, "offset": offset}
            outcome.append(sent)
            if not quiet:
                progress.console.print(f"{item.name} -> {topic}/{partition}/{offset}", highlight=False, markup=False)
            progress.advance(task)
    return outcome


def _direct(items: Sequence[Item], again: bool, *, quiet: bool) -> list[dict[str, Any]]:
    from mma_pipeline.adapters.kafka.message import StreamMessage
    from mma_pipeline.cli.materialise import materialise, report_quarantine
    from mma_pipeline.defs.alerts.streams import parser_for
    from mma_pipeline.defs.all_products import expected_files
    from mma_pipeline.products.ingest import Quarantined, ingest
    from mma_pipeline.settings import current

    outcome: list[dict[str, Any]] = []
    with clear_errors(), open_instance() as instance, _progress(quiet) as progress:
        archive = open_archive(create=True)
        task = progress.add_task("replaying", total=len(items))
        for item in items:
            # A replayed file is identified by its name, so that a second replay counts as the same message.
            message = StreamMessage("replay", item.name[:255], 0, 0, item.body, None, (), None, datetime.now(UTC))
            result = ingest(archive, message, parser_for(item.body))
            if isinstance(result, Quarantined):
                report_quarantine(instance, result)
                outcome.append({"name": item.name, "outcome": "quarantined", "reason": result.reason})
            else:
                for record in result.versions:
                    key = record.partition_key
                    names = {product.name for product in archive.products(key)}
                    there = expected_files(record, current()) <= names and not again
                    done = "already there" if there else "made" if materialise(instance, record) else "failed"
                    entry = {"name": item.name, "outcome": done, "partition": key, "stem": str(record.stem)}
                    outcome.append(entry | {"left_out": list(record.facts.get("degraded", ()))})
            for entry in outcome[-2:]:
                if entry["name"] == item.name and not quiet:
                    detail = entry.get("partition") or entry.get("reason")
                    progress.console.print(
                        f"{item.name}: {entry['outcome']}: {detail}", highlight=False, soft_wrap=True, markup=False
                    )
                    for line in entry.get("left_out", ()):
                        progress.console.print(f"  left out: {line}", highlight=False, soft_wrap=True, markup=False)
            progress.advance(task)
    return outcome
