"""The event that a command names, the version with its newest map, and the word that it is retracted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mma_pipeline.cli.app import console

if TYPE_CHECKING:
    from mma_pipeline.adapters.archive import Archive, VersionRecord


def event_named(archive: Archive, text: str) -> str:
    """The id of the archived event that `text` means, in whatever case; of one that is not archived, as its observatory spells it."""
    from mma_pipeline.notices.key import spelled_event_id

    found = archive.versions_named(text)
    return found[0].version.event_id if found else spelled_event_id(text)


def newest_map_of(archive: Archive, text: str) -> tuple[VersionRecord, str | None]:
    """The version that `text` names, or that with the newest map of its event, and the event's retraction if there is one.

    Raises NotFoundError where the archive has no such version with a map that can be used, and says which it is.
    """
    from mma_pipeline.adapters.archive.event_history import newest_map, withdrawn_by
    from mma_pipeline.adapters.errors import NotFoundError
    from mma_pipeline.products.maps import why_no_map

    records = archive.versions_named(text)
    found = newest_map(records, combined=True)
    if found is None:
        raise NotFoundError(why_no_map(text, records))
    retraction = withdrawn_by(archive, found)
    return found, None if retraction is None else retraction.partition_key


def say_if_retracted(event_id: str, retracted_by: str | None) -> None:
    """Print that an event is retracted, and by which notice, before anything else is said of it."""
    if retracted_by is not None:
        console.print(
            Text(f"{event_id} is retracted", style="bold red").append(f" ({retracted_by})", style="default"),
            soft_wrap=True,
        )
