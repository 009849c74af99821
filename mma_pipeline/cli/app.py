"""The Typer application and what its commands share: environment, console, exit codes."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from mma_pipeline import __version__

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from mma_pipeline.adapters.archive import Archive
    from mma_pipeline.adapters.store import Store

app = typer.Typer(
    name="mma",
    help="Turns multi-messenger alerts into products for observers.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,  # locals may hold credentials
)
#: Width in columns if the output is not a terminal: tables in a log or a pipe should not wrap at 80.
PIPE_WIDTH = 160
# Text of alerts and files passes through as it is: `:x:` in it is no picture.
console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, emoji=False)
errors = Console(stderr=True, width=None if sys.stderr.isatty() else PIPE_WIDTH, emoji=False)


#: Largest number of an entry in a database, and most rows of a list.
MOST_NUMBER, MOST_ROWS = 2**63 - 1, 1_000_000
#: Largest seed of any random generator in use.
MOST_SEED = 2**31 - 1


class Exit(IntEnum):
    """Exit codes that scripts can rely on."""

    OK = 0
    """Everything is done."""
    FAILED = 1
    """Something could not be done, even if only a part; the message says what."""
    USAGE = 2
    """The command line is wrong: an option, a value, or an input file that does not exist. Nothing was done."""
    NOTHING = 3
    """Nothing matched the request."""


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of tables for people.")]


def _version(value: bool) -> None:
    if value:
        console.print(f"mma_pipeline {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[  # noqa: ARG001 - the callback of the option does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Turns multi-messenger alerts into products for observers.

    State lives in DAGSTER_HOME (by default ./dagster_home). Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing found.
    """
    from mma_pipeline.settings import current, set_home

    set_home(Path("dagster_home").absolute())
    for name in current().unknown():
        errors.print(
            f"[yellow]mma:[/yellow] {name} is set, but no setting has that name: see `mma settings`", highlight=False
        )


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    console.print_json(json.dumps(value, default=str))


def fail(message: str, code: Exit = Exit.FAILED) -> typer.Exit:
    """Print what is wrong on standard error and return the exception to raise."""
    errors.print(f"[red]mma:[/red] {escape(message)}", highlight=False, soft_wrap=True)
    return typer.Exit(code)


def open_archive(*, create: bool = False) -> Archive:
    """Open the configured archive; `create` makes its tables if there are none yet."""
    from mma_pipeline.adapters.archive import Archive
    from mma_pipeline.settings import current

    return Archive(current().archive_url, create=create)


def open_store() -> Store:
    """Open the configured store."""
    from mma_pipeline.adapters.store import Store
    from mma_pipeline.settings import current

    settings = current()
    return Store.open(settings.store_url, environ=settings.store.credentials)


@contextmanager
def open_instance() -> Iterator[DagsterInstance]:
    """Dagster's instance in DAGSTER_HOME; a folder without a dagster.yaml of its own is as good as any."""
    from dagster import DagsterInstance

    from mma_pipeline.settings import current

    home = current().home
    if not home.is_dir():
        raise fail(f"DAGSTER_HOME names {home}, which is no folder: make it, or name another", Exit.USAGE)
    logger = logging.getLogger("dagster")
    logger.addFilter(_says_what_is_new)
    try:
        instance = DagsterInstance.get()
    finally:
        logger.removeFilter(_says_what_is_new)
    with instance:
        yield instance


def _says_what_is_new(record: logging.LogRecord) -> bool:
    return "No dagster instance configuration file" not in record.getMessage()


@contextmanager
def wrong_usage(*kinds: type[Exception]) -> Iterator[None]:
    """Report errors of these kinds, raised while the command line is read, as wrong usage."""
    try:
        yield
    except kinds as error:
        raise fail(str(error), Exit.USAGE) from error


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn the errors that adapters and notices raise on purpose into one line and an exit code."""
    from mma_pipeline.adapters.errors import AdapterError, NotFoundError
    from mma_pipeline.notices.errors import NoticeError

    try:
        yield
    except NotFoundError as error:
        raise fail(str(error), Exit.NOTHING) from error
    except (AdapterError, NoticeError) as error:
        raise fail(str(error)) from error
    except OSError as error:
        # A file that cannot be read or written: name it, and repeat what the system says.
        where = "" if error.filename is None else f"{error.filename}: "
        raise fail(f"{where}{error.strerror or error}") from error
