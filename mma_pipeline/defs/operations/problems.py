"""Problems that need a person's attention, as typed values, for health, doctor, metrics, messages and the UI.

A new kind of problem is a member of `Kind`, a finder (`finders.FINDERS`), a row in docs/reliability.md and a situation in
`tests/delivery/test_problems.py`, which fails until all four are there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """Kinds of problems. The values are labels of metrics and parts of messages' keys, so they must not change."""

    NO_DAEMON = "no_daemon"
    """No Dagster daemon has ever run."""
    DAEMON_SILENT = "daemon_silent"
    """A daemon has no recent heartbeat."""
    NO_STREAM = "no_stream"
    """No stream at all is connected."""
    STREAM_UNREAD = "stream_unread"
    """A stream's sensor does not read its broker."""
    STREAM_BEHIND = "stream_behind"
    """More messages wait at the broker than a few ticks can read."""
    CREDENTIAL = "credential"
    """A credential never worked, or no longer does."""
    GCN_SILENT = "gcn_silent"
    """GCN's heartbeat is old."""
    VERSIONS_UNFINISHED = "versions_unfinished"
    """Versions lack products after the time allowed."""
    PUBLICATIONS_FAILED = "publications_failed"
    """Publications failed for good."""
    STORE_AWAY = "store_away"
    """The store does not answer, or refuses access."""
    QUEUE_AWAY = "queue_away"
    """The resident workers' queue does not answer, or refuses access."""
    NO_WORKER = "no_worker"
    """No resident worker serves the queue."""
    QUARANTINE = "quarantine"
    """A message of a real or unknown event could not be used."""
    MESSAGES_LOST = "messages_lost"
    """A broker dropped messages of a stream before they were read."""
    POINTINGS_UNREAD = "pointings_unread"
    """The Treasure Map or the TOM does not say what of live events is covered."""
    DEGRADED = "degraded"
    """A real event's version was made without the wrong parts of its alert."""
    RUN_FAILED = "run_failed"
    """A run failed for good."""
    PUBLICATION_BLOCKED = "publication_blocked"
    """A check keeps a real event's version from being published."""
    PUBLICATION_LATE = "publication_late"
    """A real event's version, or a row or message of it, waits longer than it should."""
    PUBLISHED_BARE = "published_bare"
    """A real event's version went out without its map's values, because its products failed for good."""


#: Kinds that are reported to people where they arise, case by case; the health sensor does not report them again.
TOLD_WHERE_THEY_ARISE = frozenset({Kind.PUBLICATIONS_FAILED, Kind.RUN_FAILED})
#: Kinds that may pass by themselves within a minute: they are reported when seen a second time.
PASSING = frozenset(
    {
        Kind.NO_DAEMON,
        Kind.DAEMON_SILENT,
        Kind.NO_STREAM,
        Kind.STREAM_UNREAD,
        Kind.STREAM_BEHIND,
        Kind.CREDENTIAL,
        Kind.GCN_SILENT,
        Kind.STORE_AWAY,
        Kind.QUEUE_AWAY,
        Kind.NO_WORKER,
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that needs a person's attention."""

    kind: Kind
    text: str
    """One sentence: what is wrong, and what to do."""
    subject: str = ""
    """What distinguishes it from others of its kind and stays the same while it lasts: a stream, a version, a message."""
    event: str | None = None
    """Superevent that it is about, if it is about one."""
    since: datetime | None = None
    """When it began, UTC; None if only the health sensor knows."""

    @property
    def key(self) -> str:
        """Identity: the same problem seen again has the same key, even if its numbers differ."""
        return f"{self.kind}:{self.subject}"

    def dated(self) -> str:
        """The text with its beginning, to the minute."""
        return self.text if self.since is None else f"{self.text} (since {self.since:%Y-%m-%d %H:%M} UTC)"

    def __str__(self) -> str:
        return self.text


def counted(problems: Iterable[Problem]) -> dict[Kind, int]:
    """Number of problems of each kind, including kinds without any."""
    found = Counter(problem.kind for problem in problems)
    return {kind: found[kind] for kind in Kind}
