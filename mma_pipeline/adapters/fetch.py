"""Fetches a small file by address or path: timeouts, three attempts, a bound on its size."""

from __future__ import annotations

from pathlib import Path

from mma_pipeline.adapters.errors import NotFoundError, PermanentError, TransientError

_CONNECT_S, _READ_S, _ATTEMPTS = 10.0, 30.0, 3
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
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

    for attempt in Retrying(
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_exponential(multiplier=0.5, max=5),
        retry=retry_if_exception_type(TransientError),
        reraise=True,
    ):
        with attempt:
            return _get(source)
    raise TransientError(f"{_shown(source)} did not answer")


def _get(url: str) -> bytes:
    import httpx

    try:
        with (
            httpx.Client(timeout=httpx.Timeout(_READ_S, connect=_CONNECT_S), follow_redirects=True) as client,
            client.stream("GET", url) as answer,
        ):
            if answer.status_code == 404:
                raise NotFoundError(f"{_shown(url)} is not there")
            if answer.status_code >= 500 or answer.status_code == 429:
                raise TransientError(f"{_shown(url)} answered {answer.status_code}")
            if answer.status_code != 200:
                raise PermanentError(f"{_shown(url)} answered {answer.status_code}")
            body = bytearray()
            for block in answer.iter_bytes():
                body += block
                if len(body) > _LARGEST:
                    raise PermanentError(f"{_shown(url)} sends more than {_LARGEST // 1_000_000} MB")
            return bytes(body)
    except httpx.HTTPError as error:
        raise TransientError(f"{_shown(url)} could not be fetched: {type(error).__name__}") from error


def _shown(url: str) -> str:
    """The address without what may be secret in it."""
    return url.split("?")[0].split("@")[-1]
