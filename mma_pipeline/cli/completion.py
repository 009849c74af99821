"""Completion of event ids and observatories in a shell (`--install-completion`)."""

from __future__ import annotations

#: Ids that are offered.
_MOST = 50


def complete_event(incomplete: str) -> list[str]:
    """Ids of archived events that begin with what was typed, the newest first; none where there is no archive."""
    from pathlib import Path

    from mma_pipeline.adapters.archive.overview import event_ids
    from mma_pipeline.adapters.errors import AdapterError
    from mma_pipeline.cli.app import open_archive
    from mma_pipeline.settings import set_home

    set_home(Path("dagster_home").absolute())
    try:
        return event_ids(open_archive(), incomplete, limit=_MOST)
    except AdapterError:
        return []  # a shell that waits for an id is no place for an error


def complete_site(incomplete: str) -> list[str]:
    """Names of observatories that begin with what was typed, in upper or lower case; none where their list cannot be used."""
    from pathlib import Path

    from mma_pipeline.adapters.errors import AdapterError
    from mma_pipeline.defs.observing.configuration import sites
    from mma_pipeline.settings import current, set_home

    set_home(Path("dagster_home").absolute())
    try:
        return [site.name for site in sites(current()) if site.name.lower().startswith(incomplete.lower())]
    except AdapterError:
        return []  # as above
