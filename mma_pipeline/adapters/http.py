"""HTTP for all adapters: the client and its limits, downloads with a total time limit, and the meaning of answers.

Reading follows redirects and is repeated if that can help. Requests that change something go through `client`. It follows no
redirects, because they would carry a token or a message elsewhere, and repeats nothing: the publisher queries first. No text
shows the query or the credentials of an address.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mma_pipeline.adapters.deadline import left
from mma_pipeline.adapters.errors import (
    AdapterError,
    ConfigurationError,
    CredentialsError,
    NotFoundError,
    PermanentError,
    TransientError,
    UncertainError,
)
from mma_pipeline.adapters.redact import redact
from mma_pipeline.adapters.retry import attempts

if TYPE_CHECKING:
    import httpx

_CONNECT_S, _READ_S = 10.0, 30.0
_ATTEMPTS = 3
#: Seconds that one attempt of `fetch` may take from beginning to end; less where `deadline.within` leaves less.
_ATTEMPT_S = 120.0
_LARGEST = 200_000_000
#: Greatest number of characters of a server's answer that are kept.
_WORDS = 500
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_LATER = frozenset((408, 425, 429))
#: Answers of a gateway in front of the server, which may still be working.
_GATEWAY = frozenset((502, 503, 504))


def client(
    *, base: str = "", headers: Mapping[str, str] | None = None, transport: httpx.BaseTransport | None = None
) -> httpx.Client:
    """A client that follows no redirects; each request states its `timeouts`. `transport` is for tests."""
    import httpx

    return httpx.Client(
        base_url=base,
        headers=headers,
        timeout=httpx.Timeout(_READ_S, connect=_CONNECT_S),
        follow_redirects=False,
        transport=transport,
    )


def timeouts(seconds: float) -> httpx.Timeout:
    """Timeouts of one request: `seconds` for the answer, or what `deadline.within` leaves; a third to connect, at most 10 s.

    Raises OutOfTimeError if no time is left.
    """
    import httpx

    allowed = left(seconds)
    return httpx.Timeout(allowed, connect=min(_CONNECT_S, allowed / 3))


def error_type(status: int, *, changes: bool) -> type[AdapterError] | None:
    """The error that a status means; None for success.

    `changes`: whether the request may have changed something. Then a 5xx answer is uncertain, because servers also send it
    after they have stored something.
    """
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return ConfigurationError
    if status in {401, 403}:
        return CredentialsError
    if status in {404, 410}:
        return NotFoundError
    if status in _LATER:
        return TransientError
    if status >= 500:
        return UncertainError if changes else TransientError
    return PermanentError


def refusal(answer: httpx.Response, who: str, secrets: Iterable[str], *, changes: bool) -> AdapterError | None:
    """The error that an answer means, in the server's words without secrets; None for success. For `raise … from`."""
    status = answer.status_code
    kind = error_type(status, changes=changes)
    if kind is None:
        return None
    words = server_message(answer, secrets)
    if kind is ConfigurationError:
        return ConfigurationError(f"{who} redirects ({status}): check its address, which must be the final one")
    if kind is UncertainError:
        return UncertainError(f"{who} failed ({status}): {words}", settled=status not in _GATEWAY)
    if status >= 500:
        return kind(f"{who} failed ({status}): {words}")
    said = {
        CredentialsError: "refused our token",
        NotFoundError: "does not have it",
        TransientError: "asks us to try again later",
    }
    return kind(f"{who} {said.get(kind, 'refused it')} ({status}): {words}")


def transport_error(error: httpx.TransportError, who: str, *, changes: bool) -> TransientError:
    """The error for a request without an answer; uncertain if it may have been sent and changed something."""
    import httpx

    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return TransientError(f"{who} cannot be reached ({type(error).__name__})")
    kind = UncertainError if changes else TransientError
    return kind(f"{who} did not answer in time or broke the connection ({type(error).__name__})")


def server_message(answer: httpx.Response, secrets: Iterable[str]) -> str:
    """The server's message for people: its message and errors, or an error page without its markup."""
    text = answer.text
    try:
        body = json.loads(text)
    except ValueError:
        text = _TAGS.sub(" ", text)
    else:
        if isinstance(body, dict) and isinstance(body.get("message"), str):
            text = body["message"]
            if body.get("errors"):
                text += ": " + json.dumps(body["errors"])
    return redact(redact(" ".join(text.split()), secrets))[:_WORDS] or "no text"


def fetch(source: str) -> bytes:
    """Content of an http(s) address or a local file (path or file://), at most 200 MB; three attempts.

    Raises NotFoundError if there is none, TransientError if the server does not answer, PermanentError if it
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
    data: bytes = attempts(_ATTEMPTS, longest_s=5.0)(download, source, most_bytes=_LARGEST, seconds=_ATTEMPT_S)
    return data


def download(url: str, *, most_bytes: int, seconds: float, bearer: str | None = None) -> bytes:
    """Content of an address, in one attempt of `seconds`, or of what `deadline.within` leaves of them.

    Raises NotFoundError for 404, PermanentError if the server refuses, sends more than `most_bytes` or the address
    is none; TransientError if it does not answer in time or says that it cannot now. With a `bearer` token no redirect is
    followed, since it would carry the token elsewhere: ConfigurationError.
    """
    body = bytearray()
    status = receive(url, body.extend, without_secrets(url), most_bytes=most_bytes, seconds=seconds, bearer=bearer)
    kind = error_type(status, changes=False)
    if kind is not None:
        raise kind(
            f"{without_secrets(url)} is not there"
            if kind is NotFoundError
            else f"{without_secrets(url)} answered {status}"
        )
    return bytes(body)


def receive(
    url: str,
    write: Callable[[bytes], object],
    who: str,
    *,
    most_bytes: int,
    seconds: float,
    connect_s: float = _CONNECT_S,
    bearer: str | None = None,
) -> int:
    """Read an address and pass a successful answer's body to `write`, block by block; returns the status.

    The timeouts of an HTTP client count from one byte to the next, so a slow server could block it forever. Here the request
    ends after `seconds` of wall-clock time (less within `deadline.within`), whatever the server does.
    `bearer` is a token to be sent, and then no redirect is followed.
    `who` names the server in errors: TransientError if it does not answer in time, PermanentError if it sends more
    than `most_bytes` or the address is none, OutOfTimeError if no time is left.
    """
    return asyncio.run(_receive(url, write, who, most_bytes, left(seconds), connect_s, bearer))


async def _receive(
    url: str,
    write: Callable[[bytes], object],
    who: str,
    most_bytes: int,
    seconds: float,
    connect_s: float,
    bearer: str | None,
) -> int:
    import httpx

    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    waits, received = httpx.Timeout(_READ_S, connect=connect_s), 0
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(timeout=waits, headers=headers, follow_redirects=bearer is None) as reader,
            reader.stream("GET", url) as answer,
        ):
            if answer.is_success:
                async for block in answer.aiter_bytes():
                    received += len(block)
                    if received > most_bytes:
                        raise PermanentError(f"{who} sends more than {most_bytes / 1e6:g} MB")
                    write(block)
            return answer.status_code
    except TimeoutError:
        raise TransientError(f"{who} did not send everything within {seconds:.3g} s") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise PermanentError(f"{who} is not a valid address") from None
    except httpx.HTTPError as error:
        raise TransientError(f"{who} does not answer ({type(error).__name__})") from error


def without_secrets(url: str) -> str:
    """The address without query and user, which may contain secrets."""
    return url.split("?")[0].split("@")[-1]
