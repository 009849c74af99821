"""Where each file of a version lies in the store: the only place where (version, product) becomes a key.

Files that the GWTM site reads are `fit/{graceid}-{Type}{n}{suffix}` for real events and `test/…` for mock and test
ones, names unchanged from the listeners that wrote them before. All further files lie under `mma/`, which the site
never looks at: `mma/{event}/{partition key}/{name}` for a version and `mma/{event}/{name}` for an event.
"""

from __future__ import annotations

from mma_pipeline.notices.key import EventVersion, FileStem
from mma_pipeline.notices.model import Role, role_of

_FOLDERS = {Role.OBSERVATION: "fit", Role.TEST: "test"}


def site_key(stem: FileStem, suffix: str) -> str:
    """Key of a file that the GWTM site reads, such as `fit/S230518h-Preliminary1_moc.fits.gz`."""
    return f"{_FOLDERS[role_of(stem.event_id)]}/{stem}{suffix}"


def event_site_key(event_id: str, suffix: str) -> str:
    """Key of a file about the whole event that the GWTM site reads, such as `fit/S230518h-Fermi.json`."""
    return f"{_FOLDERS[role_of(event_id)]}/{event_id}{suffix}"


def version_key(version: EventVersion, name: str) -> str:
    """Key of a further file of a version."""
    return f"mma/{version.event_id}/{version.partition_key}/{name}"


def event_key(event_id: str, name: str) -> str:
    """Key of a file about the whole event."""
    return f"mma/{event_id}/{name}"
