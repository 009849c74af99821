"""Checks whether the store answers, within a time limit that holds even if the server or the mount hangs."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from mma_pipeline.adapters.errors import AdapterError
from mma_pipeline.adapters.store.store import Store

#: Never written: a store that works says that it is not there.
KEY = "mma/health/looked-at.txt"
#: Seconds for connecting and for each wait for bytes.
TIMEOUT_S = 8.0


class StoreProbe:
    """One question at a time to the store at a URL; the answer is waited for no longer than a limit."""

    def __init__(self, url: str, credentials: Mapping[str, str]) -> None:
        """Nothing is asked yet; `credentials` by the names of the clouds' own tools."""
        self.url = url
        self._credentials = credentials
        self._store: Store | None = None
        self._asking = threading.Thread()
        self._said: str | None = None

    def ask(self) -> None:
        """Begin to ask, in a thread of its own, unless an earlier question is still open."""
        if not self._asking.is_alive():
            self._said = None
            self._asking = threading.Thread(target=self._ask, name="store-look", daemon=True)
            self._asking.start()

    def answer(self, limit_s: float) -> str | None:
        """Why the store cannot be used, for people and without secrets; None if it answers. Only after `ask`."""
        self._asking.join(limit_s)
        if self._asking.is_alive():
            return f"{self.url} does not answer within {limit_s:.0f} s"
        return self._said

    def _ask(self) -> None:
        try:
            if self._store is None:
                self._store = Store.open(self.url, environ=self._credentials, attempts=1, timeout_s=TIMEOUT_S)
            self._store.stat(KEY)
        except AdapterError as error:
            self._said = str(error)
