"""`mma publish-photometry`: sends photometry from a file as source messages, at the pace of the observations."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from mma_pipeline.cli.app import Exit, JsonOption, clear_errors, console, fail, print_json, wrong_usage
from mma_pipeline.cli.kilonova import mapping_of


class MessageFormat(StrEnum):
    """Format of the source messages."""

    MMA = "mma"
    """This project's: upper limits, telescope, extinction, redshift."""
    V1 = "v1"
    """The SCiMMA demo's: detections only."""


def publish_photometry(
    file: Annotated[
        Path,
        typer.Argument(
            help="Open Astronomy Catalog JSON, a table (CSV or blank-separated), or a message.",
            exists=True,
            dir_okay=False,
        ),
    ],
    topic: Annotated[
        str, typer.Option(help="Topic name, or a Hopskotch address kafka://host/topic (credentials of `hop auth`).")
    ] = "mma.photometry",
    speed: Annotated[
        float, typer.Option(help="How many times faster than observed to send; 0: all at once.", min=0)
    ] = 0.0,
    bootstrap: Annotated[
        str | None, typer.Option(envvar="MMA_KAFKA_BOOTSTRAP", help="Broker to write to, host:port.")
    ] = None,
    message_format: Annotated[
        MessageFormat, typer.Option("--format", help="Format of the source messages.")
    ] = MessageFormat.MMA,
    column: Annotated[list[str] | None, typer.Option(help="Column mapping FIELD=NAME, such as time=obs_mjd.")] = None,
    candidate: Annotated[str | None, typer.Option(help="Name of the candidate, used if the file has none.")] = None,
    ra: Annotated[
        float | None, typer.Option(help="Right ascension, deg, used if the file has none.", min=-360, max=360)
    ] = None,
    dec: Annotated[
        float | None, typer.Option(help="Declination, deg, used if the file has none.", min=-90, max=90)
    ] = None,
    ebv: Annotated[float | None, typer.Option(help="Galactic E(B-V), mag, used if the file has none.")] = None,
    redshift: Annotated[
        float | None, typer.Option(help="Redshift of the candidate or its host, used if the file has none.")
    ] = None,
    simulated: Annotated[bool, typer.Option("--simulated", help="Label the messages as simulated.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send photometry as source messages, one per exposure, in the order and at the pace of the observations."""
    from mma_pipeline.adapters.photometry.files import Defaults, read_photometry
    from mma_pipeline.adapters.photometry.sender import open_sender
    from mma_pipeline.notices.errors import NoticeError
    from mma_pipeline.notices.photometry.measurement import checked_redshift
    from mma_pipeline.notices.photometry.message import (
        SCHEMA_PHOTOMETRY,
        SCHEMA_SOURCE_V1,
        encode,
        encode_source_v1,
        headers_of,
    )
    from mma_pipeline.science.kilonova.bands import unused_bands

    mapping = mapping_of(column)
    if redshift is not None:
        with wrong_usage(NoticeError):
            checked_redshift(redshift, "--redshift")
    with clear_errors():
        defaults = Defaults(candidate, ra, dec, ebv, redshift)
        held = read_photometry(file, mapping=mapping, defaults=defaults)
    v1 = message_format is MessageFormat.V1
    rows = sorted((m for m in held.measurements if not (v1 and m.upper_limit)), key=lambda m: m.mjd)
    if not rows:
        raise fail("there is nothing to send: the v1 message has no upper limits", Exit.NOTHING)
    if not bootstrap and not topic.startswith("kafka://"):
        raise fail(
            "no broker is configured: set MMA_KAFKA_BOOTSTRAP, or give a kafka:// address as --topic", Exit.USAGE
        )
    unused = unused_bands(m.band for m in rows)
    headers = headers_of(SCHEMA_SOURCE_V1 if v1 else SCHEMA_PHOTOMETRY)
    started, first = time.monotonic(), rows[0].mjd
    sent: list[dict[str, Any]] = []
    with clear_errors(), open_sender(topic, bootstrap) as sender:
        for m in rows:
            if speed:
                due = started + (m.mjd - first) * 86400.0 / speed
                time.sleep(max(0.0, due - time.monotonic()))
            body = (
                encode_source_v1(m)
                if v1
                else encode([m], event_id=held.event_id, simulated=simulated or held.simulated)
            )
            where = sender.send(body, m.candidate.name, headers)
            sent.append({"candidate": m.candidate.name, "mjd": m.mjd, "band": m.band, "where": where})
            if not as_json:
                kind = ">" if m.upper_limit else " "
                console.print(
                    f"{m.candidate.name}  {m.mjd:.5f}  {m.band:>2} {kind}{m.magnitude:6.2f}  {where}",
                    highlight=False,
                    markup=False,
                )
    if as_json:
        print_json({"sent": sent, "skipped": list(held.skipped), "unused": unused})
    else:
        if unused:
            shown = ", ".join(f"{name} {n}" for name, n in unused.items())
            console.print(f"[yellow]not used by the classifier[/yellow]: {escape(shown)}", highlight=False)
        for reason in held.skipped:
            console.print(f"[yellow]left out[/yellow] {escape(reason)}", highlight=False)
