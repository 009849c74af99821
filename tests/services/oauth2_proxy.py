"""oauth2-proxy, the login in front of Dagster's UI, with the arguments that the chart gives it."""

from __future__ import annotations

import contextlib
import http.client
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services.installed import oauth2_proxy_program
from tests.services.process import Child
from tests.services.server import Server


class OAuth2Proxy(Server):
    """One proxy; its arguments say where it listens, which must be `port` of the loopback interface.

    Attributes:
        secrets: what its log must not say.
    """

    def __init__(self, folder: Path, port: int, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        """Prepare (not start) a proxy whose log lies in `folder`; `environ` holds its secrets."""
        super().__init__(folder)
        self.port = port
        self._command = [str(oauth2_proxy_program()), *arguments]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OAUTH2_PROXY_")}
        self._environ = clean | environ
        self.secrets = [value for name, value in environ.items() if name.endswith("_SECRET")]

    @property
    def log(self) -> str:
        """What it said so far."""
        return (self.folder / "oauth2-proxy.log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._child is not None
        return self._child.process.pid

    def start(self) -> None:
        """Start and wait until it is ready; it asks the provider first."""
        self._child = Child("oauth2-proxy", self._command, self.folder / "oauth2-proxy.log", env=self._environ)
        self._child.wait_ready(self._ready, timeout=240)

    def _ready(self) -> bool:
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(asked), contextlib.suppress(OSError):
            asked.request("GET", "/ready")
            return asked.getresponse().status == 200
        return False
