"""Content of an http(s) address, with a limit on the whole of it.

The timeouts of an HTTP client count from one byte to the next, so a server that trickles holds its client for ever. Here
the clock on the wall ends a download, whatever the server does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mma_pipeline.adapters.deadline import left
from mma_pipeline.adapters.errors import NotFoundError, PermanentError, TransientError

if TYPE_CHECKING:
    import httpx

_CONNECT_S, _READ_S = 10.0, 30.0
_BUSY = 429


def download(url: str, *, most_bytes: int, seconds: float) -> bytes:
    """Fetch an address within `seconds`, or within what `deadline.within` leaves of them.

    Raises NotFoundError for 404, PermanentError where the server refuses, sends more than `most_bytes` or the address
    is none; TransientError where it does not answer in time or says that it cannot now. Texts show the address without
    query and credentials.
    """
    return asyncio.run(_download(url, most_bytes, left(seconds)))


async def _download(url: str, most_bytes: int, seconds: float) -> bytes:
    import httpx

    waits = httpx.Timeout(_READ_S, connect=_CONNECT_S)
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(timeout=waits, follow_redirects=True) as client,
            client.stream("GET", url) as answer,
        ):
            _check(answer, url)
            body = bytearray()
            async for block in answer.aiter_bytes():
                body += block
                if len(body) > most_bytes:
                    raise PermanentError(f"{shown(url)} sends more than {most_bytes / 1e6:g} MB")
            return bytes(body)
    except TimeoutError:
        raise TransientError(f"{shown(url)} did not give all within {seconds:.3g} s") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise PermanentError(f"{shown(url)} is no address") from None
    except httpx.HTTPError as error:
        raise TransientError(f"{shown(url)} could not be fetched: {type(error).__name__}") from error


def _check(answer: httpx.Response, url: str) -> None:
    if answer.status_code == 404:
        raise NotFoundError(f"{shown(url)} is not there")
    if answer.status_code == _BUSY or answer.is_server_error:
        raise TransientError(f"{shown(url)} answered {answer.status_code}")
    if not answer.is_success:
        raise PermanentError(f"{shown(url)} answered {answer.status_code}")


def shown(url: str) -> str:
    """The address without what may be secret in it."""
    return url.split("?")[0].split("@")[-1]
