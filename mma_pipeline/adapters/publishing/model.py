"""What a destination does with what the outbox holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mma_pipeline.adapters.archive.publications import Answer, Draft, Publication

#: Keeps, at once, what a later attempt needs to find out whether this one got through.
Note = Callable[[Mapping[str, Any]], None]


class Destination(Protocol):
    """One place that we publish to."""

    name: str
    settle_s: float
    """Seconds to wait after an attempt without answer, until a slow receiver has surely stored it or not."""
    per_minute: int | None
    """At most so many publications in a minute; None for no limit."""

    def prepare(self, item: Publication) -> Mapping[str, Any]:
        """What to remember before the first attempt, so that a later one can look whether it got through."""

    def send(self, item: Publication, note: Note) -> Answer:
        """Send, after looking whether it is there already.

        `note` replaces what is kept of the attempt, and is durable when it returns.

        Raises PermanentError, TransientError, UncertainError or WaitingError.
        """

    def preview(self, item: Draft) -> Mapping[str, Any]:
        """What would be sent, without calling anything."""
