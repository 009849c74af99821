"""All events in memory, as lists show them, kept current with the archive.

A list of 10,000 events would otherwise read every version's facts for each request. Here a request costs one statement that
says whether a version came or went; only what is new is read. What no statement shows (map statistics made again) is read
anew every ten minutes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.overview import all_versions, state_of_versions, statistics_of, version_keys
from mma_pipeline.portal.summary import EventFilter, EventSummary, summary_of

#: The file whose statistics describe a map.
STATISTICS = "statistics"
#: What lists show of a map.
_KEPT = ("area_50_deg2", "area_90_deg2", "distance_mean_mpc", "distance_std_mpc")
#: Seconds in which the archive is asked at most once.
_CURRENT_S = 1.0
#: Seconds after which everything is read anew.
_ANEW_S = 600.0
#: Versions without statistics that are looked up again each time: the newest, since others will hardly get any.
_AWAITED = 400
#: Versions that are remembered in the order in which they came.
_REMEMBERED = 2000


@dataclass(frozen=True, slots=True)
class Arrival:
    """A version that came while this process looked."""

    number: int
    """Counts up in this process."""
    record: VersionRecord


class EventList:
    """The events of an archive; safe to share between threads."""

    def __init__(self, archive: Archive) -> None:
        """Read nothing yet."""
        self._archive = archive
        self._lock = threading.Lock()
        self._events: dict[str, EventSummary] = {}
        self._ordered: tuple[EventSummary, ...] = ()
        self._event_of: dict[str, str] = {}
        self._awaited: set[str] = set()
        self._maps: dict[str, dict[str, Any]] = {}
        self._state: tuple[int, int] | None = None
        self._asked = self._read = float("-inf")
        self._arrivals: deque[Arrival] = deque(maxlen=_REMEMBERED)
        self._number = 0

    def current(self) -> tuple[EventSummary, ...]:
        """All events, newest first; what the archive had at most a second ago."""
        if time.monotonic() - self._asked > _CURRENT_S:
            with self._lock:
                if time.monotonic() - self._asked > _CURRENT_S:
                    self._follow()
                    self._asked = time.monotonic()
        return self._ordered

    def page(self, wanted: EventFilter, start: int, size: int) -> tuple[list[EventSummary], int]:
        """Some of the events that a filter takes, newest first, and how many it takes."""
        found = [event for event in self.current() if wanted.takes(event)]
        return found[start : start + size], len(found)

    def find(self, event_id: str) -> EventSummary | None:
        """One event; None if it is not archived."""
        self.current()
        return self._events.get(event_id)

    def arrivals(self, after: int) -> list[Arrival]:
        """Versions that came after a number, in order."""
        self.current()
        return [arrival for arrival in tuple(self._arrivals) if arrival.number > after]

    @property
    def last_arrival(self) -> int:
        """Number of the version that came last."""
        return self._number

    def _follow(self) -> None:
        state = state_of_versions(self._archive)
        now = time.monotonic()
        if self._state is None or now - self._read > _ANEW_S:
            self._read_all()
            self._read = now
        elif state != self._state:
            self._take_changes(self._state)
        self._state = state
        self._take_statistics()

    def _read_all(self) -> None:
        first = self._state is None
        known = set(self._event_of)
        self._maps = {key: _kept(found) for key, found in statistics_of(self._archive, STATISTICS)}
        grouped: dict[str, list[VersionRecord]] = {}
        fresh: list[VersionRecord] = []
        self._event_of = {}
        lacking: list[VersionRecord] = []
        for record in all_versions(self._archive):
            grouped.setdefault(record.version.event_id, []).append(record)
            self._event_of[record.partition_key] = record.version.event_id
            if record.partition_key not in known:
                fresh.append(record)
            if record.has_map and record.partition_key not in self._maps:
                lacking.append(record)
        self._events = {event: summary_of(records, self._maps) for event, records in grouped.items()}
        lacking.sort(key=lambda record: record.message_id)
        self._awaited = {record.partition_key for record in lacking[-_AWAITED:]}
        self._order()
        if not first:
            self._remember(fresh)

    def _take_changes(self, before: tuple[int, int]) -> None:
        """Read what came; find out what went, or came by the retry of an older message, where the numbers do not add up."""
        fresh = {record.partition_key: record for record in self._archive.brought_after(before[1])}
        came = {key for key in fresh if key not in self._event_of}
        touched = {fresh[key].version.event_id for key in came}
        count, _ = state_of_versions(self._archive)
        if len(self._event_of) + len(came) != count:
            keys = version_keys(self._archive)
            touched |= {event for key, event in self._event_of.items() if key not in keys}
            others = keys - self._event_of.keys() - came
            fresh |= self._archive.versions_at(others)
            came |= others & fresh.keys()
            touched |= {fresh[key].version.event_id for key in others & fresh.keys()}
        self._awaited |= {key for key in came if fresh[key].has_map}
        self._summarise(touched)
        self._remember([fresh[key] for key in came])

    def _take_statistics(self) -> None:
        if not self._awaited:
            return
        found = {key: _kept(made) for key, made in statistics_of(self._archive, STATISTICS, self._awaited)}
        if found:
            self._maps |= found
            self._awaited -= found.keys()
            self._summarise({self._event_of[key] for key in found if key in self._event_of})

    def _summarise(self, events: Iterable[str]) -> None:
        touched = set(events)
        records = self._archive.versions_of(touched)
        for key in [key for key, event in self._event_of.items() if event in touched]:
            del self._event_of[key]
        for event in touched:
            self._events.pop(event, None)
        for event, versions in records.items():
            self._events[event] = summary_of(versions, self._maps)
            self._event_of |= {record.partition_key: event for record in versions}
        self._awaited &= self._event_of.keys()
        self._order()

    def _order(self) -> None:
        self._ordered = tuple(sorted(self._events.values(), key=lambda event: (event.when, event.event), reverse=True))

    def _remember(self, records: Sequence[VersionRecord]) -> None:
        for record in sorted(records, key=lambda r: (r.message_id, r.version)):
            self._number += 1
            self._arrivals.append(Arrival(self._number, record))


def _kept(statistics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: statistics[name] for name in _KEPT if statistics.get(name) is not None}
