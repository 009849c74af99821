"""The common retry rule: errors that may pass are retried a few times, with doubling pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mma_pipeline.adapters.errors import OutOfTimeError, StoreFullError, TransientError, UncertainError

if TYPE_CHECKING:
    import tenacity


def attempts(count: int, *, first_s: float = 0.5, longest_s: float = 10.0) -> tenacity.Retrying:
    """`for attempt in attempts(3): with attempt: …`, or `attempts(3)(function, …)`; the last error is raised as it is.

    Args:
        count: attempts in all.
        first_s: pause before the second attempt in seconds, doubled for each after it.
        longest_s: longest pause, seconds.
    """
    import tenacity

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(worth_another),
        stop=tenacity.stop_after_attempt(count),
        wait=tenacity.wait_exponential(multiplier=first_s, max=longest_s),
        reraise=True,
    )


def worth_another(error: BaseException) -> bool:
    """Whether the same request may succeed within this piece of work, and may be repeated without a query."""
    never = OutOfTimeError | StoreFullError | UncertainError
    return isinstance(error, TransientError) and not isinstance(error, never)
