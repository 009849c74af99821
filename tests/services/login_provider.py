"""An OpenID Connect provider where people sign in: npm's oidc-provider with its own development pages.

Any password is right; what it says of an account is in a file that it reads at each use.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.services.installed import oidc_provider_folder, program
from tests.services.process import Child
from tests.services.server import Server


class LoginProvider(Server):
    """One provider with one client.

    Attributes:
        issuer: its address.
        client, secret: the client's.
    """

    def __init__(self, folder: Path, redirect: str, accounts: Mapping[str, Mapping[str, Any]]) -> None:
        """Prepare (not start) one that sends people back to `redirect`; `accounts`: claims by subject."""
        super().__init__(folder)
        self.issuer = ""
        self.client, self.secret = "mma-ui", secrets.token_hex(16)
        self._redirect = redirect
        (folder / "accounts.json").write_text(json.dumps(accounts))

    def start(self) -> None:
        """Start and wait until it says its address."""
        log = self.folder / "oidc-provider.log"
        environ = {"PATH": os.environ["PATH"], "NODE_ENV": "test"}
        environ |= {"OIDC_CLIENT_ID": self.client, "OIDC_CLIENT_SECRET": self.secret}
        command = [program("node", "nodejs"), "server.mjs", self._redirect, str(self.folder / "accounts.json")]
        self._child = Child("oidc-provider", command, log, env=environ, cwd=oidc_provider_folder())

        def said() -> bool:
            lines = [line for line in log.read_text().splitlines(keepends=True) if line.startswith("http://127.0.0.1:")]
            self.issuer = lines[0].strip() if lines and lines[0].endswith("\n") else ""
            return bool(self.issuer)

        self._child.wait_ready(said, timeout=240)
