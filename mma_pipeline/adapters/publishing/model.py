"""The interface of a destination: how publications from the outbox are sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mma_pipeline.adapters.archive.publications import Answer, Draft, Publication

#: Stores at once what a later attempt needs to find out whether this one succeeded.
Note = Callable[[Mapping[str, Any]], None]


class Destination(Protocol):
    """One place that we publish to."""

    name: str
    settle_s: float
    """Seconds to wait after an attempt without an answer, until even a slow receiver has finished."""
    per_minute: int | None
    """Greatest number of publications in a minute; None for no limit."""

    def prepare(self, item: Publication) -> Mapping[str, Any]:
        """What to store before the first attempt, so that a later one can find out whether it succeeded."""

    def send(self, item: Publication, note: Note) -> Answer:
        """Send, unless the receiver has it already.

        `note` replaces what is stored about the attempt; it is durable when it returns.

        Raises PermanentError, TransientError, UncertainError or WaitingError.
        """

    def preview(self, item: Draft) -> Mapping[str, Any]:
        """What would be sent; sends no request."""
