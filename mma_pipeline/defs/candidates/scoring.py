"""Which events a candidate is compatible with, and the input of one night of one candidate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.event_history import newest_map, retraction_of
from mma_pipeline.adapters.archive.photometry import ArchivedCandidate, ArchivedMeasurement, PhotometryArchive
from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.defs.candidates.vetting import host_of, vet_candidates, with_vetting
from mma_pipeline.notices.candidate_summary import contradiction
from mma_pipeline.notices.key import is_gravitational_wave
from mma_pipeline.notices.photometry.candidate_key import CandidateNight
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement
from mma_pipeline.notices.source_words import no_source_words
from mma_pipeline.notices.times import datetime_of_mjd, mjd_of_datetime
from mma_pipeline.products.maps import decoded_map
from mma_pipeline.science.kilonova.measured import LOOK_BACK_DAYS
from mma_pipeline.settings import Settings

if TYPE_CHECKING:
    from mma_pipeline.science.kilonova.lightcurve import Event
    from mma_pipeline.science.skymaps.model import SkyMap

#: Days after the merger up to which an event gets new nights: the classifier uses 30.
WATCHED_DAYS = 30.0
_KEPT_MAPS = 8
_maps: dict[str, SkyMap] = {}


def current_version(archive: Archive, event_id: str) -> VersionRecord | None:
    """The version with the newest map and a merger time; None if there is none, or if the event was retracted."""
    return current_versions(archive, [event_id]).get(event_id)


def current_versions(archive: Archive, event_ids: Iterable[str]) -> dict[str, VersionRecord]:
    """The same for several events; those without one are absent."""
    found = {}
    for event_id, versions in archive.versions_of(event_ids).items():
        record = newest_map((v for v in versions if v.facts.get("time")), combined=True)
        if record is not None and retraction_of(versions) is None:
            found[event_id] = record
    return found


def merger_mjd(record: VersionRecord) -> float:
    """Merger time of a version, MJD."""
    return mjd_of_datetime(datetime.fromisoformat(str(record.facts["time"])))


def skymap_of(archive: Archive, record: VersionRecord) -> SkyMap:
    """The map of a version, decoded from the archived message; the last few are cached."""
    digest = str(record.facts["skymap_sha256"])
    if digest not in _maps:
        skymap = decoded_map(archive, record)
        if skymap is None:
            raise NotFoundError(f"{record.partition_key} was archived with a map that its message does not have")
        while len(_maps) >= _KEPT_MAPS:
            _maps.pop(next(iter(_maps)), None)
        _maps[digest] = skymap
    return _maps[digest]


def watched_events(archive: Archive, first_mjd: float, last_mjd: float) -> list[VersionRecord]:
    """Current versions of events that merged up to WATCHED_DAYS before a span of measurements (MJD)."""
    # A version is created after its merger, so older versions are excluded.
    events = PhotometryArchive(archive).events_since(datetime_of_mjd(first_mjd - WATCHED_DAYS))
    # A kilonova's candidates are sought for mergers, not in the thousand square degrees of each gamma-ray burst.
    events = [event for event in events if is_gravitational_wave(event)]
    return [r for r in current_versions(archive, events).values() if _is_watched(r, first_mjd, last_mjd)]


def _is_watched(record: VersionRecord, first_mjd: float, last_mjd: float) -> bool:
    return first_mjd - WATCHED_DAYS <= merger_mjd(record) <= last_mjd


@dataclass(frozen=True, slots=True)
class AdmittedNight:
    """A night of a candidate that is compatible with an event."""

    night: CandidateNight
    candidate: ArchivedCandidate
    version: VersionRecord
    """The event's current version."""


