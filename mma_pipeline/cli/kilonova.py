"""`mma kilonova`: trains the classifier, and scores photometry from a file."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from mma_pipeline.cli.app import MOST_SEED, Exit, JsonOption, clear_errors, console, fail, print_json

if TYPE_CHECKING:
    from mma_pipeline.notices.photometry.measurement import Measurement
    from mma_pipeline.science.kilonova.distance import Distance
    from mma_pipeline.science.kilonova.lightcurve import Event

#: Fewest detections that make a light curve.
_LEAST = 2
#: Greatest number of detections that the line about an excluded candidate lists.
_SHOWN = 5

kilonova = typer.Typer(help="Kilonova probability of a transient from its photometry.", no_args_is_help=True)


@kilonova.command()
def train(
    out: Annotated[Path, typer.Argument(help="Model file to write.", dir_okay=False, writable=True)] = Path(
        "kilonova-model.npz"
    ),
    seed: Annotated[
        int,
        typer.Option(help="The same seed gives the same model, on any number of cores.", min=0, max=MOST_SEED - 100),
    ] = 170817,
    objects: Annotated[
        int | None, typer.Option(help="Number of simulated objects; by default that of the shipped model.", min=1)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of public photometry: adds a kilonova family and real negatives to the training.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    hold_out: Annotated[
        bool, typer.Option(help="With --data: hold out two fifths of the real transients, chosen by name.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train the classifier from a seed. Needs neither network nor files; takes some minutes on two cores.

    With --data, the radiative-transfer tables found there become a third kilonova family, and the real transients join
    as negatives: that is how the shipped model was made. With --hold-out as well it becomes the model that the
    benchmark tries on real transients it has not met.
    """
    from dataclasses import replace

    from mma_pipeline.science.kilonova.model import digest, encode
    from mma_pipeline.training import MissingExtraError, require_extra
    from mma_pipeline.training.simulation.kasen import TableError
    from mma_pipeline.training.simulation.population import FAMILIES
    from mma_pipeline.training.training import Settings, train

    try:
        require_extra()
    except MissingExtraError as error:
        raise fail(str(error)) from error
    if hold_out and data is None:
        raise fail("--hold-out needs --data: there is nothing else to hold out", Exit.USAGE)
    if not out.absolute().parent.is_dir():
        # Said now, not after minutes of training.
        raise fail(f"{out} cannot be written: there is no folder {out.absolute().parent}", Exit.USAGE)
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
    with clear_errors():
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
    """Training input from a folder of public photometry; raises NotFoundError if the folder holds none."""
    from mma_pipeline.science.kilonova.lightcurve import LightCurve
    from mma_pipeline.training.data import kilonova_tables, real_transients
    from mma_pipeline.training.negatives import RealTransient, held_out
    from mma_pipeline.training.simulation.kasen import read

    rows = [row for row in real_transients(data) if not (hold_out and held_out(row.name))]
    real = [RealTransient(r.name, r.source, r.kind, LightCurve(**r.columns), r.ebv) for r in rows]
    return {"tables": read(kilonova_tables(data)), "real": real}


