"""`mma archive`: migrates the archive to this code's schema, and moves it from one database to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mma_pipeline.cli.app import JsonOption, clear_errors, console, print_json
from mma_pipeline.settings import current

archive = typer.Typer(
    name="archive",
    help="Migrate, export or import the archive of messages, versions and products.",
    no_args_is_help=True,
)


@archive.command("migrate")
def migrate_command() -> None:
    """Migrate the archive's database to this code's schema. Does nothing if it is up to date."""
    from mma_pipeline.adapters.archive import open_engine
    from mma_pipeline.adapters.archive.migrate import head_revision, migrate

    with clear_errors():
        migrate(open_engine(current().archive_url))
    console.print(f"the archive is at schema {head_revision()}")


@archive.command("export")
def export_command(
    path: Annotated[Path, typer.Argument(help="File to write, such as archive.jsonl.gz.")], as_json: JsonOption = False
) -> None:
    """Write the whole archive to one file: messages, versions, products, publications.

    The products' files stay in their store.
    """
    from mma_pipeline.adapters.archive import open_engine
    from mma_pipeline.adapters.archive.transfer import export_archive

    with clear_errors():
        counts = export_archive(open_engine(current().archive_url), path)
    _say(f"written to {path}", counts, as_json)


@archive.command("import")
def import_command(
    path: Annotated[Path, typer.Argument(help="File that `mma archive export` wrote.", exists=True, dir_okay=False)],
    as_json: JsonOption = False,
) -> None:
    """Fill an empty archive (MMA_ARCHIVE_URL) from an exported file. If anything is wrong, nothing is written.

    Run `mma backfill --all` afterwards, so that Dagster knows the partitions and products.
    """
    from mma_pipeline.adapters.archive import open_engine
    from mma_pipeline.adapters.archive.transfer import import_archive

    with clear_errors():
        counts = import_archive(open_engine(current().archive_url), path)
    _say(f"read from {path}", counts, as_json)


def _say(what: str, counts: dict[str, int], as_json: bool) -> None:
    if as_json:
        print_json(counts)
    else:
        console.print(f"{what}: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
