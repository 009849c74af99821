"""The key of one night of one event, in which all its candidates are scored together: `S230518h-MJD60083`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.key import EVENT_ID

_KEY = re.compile(rf"(?P<event>{EVENT_ID.pattern})-MJD(?P<night>\d{{5,6}})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class EventNight:
    """One night of one event."""

    event_id: str
    night: int
    """Whole days of the MJD (UTC)."""

    @property
    def partition_key(self) -> str:
        """Key such as `S230518h-MJD60083`."""
        return f"{self.event_id}-MJD{self.night}"

    @classmethod
    def from_partition_key(cls, key: str) -> EventNight:
        """Parse a key; raises NoticeError if it is none."""
        match = _KEY.fullmatch(key)
        if match is None:
            raise NoticeError(f"{key[:80]!r} is not a night of an event such as S230518h-MJD60083")
        return cls(match["event"], int(match["night"]))
