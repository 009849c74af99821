"""`mma storage`: moves objects between stores, verifies, lists and counts them."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from mma_pipeline.cli.app import Exit, JsonOption, clear_errors, console, errors, fail, print_json, wrong_usage
from mma_pipeline.notices.words import counted
from mma_pipeline.settings import current

if TYPE_CHECKING:
    from mma_pipeline.adapters.store import Store
    from mma_pipeline.adapters.store.migration import Outcome, Summary

storage = typer.Typer(help="Move products between stores, verify, list and count them.", no_args_is_help=True)

Where = Annotated[
    str | None, typer.Option("--store", help="s3, abfs, swift, a URL or a folder; by default the configured store.")
]
Container = Annotated[str, typer.Option("--container", help="Folder: fit, test, mma …, or all.")]
Workers = Annotated[int, typer.Option("--workers", min=1, max=128, help="Number of simultaneous transfers.")]
_FOLDER_DEPTH = 2
_WORTH_AN_ESTIMATE = 100
"""Below this number of files, an estimate would take longer than the move."""


@storage.command()
def migrate(
    source: Annotated[str, typer.Option("--source", help="s3, abfs, swift, a URL or a folder.")],
    dest: Annotated[str, typer.Option("--dest", help="s3, abfs, swift, a URL or a folder.")],
    container: Container = "all",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be moved, without moving it.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also move files that the destination has with the same digest.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print a line for each file.")] = False,
    workers: Workers = 16,
    as_json: JsonOption = False,
) -> None:
    """Move objects from one store to another. After an interruption, run it again to continue.

    Credentials come from the environment (AWS_*, AZURE_*, OS_*). The same names with the prefix SOURCE_ or DEST_ take
    precedence for that side, for two accounts of one kind. Files that the destination has with the same digest are
    skipped. A failed file does not stop the others; all are listed at the end, with exit code 1.
    """
    from mma_pipeline.adapters.store.migration import Summary, plan, sample
    from mma_pipeline.adapters.store.migration import migrate as move

    with clear_errors():
        origin, target = _open(source, "SOURCE_"), _open(dest, "DEST_", create=True)
        if origin.url() == target.url() and not current().of_side("SOURCE_").store != current().of_side("DEST_").store:
            raise fail("source and destination are the same", Exit.USAGE)
        work = plan(origin, target, _prefix(container), force=force)
        if not as_json:
            console.print(f"{origin.url()} -> {target.url()}, {container}")
            console.print(
                f"{counted(len(work.todo), 'file')}, {decimal(work.size)} to move; {len(work.done)} are already there"
            )
        if dry_run or (len(work.todo) > _WORTH_AN_ESTIMATE and not as_json):
            tried = sample(origin, target, work, workers)
            seconds = tried.estimate(len(work.todo))
            if seconds is not None and not as_json:
                console.print(
                    f"about {_duration(sum(seconds))}: reading {_duration(seconds[0])}, measured on {counted(tried.files, 'file')}; "
                    f"writing {_duration(seconds[1])}, estimated from that and the destination's round trips"
                )
        if dry_run:
            if as_json:
                read_s, write_s = seconds or (None, None)
                statistics = {"files": len(work.todo), "bytes": work.size, "there": len(work.done)}
                print_json(statistics | {"sampled": tried.files, "read_s": read_s, "write_s": write_s})
            elif verbose:
                for entry in work.todo:
                    console.print(f"would move {entry.key} ({decimal(entry.size)})", highlight=False, markup=False)
            return
        summary = Summary(same=len(work.done))
        _follow(move(origin, target, work, workers), len(work.todo), work.size, summary, verbose, quiet=as_json)
    _report(summary, "moved", as_json)
    if not (summary.moved or summary.same):
        raise fail(f"the source holds nothing in {container}", Exit.NOTHING)


@storage.command()
def verify(
    store: Where = None,
    container: Container = "all",
    against: Annotated[
        str | None, typer.Option("--against", help="Another store that must hold the same objects.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print a line for each file.")] = False,
    workers: Workers = 16,
    as_json: JsonOption = False,
) -> None:
    """Read every object and compare it with its recorded digest, or compare two stores by digest."""
    from mma_pipeline.adapters.store import migration

    with clear_errors():
        place, prefix = _open(store, "SOURCE_"), _prefix(container)
        summary = migration.Summary()
        if against is not None:
            outcomes = migration.compare(place, _open(against, "DEST_"), prefix, workers)
            _follow(outcomes, None, None, summary, verbose, quiet=as_json)
        else:
            entries = place.ls(prefix)
            size = sum(entry.size for entry in entries)
            _follow(migration.verify(place, entries, workers), len(entries), size, summary, verbose, quiet=as_json)
    _report(summary, "verified", as_json)
    if not (summary.same or summary.unknown):
        raise fail(f"nothing is there to be verified in {container}", Exit.NOTHING)


@storage.command("ls")
def list_objects(
    prefix: Annotated[str, typer.Argument(help="Only keys that start with this.")] = "",
    store: Where = None,
    as_json: JsonOption = False,
) -> None:
    """List objects with their sizes."""
    with clear_errors():
        entries = _open(store).ls(prefix)
    if as_json:
        print_json([{"key": entry.key, "size_bytes": entry.size, "sha256": entry.sha256} for entry in entries])
    else:
        for entry in entries:
            console.print(f"{decimal(entry.size):>10}  {entry.key}", highlight=False, markup=False, soft_wrap=True)
    if not entries:
        raise fail(f"nothing starts with {prefix!r}" if prefix else "the store is empty", Exit.NOTHING)


@storage.command()
def du(
    prefix: Annotated[str, typer.Argument(help="Only keys that start with this.")] = "",
    store: Where = None,
    depth: Annotated[
        int, typer.Option(min=1, max=10, help="Number of path segments that make a folder.")
    ] = _FOLDER_DEPTH,
    as_json: JsonOption = False,
) -> None:
    """Count objects and bytes by folder."""
    with clear_errors():
        entries = _open(store).ls(prefix)
    files: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    for entry in entries:
        folder = "/".join(entry.key.split("/")[:-1][:depth]) or "."
        files[folder] += 1
        sizes[folder] += entry.size
    if as_json:
        print_json([{"folder": name, "files": files[name], "size_bytes": sizes[name]} for name in sorted(files)])
    else:
        table = Table("folder", "files", "size")
        for name in sorted(files):
            table.add_row(name, str(files[name]), decimal(sizes[name]))
        table.add_row("all", str(len(entries)), decimal(sum(sizes.values())), style="bold")
        console.print(table)
    if not entries:
        raise fail(f"nothing starts with {prefix!r}" if prefix else "the store is empty", Exit.NOTHING)


def _open(name: str | None, side: str = "", *, create: bool = False) -> Store:
    """Open a store by short name, URL or path, with the environment of its side of a move."""
    from mma_pipeline.adapters.errors import AddressError
    from mma_pipeline.adapters.store import Store
    from mma_pipeline.adapters.store.environment import url_of_source

    settings = current().of_side(side)
    place = settings.store
    options = {"environ": place.credentials, "create": True if create else None}
    if name is None:
        return Store.open(settings.store_url, **(options if "://" in settings.store_url else {}))
    with wrong_usage(AddressError):
        url = url_of_source(name, bucket=place.aws_bucket, container=place.os_container_name)
        return Store.open(url, **(options if "://" in url else {}))


def _prefix(container: str) -> str:
    return "" if container == "all" else f"{container.strip('/')}/"


@contextlib.contextmanager
def _store_speaks_from(level: int) -> Iterator[None]:
    """Let the store log from ``level`` on, for one command: who runs several in one process keeps its own level."""
    logger = logging.getLogger("mma_pipeline.adapters.store")
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


def _follow(
    outcomes: Iterable[Outcome],
    count: int | None,
    size: int | None,
    summary: Summary,
    verbose: bool,
    *,
    quiet: bool,
) -> None:
    """Show progress on standard error while the outcomes come, and count them."""
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    started = time.monotonic()
    progress = Progress(*columns, console=errors, disable=quiet, transient=True)
    with _store_speaks_from(logging.INFO if verbose else logging.ERROR), progress:
        task = progress.add_task("", total=count, rate="")
        handled = 0
        for outcome in outcomes:
            summary.add(outcome)
            handled += outcome.size
            rate = handled / max(time.monotonic() - started, 1e-3)
            progress.update(task, advance=1, rate=f"{decimal(int(rate))}/s of {decimal(size or handled)}")
            if verbose and not quiet:
                said = outcome.error or ("moved" if outcome.moved else "same")
                console.print(f"{outcome.key} ({decimal(outcome.size)}): {said}", highlight=False, markup=False)
    summary.seconds = time.monotonic() - started


def _report(summary: Summary, verb: str, as_json: bool) -> None:
    """Print a summary and the failures; exit 1 if there are any."""
    rate = summary.moved_bytes / summary.seconds if summary.seconds else 0.0
    if as_json:
        failed = [{"key": one.key, "error": one.error} for one in summary.failed]
        statistics: dict[str, Any] = {"moved": summary.moved, "moved_bytes": summary.moved_bytes, "same": summary.same}
        statistics |= {"unknown": summary.unknown, "failed": failed}
        print_json({**statistics, "seconds": round(summary.seconds, 3), "bytes_per_s": round(rate)})
    else:
        count = summary.moved if verb == "moved" else summary.same
        line = f"{counted(count, 'file')} {verb}"
        if verb == "moved":
            line += f" ({decimal(summary.moved_bytes)}, {decimal(int(rate))}/s), {summary.same} were there already"
        if summary.unknown:
            line += f", {summary.unknown} were read but have no digest to compare with"
        console.print(f"{line}; {_duration(summary.seconds)}")
        for one in summary.failed:
            errors.print(f"failed: {one.key}: {one.error}", highlight=False, markup=False, soft_wrap=True)
    if summary.failed:
        raise fail(f"{counted(len(summary.failed), 'file')} failed; run the command again to try them again")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
