"""What the sensor of pointings remembers of its sources between ticks: its cursor, which health reads too."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

#: The sensor that keeps it.
SENSOR = "pointings_sensor"


@dataclass
class Looks:
    """What is remembered of a source."""

    asked: dict[str, str] = field(default_factory=dict)
    """When each live event was asked for."""
    failures: int = 0
    """In a row."""
    not_before: str | None = None
    """When it is asked again after a failure."""
    error: str | None = None
    """What went wrong last; None while it answers."""
    since: str | None = None
    """When the first of these failures was."""

    def succeeded(self) -> None:
        """The source answered."""
        self.failures, self.not_before, self.error, self.since = 0, None, None, None

    def failed(self, error: str, now: datetime, interval: timedelta, longest: timedelta) -> timedelta:
        """The source failed; returns the pause, which doubles each time up to the longest."""
        self.failures += 1
        pause: timedelta = min(interval * 2 ** min(self.failures, 10), longest)
        self.not_before, self.error, self.since = (now + pause).isoformat(), error, self.since or now.isoformat()
        return pause


@dataclass
class Memory(Looks):
    """What the sensor remembers; what it has inherited is of the Treasure Map."""

    change: int = 0
    """Last change of a pointing that it has looked at."""
    tom: Looks = field(default_factory=Looks)

    @classmethod
    def read(cls, text: str | None) -> Memory:
        """From a cursor, one of an earlier release included."""
        found = json.loads(text) if text else {}
        return cls(**{**found, "tom": Looks(**found.get("tom", {}))})

    def to_json(self) -> str:
        """As a cursor."""
        return json.dumps(asdict(self))

    @property
    def sources(self) -> dict[str, Looks]:
        """What is remembered of each source, by its name for people."""
        return {"the Treasure Map": self, "the TOM": self.tom}
