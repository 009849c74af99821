"""`mma catalog`: puts catalogs of galaxies, stars and active nuclei where rankings and the vetting of candidates find them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mma_pipeline.cli.app import Exit, JsonOption, clear_errors, console, fail, wrong_usage
from mma_pipeline.notices.words import counted
from mma_pipeline.settings import current

catalog = typer.Typer(
    help="Import catalogs of galaxies, stars and active nuclei, download one of galaxies, and show those in use.",
    no_args_is_help=True,
)


class CatalogKind(StrEnum):
    """What a catalog lists."""

    GALAXIES = "galaxies"
    STARS = "stars"
    AGN = "agn"


KindOption = Annotated[CatalogKind, typer.Option(help="What the catalog lists.")]


@catalog.command("import")
def import_catalog(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="FITS, ECSV, CSV, Parquet or GLADE+ text; of stars and nuclei several, also TSV, TDAT, milliquas.txt, gzipped.",
            exists=True,
            dir_okay=False,
        ),
    ],
    kind: KindOption = CatalogKind.GALAXIES,
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
    distance_error: Annotated[str | None, typer.Option(help="Column of the distance's error, Mpc.")] = None,
    magnitude: Annotated[str | None, typer.Option(help="Column of the apparent magnitude in R or r.")] = None,
    half_light: Annotated[str | None, typer.Option(help="Column of the half-light radius, arcsec.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="Of stars and nuclei: OURS=THEIRS, such as pmra=PMRA; those of Gaia and Milliquas need none."
        ),
    ] = None,
    epoch: Annotated[float, typer.Option(help="Of stars: time of the positions, Julian years.")] = 2016.0,
    as_json: JsonOption = False,
) -> None:
    """Make a table of galaxies, stars or active nuclei, which rankings and the vetting of candidates read.

    Of galaxies, NED-LVS, GLADE+ and the 50 Mpc Galaxy Catalog need no options; of stars, Gaia's tables; of active nuclei,
    Milliquas. A table that is there is replaced once the new one is complete. Folders: MMA_GALAXY_CATALOG,
    MMA_STAR_CATALOG, MMA_AGN_CATALOG, or `galaxies`, `stars` and `agn` in DAGSTER_HOME.
    """
    from mma_pipeline.adapters.catalogs.files import Columns
    from mma_pipeline.adapters.errors import ConfigurationError

    of_galaxies = {
        "--ra": ra, "--dec": dec, "--distance": distance, "--name": name, "--mass": mass, "--luminosity": luminosity,
        "--distance-error": distance_error, "--magnitude": magnitude, "--half-light": half_light,
    }  # fmt: skip
    named = [option for option, value in of_galaxies.items() if value]
    if kind is not CatalogKind.GALAXIES:
        if named:
            raise fail(f"{', '.join(named)}: columns of {kind} are named by --column OURS=THEIRS", Exit.USAGE)
        with clear_errors():
            _build_table(files, kind, _pairs(column or ()), label, epoch, as_json)
        return
    if column or len(files) > 1:
        raise fail("a catalog of galaxies is one file, and --column is of stars and nuclei", Exit.USAGE)
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
                distance_error=distance_error,
                magnitude=magnitude,
                half_light=half_light,
            )
    elif named:
        raise fail("columns are named together: --ra, --dec and --distance, and others beside them", Exit.USAGE)
    with clear_errors():
        _build(files[0], columns, label, as_json)


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
def show(kind: KindOption = CatalogKind.GALAXIES, as_json: JsonOption = False) -> None:
    """Show the catalog that rankings and vetting use."""
    from mma_pipeline.defs.candidates.vetting import agn_table, star_table
    from mma_pipeline.defs.observing.configuration import galaxy_catalog

    with clear_errors():
        opened = {"galaxies": galaxy_catalog, "stars": star_table, "agn": agn_table}[kind](current())
    if opened is None:
        if kind is CatalogKind.GALAXIES:
            raise fail("no galaxy catalog: `mma catalog import FILE` or `mma catalog download`", Exit.NOTHING)
        raise fail(f"no table of {kind}: `mma catalog import --kind {kind} FILE`", Exit.NOTHING)
    _print_manifest({"folder": str(opened.folder), **opened.manifest}, as_json)


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    wrong = [text for text, (ours, _, theirs) in zip(texts, pairs, strict=True) if not (ours and theirs)]
    if wrong:
        raise fail(f"--column {wrong[0]!r}: write OURS=THEIRS, such as pmra=PMRA", Exit.USAGE)
    return {ours: theirs for ours, _, theirs in pairs}


def _build_table(
    files: Sequence[Path], kind: CatalogKind, columns: dict[str, str], label: str | None, epoch: float, as_json: bool
) -> None:
    from mma_pipeline.adapters.catalogs.positions import RECORDS, Kind, build_table
    from mma_pipeline.defs.candidates.vetting import table_folder

    of: Kind = "stars" if kind is CatalogKind.STARS else "agn"
    unknown = sorted(set(columns) - set(RECORDS[of].names or ()))
    if unknown:
        raise fail(f"--column {unknown[0]}: the columns are {', '.join(RECORDS[of].names or ())}", Exit.USAGE)
    table = build_table(files, table_folder(current(), of), of, columns=columns, label=label, epoch=epoch)
    _print_manifest({"folder": str(table.folder), **table.manifest}, as_json)


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
    what = {"stars": "stars", "agn": "active nuclei"}.get(manifest.get("kind", ""), "galaxies")
    console.print(f"{manifest['label']}: {manifest['rows']} {what} ({columns}) in {manifest['folder']}", markup=False)
    if manifest["rows_without_position"]:
        console.print(f"{counted(manifest['rows_without_position'], 'row')} without a usable position left out")
