"""OpenStack Swift, one of each server, with Keystone v3, in a throw-away folder.

``with SwiftCluster.running() as cluster: Store.open("swift://gwtreasuremap", environ=cluster.environ)``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.services.installed import program
from tests.services.keystone import HERE, LISTENER_PASSWORD, SERVICE_PASSWORD, Keystone, write_config
from tests.services.process import Child, free_ports, port_open

_KINDS = ("account", "container", "object")


class SwiftCluster:
    """One cluster; user ``listener`` may write in project ``gwtm``, user ``reader`` may not.

    Attributes:
        password: the listener's, and the reader's.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare (not start) a cluster in `folder`."""
        self.folder = folder
        self.password = LISTENER_PASSWORD
        self._memcached_program = program("memcached", "memcached")
        self.keystone = Keystone(folder)
        self.port, self._memcached, *self._storage = free_ports(2 + len(_KINDS))
        self._children: list[Child] = []

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[SwiftCluster]:
        """Run a cluster in a throw-away folder."""
        with tempfile.TemporaryDirectory(prefix="mma-swift-", dir=_fast_folder()) as folder:
            cluster = cls(Path(folder))
            try:
                cluster.start()
                yield cluster
            finally:
                cluster.stop()

    def start(self) -> None:
        """Start everything and wait until it answers."""
        etc, devices = self.folder / "etc", self.folder / "devices"
        etc.mkdir()
        (devices / "sdb1").mkdir(parents=True)
        write_config("swift.conf", etc / "swift.conf")
        self.keystone.start(self.port)
        self._rings(etc)
        for kind, port in zip(_KINDS, self._storage, strict=True):
            config = etc / f"{kind}-server.conf"
            write_config("storage-server.conf", config, kind=kind, port=port, etc=etc, devices=devices)
            self._serve(f"swift-{kind}-server", [str(config)])
        memcached = [self._memcached_program, "-l", "127.0.0.1", "-p", str(self._memcached), "-u", "nobody", "-m", "16"]
        self._children.append(Child("memcached", memcached, self.folder / "memcached.log"))
        write_config(
            "proxy-server.conf",
            etc / "proxy-server.conf",
            port=self.port,
            etc=etc,
            name="proxy",
            memcached=self._memcached,
            keystone=self.keystone.url,
            password=SERVICE_PASSWORD,
        )
        proxy = self._serve("swift-proxy-server", [str(etc / "proxy-server.conf")])
        proxy.wait_ready(lambda: all(port_open(port) for port in (self.port, self._memcached, *self._storage)))
        self.keystone.wait()

    def stop(self) -> None:
        """End everything."""
        for child in reversed(self._children):
            child.end(signal.SIGKILL)
        self._children.clear()
        self.keystone.stop()

    def environ(self, *, user: str = "listener", application: bool = False, port: int | None = None) -> dict[str, str]:
        """The environment names under which a store finds the cluster.

        `application`: log in with the application credential, given as the listeners give it (OS_USERNAME).
        `port`: reach the object store by way of a proxy's port.
        """
        environ = {"OS_AUTH_URL": f"{self.keystone.url}/v3"}
        if application:
            environ["OS_USERNAME"], environ["OS_PASSWORD"] = self.keystone.accounts["application"]
        else:
            environ |= {"OS_USERNAME": user, "OS_PASSWORD": self.password, "OS_PROJECT_NAME": "gwtm"}
            environ |= {"OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default"}
        if port is not None:
            environ["OS_STORAGE_URL"] = f"http://127.0.0.1:{port}/v1/AUTH_{self.keystone.accounts['project']}"
        return environ

    def s3_environ(self) -> dict[str, str]:
        """The environment names under which a store finds the cluster's S3 interface."""
        access, secret = self.keystone.accounts["ec2"]
        return {
            "AWS_ACCESS_KEY_ID": access,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
        }

    def _rings(self, etc: Path) -> None:
        ports = [f"{kind}={port}" for kind, port in zip(_KINDS, self._storage, strict=True)]
        command = [str(self.keystone.python), str(HERE / "make_rings.py"), str(etc), *ports]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def _serve(self, program: str, arguments: list[str]) -> Child:
        command = [str(self.keystone.python.with_name(program)), *arguments]
        child = Child(program, command, self.folder / f"{program}.log")
        self._children.append(child)
        return child


def _fast_folder() -> str | None:
    """Memory, where there is plenty and it holds extended attributes: Swift flushes every object to its disk."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or shutil.disk_usage(shared).free < 4 << 30:
        return None
    with tempfile.NamedTemporaryFile(dir=shared) as file:
        try:
            os.setxattr(file.name, "user.swift", b"1")
        except OSError:
            return None
    return str(shared)
