"""Which events are live, and their regions as one index: of the archive as it is, looked at anew when versions come."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.defs.candidates.scoring import current_versions, merger_mjd, skymap_of
from mma_pipeline.notices.model import Role, role_of
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.science.skymaps.fits import SkyMapError
from mma_pipeline.science.surveys.regions import LiveRegion, RegionIndex, live_region
from mma_pipeline.settings import SurveySettings

_log = logging.getLogger(__name__)

#: Seconds for which the regions of the archive's events are taken as they are.
LOOK_S = 3.0
#: Seconds after which all is looked at, whatever came: events end, versions are removed.
ALL_S = 900.0


def live_versions(archive: Archive, wanted: SurveySettings, now: datetime) -> list[VersionRecord]:
    """Current versions of events whose regions take candidates, by event."""
    # A version is created after its event, so older ones cannot be meant.
    events = PhotometryArchive(archive).events_since(now - timedelta(days=wanted.days))
    events = [e for e in events if wanted.mocks or role_of(e) is Role.OBSERVATION]
    now_mjd = mjd_of_datetime(now)
    found = current_versions(archive, events)
    return [found[e] for e in sorted(found) if merger_mjd(found[e]) >= now_mjd - wanted.days]


def region_of(archive: Archive, record: VersionRecord, wanted: SurveySettings) -> LiveRegion | None:
    """The region of a version; None where its map cannot be read (any more)."""
    try:
        skymap = skymap_of(archive, record)
    except SkyMapError as error:
        _log.error("%s has no region: %s", record.partition_key, error)
        return None
    return live_region(
        record.version.event_id,
        record.partition_key,
        skymap,
        merger_mjd(record),
        days=wanted.days,
        level=wanted.level,
    )


class LiveEvents:
    """The index of live regions, kept up to date; for one thread."""

    def __init__(
        self,
        archive: Archive,
        wanted: SurveySettings,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._archive, self._wanted, self._now = archive, wanted, now
        self._regions: dict[str, LiveRegion] = {}
        self._index = RegionIndex()
        self._looked = self._all = float("-inf")
        self._message = 0

    def index(self) -> RegionIndex:
        """The index of the moment: at most LOOK_S older than the archive. Raises TransientError."""
        clock = time.monotonic()
        if clock - self._looked < LOOK_S:
            return self._index
        brought = self._archive.brought_after(self._message)
        if brought or clock - self._all > ALL_S:
            self._rebuild()
            self._all = clock
            self._message = max((record.message_id for record in brought), default=self._message)
        self._looked = clock
        return self._index

    def _rebuild(self) -> None:
        regions: dict[str, LiveRegion] = {}
        for record in live_versions(self._archive, self._wanted, self._now()):
            key = record.partition_key
            found = self._regions.get(key) or region_of(self._archive, record, self._wanted)
            if found is not None:
                regions[key] = found
        if regions.keys() != self._regions.keys():
            self._index = RegionIndex(tuple(regions.values()))
            _log.info("live regions: %s", ", ".join(regions) or "none")
        self._regions = regions
