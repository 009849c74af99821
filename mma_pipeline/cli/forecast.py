"""`mma forecast`: how bright a kilonova of an event would be, and how deep one must go to see it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mma_pipeline.cli.app import Exit, JsonOption, clear_errors, console, fail, open_archive, open_store
from mma_pipeline.cli.completion import complete_event
from mma_pipeline.cli.events import newest_map_of, say_if_retracted
from mma_pipeline.notices.words import chance, share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mma_pipeline.adapters.archive import ProductRecord

#: Hours of the table, days where they are whole.
_HOURS = (1, 6, 12, 24, 48, 72, 120, 168, 240)


def forecast(
    event: Annotated[
        str,
        typer.Argument(
            help="Superevent id (newest version with a map) or partition key of a version.",
            autocompletion=complete_event,
        ),
    ],
    ebv: Annotated[
        float, typer.Option(min=0, help="Galactic E(B-V) on the line of sight, mag: added to what is shown.")
    ] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Magnitudes of kilonovae by band and hour after the merger, and the depths that show 50 and 90 % of them."""
    with clear_errors():
        record, event_id, retracted_by = _product(event)
        body: dict[str, Any] = json.loads(open_store().get(record.store_key))
    if as_json:
        typer.echo(json.dumps({"version": record.partition_key, "retracted_by": retracted_by, **body}))
        return
    say_if_retracted(event_id, retracted_by)
    console.print(record.partition_key, highlight=False)
    console.print(body["words"], highlight=False)
    if not body["applies"]:
        return
    if body["p_kilonova"] is not None:
        console.print(f"probability of a kilonova: {chance(body['p_kilonova'])}", highlight=False)
    distance = body["distance_mpc"]
    console.print(
        f"distance: {distance['50']:.0f} Mpc (90 %: {distance['05']:.0f} to {distance['95']:.0f})", highlight=False
    )
    console.print(f"masses of the ejecta: {_masses(body['masses'])}", highlight=False)
    # The document's keys are sorted; an observer thinks of bands by wavelength.
    bands = sorted(body["bands"], key=lambda band: float(body["bands"][band]["wavelength_um"]))
    dust = {band: ebv * body["bands"][band]["extinction_per_ebv"] for band in bands}
    for source in ("kilonova", "afterglow"):
        if source in body:
            _magnitudes(source, body["hours"], body[source], dust)
    _depths(body["depths"], dust)
    said = f"with E(B-V) = {ebv:g} mag" if ebv else "without Galactic dust (see --ebv)"
    console.print(f"AB magnitudes, {said}. Sources and limits: docs/forecast.md", highlight=False)


def _product(event: str) -> tuple[ProductRecord, str, str | None]:
    """The forecast, its event, and the event's retraction."""
    archive = open_archive()
    found, retracted_by = newest_map_of(archive, event)
    record = archive.product(found.partition_key, "forecast")
    left_out = (found.facts.get("left_out") or {}).get("kilonova_forecast")
    if left_out is not None:
        raise fail(f"{found.version.event_id}: {left_out}", Exit.NOTHING)
    if record is None:
        raise fail(
            f"{found.partition_key} has no forecast yet: materialise the asset kilonova_forecast for it", Exit.NOTHING
        )
    return record, found.version.event_id, retracted_by


def _masses(masses: Mapping[str, Any]) -> str:
    if masses["from"] == "families":
        return "the light-curve families' own ranges (the notice gives no chirp mass, or none that the fits cover)"
    thrown, blown = (
        f"{m['50']:.3f} ({m['05']:.3f} to {m['95']:.3f})" for m in (masses["dynamical_msun"], masses["wind_msun"])
    )
    return f"from the notice's chirp mass; dynamical {thrown}, wind {blown} solar masses"


def _magnitudes(
    source: str, hours: Sequence[float], bands: Mapping[str, Mapping[str, Sequence[float]]], dust: Mapping[str, float]
) -> None:
    from rich.table import Table

    shown = Table(title=f"{source}: median magnitude (90 % of the models)")
    shown.add_column("hours", justify="right")
    for band in dust:
        shown.add_column(band)
    for hour in _HOURS:
        k = hours.index(hour)
        cells = (
            "{:.1f} ({:.1f}-{:.1f})".format(*(q[name][k] + dust[band] for name in ("mag_50", "mag_05", "mag_95")))
            for band, q in ((band, bands[band]) for band in dust)
        )
        shown.add_row(str(hour), *cells)
    console.print(shown)


def _depths(depths: Sequence[Mapping[str, float]], dust: Mapping[str, float]) -> None:
    from rich.table import Table

    shown = Table(title="depth (mag) that shows a share of the kilonovae")
    for head in ("hours", "seen", *dust):
        shown.add_column(head, justify="right")
    for entry in depths:
        mags = (f"{entry[band] + extra:.1f}" for band, extra in dust.items())
        shown.add_row(f"{entry['hours']:g}", share(entry["seen"]), *mags)
    console.print(shown)
