"""`mma catalog`: builds the index of galaxies that rankings use from a galaxy catalog."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mma_pipeline.cli.app import Exit, JsonOption, clear_errors, console, fail, wrong_usage
from mma_pipeline.settings import current

catalog = typer.Typer(help="Import or download a galaxy catalog, and show the one in use.", no_args_is_help=True)


@catalog.command("import")
def import_catalog(
    file: Annotated[Path, typer.Argument(help="FITS, ECSV, CSV, Parquet or GLADE+ text.", exists=True, dir_okay=False)],
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
    from mma_pipeline.adapters.errors import ConfigurationError

    columns = None
    if ra and dec and distance:
        with wrong_usage(ConfigurationError):
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
    elif any((ra, dec, distance, name, mass, luminosity)):
        raise fail("columns are named together: --ra, --dec and --distance, and others beside them", Exit.USAGE)
    with clear_errors():
        _build(file, columns, label, as_json)


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

    with clear_errors(), tempfile.TemporaryDirectory() as scratch:
        _build(fetch(url or NED_LVS_URL, keep or Path(scratch) / "NEDLVS.fits"), None, None, as_json)


@catalog.command()
def show(as_json: JsonOption = False) -> None:
    """Show the catalog that galaxy rankings use."""
    from mma_pipeline.defs.observing.configuration import galaxy_catalog

    with clear_errors():
        index = galaxy_catalog()
    if index is None:
        raise fail("no galaxy catalog: `mma catalog import FILE` or `mma catalog download`", Exit.NOTHING)
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
