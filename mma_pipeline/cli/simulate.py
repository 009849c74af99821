"""`mma simulate`: alerts of an invented event, as files that `mma replay` sends."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from .app import JsonOption, clear_errors, console, print_json


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
    retracted: Annotated[bool, typer.Option("--retracted", help="A candidate that is retracted instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the alerts of a simulated merger: early warning to update, and an external coincidence.

    Every file is an igwn.gwalert message by the published schema, with a multi-order map that has distance layers.
    Send them with `mma replay FOLDER/*`.
    """
    from mma_pipeline.notices import lvk
    from mma_pipeline.science.simulation import simulate_event, simulate_retracted

    merger = (time or datetime.now(UTC)).replace(tzinfo=UTC, microsecond=0)
    name = event or f"MS{merger:%y%m%d}{'zz' if retracted else 'aa'}"
    with clear_errors():
        notices = (
            simulate_retracted(name, time=merger, seed=seed, max_order=max_order)
            if retracted
            else simulate_event(name, time=merger, seed=seed, distance=distance, max_order=max_order)
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for notice in notices:
        suffix = "-ext" if notice.external is not None else ""
        path = folder / f"{name}-{notice.time_created:%Y%m%dT%H%M%S}-{notice.alert_type.value}{suffix}.json"
        path.write_text(json.dumps(lvk.to_record(notice), sort_keys=True), encoding="utf-8")
        written.append(str(path))
    if as_json:
        print_json({"event": name, "files": written})
    else:
        for path_text in written:
            console.print(path_text)
