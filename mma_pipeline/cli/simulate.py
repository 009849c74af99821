"""`mma simulate`: writes alerts of a simulated event as files that `mma replay` can send."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mma_pipeline.cli.app import (
    MOST_SEED,
    Exit,
    JsonOption,
    clear_errors,
    console,
    fail,
    open_archive,
    print_json,
    wrong_usage,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mma_pipeline.cli.survey_night import Region
    from mma_pipeline.notices.model import LvkNotice


class Shape(StrEnum):
    """Shape of a simulated region; repeats the science module's own, which takes seconds to import."""

    BLOB = "blob"
    ARC = "arc"


def _plausible(time: datetime | None) -> datetime | None:
    """A time that the pipeline takes for that of an event, and the hours after it too."""
    from mma_pipeline.notices.fields import YEARS

    if time is not None and not (time.year in YEARS and (time + timedelta(days=1)).year in YEARS):
        raise typer.BadParameter(
            f"{time:%Y-%m-%d} is outside the years {YEARS[0]} to {YEARS[-1]}, and alerts of it are refused"
        )
    return time


def simulate(
    folder: Annotated[Path, typer.Argument(help="Folder for the alert files; created if missing.")] = Path("simulated"),
    event: Annotated[str | None, typer.Option(help="Superevent id; by default a mock id of the event's day.")] = None,
    time: Annotated[
        datetime | None,
        typer.Option(
            help="Merger time, UTC, from 2000 to 2099; by default now.",
            formats=["%Y-%m-%dT%H:%M:%S"],
            callback=_plausible,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(help="Random seed; the same seed, id and time give the same bytes.", min=0, max=MOST_SEED),
    ] = 1,
    distance: Annotated[float, typer.Option(help="Luminosity distance, Mpc.", min=1, max=100_000)] = 120.0,
    max_order: Annotated[
        int, typer.Option("--order", help="Finest HEALPix order of the maps (BAYESTAR's is 11).", min=5, max=14)
    ] = 10,
    area: Annotated[
        float,
        typer.Option(
            help="90 % area of the update, deg²; earlier regions are larger by fixed ratios.", min=1, max=20_000
        ),
    ] = 28.0,
    shape: Annotated[Shape, typer.Option(help="Shape of the initial and later regions.")] = Shape.BLOB,
    retracted: Annotated[bool, typer.Option("--retracted", help="Write an event that is retracted instead.")] = False,
    kilonova: Annotated[
        bool, typer.Option("--kilonova", help="Also write photometry of a counterpart, labelled simulated.")
    ] = False,
    neutrino: Annotated[
        bool,
        typer.Option(
            "--neutrino", help="Also write an IceCube notice about the event, with a neutrino and background."
        ),
    ] = False,
    triggers: Annotated[
        bool,
        typer.Option(
            "--triggers",
            help="Also write notices of other observatories: a gamma-ray burst, a neutrino and an X-ray transient of the "
            "event, and an unrelated burst of the same hour.",
        ),
    ] = False,
    nights: Annotated[int, typer.Option(help="Nights of that photometry.", min=1, max=20)] = 6,
    survey_night: Annotated[
        int, typer.Option(help="Also a night of so many survey alerts, the event's kilonova hidden among them.", min=0)
    ] = 0,
    nights_after: Annotated[
        int, typer.Option(help="Which night: so many after that of the merger (MJD).", min=0, max=60)
    ] = 1,
    in_region_of: Annotated[
        str | None, typer.Option(help="Hide it in the newest map of this archived event; no alerts are written.")
    ] = None,
    images: Annotated[bool, typer.Option(help="Packets with images: 70 kB each instead of 20.")] = True,
    bootstrap: Annotated[
        str | None, typer.Option(help="Send the night to this broker, host:port, instead of writing a file.")
    ] = None,
    topic: Annotated[str, typer.Option(help="Topic for that.")] = "ztf_simulated",
    rate: Annotated[float, typer.Option(help="Alerts per second for that; 0: as fast as it can.", min=0)] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Write the alerts of a simulated merger, from early warning to update, with an external coincidence.

    Every file is an igwn.gwalert message by the published schema, with a multi-order map that has distance layers.
    Send them, and the notices of --neutrino and --triggers, with `mma replay FOLDER/*.json`, and the photometry of --kilonova with
    `mma publish-photometry`. The night of --survey-night is a tar file of ZTF packets, which `mma survey replay` reads,
    or goes to Kafka; the same seed, event and time give the same packets.
    """
    from mma_pipeline.notices import lvk
    from mma_pipeline.notices.errors import NoticeError
    from mma_pipeline.notices.key import check_event_id
    from mma_pipeline.notices.model import AlertType
    from mma_pipeline.notices.photometry.message import encode
    from mma_pipeline.science.kilonova.counterpart import counterpart_of
    from mma_pipeline.science.simulation.alerts import Shape as RegionShape
    from mma_pipeline.science.simulation.alerts import simulate_event, simulate_retracted
    from mma_pipeline.science.simulation.neutrinos import neutrino_notice_of

    if in_region_of is not None:
        with clear_errors():
            region = _archived(in_region_of)
            folder.mkdir(parents=True, exist_ok=True)
            answer = _night(region, folder, survey_night or 1000, nights_after, seed, images, bootstrap, topic, rate)
        _say({"event": region.event, "files": [], "night": answer}, as_json)
        return
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
        alerts = {folder / _alert_file(notice): notice for notice in notices}
        others = set(folder.glob(f"{name}-*.json")) - set(alerts)
        if any(path.stem.removesuffix("-ext").rpartition("-")[2] in set(AlertType) for path in others):
            raise fail(
                f"{folder} has alerts of another simulation of {name}: name another folder, or another event with --event",
                Exit.USAGE,
            )
        written = []
        for path, notice in alerts.items():
            path.write_text(json.dumps(lvk.to_record(notice), sort_keys=True), encoding="utf-8")
            written.append(str(path))
        if neutrino:
            record = neutrino_notice_of(notices, seed=seed)
            path = folder / f"{name}-{record['alert_datetime'][:19].replace('-', '').replace(':', '')}-IceCube.json"
            path.write_text(json.dumps(record, sort_keys=True), encoding="utf-8")
            written.append(str(path))
        if triggers:
            for record in triggers_of(notices, merger, seed):
                written.append(_write_trigger(folder, record))
        if kilonova and not retracted:
            photometry = folder / f"{name}-kilonova.photometry"
            rows = counterpart_of(notices, name=f"{name}-kn", seed=seed, nights=nights, distance_mpc=distance)
            photometry.write_bytes(encode(rows, event_id=name, simulated=True))
            written.append(str(photometry))
        night = None
        if survey_night and not retracted:
            region = _simulated(name, notices, distance)
            night = _night(region, folder, survey_night, nights_after, seed, images, bootstrap, topic, rate)
    found: dict[str, Any] = {"event": name, "files": written}
    _say(found if night is None else {**found, "night": night}, as_json)


def _alert_file(notice: LvkNotice) -> str:
    suffix = "-ext" if notice.external is not None else ""
    return f"{notice.superevent_id}-{notice.time_created:%Y%m%dT%H%M%S}-{notice.alert_type.value}{suffix}.json"


def triggers_of(notices: Sequence[LvkNotice], merger: datetime, seed: int) -> list[dict[str, Any]]:
    """Notices of other observatories about a simulated event, tests if the event is one; none if it has no map."""
    from mma_pipeline.notices.model import Role
    from mma_pipeline.science.simulation.triggers import simulate_triggers
    from mma_pipeline.science.skymaps.model import decode_skymap

    maps = [notice.event.skymap for notice in notices if notice.event is not None and notice.event.skymap is not None]
    if not maps:
        return []
    test = notices[0].role is Role.TEST
    return simulate_triggers(decode_skymap(maps[-1]), time=merger, seed=seed, test=test)


def _write_trigger(folder: Path, record: dict[str, Any]) -> str:
    from mma_pipeline.defs.alerts.streams import subject_of

    body = json.dumps(record, sort_keys=True).encode()
    told = subject_of(body)
    if told is None:
        raise ValueError("a simulated notice cannot be read")
    path = folder / f"{told.event_id}-{told.created:%Y%m%dT%H%M%S}.json"
    path.write_bytes(body)
    return str(path)


def _say(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    for path_text in found["files"]:
        console.print(path_text)
    for name, value in found.get("night", {}).items():
        console.print(f"{name}: {value}", highlight=False)


def _night(
    region: Region,
    folder: Path,
    alerts: int,
    after: int,
    seed: int,
    images: bool,
    bootstrap: str | None,
    topic: str,
    rate: float,
) -> dict[str, Any]:
    """Draw a night and send or write it; says what is hidden where."""
    from mma_pipeline.cli.survey_night import hidden_name, packets, to_file, to_kafka

    found = packets(region, nights_after=after, alerts=alerts, seed=seed, images=images)
    night = int(region.merger_mjd) + after
    hidden = {"event": region.event, "night": night, "hidden": hidden_name(region, seed)}
    if bootstrap:
        return {**hidden, **to_kafka(found, bootstrap, topic, rate)}
    return {**hidden, **to_file(found, folder / f"ztf_{region.event}_MJD{night}.tar")}


def _simulated(name: str, notices: Sequence[LvkNotice], distance: float) -> Region:
    from mma_pipeline.cli.survey_night import Region
    from mma_pipeline.notices.times import mjd_of_datetime
    from mma_pipeline.science.skymaps.model import decode_skymap

    events = [notice.event for notice in notices if notice.event is not None]
    skymap = [event.skymap for event in events if event.skymap is not None][-1]
    merger = [event.time for event in events if event.time is not None][-1]
    return Region(name, mjd_of_datetime(merger), decode_skymap(skymap), distance)


def _archived(event: str) -> Region:
    from mma_pipeline.adapters.errors import NotFoundError
    from mma_pipeline.cli.survey_night import Region
    from mma_pipeline.defs.candidates.scoring import current_version, merger_mjd, skymap_of

    archive = open_archive()
    record = current_version(archive, event)
    if record is None:
        raise NotFoundError(f"no map of {event} is archived: replay its alerts first")
    return Region(event, merger_mjd(record), skymap_of(archive, record), None)
