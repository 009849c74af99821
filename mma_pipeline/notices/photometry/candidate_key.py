"""The key of one night of one candidate of one event, which is a Dagster partition of photometry.

`S230518h-AT2017gfo-MJD57983`: event, candidate, and the whole days of the MJD, so the key depends on the measurement
alone, never on the order of arrival. Names with characters that a key or a path should not hold become a slug.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.key import EVENT_ID
from mma_pipeline.notices.photometry.measurement import check_name

_UNSAFE = re.compile(r"[^A-Za-z0-9._+\-]")
_KEY = re.compile(
    rf"(?P<event>{EVENT_ID.pattern})-(?P<slug>[A-Za-z0-9][A-Za-z0-9._+~\-]{{0,79}})-MJD(?P<night>\d{{5,6}})", re.ASCII
)


def slug_of(name: str) -> str:
    """A name for keys and paths: unchanged where it is safe, else with `_` and six digits of a digest.

    The digest keeps `AT 2017gfo` and `AT_2017gfo` apart. Raises NoticeError for a name that is none.
    """
    checked = check_name(name)
    safe = _UNSAFE.sub("_", checked)
    return safe if safe == checked else f"{safe}~{hashlib.sha256(checked.encode()).hexdigest()[:6]}"


@dataclass(frozen=True, slots=True, order=True)
class CandidateNight:
    """One night of one candidate of one event."""

    event_id: str
    slug: str
    night: int
    """Whole days of the MJD."""

    @property
    def partition_key(self) -> str:
        """Key such as `S230518h-AT2017gfo-MJD57983`."""
        return f"{self.event_id}-{self.slug}-MJD{self.night}"

    @classmethod
    def from_partition_key(cls, key: str) -> CandidateNight:
        """Parse a key; raises NoticeError if it is none."""
        match = _KEY.fullmatch(key)
        if match is None:
            raise NoticeError(f"{key[:80]!r} is not a candidate night such as S230518h-AT2017gfo-MJD57983")
        return cls(match["event"], match["slug"], int(match["night"]))
