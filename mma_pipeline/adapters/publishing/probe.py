"""Tests whether a destination can be reached with our credentials, without publishing anything."""

from __future__ import annotations

from dataclasses import replace

from mma_pipeline.adapters.errors import CredentialsError
from mma_pipeline.adapters.publishing.gwtm import GwtmDestination
from mma_pipeline.adapters.publishing.hopskotch import HopskotchDestination
from mma_pipeline.adapters.publishing.model import Destination
from mma_pipeline.notices.words import counted

#: An event whose galaxy list may be asked for; the site keeps it for tests.
_ASKED = "MS181101ab"
#: Seconds that a topic may take to answer a user at a terminal.
TIMEOUT_S = 10.0


def probe(destination: Destination) -> str:
    """The result as text; raises AdapterError if the destination does not work."""
    if isinstance(destination, GwtmDestination):
        # Anybody can read alerts; galaxy lists need a token.
        destination.client.galaxies(_ASKED, destination.groupname)
        rows = destination.client.alerts(_ASKED)
        if not destination.client.may_post():
            raise CredentialsError(
                "the site accepts our token, but it is not an administrator's: alerts and neutrino notices cannot be posted, "
                "mocks cannot be removed; ask the site for administrator rights"
            )
        return f"the site answers, and our token is an administrator's ({len(rows)} rows of {_ASKED})"
    if isinstance(destination, HopskotchDestination):
        topic = replace(destination, timeout_s=min(destination.timeout_s, TIMEOUT_S))
        try:
            ends = topic.ends()
        finally:
            topic.close()
        return f"topic {topic.topic}: {counted(len(ends), 'partition')}, {counted(sum(ends.values()), 'message')}; only a message can test writing"
    return "configured; only a message can test a webhook"
