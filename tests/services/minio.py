"""MinIO, an S3 server that companies run; it checks signatures and digests, and writes real files.

``with Minio.running() as server: Store.open("s3://bucket", environ=server.environ, create=True)``.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
from pathlib import Path

from tests.services.installed import minio_program, program
from tests.services.process import Child
from tests.services.s3 import REGION, S3Account


class Minio(S3Account):
    """One server with one account, its objects in a throw-away folder."""

    def __init__(self, folder: Path, file_limit: int | None = None) -> None:
        """Prepare (not start) a server whose objects lie in `folder`; no file grows beyond `file_limit` bytes."""
        super().__init__(folder, "listener", secrets.token_hex(20))
        self._file_limit = file_limit

    def start(self) -> None:
        """Start and wait until it is ready."""
        objects = self.folder / "objects"
        objects.mkdir()
        command = [str(minio_program()), "server", str(objects), "--address", f"127.0.0.1:{self.port}", "--quiet"]
        if self._file_limit is not None:
            command = [program("prlimit", "util-linux"), f"--fsize={self._file_limit}", *command]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MINIO_")}
        environ = clean | {
            "HOME": str(self.folder),
            "MINIO_ROOT_USER": self._keys["aws_access_key_id"],
            "MINIO_ROOT_PASSWORD": self._keys["aws_secret_access_key"],
            "MINIO_REGION": REGION,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",  # no look for new versions
            "MINIO_CI_CD": "1",  # the folder may lie on the system's disk
        }
        self._child = Child("MinIO", command, self.folder / "minio.log", env=environ)
        self._child.wait_ready(self._ready)

    def _ready(self) -> bool:
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(asked), contextlib.suppress(OSError):
            asked.request("GET", "/minio/health/ready")
            return asked.getresponse().status == 200
        return False
