"""Azurite, Microsoft's emulator of Azure Blob Storage; it checks signatures and digests as the service does.

``with Azurite.running() as server: Store.open("abfs://fit", environ=server.environ)``.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

from tests.services.installed import azurite_folder, program
from tests.services.process import Child, free_ports, port_open
from tests.services.server import Server

ACCOUNT = "mmatests"


class Azurite(Server):
    """One server with one account, its files in a throw-away folder."""

    def __init__(self, folder: Path, file_limit: int | None = None) -> None:
        """Prepare (not start) a server whose files lie in `folder`; beyond `file_limit` bytes its disk is full."""
        super().__init__(folder)
        self._file_limit = file_limit
        self.key = base64.b64encode(os.urandom(48)).decode()
        (self.port,) = free_ports(1)

    def start(self) -> None:
        """Start and wait until it listens."""
        script = azurite_folder() / "node_modules/azurite/dist/src/blob/main.js"
        command = [
            program("node", "nodejs", "npm"),
            str(script),
            "--blobPort",
            str(self.port),
            "--location",
            str(self.folder),
        ]
        command += ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
        if self._file_limit is not None:
            command = [program("prlimit", "util-linux"), f"--fsize={self._file_limit}", *command]
        environ = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{self.key}"}
        self._child = Child("Azurite", command, self.folder / "azurite.log", env=environ, cwd=self.folder)
        self._child.wait_ready(lambda: port_open(self.port))

    @property
    def environ(self) -> dict[str, str]:
        """The environment names under which a store finds the server."""
        return self.environ_at(self.port)

    def environ_at(self, port: int) -> dict[str, str]:
        """The same, by way of a proxy's port."""
        return {
            "AZURE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_ACCOUNT_KEY": self.key,
            "AZURE_BLOB_ENDPOINT": f"http://127.0.0.1:{port}/{ACCOUNT}",
        }
