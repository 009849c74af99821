"""Problems that a person must look at, as typed values, for health, doctor, metrics, messages and the UI.

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
    """Kinds of problems; the values are labels of metrics and part of messages' keys, and do not change."""

    NO_DAEMON = "no_daemon"
    """No Dagster daemon has ever run."""
    DAEMON_SILENT = "daemon_silent"
    """A daemon has no young heartbeat."""
    STREAM_UNREAD = "stream_unread"
    """A stream's sensor does not look at its broker."""
    STREAM_BEHIND = "stream_behind"
    """More messages wait at the broker than a few ticks can take."""
    CREDENTIAL = "credential"
    """A credential never worked, or no longer does."""
    GCN_SILENT = "gcn_silent"
    """GCN's heartbeat is old."""
    VERSIONS_UNFINISHED = "versions_unfinished"
    """Versions lack products although they had their time."""
    PUBLICATIONS_FAILED = "publications_failed"
    """Publications were given up."""
    STORE_AWAY = "store_away"
    """The store does not answer, or refuses."""
    QUARANTINE = "quarantine"
    """A message of a real event, or of one that cannot be told, could not be used."""
    DEGRADED = "degraded"
    """A real event's version was made without what is wrong in its alert."""
    RUN_FAILED = "run_failed"
    """A run failed for good."""
    PUBLICATION_BLOCKED = "publication_blocked"
    """A check keeps a real event's version from being published."""
    PUBLICATION_LATE = "publication_late"
    """A real event's version, or a row or message of it, waits for longer than it should."""
    PUBLISHED_BARE = "published_bare"
    """A real event's version went out without its map's values, because its products failed for good."""


#: Kinds of which people are told, case by case, where they arise; the watch does not tell them a second time.
TOLD_WHERE_THEY_ARISE = frozenset({Kind.PUBLICATIONS_FAILED, Kind.RUN_FAILED})
#: Kinds that may pass by themselves within a minute: people are told when they are seen a second time.
PASSING = frozenset(
    {
        Kind.NO_DAEMON,
        Kind.DAEMON_SILENT,
        Kind.STREAM_UNREAD,
        Kind.STREAM_BEHIND,
        Kind.CREDENTIAL,
        Kind.GCN_SILENT,
        Kind.STORE_AWAY,
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that a person must look at."""

    kind: Kind
    text: str
    """One sentence: what is wrong, and what to do."""
    subject: str = ""
    """What tells it from others of its kind and stays the same while it lasts: a stream, a version, a message."""
    event: str | None = None
    """Superevent that it is about, if it is about one."""
    since: datetime | None = None
    """When it began, UTC; None where only the one who watches knows."""

    @property
    def key(self) -> str:
        """Identity: the same problem seen again has the same key, whatever its numbers say by then."""
        return f"{self.kind}:{self.subject}"

    def dated(self) -> str:
        """The text with the time since when, to the minute."""
        return self.text if self.since is None else f"{self.text} (since {self.since:%Y-%m-%d %H:%M} UTC)"

    def __str__(self) -> str:
        return self.text


def counted(problems: Iterable[Problem]) -> dict[Kind, int]:
    """How many problems there are of each kind, those with none included."""
    found = Counter(problem.kind for problem in problems)
    return {kind: found[kind] for kind in Kind}
