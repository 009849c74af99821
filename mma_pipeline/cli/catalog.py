"""`mma catalog`: builds the index of galaxies that rankings use from a galaxy catalog."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mma_pipeline.cli.app import Exit, JsonOption, console, errors
from mma_pipeline.settings import current

catalog = typer.Typer(help="Import or download a galaxy catalog, and show the one in use.", no_args_is_help=True)


@catalog.command("import")
def import_catalog(
    file: Annotated[Path, typer.Argument(help="FITS, ECSV, CSV, Parquet or GLADE+ text.")],
    label: Annotated[str | None, typer.Option(help="Name of the catalog in tables and files.")] = None,
    ra: Annotated[
        str | None, typer.Option(help="Column of the right ascension, deg (with --dec and --distance).")
    ] = None,
    dec: Annotated[str | None, typer.Option(help="Column of the declination, deg.")] = None,
    distance: Annotated[str | None, typer.Option(help="Column of the luminosity distance, Mpc.")] = None,
    name: Annotated[str | None, typer.Option(help="Column of the name.")] = None,
    mass: Annotated[str | None, typer.Option(help="Column of the stellar mass.")] = None,
    mass_scale: Annotated[str, typer.Option(help="linear (Msun), log10 or 1e10.")] = "linear",
    luminosity: Annotated[str | None, typer.Option(help="Column of the luminosity.")] = None,
    luminosity_scale: Annotated[str, typer.Option(help="linear (Lsun), log10 or B (absolute magnitude).")] = "linear",
    as_json: JsonOption = False,
) -> None:
    """Build the index that galaxy rankings use (MMA_GALAXY_CATALOG, or `galaxies` in DAGSTER_HOME).

    NED-LVS, GLADE+ and the 50 Mpc Galaxy Catalog need no options. An index that is there is replaced once the new one
    is complete.
    """
    from mma_pipeline.adapters.catalogs.files import Columns
    from mma_pipeline.adapters.errors import AdapterError

    given = [ra, dec, distance]
    if any(given) and not all(given):
        errors.print("give --ra, --dec and --distance together")
        raise typer.Exit(Exit.USAGE)
    try:
        columns = None
        if ra and dec and distance:
            columns = Columns(
                ra,
                dec,
                distance,
                name=name,
                mass=mass,
                mass_scale=mass_scale,
                luminosity=luminosity,
                luminosity_scale=luminosity_scale,
                label=label,
            )
        _build(file, columns, label, as_json)
    except AdapterError as error:
        errors.print(str(error), markup=False)
        raise typer.Exit(Exit.FAILED) from error


@catalog.command()
def download(
    url: Annotated[str | None, typer.Option(help="Address of the catalog; by default the newest NED-LVS.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep the downloaded file under this name.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Download NED-LVS (about 1 GB) or another catalog, and import it."""
    import tempfile

    from mma_pipeline.adapters.catalogs.files import NED_LVS_URL
    from mma_pipeline.adapters.catalogs.files import download as fetch
    from mma_pipeline.adapters.errors import AdapterError

    try:
        with tempfile.TemporaryDirectory() as scratch:
            _build(fetch(url or NED_LVS_URL, keep or Path(scratch) / "NEDLVS.fits"), None, None, as_json)
    except AdapterError as error:
        errors.print(str(error), markup=False)
        raise typer.Exit(Exit.FAILED) from error


@catalog.command()
def show(as_json: JsonOption = False) -> None:
    """Show the catalog that galaxy rankings use."""
    from mma_pipeline.adapters.errors import AdapterError
    from mma_pipeline.defs.observing.configuration import galaxy_catalog

    try:
        index = galaxy_catalog()
    except AdapterError as error:
        errors.print(str(error), markup=False)
        raise typer.Exit(Exit.FAILED) from error
    if index is None:
        errors.print("no galaxy catalog: `mma catalog import FILE` or `mma catalog download`")
        raise typer.Exit(Exit.NOTHING)
    _print_manifest({"folder": str(index.folder), **index.manifest}, as_json)


def _build(file: Path, columns: Any, label: str | None, as_json: bool) -> None:
    from mma_pipeline.adapters.catalogs.index import build_index
    from mma_pipeline.defs.observing.configuration import catalog_folder

    index = build_index(file, catalog_folder(current()), columns=columns, label=label)
    _print_manifest({"folder": str(index.folder), **index.manifest}, as_json)


def _print_manifest(manifest: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(manifest, sort_keys=True))
        return
    columns = ", ".join(c for c in manifest["columns"] if c != "index29")
    console.print(f"{manifest['label']}: {manifest['rows']} galaxies ({columns}) in {manifest['folder']}", markup=False)
    if manifest["rows_without_position"]:
        console.print(f"{manifest['rows_without_position']} rows without a usable position left out")
