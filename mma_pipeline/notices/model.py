"""A parsed alert of the LIGO/Virgo/KAGRA stream, as frozen values.

Not here: how bytes become these values (`lvk`), and how a version is named (`key`).
Fields and units follow the LVK public alerts user guide (https://emfollow.docs.ligo.org/userguide/content.html)
and the package igwn-gwalert-schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AlertType(StrEnum):
    """Kind of notice, spelled as in the file names of the Treasure Map (GWTM)."""

    EARLY_WARNING = "EarlyWarning"
    PRELIMINARY = "Preliminary"
    INITIAL = "Initial"
    UPDATE = "Update"
    RETRACTION = "Retraction"


class Role(StrEnum):
    """Whether an alert is about the sky or is a mock or test."""

    OBSERVATION = "observation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class ChirpMass:
    """Source-frame chirp mass histogram."""

    bin_edges: tuple[float, ...]
    """Edges in solar masses, shape (K + 1,)."""
    probabilities: tuple[float, ...]
    """Probability per bin, shape (K,)."""


@dataclass(frozen=True, slots=True)
class GwEvent:
    """The candidate that a notice describes."""

    time: datetime | None
    """Merger or trigger time, UTC."""
    far: float | None
    """False alarm rate, Hz."""
    significant: bool | None
    """The collaboration's own flag; None in samples older than O4."""
    instruments: tuple[str, ...]
    group: str
    pipeline: str
    search: str | None
    classification: Mapping[str, float]
    """Astrophysical class to probability; empty for bursts."""
    properties: Mapping[str, float]
    """Source property (HasNS, HasRemnant, …) to probability."""
    duration: float | None = None
    """Burst duration, s."""
    central_frequency: float | None = None
    """Burst central frequency, Hz."""
    chirp_mass: ChirpMass | None = None
    skymap: bytes | None = None
    """Multi-order FITS file as sent."""


@dataclass(frozen=True, slots=True)
class ExternalCoincidence:
    """A coincidence with another messenger."""

    gcn_notice_id: str | None
    ivorn: str | None
    observatory: str
    search: str | None
    time_difference: float | None
    """Seconds between the two events; its sign convention changed between 2022 and 2026."""
    time_coincidence_far: float | None
    """Joint false alarm rate in time, Hz."""
    time_sky_position_coincidence_far: float | None
    """Joint false alarm rate in time and position, Hz."""
    combined_skymap: bytes | None = None
    """Multi-order FITS file of the combined localisation, as sent."""


@dataclass(frozen=True, slots=True)
class LvkNotice:
    """One notice of `igwn.gwalert`."""

    superevent_id: str
    alert_type: AlertType
    time_created: datetime
    """Creation time of the notice, UTC."""
    urls: Mapping[str, str]
    event: GwEvent | None
    external: ExternalCoincidence | None
    degraded: tuple[str, ...] = ()
    """Why parts are absent, one line each; not part of the identity."""

    @property
    def role(self) -> Role:
        """Decided by the id alone, because retractions have no search."""
        return role_of(self.superevent_id)


def role_of(event_id: str) -> Role:
    """Role of an event by its id: `MS…` mock and `TS…` test events are tests, as are triggers such as `TFermi_…`."""
    is_test = event_id.startswith(("MS", "TS")) or (event_id.startswith("T") and "_" in event_id)
    return Role.TEST if is_test else Role.OBSERVATION
