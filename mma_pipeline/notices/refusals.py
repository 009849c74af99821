"""What packets of a survey that cannot be used have in common: a cause and a night. A flood of one cause is one problem."""

from __future__ import annotations

import math
import re
from datetime import datetime

from mma_pipeline.notices.times import mjd_of_datetime

#: Characters of a cause.
_LONGEST = 200
_QUOTED = re.compile(r"(?<!\w)'[^']*'|\"[^\"]*\"")
#: Numbers, and names with digits in them: objects, offsets, places.
_VARIABLE = re.compile(r"\S*\d\S*|\b(?:nan|inf)\b\S*", re.IGNORECASE)


def cause_of(reason: str) -> str:
    """A reason without the numbers and names of the one packet."""
    return _VARIABLE.sub("#", _QUOTED.sub("#", reason))[:_LONGEST]


def night_of(received: datetime) -> int:
    """The night in which a message was received: whole days of the MJD (UTC)."""
    return math.floor(mjd_of_datetime(received))
