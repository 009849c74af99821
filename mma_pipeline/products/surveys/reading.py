"""The resident reader of a survey's stream: takes messages as a member of a group, makes durable what they bring, commits.

What a batch brings becomes durable in this order: measurements, quarantine and counters in one transaction of the archive,
then the rows of the kept nights, then the group's offsets. A reader that dies anywhere on this way leaves messages that are
read again, and change nothing that is there. Without Dagster.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from mma_pipeline.adapters.archive.surveys import Beat, Place, SurveyArchive
from mma_pipeline.adapters.errors import TransientError
from mma_pipeline.adapters.kafka.group import GroupReader
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.retry import attempts
from mma_pipeline.adapters.surveys.kept_rows import KeptAlert
from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.adapters.surveys.packets import Formats
from mma_pipeline.notices.refusals import cause_of
from mma_pipeline.products.surveys.judging import judge
from mma_pipeline.science.surveys.regions import RegionIndex
from mma_pipeline.science.surveys.vetting import Thresholds

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: Messages taken at a time: some 35 MB of ZTF's packets.
BATCH = 500
#: Seconds that a batch may wait for its last message.
LINGER_S = 0.5
#: Rows, or seconds, after which the rows of the kept nights are written and offsets committed.
FLUSH_ROWS, FLUSH_S = 20_000, 15.0
#: Seconds between two signs of life.
BEAT_S = 15.0
#: How often archive and store are asked again, with pauses up to 10 s: together less than the group allows (`group.MOST_S`).
#: Then the process gives up, and whoever started it starts it anew.
ATTEMPTS = 12
#: Seconds over which the rate is averaged.
_RATE_S = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """What one round did."""

    messages: int
    kept: int
    quarantined: int
    committed: bool


class SurveyReader:
    """One reader, for one thread."""

    def __init__(
        self,
        source: GroupReader,
        archive: SurveyArchive,
        nights: RecentNights,
        regions: Callable[[], RegionIndex],
        *,
        formats: Formats,
        limits: Thresholds,
        member: str,
    ) -> None:
        """Read from `source`; `regions` gives the live events' regions of the moment, and is asked before each batch."""
        self._source, self._archive, self._nights, self._regions = source, archive, nights, regions
        self._formats, self._limits, self._member = formats, limits, member
        self._stream = source.config.name
        self._rows: list[KeptAlert] = []
        self._pending: dict[Place, int] = {}
        self._flushed = self._beaten = time.monotonic()
        self._problems: tuple[str, ...] = ()
        self._recent: deque[tuple[float, int]] = deque()

    def step(self) -> Step:
        """One round: take, judge, make durable; commit when it is time. Raises TransientError where archive or store stay away."""
        taken = self._source.take(BATCH, LINGER_S)
        self._follow_partitions()
        if taken.problems != self._problems:
            self._problems = taken.problems
            for problem in taken.problems:
                _log.warning("stream %s: %s", self._stream, problem)
        kept = quarantined = 0
        left = taken.messages
        for gap in taken.gaps:
            # What was read before the gap counts first: a gap moves the place up to which everything is counted.
            place = (gap.topic, gap.partition)
            before = tuple(m for m in left if (m.topic, m.partition) == place and m.offset < gap.wanted)
            left = tuple(m for m in left if (m.topic, m.partition) != place or m.offset >= gap.wanted)
            kept, quarantined = self._record(before, kept, quarantined)
            lose = partial(self._archive.lose, self._stream, place, gap.wanted, gap.resumed, self._beat())
            self._insist(lose)
        kept, quarantined = self._record(left, kept, quarantined)
        if time.monotonic() - self._beaten > BEAT_S:
            # Of all partitions: messages may come in one of them only.
            self._note_rate(0)
            beat, places = self._beat(), self._source.places
            self._insist(lambda: self._archive.beat(self._stream, places, beat))
            self._beaten = time.monotonic()
        due = len(self._rows) >= FLUSH_ROWS or time.monotonic() - self._flushed > FLUSH_S
        return Step(len(taken.messages), kept, quarantined, self.flush() if due else False)

    def _record(self, messages: Sequence[StreamMessage], kept: int, quarantined: int) -> tuple[int, int]:
        """Judge messages and make durable what they bring; returns how many more were kept and quarantined."""
        if not messages:
            return kept, quarantined
        regions = self._insist(self._regions)
        judged = judge(messages, self._formats, regions, self._limits)
        self._note_rate(len(messages))
        beat = self._beat()
        self._insist(lambda: self._archive.record(self._stream, judged.kept, judged.unusable, judged.outcomes, beat))
        self._say(judged.unusable)
        self._rows += judged.rows
        for message in messages:
            place = message.topic, message.partition
            self._pending[place] = max(self._pending.get(place, 0), message.offset + 1)
        return kept + len(judged.kept), quarantined + len(judged.unusable)

    def _say(self, unusable: Sequence[tuple[StreamMessage, str]]) -> None:
        """A line for each cause: a flood must not fill the log either."""
        by_cause: dict[str, list[tuple[StreamMessage, str]]] = {}
        for message, reason in unusable:
            by_cause.setdefault(cause_of(reason), []).append((message, reason))
        for together in by_cause.values():
            message, reason = together[0]
            more = f" and {len(together) - 1} like it" if len(together) > 1 else ""
            _log.warning("stream %s: %s%s cannot be used: %s", self._stream, message.coordinates, more, reason)

    def flush(self) -> bool:
        """Write the rows of the kept nights, then commit everything that is durable; returns whether the group took it."""
        rows = self._rows
        if rows:
            self._insist(lambda: self._nights.write(rows))
        self._rows = []
        self._flushed = time.monotonic()
        done = bool(self._pending) and self._source.commit(self._pending)
        self._pending = {}
        return done

    def close(self) -> None:
        """Make durable what is there, and leave the group."""
        try:
            self.flush()
        finally:
            self._source.close()

    def _follow_partitions(self) -> None:
        came, gone = self._source.changes()
        for place in gone:
            # Whoever has it now reads on from what was committed; rows that both write are one.
            self._pending.pop(place, None)
        if not came:
            return
        known = {
            (c.topic, c.partition): c.next_offset for c in self._insist(lambda: self._archive.partitions(self._stream))
        }
        for place in came:
            end = self._source.end_of(place)
            if known.get(place, 0) > end:
                _log.error("stream %s: %s/%d was created anew, its offsets begin again", self._stream, *place)
                self._insist(partial(self._archive.restart, self._stream, place))
        beat = self._beat()
        self._insist(lambda: self._archive.beat(self._stream, came, beat))

    def _beat(self) -> Beat:
        return Beat(self._member, datetime.now(UTC), self._source.waiting(), self._rate())

    def _note_rate(self, messages: int) -> None:
        now = time.monotonic()
        self._recent.append((now, messages))
        while self._recent[0][0] < now - _RATE_S:
            self._recent.popleft()

    def _rate(self) -> float | None:
        if len(self._recent) < 2:
            return None
        span = self._recent[-1][0] - self._recent[0][0]
        return sum(n for _, n in list(self._recent)[1:]) / span if span > 0 else None

    def _insist(self, work: Callable[[], _T]) -> _T:
        """Do it, again where archive or store were away; the same thing twice changes nothing."""
        for attempt in attempts(ATTEMPTS):
            with attempt:
                return work()
        raise TransientError("no attempt was made")
