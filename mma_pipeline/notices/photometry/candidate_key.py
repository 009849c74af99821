"""The key of one night of one candidate of one event, a Dagster partition.

`S230518h-AT2017gfo-MJD57983`: event, candidate and integer MJD, so the key depends only on the measurement, not on the
order of arrival. Names with characters unsuitable for keys or paths become a slug.
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
    """A name for keys and paths: unchanged if it is safe, else with `_` and six digits of a digest.

    The digest distinguishes `AT 2017gfo` from `AT_2017gfo`. Raises NoticeError for an unusable name.
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
    """Integer MJD."""

    @property
    def partition_key(self) -> str:
        """Key such as `S230518h-AT2017gfo-MJD57983`."""
        return f"{self.event_id}-{self.slug}-MJD{self.night}"

    @classmethod
    def from_partition_key(cls, key: str) -> CandidateNight:
        """Parse a key; raises NoticeError if it is malformed."""
        match = _KEY.fullmatch(key)
        if match is None:
            raise NoticeError(f"{key[:80]!r} is not a candidate night such as S230518h-AT2017gfo-MJD57983")
        return cls(match["event"], match["slug"], int(match["night"]))
