"""All events in memory, as lists show them, kept current with the archive.

A list of 10,000 events would otherwise read every version's facts for each request. Here a request costs one statement that
says whether a version came or went, and one for the claimed pairs; only what is new is read. What no statement shows (map
statistics made again) is read anew every ten minutes, without keeping anybody waiting.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.coincidences import PairRecord, claimed_pairs
from mma_pipeline.adapters.archive.overview import all_versions, state_of_versions, statistics_of, version_keys
from mma_pipeline.adapters.errors import AdapterError
from mma_pipeline.notices.key import spelled_event_id
from mma_pipeline.portal.summary import EventFilter, EventSummary, summary_of

_log = logging.getLogger(__name__)
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


@dataclass
class _Content:
    """What was drawn up from the archive."""

    state: tuple[int, int]
    """State of the versions when they were read (`state_of_versions`)."""
    events: dict[str, EventSummary] = field(default_factory=dict)
    event_of: dict[str, str] = field(default_factory=dict)
    """Event of each version."""
    maps: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Statistics of maps by version."""
    pairs: dict[str, tuple[PairRecord, ...]] = field(default_factory=dict)
    """Claimed pairs of events."""
    awaited: set[str] = field(default_factory=set)
    """Versions with a map whose statistics may still come."""


class EventList:
    """The events of an archive; safe to share between threads."""

    def __init__(self, archive: Archive) -> None:
        """Read nothing yet."""
        self._archive = archive
        self._lock = threading.Lock()
        self._content: _Content | None = None
        self._ordered: tuple[EventSummary, ...] = ()
        self._asked = self._read = float("-inf")
        self._reader: threading.Thread | None = None
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
        """One event by its id, in whatever case if only one is spelled like that; None if it is not archived."""
        ordered = self.current()
        exact = None if self._content is None else self._content.events.get(event_id)
        if exact is not None:
            return exact
        folded = event_id.casefold()
        alike = [event for event in ordered if event.event.casefold() == folded]
        return alike[0] if len(alike) == 1 else None

    def spelled(self, event_id: str) -> str:
        """The id of an event as it is archived, from the same in whatever case; as observatories spell it where it is not archived."""
        found = self.find(event_id)
        return spelled_event_id(event_id) if found is None else found.event

    def arrivals(self, after: int) -> list[Arrival]:
        """Versions that came after a number, in order."""
        self.current()
        return [arrival for arrival in tuple(self._arrivals) if arrival.number > after]

    @property
    def last_arrival(self) -> int:
        """Number of the version that came last."""
        return self._number

    def _follow(self) -> None:
        if self._content is None:
            self._content = self._read_all()
            self._order(self._content)
        elif time.monotonic() - self._read > _ANEW_S and (self._reader is None or not self._reader.is_alive()):
            # Nobody waits for it: what was drawn up is followed meanwhile.
            self._reader = threading.Thread(target=self._replace, name="events anew", daemon=True)
            self._reader.start()
        content = self._content
        state = state_of_versions(self._archive)
        if state != content.state:
            self._take_changes(content, state)
            content.state = state
        self._take_statistics(content)
        self._take_pairs(content)

    def _replace(self) -> None:
        try:
            content = self._read_all()
        except AdapterError:
            _log.exception("the list of events could not be drawn up anew: it is tried again")
            return
        with self._lock:
            # What came while this was read is taken by the next look, which compares with the older state.
            known = set() if self._content is None else set(self._content.event_of)
            missed = self._archive.versions_at(content.event_of.keys() - known)
            self._content = content
            self._remember(list(missed.values()))
            self._order(content)

    def _read_all(self) -> _Content:
        self._read = time.monotonic()
        content = _Content(state_of_versions(self._archive))
        content.maps = {key: _kept(found) for key, found in statistics_of(self._archive, STATISTICS)}
        content.pairs = claimed_pairs(self._archive)
        lacking: list[tuple[int, str]] = []
        for event, found in groupby(all_versions(self._archive), key=lambda record: record.version.event_id):
            records = list(found)
            content.events[event] = summary_of(records, content.maps, content.pairs.get(event, ()))
            for record in records:
                content.event_of[record.partition_key] = event
                if record.has_map and record.partition_key not in content.maps:
                    lacking.append((record.message_id, record.partition_key))
        content.awaited = {key for _, key in sorted(lacking)[-_AWAITED:]}
        return content

    def _take_changes(self, content: _Content, state: tuple[int, int]) -> None:
        """Read what came; find out what went, or came by the retry of an older message, where the numbers do not add up."""
        fresh = {record.partition_key: record for record in self._archive.brought_after(content.state[1])}
        came = {key for key in fresh if key not in content.event_of}
        touched = {fresh[key].version.event_id for key in came}
        if len(content.event_of) + len(came) != state[0]:
            keys = version_keys(self._archive)
            touched |= {event for key, event in content.event_of.items() if key not in keys}
            others = keys - content.event_of.keys() - came
            fresh |= self._archive.versions_at(others)
            came |= others & fresh.keys()
            touched |= {fresh[key].version.event_id for key in others & fresh.keys()}
        content.awaited |= {key for key in came if fresh[key].has_map}
        self._summarise(content, touched)
        self._remember([fresh[key] for key in came])

    def _take_statistics(self, content: _Content) -> None:
        if not content.awaited:
            return
        found = {key: _kept(made) for key, made in statistics_of(self._archive, STATISTICS, content.awaited)}
        if found:
            content.maps |= found
            content.awaited -= found.keys()
            self._summarise(content, {content.event_of[key] for key in found if key in content.event_of})

    def _take_pairs(self, content: _Content) -> None:
        """Few pairs are claimed, and a comparison changes them without a version: so they are read each time."""
        found = claimed_pairs(self._archive)
        if found != content.pairs:
            before, content.pairs = content.pairs, found
            changed = {event for event in found.keys() | before.keys() if found.get(event) != before.get(event)}
            self._summarise(content, changed & content.events.keys())

    def _summarise(self, content: _Content, touched: set[str]) -> None:
        records = self._archive.versions_of(touched)
        for key in [key for key, event in content.event_of.items() if event in touched]:
            del content.event_of[key]
        for event in touched:
            content.events.pop(event, None)
        for event, versions in records.items():
            content.events[event] = summary_of(versions, content.maps, content.pairs.get(event, ()))
            content.event_of |= {record.partition_key: event for record in versions}
        content.awaited &= content.event_of.keys()
        self._order(content)

    def _order(self, content: _Content) -> None:
        newest = sorted(content.events.values(), key=lambda event: (event.when, event.event), reverse=True)
        self._ordered = tuple(newest)

    def _remember(self, records: Sequence[VersionRecord]) -> None:
        for record in sorted(records, key=lambda r: (r.message_id, r.version)):
            self._number += 1
            self._arrivals.append(Arrival(self._number, record))


def _kept(statistics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: statistics[name] for name in _KEPT if statistics.get(name) is not None}
