"""From a neutrino notice's message to a version, and the map of the event that the notice is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.event_history import newest_map, retraction_of
from mma_pipeline.notices import icecube
from mma_pipeline.notices.icecube import IceCubeNotice
from mma_pipeline.notices.key import EventVersion


def parse_neutrinos(body: bytes) -> tuple[tuple[EventVersion, Mapping[str, Any]], ...]:
    """The version and facts of one `lvk_nu_track_search` notice; raises NoticeError."""
    notice = icecube.parse_json(body)
    return ((icecube.version_of(notice, body), alert_summary(notice)),)


def alert_summary(notice: IceCubeNotice) -> dict[str, Any]:
    """Summary of a notice as JSON values, for lists, rules and pages."""
    times = {
        "time_created": notice.alert_time,
        "trigger_time": notice.trigger_time,
        "observation_start": notice.observation_start,
        "observation_stop": notice.observation_stop,
    }
    where = notice.most_probable
    degraded = {"degraded": list(notice.degraded)} if notice.degraded else {}
    return {
        "reference": notice.reference,
        **{name: None if moment is None else moment.isoformat() for name, moment in times.items()},
        "pval_generic": notice.pval_generic,
        "pval_bayesian": notice.pval_bayesian,
        "neutrinos": len(notice.neutrinos),
        "most_probable_ra_deg": None if where is None else where.ra,
        "most_probable_dec_deg": None if where is None else where.dec,
        **degraded,
    }


@dataclass(frozen=True, slots=True)
class ComparedEvent:
    """The archived event of a neutrino notice."""

    map_version: VersionRecord | None
    """The version with the event's newest own map, not combined with another messenger's; None if there is none."""
    retracted_by: str | None
    """Partition key of the event's retraction; None if it was not retracted."""

    @property
    def identity(self) -> tuple[str, str]:
        """Both as text: products made from them change only when this does."""
        key = None if self.map_version is None else self.map_version.partition_key
        return (key or "no map", self.retracted_by or "not retracted")


def compared_event(archive: Archive, event_id: str) -> ComparedEvent:
    """Look an event up. The result depends on the archived messages, not on their order of arrival."""
    return compared_event_among(archive.versions(event_id))


def compared_event_among(versions: Sequence[VersionRecord]) -> ComparedEvent:
    """The same, from an event's versions in any order."""
    retraction = retraction_of(versions)
    # With a map that another messenger contributed to, that evidence would count twice.
    return ComparedEvent(newest_map(versions, combined=False), None if retraction is None else retraction.partition_key)
