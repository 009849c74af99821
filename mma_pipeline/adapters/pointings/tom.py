"""What observers have requested through the TOM: its rows of an event's observation requests, read with a token."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

from mma_pipeline.adapters.errors import (
    ConfigurationError,
    CredentialsError,
    NotFoundError,
    PermanentError,
    TransientError,
)
from mma_pipeline.adapters.http import download

#: Some thousand requests.
_MOST_BYTES = 10_000_000
_PATH = "api/mma/pointings/"


class TomRequests:
    """The TOM below one address.

    Args:
        base: the address of its start page.
        token: the one that the TOM knows as TOM_POINTINGS_TOKEN.
        seconds: that one request may take.
    """

    def __init__(self, base: str, token: str, *, seconds: float = 15.0) -> None:
        if not base.startswith(("http://", "https://")):
            raise ConfigurationError("the TOM's address must be http or https, the one of its start page")
        if not re.fullmatch(r"[!-~]+", token):
            raise ConfigurationError("the TOM's token must be printable ASCII without spaces")
        self._address = f"{base.rstrip('/')}/{_PATH}"
        self._token = token
        self._seconds = seconds

    def rows(self, event_id: str) -> list[dict[str, Any]]:
        """Rows of the requests of an event; none for an event that the TOM does not know.

        Raises TransientError, CredentialsError, NotFoundError where the TOM tells no pointings, ConfigurationError for an
        address that redirects, or PermanentError.
        """
        address = f"{self._address}?{urlencode({'graceid': event_id})}"
        try:
            data = download(address, most_bytes=_MOST_BYTES, seconds=self._seconds, bearer=self._token)
        except CredentialsError:
            raise CredentialsError(
                "the TOM refuses our token: MMA_POINTINGS_TOM_TOKEN must be its TOM_POINTINGS_TOKEN"
            ) from None
        except (ConfigurationError, NotFoundError) as error:
            raise type(error)(
                "the TOM tells no pointings there: MMA_POINTINGS_TOM_URL must be the address of its start page, and the TOM "
                f"needs TOM_POINTINGS_TOKEN ({error})"
            ) from None
        try:
            rows = json.loads(data)
        except ValueError as error:
            raise TransientError("the TOM answered with something that is no JSON") from error
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise PermanentError("the TOM answered with something else than rows")
        return rows
