"""What can go wrong while publishing, beyond the adapters' common errors, and how an HTTP answer is judged.

TransientError
└── UncertainError      sent, but no usable answer: the receiver may or may not have stored it
└── WaitingError        not its turn yet: something else must be published first
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import httpx

from mma_pipeline.adapters.errors import (
    AdapterError,
    ConfigurationError,
    CredentialsError,
    NotFoundError,
    PermanentError,
    TransientError,
)
from mma_pipeline.adapters.redact import redact

#: Characters of a server's answer that are worth keeping.
_WORDS = 500
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


class UncertainError(TransientError):
    """The request went out and no usable answer came back: look before sending again.

    `settled`: the receiver itself has answered, so it has stored the thing by now or will not; otherwise it may still
    be at work.
    """

    def __init__(self, text: str, *, settled: bool = False) -> None:
        super().__init__(text)
        self.settled = settled


class WaitingError(TransientError):
    """Something that belongs before this has not been published; waiting is not a failed attempt."""


def as_error(answer: httpx.Response, who: str, secrets: Iterable[str]) -> AdapterError | None:
    """The error that an answer means, None for success; for `raise … from` at the call.

    An answer of the 5xx kind is uncertain, because servers answer so after they have stored something, too.
    """
    status = answer.status_code
    if 200 <= status < 300:
        return None
    words = server_words(answer, secrets)
    if 300 <= status < 400:
        return ConfigurationError(f"{who} redirects ({status}): check its address, which must be the final one")
    if status in {401, 403}:
        return CredentialsError(f"{who} refused our token ({status}): {words}")
    if status == 404:
        return NotFoundError(f"{who} has no such thing ({status}): {words}")
    if status in {408, 425, 429}:
        return TransientError(f"{who} asks us to come later ({status}): {words}")
    if status >= 500:
        # 502 to 504 come from something in front of the server, which may still be at work.
        return UncertainError(f"{who} failed ({status}): {words}", settled=status not in {502, 503, 504})
    return PermanentError(f"{who} refused it ({status}): {words}")


def transport_error(error: httpx.TransportError, who: str) -> TransientError:
    """The error for a request without an answer: uncertain unless it surely never left."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return TransientError(f"{who} cannot be reached ({type(error).__name__})")
    return UncertainError(f"{who} did not answer in time or broke the connection ({type(error).__name__})")


def server_words(answer: httpx.Response, secrets: Iterable[str]) -> str:
    """What the server said, for people: its message and errors, or an error page without its markup."""
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
