"""The key of one night of one candidate of one event, a Dagster partition.

`S230518h-57983zmal-AT2017gfo-57983`: event, mark, candidate and integer MJD, so the key depends only on the measurement, not
on the order of arrival. The mark is the night with four letters that stand for the candidate, so that the first twenty
characters, which the Dagster UI shows, tell nights and candidates apart. Where the event's id leaves no room for it, the mark
leads and the event ends the key. Names with characters unsuitable for keys or paths become a slug.

The former form, `S230518h-AT2017gfo-MJD57983`, names the score in the archive still, and the partitions that were made with it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.key import EVENT_ID, SHOWN
from mma_pipeline.notices.photometry.measurement import check_name

_UNSAFE = re.compile(r"[^A-Za-z0-9._+\-]")
_EVENT, _NIGHT = rf"(?P<event>{EVENT_ID.pattern})", r"(?P<night>\d{5,6})"
_SLUG = r"(?P<slug>[A-Za-z0-9][A-Za-z0-9._+~\-]{0,79})"
_KEY, _LONG_KEY, _FORMER_KEY = (
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"{_EVENT}-{_NIGHT}[a-z]{{4}}-{_SLUG}-\d{{5,6}}",
        rf"{_NIGHT}[a-z]{{4}}-{_SLUG}-{_EVENT}",
        rf"{_EVENT}-{_SLUG}-MJD{_NIGHT}",
    )
)
_LETTERS = 4
_EXAMPLE = "S230518h-57983zmal-AT2017gfo-57983"


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
        """Key such as `S230518h-57983zmal-AT2017gfo-57983`."""
        digest = hashlib.sha256(self.slug.encode()).digest()
        mark = f"{self.night}{''.join(chr(ord('a') + byte % 26) for byte in digest[:_LETTERS])}"
        if len(self.event_id) + 1 + len(mark) <= SHOWN:
            return f"{self.event_id}-{mark}-{self.slug}-{self.night}"
        return f"{mark}-{self.slug}-{self.event_id}"

    @property
    def score_key(self) -> str:
        """Key of its score in the archive, and of a partition that an earlier release made: `S230518h-AT2017gfo-MJD57983`."""
        return f"{self.event_id}-{self.slug}-MJD{self.night}"

    @classmethod
    def from_partition_key(cls, key: str) -> CandidateNight:
        """Parse a key of either form; raises NoticeError if it is malformed."""
        match = _FORMER_KEY.fullmatch(key) or _KEY.fullmatch(key) or _LONG_KEY.fullmatch(key)
        if match is None:
            raise NoticeError(f"{key[:80]!r} is not a candidate night such as {_EXAMPLE}")
        found = cls(match["event"], match["slug"], int(match["night"]))
        # A night has one spelling in each form: the letters are those of its candidate.
        if key not in (found.partition_key, found.score_key):
            raise NoticeError(f"{key[:120]!r} is not spelled as {found.partition_key}")
        return found
