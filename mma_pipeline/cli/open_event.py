"""`mma open`: the page of an event in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from mma_pipeline.cli.app import Exit, clear_errors, console, fail, open_archive, open_store
from mma_pipeline.cli.completion import complete_event


def open_event(
    event: Annotated[str, typer.Argument(help="Superevent id such as S230518h.", autocompletion=complete_event)],
    show: Annotated[bool, typer.Option("--print", help="Print the address alone.")] = False,
) -> None:
    """Open the page of an event in a browser: on the portal (MMA_PORTAL_URL), else the file of a local store."""
    import webbrowser

    from mma_pipeline.adapters.store.paths import event_key
    from mma_pipeline.settings import current

    with clear_errors():
        found = open_archive().versions_named(event)
        if not found:
            raise fail(f"the archive has no event {event}: `mma status` shows what is archived", Exit.NOTHING)
        event = found[0].version.event_id
        portal = current().portal.url
        if portal is not None:
            address = f"{portal.rstrip('/')}/events/{event}"
        else:
            store, key = open_store(), event_key(event, "index.html")
            address = store.url(key)
            if not address.startswith("file:"):
                raise fail(f"{address} opens in no browser: start `mma serve`, and set MMA_PORTAL_URL")
            if not store.exists(key):
                raise fail(f"the page of {event} is not made yet", Exit.NOTHING)
    console.print(address, highlight=False, soft_wrap=True)
    if not show and not webbrowser.open(address):
        raise fail("no browser could be opened: copy the address")