def nights_of(
    archive: Archive,
    events: Iterable[VersionRecord],
    measured: Iterable[tuple[ArchivedCandidate, Sequence[ArchivedMeasurement]]],
    look_back_days: float = LOOK_BACK_DAYS,
) -> list[AdmittedNight]:
    """The nights of some candidates' measurements that are compatible with these events' maps and times.

    A candidate that was detected up to `look_back_days` before the merger has one night, that of its first detection in griz after it, in which it
    is listed as excluded. Each map is read once, whatever the number of candidates.
    """
    events = list(events)
    usable = [(found, some) for found, some in measured if some and found.first_detection is not None]
    if not events or not usable:
        return []
    everything = PhotometryArchive(archive).measurements_of(found.candidate.name for found, _ in usable)
    nights = []
    for record in events:
        for found, some in usable:
            times = [m.measurement.mjd for m in some]
            if _is_watched(record, min(times), max(times)):
                known = [m.measurement for m in everything[found.candidate.name]]
                days = _days(archive, record, found.candidate, times, known, look_back_days)
                key = record.version.event_id, found.slug
                nights += [AdmittedNight(CandidateNight(*key, day), found, record) for day in days]
    return nights


def _days(
    archive: Archive,
    record: VersionRecord,
    here: Candidate,
    times: Sequence[float],
    everything: Sequence[Measurement],
    look_back_days: float,
) -> list[int]:
    """The nights (integer MJD) of a candidate with measurements at these times (MJD), compatible with an event."""
    from mma_pipeline.science.kilonova.assess import admits, locate
    from mma_pipeline.science.kilonova.bands import band_index
    from mma_pipeline.science.kilonova.measured import earlier_detections

    merger = merger_mjd(record)
    first = min((m.mjd for m in everything if m.detected and m.mjd >= merger), default=None)
    if first is None or not admits(locate(skymap_of(archive, record), here.ra, here.dec), merger, first):
        return []
    if earlier_detections(everything, merger, look_back_days):
        usable = [m.mjd for m in everything if m.detected and m.mjd >= merger and band_index(m.band) >= 0]
        return [int(min(usable))] if usable else []
    return sorted({int(t) for t in times if merger <= t <= merger + WATCHED_DAYS})


class CandidateSource:
    """One night of one candidate of one event, read lazily."""

    def __init__(self, archive: Archive, partition_key: str, settings: Settings) -> None:
        """Look the candidate up; raises NoticeError for a malformed key and NotFoundError for an unknown candidate.

        The key of an old name, of a candidate that has become part of another, gives that one's night.
        """
        self.archive = archive
        self.settings = settings
        self.photometry = PhotometryArchive(archive)
        asked = CandidateNight.from_partition_key(partition_key)
        self.record = self.photometry.by_slug(asked.slug)
        self.key = replace(asked, slug=self.record.slug)

    @property
    def name(self) -> str:
        """Name of the candidate."""
        return self.record.candidate.name

    @property
    def withdrawn(self) -> bool:
        """Whether the event was retracted, or has no map."""
        return current_version(self.archive, self.key.event_id) is None

    @cached_property
    def version(self) -> VersionRecord:
        """The event's current version; raises NotFoundError if the event was retracted or has no map."""
        record = current_version(self.archive, self.key.event_id)
        if record is None:
            raise NotFoundError(f"{self.key.event_id} has no map (any more): its candidates are not scored")
        return record

    @cached_property
    def measurements(self) -> list[ArchivedMeasurement]:
        """All measurements up to the end of the night, by time."""
        return [m for m in self.photometry.measurements(self.name) if m.measurement.mjd < self.key.night + 1]

    @property
    def skymap(self) -> SkyMap:
        """Map of the current version."""
        return skymap_of(self.archive, self.version)

    @cached_property
    def event(self) -> Event:
        """The event's properties that the classifier uses."""
        from mma_pipeline.science.kilonova.lightcurve import Event
        from mma_pipeline.science.skymaps.statistics import map_distance

        distance, deviation = map_distance(self.skymap) or (None, None)
        return Event(merger_mjd(self.version), distance, deviation, self.record.candidate.ebv)

    def vetting(self) -> Mapping[str, Any]:
        """The verdicts of catalogs and packets on this candidate, as JSON values."""
        measured = [m.measurement for m in self.photometry.measurements(self.name)]
        subject, until = [(self.record, measured)], self.key.night + 1.0
        found = vet_candidates(self.archive, merger_mjd(self.version), subject, until, self.settings)
        return found[self.name]

    def assess(self, vetting: Mapping[str, Any] | None = None) -> Mapping[str, Any] | None:
        """The score of this night as published, with its vetting where that is given; None if nothing has been detected yet.

        The status of a candidate that was detected before the merger is `excluded`, and `excluded_by` lists these detections.
        """
        from mma_pipeline.science.kilonova.assess import assess
        from mma_pipeline.science.kilonova.measured import light_curve
        from mma_pipeline.science.kilonova.model import digest, packaged

        facts, here = self.version.facts, self.record.candidate
        model, host = packaged(), host_of(vetting)
        measured = [m.measurement for m in self.photometry.measurements(self.name)]
        numbers = assess(
            model,
            light_curve([m.measurement for m in self.measurements]),
            self.event,
            self.skymap,
            (here.ra, here.dec),
            has_remnant=facts.get("properties", {}).get("HasRemnant"),
            terrestrial=facts.get("classification", {}).get("Terrestrial"),
            redshift=here.redshift,
            host=host.distance,
            host_chance=host.chance,
        )
        if numbers is None:
            return None
        return published(
            with_vetting(numbers, vetting),
            self.key,
            self.record,
            self.version,
            self.event,
            measured,
            model=digest(model)[:16],
            look_back_days=self.settings.kilonova.look_back_days,
        )


