"""The live events' regions as one index that follows the archive, and the search of a new map in the alerts of recent nights."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.live_events import LiveEvent, live_events, recent_version_keys
from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.products.maps import archived_map
from mma_pipeline.science.surveys.regions import LiveRegion, RegionIndex, live_region
from mma_pipeline.science.surveys.vetting import Reason, Thresholds

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)

#: The map of a version as sent; None where its message has none.
MapOf = Callable[[Archive, VersionRecord], bytes | None]
#: Before all nights that are kept.
_EARLIEST_MJD = 0.0


def map_as_sent(archive: Archive, record: VersionRecord) -> bytes | None:
    """The map of a version from its archived message."""
    return archived_map(archive, record)


class LiveRegions:
    """The index of the live events' regions; asked again, it is made anew only where the archive has changed.

    Args:
        archive: where versions and maps are.
        days: days after an event in which it is live.
        level: credible level of the region, 0 to 1.
        mocks: whether mock and test events count.
        triggers: whether events of other messengers count, which take no candidates of surveys.
        map_of: how the map of a version is fetched.
    """

    def __init__(
        self,
        archive: Archive,
        *,
        days: float,
        level: float,
        mocks: bool,
        triggers: bool = False,
        map_of: MapOf = map_as_sent,
    ) -> None:
        self._archive, self._days, self._level, self._map_of = archive, days, level, map_of
        self._which: dict[str, Any] = {"days": days, "mocks": mocks, "triggers": triggers}
        self._seen: tuple[object, ...] | None = None
        self._regions: dict[tuple[str, str], LiveRegion] = {}
        self._index = RegionIndex()
        self.unusable: Mapping[str, str] = {}
        """Live events whose map cannot be read, with the reason."""

    def index(self, first_mjd: float, last_mjd: float | None = None) -> RegionIndex:
        """The index of the events that are live in a span of time (MJD in days, UTC); of one moment by default.

        The very same object as before where nothing has changed. A new map, a retraction and an event read again out of
        quarantine are seen at once; a mere passing of days does not shrink the index within an hour.
        """
        last = first_mjd if last_mjd is None else last_mjd
        keys = recent_version_keys(self._archive, first_mjd, **self._which)
        seen = (keys, int(first_mjd * 24), int(last * 24))
        if seen != self._seen:
            self._make(live_events(self._archive, first_mjd, last, **self._which))
            self._seen = seen
        return self._index

    def _make(self, events: list[LiveEvent]) -> None:
        regions: dict[tuple[str, str], LiveRegion] = {}
        unusable = {}
        for event in events:
            key = (event.record.partition_key, event.map_sha256)
            try:
                regions[key] = self._regions.get(key) or self._region(event)
            except (NoticeError, ValueError) as error:
                unusable[event.event_id] = str(error)
                _log.warning("%s has no region: %s", event.record.partition_key, error)
        self.unusable = unusable
        if list(regions) != list(self._regions):
            self._regions, self._index = regions, RegionIndex(list(regions.values()))

    def _region(self, event: LiveEvent) -> LiveRegion:
        from mma_pipeline.science.skymaps.model import decode_skymap

        data = self._map_of(self._archive, event.record)
        if data is None:
            raise NoticeError("its message has no map (any more)")
        names = event.event_id, event.record.partition_key
        return live_region(*names, decode_skymap(data), event.t0_mjd, days=self._days, level=self._level)


@dataclass(frozen=True, eq=False)
class KeptSearch:
    """What the alerts of recent nights hold for one map."""

    candidates: pa.Table
    """Rows of alerts that may be the counterpart (`adapters/surveys/kept_rows.py`), by position."""
    inside: int
    """Alerts in the region since the event."""
    dropped: Mapping[Reason, int] = field(default_factory=dict)
    """How many of them are none, by reason."""


def search_kept(nights: RecentNights, region: LiveRegion, limits: Thresholds) -> KeptSearch:
    """Look for candidates of an event among the alerts of recent nights.

    An object is kept out by its own earlier alerts too, where those nights are kept.
    """
    import numpy as np
    import pyarrow as pa

    from mma_pipeline.science.surveys.many import BEFORE, KEPT, REASONS, vet_rows

    rows = nights.read(region.begin, region.end, _EARLIEST_MJD, region.until_mjd)
    verdict = vet_rows(_columns(rows), region.t0_mjd, limits)
    count = Counter(verdict.tolist())
    return KeptSearch(
        rows.filter(pa.array(verdict == KEPT)),
        int(np.count_nonzero(verdict != BEFORE)),
        {reason: count[number] for number, reason in enumerate(REASONS) if count[number]},
    )


def _columns(rows: pa.Table) -> Any:
    """Rows as arrays; NaN for what a packet does not say."""
    import numpy as np

    from mma_pipeline.science.surveys.many import AlertColumns

    def numbers(name: str) -> Any:
        return rows[name].to_numpy().astype(np.float64, copy=False)

    def flags(name: str) -> Any:
        return rows[name].to_numpy().astype(bool)

    survey = rows["survey"].combine_chunks()
    return AlertColumns(
        survey=np.asarray(survey.dictionary.to_pylist(), dtype=str)[survey.indices.to_numpy()],
        object_number=rows["object_id"].combine_chunks().dictionary_encode().indices.to_numpy(),
        mjd=numbers("mjd"),
        flux_njy=numbers("flux_njy"),
        flux_error_njy=numbers("flux_error_njy"),
        real_bogus=numbers("real_bogus"),
        star_score=numbers("star_score"),
        star_distance_arcsec=numbers("star_distance_arcsec"),
        solar_system=flags("solar_system"),
        solar_system_arcsec=numbers("solar_system_arcsec"),
        is_negative=flags("is_negative"),
        first_mjd=numbers("first_mjd"),
    )
