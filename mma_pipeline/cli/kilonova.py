"""`mma kilonova`: train the classifier, score photometry from a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from .app import JsonOption, clear_errors, console, fail, print_json

kilonova = typer.Typer(help="Kilonova probability of a transient from its photometry.", no_args_is_help=True)


@kilonova.command()
def train(
    out: Annotated[Path, typer.Argument(help="Where the model file goes.")] = Path("kilonova-model.npz"),
    seed: Annotated[int, typer.Option(help="The same seed gives the same model, on any number of cores.")] = 170817,
    objects: Annotated[
        int | None, typer.Option(help="Simulated objects; by default as many as the shipped model.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of public photometry: adds a kilonova family and real negatives to the training."),
    ] = None,
    hold_out: Annotated[
        bool, typer.Option(help="With --data: keep back two fifths of the real transients, chosen by name.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train the classifier: one seed, no network, no file needed; some minutes on two cores.

    With --data, the radiative-transfer tables found there become a third kilonova family, and the real transients join
    as negatives: that is how the shipped model was made. With --hold-out as well it becomes the model that the
    benchmark tries on real transients it has not met.
    """
    from dataclasses import replace

    from mma_pipeline.science.kilonova.model import digest, encode
    from mma_pipeline.science.kilonova.simulation.kasen import TableError
    from mma_pipeline.science.kilonova.simulation.population import FAMILIES
    from mma_pipeline.science.kilonova.training import Settings, train

    started = time.perf_counter()
    settings = Settings(seed=seed) if objects is None else Settings(seed=seed, objects=objects)
    extra: dict[str, Any] = {}
    if data is not None:
        settings = replace(settings, families=(*FAMILIES, "kasen"))
        try:
            with clear_errors():
                extra = _extra(data, hold_out=hold_out)
        except TableError as error:
            raise fail(str(error)) from error
    model = train(settings, **extra)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(encode(model))
    result: dict[str, Any] = {
        "file": str(out),
        "digest": digest(model),
        "seconds": round(time.perf_counter() - started, 1),
    }
    if as_json:
        print_json(result | {"training": dict(model.info)})
    else:
        console.print(f"{out}: {result['digest'][:16]} in {result['seconds']} s")


def _extra(data: Path, *, hold_out: bool) -> dict[str, Any]:
    """What a folder of public photometry adds to the training; raises NotFoundError where it is another folder."""
    from mma_pipeline.adapters.errors import NotFoundError
    from mma_pipeline.adapters.kilonova_data import kilonova_tables, real_transients
    from mma_pipeline.science.kilonova.lightcurve import LightCurve
    from mma_pipeline.science.kilonova.negatives import RealTransient, held_out
    from mma_pipeline.science.kilonova.simulation.kasen import read

    if not data.is_dir():
        raise NotFoundError(f"{data} is not a folder")
    rows = [row for row in real_transients(data) if not (hold_out and held_out(row.name))]
    real = [RealTransient(r.name, r.source, r.kind, LightCurve(**r.columns), r.ebv) for r in rows]
    return {"tables": read(kilonova_tables(data)), "real": real}


@kilonova.command()
def score(
    file: Annotated[Path, typer.Argument(help="Photometry: Open Astronomy Catalog JSON, a table, or a message.")],
    merger: Annotated[float, typer.Option(help="Time of the merger, MJD.")],
    distance: Annotated[float | None, typer.Option(help="Luminosity distance, Mpc; leave out where unknown.")] = None,
    distance_error: Annotated[float | None, typer.Option(help="Its standard deviation, Mpc.")] = None,
    ebv: Annotated[float | None, typer.Option(help="Galactic E(B-V), mag, where the file has none.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="Column mapping FIELD=NAME, such as time=obs_mjd.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Kilonova probability after each night, from the light curve alone."""
    from mma_pipeline.adapters.photometry_files import Defaults, read_photometry
    from mma_pipeline.science.kilonova.by_night import nightly_scores
    from mma_pipeline.science.kilonova.lightcurve import Event
    from mma_pipeline.science.kilonova.measured import light_curve
    from mma_pipeline.science.kilonova.model import packaged

    with clear_errors():
        # A score does not depend on the position, so none is asked for.
        held = read_photometry(file, mapping=mapping_of(column), defaults=Defaults(ra=0.0, dec=0.0, ebv=ebv))
    outcome: list[dict[str, Any]] = []
    for name in sorted({m.candidate.name for m in held.measurements}):
        points = [m for m in held.measurements if m.candidate.name == name]
        event = Event(merger, distance, distance_error, points[0].candidate.ebv)
        for night in nightly_scores(packaged(), light_curve(points), event):
            outcome.append({"candidate": name, **night})
    if as_json:
        print_json({"scores": outcome, "skipped": list(held.skipped)})
        return
    for entry in outcome:
        verdict = f"{entry['p_phot']:.3f}" if entry["sufficient"] else f"insufficient data ({entry['p_phot']:.3f})"
        console.print(f"{entry['candidate']}  {entry['days']:6.2f} d  night {entry['nights']:2d}  {verdict}")
    for reason in held.skipped:
        console.print(f"[yellow]left out[/yellow] {reason}", highlight=False)


def mapping_of(columns: list[str] | None) -> dict[str, str]:
    """FIELD=NAME options as a mapping; a malformed one ends the command."""
    mapping = {}
    for entry in columns or []:
        field, sign, name = entry.partition("=")
        if not sign or not field or not name:
            raise fail(f"--column {entry!r} is not FIELD=NAME")
        mapping[field] = name
    return mapping
