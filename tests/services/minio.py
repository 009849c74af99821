"""MinIO, an S3 server that companies run; it checks signatures and digests, and writes real files.

``with Minio.running() as server: Store.open("s3://bucket", environ=server.environ, create=True)``.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import boto3

from tests.services.installed import minio_program, program
from tests.services.process import Child, free_ports

REGION = "eu-west-1"


class Minio:
    """One server with one account, its objects in a throw-away folder."""

    def __init__(self, folder: Path, file_limit: int | None = None) -> None:
        """Prepare (not start) a server whose objects lie in `folder`; no file grows beyond `file_limit` bytes."""
        self.folder, self._file_limit = folder, file_limit
        self._keys = {"aws_access_key_id": "listener", "aws_secret_access_key": secrets.token_hex(20)}
        (self.port,) = free_ports(1)
        self._child: Child | None = None

    @classmethod
    @contextlib.contextmanager
    def running(cls, file_limit: int | None = None) -> Iterator[Minio]:
        """Run a server in a throw-away folder."""
        with tempfile.TemporaryDirectory(prefix="mma-minio-", ignore_cleanup_errors=True) as folder:
            server = cls(Path(folder), file_limit)
            server.start()
            try:
                yield server
            finally:
                server.stop()

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

    def stop(self) -> None:
        """End the server."""
        if self._child is not None:
            self._child.end(signal.SIGKILL)
            self._child = None

    def client(self) -> object:
        """A boto3 client, for what a test sees independently of the store."""
        return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}", region_name=REGION, **self._keys)

    @property
    def environ(self) -> dict[str, str]:
        """The environment names under which a store finds the server."""
        return self.environ_at(self.port)

    def environ_at(self, port: int) -> dict[str, str]:
        """The same, by way of a proxy's port."""
        return {
            "AWS_ACCESS_KEY_ID": self._keys["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": self._keys["aws_secret_access_key"],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }

    def _ready(self) -> bool:
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(asked), contextlib.suppress(OSError):
            asked.request("GET", "/minio/health/ready")
            return asked.getresponse().status == 200
        return False
