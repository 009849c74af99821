"""`mma stream`: shows the position of each stream, and moves it to read messages again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from mma_pipeline.cli.app import MOST_NUMBER, Exit, JsonOption, clear_errors, console, fail, open_instance, print_json
from mma_pipeline.settings import current

if TYPE_CHECKING:
    import dagster as dg

    from mma_pipeline.adapters.kafka.cursor import Offsets
    from mma_pipeline.adapters.kafka.watch import BrokerWatch
    from mma_pipeline.defs.alerts.seeking import SeekableStream

stream = typer.Typer(help="Show the position of each stream, or move it to read messages again.")


@stream.callback(invoke_without_command=True)
def streams(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show the position of each stream: topic, next offset of each partition, messages that wait.

    The number of waiting messages is what the health sensor saw last. Example: mma stream
    """
    if context.invoked_subcommand is not None:
        return
    from mma_pipeline.defs.alerts.seeking import seekable_streams
    from mma_pipeline.defs.operations.watch import last_watched

    with clear_errors(), open_instance() as instance:
        watched = last_watched(instance)
        seen = {} if watched is None else watched.streams
        entries = [
            {
                "stream": name,
                "sensor": one.sensor_name,
                "topics": list(one.topics),
                "next": _position(instance, one),
                "lag": seen[name].lag if name in seen else None,
            }
            for name, one in seekable_streams(current()).items()
        ]
    if as_json:
        print_json(entries)
        return
    table = Table()
    for column in ("stream", "topic", "next offset by partition", "waiting at the broker"):
        table.add_column(column)
    for entry in entries:
        place = _places(entry["next"]) or "not read yet"
        lag = "unknown" if entry["lag"] is None else str(entry["lag"])
        table.add_row(entry["stream"], Text("\n".join(entry["topics"])), Text(place), lag)
    console.print(table)


@stream.command()
def seek(
    name: Annotated[str, typer.Argument(metavar="STREAM", help="Name of the stream, as `mma stream` shows it.")],
    time: Annotated[
        str | None,
        typer.Option(
            help="Continue at the first message that the broker received at or after this time, UTC, ISO 8601."
        ),
    ] = None,
    offset: Annotated[
        int | None, typer.Option(help="Continue at this offset of one partition.", min=0, max=MOST_NUMBER)
    ] = None,
    beginning: Annotated[
        bool, typer.Option("--beginning", help="Continue at the first message that the broker keeps.")
    ] = False,
    end: Annotated[
        bool, typer.Option("--end", help="Continue with new messages; those that wait are skipped.")
    ] = False,
    topic: Annotated[str | None, typer.Option(help="Move only this topic, if the stream has several.")] = None,
    partition: Annotated[int | None, typer.Option(help="Move only this partition.", min=0, max=2**31 - 1)] = None,
    as_json: JsonOption = False,
) -> None:
    """Move a stream to another position, whether the daemon runs or not.

    Messages that are archived already change nothing when they are read again; missed ones are processed. The command may
    take a minute, until the sensor's current tick has ended. Example: mma stream seek gcn-gwalert --time 2026-11-18T04:00
    """
    if sum((time is not None, offset is not None, beginning, end)) != 1:
        raise fail("choose exactly one of: --time, --offset, --beginning, --end", Exit.USAGE)
    when = None if time is None else _time(time)
    from mma_pipeline.adapters.kafka.watch import BrokerWatch
    from mma_pipeline.defs.alerts.seeking import cursor_of, seekable_streams, set_cursor

    known = seekable_streams(current())
    if name not in known:
        raise fail(f"there is no stream {name}: choose one of {', '.join(known)}", Exit.NOTHING)
    one = known[name]
    with clear_errors(), open_instance() as instance:
        config = one.config(current())
        if config is None:
            raise fail(f"stream {name} is not connected: set its credential as for the daemon (see `mma doctor`)")
        cursor = cursor_of(instance, one.sensor_name)
        watch = BrokerWatch(config)
        try:
            target = _target(watch, when, offset, topic, partition, beginning=beginning)
        finally:
            watch.close()
        before = one.offsets(cursor)
        after = {each: {**before.get(each, {}), **target.get(each, {})} for each in {*before, *target}}
        set_cursor(instance, one.sensor_name, one.moved(cursor, after))
    if as_json:
        print_json({"stream": name, "before": before, "after": after})
        return
    for each, parts in sorted(target.items()):
        for number, place in sorted(parts.items()):
            old = before.get(each, {}).get(number)
            was = "not read yet" if old is None else old
            console.print(f"{each}/{number}: {was} -> {place}", highlight=False, soft_wrap=True, markup=False)


def _time(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        raise fail(f"{text!r} is not a time: write 2026-11-18T04:00 (UTC)", Exit.USAGE) from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _target(
    watch: BrokerWatch,
    when: datetime | None,
    offset: int | None,
    topic: str | None,
    partition: int | None,
    *,
    beginning: bool,
) -> Offsets:
    """New offsets of the partitions to move; fails for an offset that the broker does not have."""
    ends = {
        name: {number: kept for number, kept in parts.items() if partition in {None, number}}
        for name, parts in watch.ends().items()
        if topic in {None, name}
    }
    ends = {name: parts for name, parts in ends.items() if parts}
    if not ends:
        raise fail("the stream does not have this topic or partition: see `mma stream`", Exit.NOTHING)
    if when is not None:
        found = watch.at_time(when)
        return {name: {number: found[name][number] for number in parts} for name, parts in ends.items()}
    if offset is None:
        return {n: {p: low if beginning else high for p, (low, high) in parts.items()} for n, parts in ends.items()}
    if sum(map(len, ends.values())) > 1:
        raise fail("--offset needs one partition: add --partition (and --topic)", Exit.USAGE)
    for name, parts in ends.items():
        for number, (low, high) in parts.items():
            if not low <= offset <= high:
                raise fail(f"the broker keeps offsets {low} to {high} of {name}/{number}: {offset} is not among them")
    return {name: dict.fromkeys(parts, offset) for name, parts in ends.items()}


def _position(instance: dg.DagsterInstance, one: SeekableStream) -> Any:
    from mma_pipeline.adapters.errors import NotFoundError, PermanentError
    from mma_pipeline.defs.alerts.seeking import cursor_of

    try:
        return one.offsets(cursor_of(instance, one.sensor_name))
    except NotFoundError:
        return {}
    except PermanentError as error:
        return {"unreadable": str(error)}


def _places(offsets: Any) -> str:
    if "unreadable" in offsets:
        return str(offsets["unreadable"])
    several = len(offsets) > 1
    return ", ".join(
        f"{f'{topic}/' if several else ''}{number}: {place}"
        for topic, parts in sorted(offsets.items())
        for number, place in sorted(parts.items())
    )
