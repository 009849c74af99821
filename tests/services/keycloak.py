"""Keycloak, the login server that the predecessor's TOM was behind, with its users in memory.

``with Keycloak.running() as server:`` gives a server; `realm` makes a realm with one client and its users, each by the
administration interface of Keycloak itself.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any

import requests

from tests.services.installed import keycloak_folder
from tests.services.process import Child, free_ports
from tests.services.server import Server

_TIMEOUT_S = 120
_ROLES_FOR_THE_CLIENT = {
    "name": "realm roles in what the provider says of a user",
    "protocol": "openid-connect",
    "protocolMapper": "oidc-usermodel-realm-role-mapper",
    "config": {
        "claim.name": "realm_access.roles",
        "jsonType.label": "String",
        "multivalued": "true",
        "userinfo.token.claim": "true",
    },
}
"""By itself Keycloak tells roles in access tokens only, which are not the client's to read."""


class Keycloak(Server):
    """One server on a free port, its address on the loopback interface."""

    def __init__(self, folder: Path) -> None:
        """Prepare (not start) a server whose log lies in `folder`."""
        super().__init__(folder)
        self._password = secrets.token_hex(16)
        self.port, self._management = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until it answers; about 40 s of processor time."""
        home = keycloak_folder()
        command = [str(home / "bin/kc.sh"), "start", "--optimized", "--http-enabled=true", "--http-host=127.0.0.1"]
        command += [f"--http-port={self.port}", f"--http-management-port={self._management}"]
        command += ["--hostname-strict=false"]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("KC_", "KEYCLOAK_"))}
        environ = clean | {
            "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
            "KC_BOOTSTRAP_ADMIN_PASSWORD": self._password,
            "JAVA_OPTS_APPEND": f"-XX:TieredStopAtLevel=1 -Xmx512m -Djava.io.tmpdir={self.folder}",
        }
        self._child = Child("Keycloak", command, self.folder / "keycloak.log", env=environ)
        self._child.wait_ready(self._ready, timeout=400)

    def make_realm(self, name: str, client: str, secret: str, redirect: str, roles: list[str]) -> None:
        """Make a realm with one client that may send its users back to `redirect`, and realm roles."""
        made = {
            "clientId": client,
            "secret": secret,
            "redirectUris": [redirect],
            "attributes": {"pkce.code.challenge.method": "S256"},
            "protocolMappers": [_ROLES_FOR_THE_CLIENT],
        }
        realm = {"realm": name, "enabled": True, "editUsernameAllowed": True, "clients": [made]}
        self._ask("POST", "/admin/realms", realm | {"roles": {"realm": [{"name": role} for role in roles]}})

    def remove_realm(self, name: str) -> None:
        """Remove a realm with its users."""
        self._ask("DELETE", f"/admin/realms/{name}")

    def make_user(self, realm: str, password: str, **said: str) -> str:
        """Make a user who can log in; return the id, which is the subject of the user's tokens."""
        login = {"enabled": True, "credentials": [{"type": "password", "value": password, "temporary": False}]}
        self._ask("POST", f"/admin/realms/{realm}/users", said | login)
        found = self._ask("GET", f"/admin/realms/{realm}/users?exact=true&username={said['username']}")
        return str(found[0]["id"])

    def change_user(self, realm: str, user: str, **said: str) -> None:
        """Change what is said of a user."""
        self._ask("PUT", f"/admin/realms/{realm}/users/{user}", said)

    def set_roles(self, realm: str, user: str, roles: list[str]) -> None:
        """Give a user exactly these of the realm's roles, besides those that everybody has."""
        place = f"/admin/realms/{realm}/users/{user}/role-mappings/realm"
        held = [role for role in self._ask("GET", place) if not role["name"].startswith("default-roles-")]
        self._ask("DELETE", place, held)
        self._ask("POST", place, [self._ask("GET", f"/admin/realms/{realm}/roles/{role}") for role in roles])

    def _ready(self) -> bool:
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            return requests.get(f"http://127.0.0.1:{self._management}/health/ready", timeout=10).ok
        return False

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        login = {"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": self._password}
        place = f"{self.url}/realms/master/protocol/openid-connect/token"
        token = requests.post(place, data=login, timeout=_TIMEOUT_S)
        token.raise_for_status()
        said = {"Authorization": f"Bearer {token.json()['access_token']}"}
        answer = requests.request(method, self.url + path, json=body, headers=said, timeout=_TIMEOUT_S)
        if not answer.ok:
            raise RuntimeError(f"Keycloak answers {method} {path} with {answer.status_code}: {answer.text[:400]}")
        return answer.json() if answer.content else None
