"""Names of the checks of a candidate and of what comes of them."""

from __future__ import annotations

from enum import StrEnum


class Check(StrEnum):
    """What is looked at, in the order in which it is told."""

    HOST = "host"
    STAR = "star"
    AGN = "agn"
    MINOR_PLANET = "minor_planet"
    EARLIER = "earlier"


class Outcome(StrEnum):
    """What came of a check."""

    FOUND = "found"
    """Something is there: a host, a star, a detection before the event."""
    DOUBTFUL = "doubtful"
    """Something is there, and may be something else."""
    NOTHING = "nothing"
    """Looked, and nothing is there."""
    UNKNOWN = "unknown"
    """Nothing to look at: no table, or the packet does not say."""
