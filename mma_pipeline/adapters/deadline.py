"""A common time limit for all network waits of one piece of work, such as a sensor's tick.

`with within(seconds):` begins the work; each wait inside asks `left(most)` how long it may take. A nested limit never
extends the outer one. Without a common limit, each wait has its own. The limit applies to the thread that set it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mma_pipeline.adapters.errors import OutOfTimeError

_until: ContextVar[float | None] = ContextVar("mma_deadline", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Limit the sum of all waits inside to some seconds."""
    until, outer = time.monotonic() + seconds, _until.get()
    token = _until.set(until if outer is None else min(until, outer))
    try:
        yield
    finally:
        _until.reset(token)


def left(most: float) -> float:
    """Seconds that a wait may take: `most`, or less if the common limit is nearer.

    Raises OutOfTimeError if no time is left.
    """
    until = _until.get()
    if until is None:
        return most
    remaining = until - time.monotonic()
    if remaining <= 0:
        raise OutOfTimeError("no time is left for another request: the next attempt makes it")
    return min(most, remaining)
