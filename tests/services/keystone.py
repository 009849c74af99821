"""OpenStack Keystone on SQLite: the login of the Swift cluster in `tests.services.swift_cluster`.

Its database with projects, users and credentials is made once and kept in the cache folder; each run starts on a copy.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path
from string import Template
from typing import Any

import httpx

from tests.services.installed import once, swift_environment
from tests.services.process import Child, ServiceUnavailableError, free_ports, port_open

HERE = Path(__file__).parent / "swift"
SERVICE_PASSWORD = "swift-service-password"
LISTENER_PASSWORD = "listener-password"
_ADMIN_PASSWORD = "keystone-admin-password"


class Keystone:
    """One identity service.

    Attributes:
        url: without the version.
        accounts: ``project`` (id of gwtm, where ``listener`` may write and ``reader`` may not), ``application`` (id and
            secret of an application credential of the listener's), ``ec2`` (access key and secret of the listener's).
    """

    def __init__(self, folder: Path) -> None:
        """Prepare (not start) a service whose database lies in `folder`."""
        self.folder = folder
        self.python = swift_environment() / "venv/bin/python"
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.accounts: dict[str, Any] = {}
        self._child: Child | None = None

    def start(self, object_store: int) -> None:
        """Take a copy of the prepared database and start; `wait` waits. `object_store` is Swift's port."""
        prepared = once("keystone", [HERE / "requirements.txt", Path(__file__)], _prepare)
        for name in ("fernet", "credential"):
            shutil.copytree(prepared / name, self.folder / name)
        shutil.copy(prepared / "keystone.db", self.folder)
        self.accounts = json.loads((prepared / "accounts.json").read_text())
        database = sqlite3.connect(self.folder / "keystone.db")
        with database:
            for old, new in (("http://keystone", self.url), ("http://swift", f"http://127.0.0.1:{object_store}")):
                database.execute("UPDATE endpoint SET url = replace(url, ?, ?)", (old, new))
        database.close()
        self.serve()

    def serve(self) -> None:
        """Start on the database that lies in the folder."""
        config = write_config("keystone.conf", self.folder / "keystone.conf", folder=self.folder)
        command = [str(self.python), str(HERE / "serve_keystone.py"), str(self.port), str(config)]
        self._child = Child("Keystone", command, self.folder / "keystone-serve.log")

    def wait(self) -> None:
        """Wait until it listens."""
        assert self._child is not None
        self._child.wait_ready(lambda: port_open(self.port))

    def stop(self) -> None:
        """End the service."""
        if self._child is not None:
            self._child.end(signal.SIGKILL)


class _Setup:
    """What an administrator does once."""

    def __init__(self, keystone: Keystone) -> None:
        self.url = keystone.url
        self._client = httpx.Client(headers={"X-Auth-Token": self.token("admin", _ADMIN_PASSWORD, "admin")}, timeout=30)

    def token(self, user: str, password: str, project: str) -> str:
        """Log a user in."""
        who = {"name": user, "domain": {"id": "default"}, "password": password}
        asked = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": who}},
                "scope": {"project": {"name": project, "domain": {"id": "default"}}},
            }
        }
        answer = httpx.post(f"{self.url}/v3/auth/tokens", json=asked, timeout=30).raise_for_status()
        return answer.headers["X-Subject-Token"]

    def api(self, method: str, path: str, body: dict[str, Any] | None = None, token: str | None = None) -> Any:
        """Make one request below ``/v3``."""
        headers = {"X-Auth-Token": token} if token else {}
        answer = self._client.request(method, f"{self.url}/v3{path}", json=body, headers=headers).raise_for_status()
        return answer.json() if answer.content else None

    def create(self, kind: str, **fields: Any) -> str:
        """Create a project, user, role, service or endpoint and return its id."""
        return self.api("POST", f"/{kind}s", {kind: fields})[kind]["id"]

    def accounts(self) -> dict[str, Any]:
        """Make the projects, users, roles, the catalog and the listener's further credentials."""
        roles = {role["name"]: role["id"] for role in self.api("GET", "/roles")["roles"]}
        roles["swiftoperator"] = self.create("role", name="swiftoperator")
        service = self.create("project", name="service", domain_id="default")
        project = self.create("project", name="gwtm", domain_id="default")
        users = {}
        for name, password, where, role in (
            ("swift", SERVICE_PASSWORD, service, "admin"),
            ("listener", LISTENER_PASSWORD, project, "swiftoperator"),
            ("reader", LISTENER_PASSWORD, project, "reader"),
        ):
            users[name] = self.create("user", name=name, domain_id="default", password=password)
            self.api("PUT", f"/projects/{where}/users/{users[name]}/roles/{roles[role]}")
        store = self.create("service", name="swift", type="object-store")
        self.create("endpoint", service_id=store, interface="public", url="http://swift/v1/AUTH_%(project_id)s")
        identity = self.create("service", name="keystone", type="identity")
        self.create("endpoint", service_id=identity, interface="internal", url="http://keystone/v3")
        token = self.token("listener", LISTENER_PASSWORD, "gwtm")
        path, asked = f"/users/{users['listener']}", {"application_credential": {"name": "pipeline"}}
        made = self.api("POST", f"{path}/application_credentials", asked, token=token)["application_credential"]
        keys = self.api("POST", f"{path}/credentials/OS-EC2", {"tenant_id": project})["credential"]
        return {
            "project": project,
            "application": [made["id"], made["secret"]],
            "ec2": [keys["access"], keys["secret"]],
        }


def write_config(template: str, target: Path, **values: Any) -> Path:
    """Fill one of the templates in ``tests/services/swift``."""
    values = {"user": pwd.getpwuid(os.getuid()).pw_name, **values}
    target.write_text(Template((HERE / template).read_text()).substitute(values))
    return target


def _prepare(folder: Path) -> None:
    """Make keys, database and accounts, which takes Keystone half a minute."""
    config = write_config("keystone.conf", folder / "keystone.conf", folder=folder)
    manage = [str(swift_environment() / "venv/bin/keystone-manage"), "--config-file", str(config)]
    owner = ["--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid())]
    for step in (
        ["db_sync"],
        ["fernet_setup", *owner],
        ["credential_setup", *owner],
        ["bootstrap", "--bootstrap-password", _ADMIN_PASSWORD],
    ):
        done = subprocess.run([*manage, *step], capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise ServiceUnavailableError(f"keystone-manage {step[0]}: {done.stderr[-600:]}")
    keystone = Keystone(folder)
    keystone.serve()
    try:
        keystone.wait()
        (folder / "accounts.json").write_text(json.dumps(_Setup(keystone).accounts()))
    finally:
        keystone.stop()
