"""A throw-away PostgreSQL cluster from the machine's own server binaries, for tests, the soak and the benchmarks.

`with PostgresServer.running() as server: url = server.create_database()`. The server refuses to run as root, so under
root it runs as postgres (or nobody). Port and data outlive `kill()` and `stop()`.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2

from tests.services.process import Child, ServiceUnavailableError, free_ports, unprivileged_user


def binaries() -> Path:
    """Return the folder of the newest PostgreSQL server; ServiceUnavailableError where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise ServiceUnavailableError("no PostgreSQL server: install the package postgresql (its cluster is not used)")
    return Path(on_path).resolve().parent


class PostgresServer:
    """One cluster: superuser `mma`, trust on the loopback interface, fsync off."""

    def __init__(self, directory: Path) -> None:
        """Create the cluster in `directory` (its owner must be the account that the server runs under)."""
        self.bin = binaries()
        self.directory, self.data = directory, directory / "data"
        self.log = directory / "postgres.log"
        (self.port,) = free_ports(1)
        self._child: Child | None = None
        self._user = unprivileged_user()
        if self._user:
            directory.chmod(0o755)
            shutil.chown(directory, self._user)
        command = [self.bin / "initdb", "-D", self.data, "-U", "mma", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run(command, check=True, capture_output=True, timeout=120, user=self._user, cwd="/")

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[PostgresServer]:
        """Run a server in a throw-away directory."""
        with tempfile.TemporaryDirectory(prefix="mma-pg-") as directory:
            server = cls(Path(directory))
            server.start()
            try:
                yield server
            finally:
                server.kill()

    def start(self) -> None:
        """Start (or start again) and wait until the server answers."""
        command = [self.bin / "postgres", "-D", self.data, "-p", self.port, "-k", self.directory, "-F"]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300", "-c", "shared_buffers=64MB"]
        arguments = [str(word) for word in command]
        self._child = Child("PostgreSQL", arguments, self.log, user=self._user, cwd="/")
        self._child.wait_ready(self._answers)

    def stop(self) -> None:
        """End the server, cutting its connections (SIGINT: fast shutdown)."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL the server and all its backends."""
        self._end(signal.SIGKILL)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def restart(self, *, kill: bool = False) -> None:
        """Stop (or kill) and start on the same port and data."""
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    def create_database(self, name: str | None = None) -> str:
        """Create an empty database and return its URL."""
        name = name or f"t{uuid.uuid4().hex[:12]}"
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def url(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy URL (psycopg2) of a database."""
        return f"postgresql+psycopg2://mma@127.0.0.1:{self.port}/{database}"

    def cut_connections(self, database: str | None = None) -> int:
        """Terminate every client's connection (of one database); return how many."""
        where = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
        if database:
            where += f" AND datname = '{database}'"
        return len(self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where}"))

    def somebody_waits(self) -> bool:
        """Return whether a client waits for a lock that another one holds."""
        return bool(self.execute("SELECT 1 FROM pg_locks WHERE NOT granted LIMIT 1"))

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement as superuser and return its rows."""
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="mma", dbname=database, connect_timeout=10)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def _end(self, how: signal.Signals) -> None:
        if self._child is not None:
            self._child.end(how)
            self._child = None
