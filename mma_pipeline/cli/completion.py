"""Completion of event ids in a shell (`--install-completion`)."""

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
