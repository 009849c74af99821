"""Removes secrets from text of libraries and servers before it reaches a log or an exception."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_SECRET_NAME = re.compile(r"(KEY|SECRET|PASSWORD|PASSWD|TOKEN|CREDENTIAL|SAS|CONNECTION_STRING)", re.IGNORECASE)
_PATTERNS = (
    re.compile(r"(?i)(signature|sig|x-amz-signature|x-amz-security-token|x-amz-credential)=[^&\s\"']+"),
    re.compile(r"(?i)(accountkey|sharedaccesssignature)=[^;\s\"']+"),
    re.compile(
        r"(?i)(x-auth-token|x-subject-token|x-storage-token|authorization|api_token)[\"']?\s*[:=]\s*"
        r"[\"']?((?:bearer|basic|sharedkey)\s+)?[^\"',\s}]+"
    ),
    re.compile(r"(?i)(secret_?(?:access_?)?key|password|secret)[\"']?\s*[:=]\s*[\"']?[^\"',\s}]+"),
)
_URL_USERINFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/@\s]+@", re.IGNORECASE)
_SHORTEST_SECRET = 6
"""Shorter values are not replaced: they would blank out ordinary words."""


def secret_values(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Values of the environment that must never be shown, the longest first.

    A name that holds KEY, SECRET, PASSWORD, TOKEN, CREDENTIAL, SAS or CONNECTION_STRING marks a secret.
    """
    values = {value for name, value in environ.items() if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET}
    return tuple(sorted(values, key=len, reverse=True))


_hidden: set[str] = set()


def hide(values: Iterable[str]) -> None:
    """Remove these values from every text from now on in this process."""
    _hidden.update(values)


def redact(text: str, secrets: Iterable[str] | None = None) -> str:
    """Return ``text`` with secrets replaced by ``***``.

    Args:
        text: text of a library or a server.
        secrets: literal values to remove; by default those passed to `hide`.
    """
    for value in sorted(_hidden, key=len, reverse=True) if secrets is None else secrets:
        text = text.replace(value, "***")
    text = _URL_USERINFO.sub(r"\1***@", text)
    for pattern in _PATTERNS:
        text = pattern.sub(r"\1=***", text)
    return text