def published(
    numbers: Mapping[str, Any],
    key: CandidateNight,
    record: ArchivedCandidate,
    version: VersionRecord,
    event: Event,
    measured: Sequence[Measurement],
    *,
    model: str,
    look_back_days: float,
) -> Mapping[str, Any]:
    """What is archived and published of a night of a candidate.

    Args:
        numbers: the assessment.
        key: which night.
        record: the candidate.
        version: whose map was used.
        event: what the classifier was told of the event.
        measured: all measurements of the candidate, of later nights too.
        model: digits that name the model.
        look_back_days: days before the merger in which detections exclude it.
    """
    from mma_pipeline.science.kilonova.bands import unused_bands
    from mma_pipeline.science.kilonova.measured import as_values, earlier_detections

    # Points that came later count too: what was there before the merger is excluded in every night.
    earlier = earlier_detections(measured, event.merger_mjd, look_back_days)
    if earlier:
        numbers = {**numbers, "status": "excluded", "excluded_by": as_values(earlier)}
    here = record.candidate
    result = {
        "candidate": here.name,
        "event_id": key.event_id,
        "night": key.night,
        "version": version.partition_key,
        "ra": here.ra,
        "dec": here.dec,
        "ebv": here.ebv,
        "simulated": record.simulated,
        "distance_mpc": event.distance_mpc,
        "distance_sigma_mpc": event.distance_sigma_mpc,
        "model": model,
        "unused_bands": unused_bands(m.band for m in measured if m.mjd < key.night + 1),
        # Why there is no posterior, if the notice does not say what a prior needs.
        "no_prior": (no_source_words(version.facts) or None) if numbers["prior"] is None else None,
        **numbers,
    }
    said = contradiction(result)
    return result if said is None else {**result, "contradiction": said}


class ScoredNight(CandidateSource):
    """One night as it was scored: the archived score and the version that it names, regardless of later data."""

    @cached_property
    def score(self) -> Mapping[str, Any] | None:
        """The archived score of this night; None if nothing was scored."""
        return self.photometry.score(self.key.partition_key)

    @cached_property
    def version(self) -> VersionRecord:
        """The version whose map the score used; the current one if nothing was scored.

        Raises NotFoundError if it was removed, or if nothing was scored and the event has no map.
        """
        return super().version if self.score is None else self.archive.version(str(self.score["version"]))
