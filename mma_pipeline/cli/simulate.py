"""`mma simulate`: alerts of an invented event, as files that `mma replay` sends."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mma_pipeline.cli.app import JsonOption, clear_errors, console, print_json, wrong_usage


class Shape(StrEnum):
    """Outline of a simulated region; the science says what each is, and costs seconds to import."""

    BLOB = "blob"
    ARC = "arc"


def simulate(
    folder: Annotated[Path, typer.Argument(help="Folder for the alert files; made if it is missing.")] = Path(
        "simulated"
    ),
    event: Annotated[str | None, typer.Option(help="Superevent id; by default a mock id of the event's day.")] = None,
    time: Annotated[
        datetime | None, typer.Option(help="Merger time, UTC; by default now.", formats=["%Y-%m-%dT%H:%M:%S"])
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed, id and time give the same bytes.")] = 1,
    distance: Annotated[float, typer.Option(help="Luminosity distance, Mpc.", min=1)] = 120.0,
    max_order: Annotated[
        int, typer.Option("--order", help="Finest HEALPix order of the maps (11: as BAYESTAR sends).", min=5, max=14)
    ] = 10,
    area: Annotated[
        float, typer.Option(help="90 % area of the update, deg²; earlier regions are larger in proportion.", min=0.01)
    ] = 28.0,
    shape: Annotated[Shape, typer.Option(help="Shape of the initial and later regions.")] = Shape.BLOB,
    retracted: Annotated[bool, typer.Option("--retracted", help="A candidate that is retracted instead.")] = False,
    kilonova: Annotated[
        bool, typer.Option("--kilonova", help="Also photometry of a counterpart, labelled simulated.")
    ] = False,
    neutrino: Annotated[
        bool, typer.Option("--neutrino", help="Also an IceCube notice about the event: a neutrino and background.")
    ] = False,
    nights: Annotated[int, typer.Option(help="Nights of that photometry.", min=1, max=20)] = 6,
    as_json: JsonOption = False,
) -> None:
    """Write the alerts of a simulated merger: early warning to update, and an external coincidence.

    Every file is an igwn.gwalert message by the published schema, with a multi-order map that has distance layers.
    Send them, and the notice of --neutrino, with `mma replay FOLDER/*.json`, and the photometry of --kilonova with
    `mma publish-photometry`.
    """
    from mma_pipeline.notices import lvk
    from mma_pipeline.notices.errors import NoticeError
    from mma_pipeline.notices.key import check_event_id
    from mma_pipeline.notices.photometry.message import encode
    from mma_pipeline.science.kilonova.counterpart import counterpart_of
    from mma_pipeline.science.simulation.alerts import Shape as RegionShape
    from mma_pipeline.science.simulation.alerts import simulate_event, simulate_retracted
    from mma_pipeline.science.simulation.neutrinos import neutrino_notice_of

    merger = (time or datetime.now(UTC)).replace(tzinfo=UTC, microsecond=0)
    name = event or f"MS{merger:%y%m%d}{'zz' if retracted else 'aa'}"
    with wrong_usage(NoticeError):
        check_event_id(name)
    with clear_errors():
        notices = (
            simulate_retracted(name, time=merger, seed=seed, max_order=max_order)
            if retracted
            else simulate_event(
                name,
                time=merger,
                seed=seed,
                distance=distance,
                max_order=max_order,
                area_90=area,
                shape=RegionShape(shape.value),
            )
        )
    with clear_errors():
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for notice in notices:
            suffix = "-ext" if notice.external is not None else ""
            path = folder / f"{name}-{notice.time_created:%Y%m%dT%H%M%S}-{notice.alert_type.value}{suffix}.json"
            path.write_text(json.dumps(lvk.to_record(notice), sort_keys=True), encoding="utf-8")
            written.append(str(path))
        if neutrino:
            record = neutrino_notice_of(notices, seed=seed)
            path = folder / f"{name}-{record['alert_datetime'][:19].replace('-', '').replace(':', '')}-IceCube.json"
            path.write_text(json.dumps(record, sort_keys=True), encoding="utf-8")
            written.append(str(path))
        if kilonova and not retracted:
            photometry = folder / f"{name}-kilonova.photometry"
            rows = counterpart_of(notices, name=f"{name}-kn", seed=seed, nights=nights, distance_mpc=distance)
            photometry.write_bytes(encode(rows, event_id=name, simulated=True))
            written.append(str(photometry))
    if as_json:
        print_json({"event": name, "files": written})
    else:
        for path_text in written:
            console.print(path_text)