@kilonova.command()
def score(
    file: Annotated[
        Path,
        typer.Argument(
            help="Photometry: Open Astronomy Catalog JSON, a table, or a message.", exists=True, dir_okay=False
        ),
    ],
    merger: Annotated[float, typer.Option(help="Time of the merger, MJD.", min=15_020, max=100_000)],
    distance: Annotated[float | None, typer.Option(help="Luminosity distance, Mpc; omit if unknown.", min=0.01)] = None,
    distance_error: Annotated[
        float | None, typer.Option(help="Standard deviation of the distance, Mpc.", min=0)
    ] = None,
    redshift: Annotated[
        float | None,
        typer.Option(
            help="Heliocentric redshift of the candidate or its host, above 0 and at most 10, used if the file has none."
        ),
    ] = None,
    host_distance: Annotated[
        float | None, typer.Option(help="Distance of the host, Mpc, used where no redshift is known.", min=0.01)
    ] = None,
    host_distance_error: Annotated[
        float | None, typer.Option(help="Its standard deviation, Mpc; by default a fifth.", min=0)
    ] = None,
    ebv: Annotated[float | None, typer.Option(help="Galactic E(B-V), mag, used if the file has none.", min=0)] = None,
    column: Annotated[list[str] | None, typer.Option(help="Column mapping FIELD=NAME, such as time=obs_mjd.")] = None,
    look_back: Annotated[
        float | None,
        typer.Option(help="Days before the merger in which two detections of S/N 5 exclude a candidate.", min=0),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the kilonova probability after each night, from the light curve and a distance.

    The distance is the candidate's own, by its redshift or that of its host, else --distance. The answer says which.

    Exit code 3 if nothing can be scored: no measurement in a band that the classifier uses, or fewer than two detections
    after the merger. Two detections that give no slope yield a provisional value.
    """
    from mma_pipeline.adapters.photometry.files import Defaults, NoPhotometryError, read_photometry
    from mma_pipeline.notices.errors import NoticeError
    from mma_pipeline.notices.photometry.measurement import checked_redshift
    from mma_pipeline.notices.photometry.same_object import identity_of
    from mma_pipeline.science.kilonova.bands import unused_bands
    from mma_pipeline.science.kilonova.distance import of_host
    from mma_pipeline.science.kilonova.lightcurve import Event
    from mma_pipeline.science.kilonova.measured import LOOK_BACK_DAYS

    if redshift is not None:
        try:
            checked_redshift(redshift, "--redshift")
        except NoticeError as problem:
            raise fail(str(problem), Exit.USAGE) from problem
    event = Event(merger, distance, distance_error)
    host = of_host(host_distance, host_distance_error)
    with clear_errors():
        try:
            # A score does not depend on the position, so the user need not give one.
            held = read_photometry(file, mapping=mapping_of(column), defaults=Defaults(None, 0.0, 0.0, ebv, redshift))
        except NoPhotometryError as problem:
            raise fail(f"nothing can be scored: {problem}", Exit.NOTHING) from problem
    # Spellings of one name are one object.
    first: dict[str, str] = {}
    by_name: dict[str, list[Measurement]] = {}
    for m in sorted(held.measurements, key=lambda m: (m.candidate.name, m.mjd)):
        by_name.setdefault(first.setdefault(identity_of(m.candidate.name), m.candidate.name), []).append(m)
    outcome: list[dict[str, Any]] = []
    excluded: list[dict[str, Any]] = []
    assumed: dict[str, dict[str, Any]] = {}
    for name, points in by_name.items():
        scored, earlier, used = _scores(points, event, host, LOOK_BACK_DAYS if look_back is None else look_back)
        outcome += [{"candidate": name, **night, **used} for night in scored]
        assumed[name] = used
        if earlier:
            excluded.append({"candidate": name, "points": earlier})
    unused = unused_bands(m.band for m in held.measurements)
    nothing = _why_nothing(held.measurements, outcome, merger)
    if as_json:
        print_json(
            {
                "scores": outcome,
                "excluded": excluded,
                "unused": unused,
                "skipped": list(held.skipped),
                "nothing": nothing,
            }
        )
    else:
        for name, used in assumed.items():
            _print_distance(name, used)
        _print_scores(outcome, excluded, unused, held.skipped)
    if nothing:
        also = f" (unused: {_counted(unused)})" if unused else ""
        raise fail(f"nothing can be scored: {nothing}{also}", Exit.NOTHING)


def _scores(
    points: Sequence[Measurement], event: Event, host: Distance | None, look_back: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """Scores of one candidate night by night, its detections before the merger if they exclude it, and the distance assumed."""
    from mma_pipeline.science.kilonova.assess import CandidateCurve
    from mma_pipeline.science.kilonova.by_night import nightly_scores
    from mma_pipeline.science.kilonova.measured import as_values, earlier_detections, light_curve
    from mma_pipeline.science.kilonova.model import packaged

    redshift = next((m.candidate.redshift for m in points if m.candidate.redshift is not None), None)
    one = CandidateCurve(light_curve(points), points[0].candidate.ebv, (0.0, 0.0), redshift, host)
    earlier = earlier_detections(points, event.merger_mjd, look_back)
    found = nightly_scores(packaged(), one.curve, one.seen_from(event))
    return found, as_values(earlier), one.assumed(event)


def _why_nothing(points: Sequence[Measurement], outcome: Sequence[Mapping[str, Any]], merger: float) -> str | None:
    """Why there is no light curve to score; None if there is one, even if it allows only a provisional value."""
    from mma_pipeline.science.kilonova.bands import BANDS, band_index
    from mma_pipeline.science.kilonova.lightcurve import MAX_AGE_DAYS

    if any(entry["sufficient"] for entry in outcome):
        return None
    used = [m for m in points if band_index(m.band) >= 0]
    if not used:
        return f"no measurement is in a band that the classifier uses ({', '.join(BANDS)})"
    seen = [m for m in used if m.detected]
    if not seen:
        return "no detection in griz has a signal-to-noise ratio of 3 or more"
    if not outcome:
        return f"no detection in griz lies 0 to {MAX_AGE_DAYS:.0f} d after the merger"
    after = Counter(m.candidate.name for m in seen if 0 <= m.mjd - merger <= MAX_AGE_DAYS)
    return (
        "a light curve needs two detections in griz after the merger, and there is one"
        if max(after.values(), default=0) < _LEAST
        else None
    )


def _print_distance(name: str, used: Mapping[str, Any]) -> None:
    if used["distance_source"] is None:
        console.print(f"{escape(name)}  no distance is known", highlight=False)
        return
    error = used["assumed_distance_sigma_mpc"]
    spread = "" if error is None else f" ± {error:.1f}"
    console.print(
        f"{escape(name)}  at {used['assumed_distance_mpc']:.1f}{spread} Mpc ({used['distance_source']})",
        highlight=False,
    )


def _counted(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in numbers.items())


def _print_scores(
    outcome: Sequence[Mapping[str, Any]],
    excluded: Sequence[Mapping[str, Any]],
    unused: Mapping[str, int],
    skipped: Sequence[str],
) -> None:
    for entry in outcome:
        verdict = f"{entry['p_phot']:.3f}" if entry["sufficient"] else f"insufficient data ({entry['p_phot']:.3f})"
        console.print(
            f"{entry['candidate']}  {entry['days']:6.2f} d  night {entry['nights']:2d}  {verdict}", highlight=False
        )
    for entry in excluded:
        shown = ", ".join(_point(p) for p in entry["points"][:_SHOWN])
        more = f" and {len(entry['points']) - _SHOWN} more" if len(entry["points"]) > _SHOWN else ""
        console.print(
            f"[yellow]excluded[/yellow] {entry['candidate']}: detected before the merger, MJD {shown}{more}",
            highlight=False,
        )
    if unused:
        console.print(f"[yellow]unused[/yellow]: {escape(_counted(unused))}", highlight=False)
    for reason in skipped:
        console.print(f"[yellow]left out[/yellow] {escape(reason)}", highlight=False)


def _point(point: Mapping[str, Any]) -> str:
    error = "" if point["error"] is None else f" ± {point['error']:.2f}"
    return f"{point['mjd']:.3f} {escape(point['band'])} {point['magnitude']:.2f}{error}"


def mapping_of(columns: list[str] | None) -> dict[str, str]:
    """FIELD=NAME options as a mapping; a malformed one stops the command."""
    mapping = {}
    for entry in columns or []:
        field, sign, name = entry.partition("=")
        if not sign or not field or not name:
            raise fail(f"--column {entry!r} is not FIELD=NAME", Exit.USAGE)
        mapping[field] = name
    return mapping
