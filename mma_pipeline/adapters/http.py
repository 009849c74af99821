"""Fetches a small file by address or path: a limit on time and size, three attempts."""

from __future__ import annotations

from pathlib import Path

from mma_pipeline.adapters.download import download, shown
from mma_pipeline.adapters.errors import NotFoundError, OutOfTimeError, PermanentError, TransientError

_ATTEMPTS = 3
#: Seconds that one attempt may take from beginning to end; less where `deadline.within` leaves less.
_ATTEMPT_S = 120.0
_LARGEST = 200_000_000


def fetch(source: str) -> bytes:
    """Content of an http(s) address or a local file (path or file://), at most 200 MB.

    Raises NotFoundError where there is none, TransientError where the server does not answer, PermanentError where it
    refuses.
    """
    if not source.startswith(("http://", "https://")):
        path = Path(source.removeprefix("file://"))
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise NotFoundError(f"there is no file {path}") from None
        except OSError as error:
            raise PermanentError(f"{path} cannot be read: {error.strerror}") from error
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

    for attempt in Retrying(
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_exponential(multiplier=0.5, max=5),
        retry=retry_if_exception(_worth_another_try),
        reraise=True,
    ):
        with attempt:
            return download(source, most_bytes=_LARGEST, seconds=_ATTEMPT_S)
    raise TransientError(f"{shown(source)} did not answer")


def _worth_another_try(error: BaseException) -> bool:
    return isinstance(error, TransientError) and not isinstance(error, OutOfTimeError)
