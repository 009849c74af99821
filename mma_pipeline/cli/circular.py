"""`mma circular`: the draft of a GCN Circular, as the portal has it."""

from __future__ import annotations

from typing import Annotated

import typer

from mma_pipeline.cli.app import (
    Exit,
    JsonOption,
    clear_errors,
    console,
    errors,
    fail,
    open_archive,
    open_store,
    print_json,
)
from mma_pipeline.cli.completion import complete_event


def circular(
    event: Annotated[str, typer.Argument(help="Superevent id such as S230518h.", autocompletion=complete_event)],
    instrument: Annotated[
        str | None, typer.Option(help="Draft one about the observations with an instrument, not about the event.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draft a GCN Circular about an event or about your observations of it, from notices and products alone. Nothing is sent.

    Prints subject and body, and the address of GCN's form with both filled in: name the authors, correct it, and send it there.
    """
    from mma_pipeline.portal.circular import FORM
    from mma_pipeline.portal.circular import circular as of_event
    from mma_pipeline.portal.observations import instruments_of, observations

    with clear_errors():
        archive = open_archive()
        records = archive.versions_named(event)
        if not records:
            raise fail(f"the archive has no event {event}: `mma status` shows what is archived", Exit.NOTHING)
        event_id = records[0].version.event_id
        known = instruments_of(archive, event_id)
        if instrument is None:
            draft = of_event(archive, event_id)
        else:
            name = next((one for one in known if one.casefold() == instrument.casefold()), instrument)
            draft = observations(archive, open_store(), event_id, name)
    if as_json:
        print_json({"event": event_id, "subject": draft.subject, "body": draft.body, "link": draft.link})
        return
    typer.echo(f"Subject: {draft.subject}\n\n{draft.body}")
    if draft.link is None:
        errors.print(f"The draft is too long for a link: paste it into {FORM}.", highlight=False, soft_wrap=True)
    else:
        console.print(draft.link, highlight=False, soft_wrap=True, markup=False)
    if instrument is None and known:
        errors.print(
            f"--instrument drafts one about observations with {', '.join(known)}.",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )
