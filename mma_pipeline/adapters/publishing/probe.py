"""Whether a destination can be reached with our credentials, found out without publishing anything."""

from __future__ import annotations

from dataclasses import replace

from .gwtm import GwtmDestination
from .hopskotch import HopskotchDestination
from .model import Destination

#: An event whose galaxy list may be asked for; the site keeps it for tests.
_ASKED = "MS181101ab"
#: Seconds that a topic may take to answer somebody who waits at a terminal.
TIMEOUT_S = 10.0


def probe(destination: Destination) -> str:
    """What was found, in words; raises AdapterError where the destination does not work."""
    if isinstance(destination, GwtmDestination):
        # Alerts are shown to anybody; galaxy lists only to those with a token.
        destination.client.galaxies(_ASKED, destination.groupname)
        rows = destination.client.alerts(_ASKED)
        return (
            f"the site answers and knows our token ({len(rows)} rows of {_ASKED}); the right to post shows with a post"
        )
    if isinstance(destination, HopskotchDestination):
        topic = replace(destination, timeout_s=min(destination.timeout_s, TIMEOUT_S))
        try:
            ends = topic.ends()
        finally:
            topic.close()
        return (
            f"topic {topic.topic}: {len(ends)} partitions, {sum(ends.values())} messages; writing shows with a message"
        )
    return "configured; a webhook can only be tried by a message"
