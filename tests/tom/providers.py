"""The two OpenID Connect providers that the login tests run against, one interface to both."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from playwright.sync_api import Page

from tests.services.keycloak import Keycloak

from .browsing import needed, needed_packages

_NODE = Path(__file__).parent / "node"
_PASSWORD = "correct horse"
STAFF = "tom-staff"


class Provider(Protocol):
    """A running provider that knows the tests' accounts."""

    endpoints: dict[str, str]
    """AUTHORIZATION, TOKEN, USER and JWKS."""
    staff_claim: str
    """Where it tells the groups of an account."""

    def write(self, accounts: dict[str, Any]) -> None:
        """Change what the provider says of its accounts."""

    def subject(self, account: str) -> str:
        """The subject of an account's tokens."""

    def sign_in(self, page: Page, account: str) -> None:
        """Fill in the provider's own pages."""


class NodeProvider:
    """oidc-provider, in node, with its own development pages."""

    staff_claim = "groups"

    def __init__(self, issuer: str, accounts: Path) -> None:
        self._accounts = accounts
        self.endpoints = {"AUTHORIZATION": f"{issuer}/auth", "TOKEN": f"{issuer}/token"}
        self.endpoints |= {"USER": f"{issuer}/me", "JWKS": f"{issuer}/jwks"}

    @classmethod
    @contextlib.contextmanager
    def running(cls, redirect: str, accounts: dict[str, Any], folder: Path) -> Iterator[NodeProvider]:
        """Run one that sends users back to `redirect`."""
        node = needed("node", "node", "nodejs")
        needed_packages()
        file = folder / "accounts.json"
        file.write_text(json.dumps(accounts))
        environment = {"PATH": os.environ["PATH"], "NODE_ENV": "test"} | {
            name: os.environ[name] for name in ("OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET")
        }
        command = [node, "server.mjs", redirect, str(file)]
        with subprocess.Popen(
            command, cwd=_NODE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            issuer = process.stdout.readline().strip()
            assert issuer.startswith("http://127.0.0.1:"), "the provider did not start"
            try:
                yield cls(issuer, file)
            finally:
                process.kill()

    def write(self, accounts: dict[str, Any]) -> None:
        """It reads the file at each use."""
        beside = self._accounts.with_suffix(".new")
        beside.write_text(json.dumps(accounts))
        beside.replace(self._accounts)

    def subject(self, account: str) -> str:
        """The name of the account."""
        return account

    def sign_in(self, page: Page, account: str) -> None:
        """Any password is right; then it asks for consent."""
        page.fill("input[name=login]", account)
        page.fill("input[name=password]", "any")
        page.click("button[type=submit]")
        page.click("button:has-text('Continue')")


class KeycloakProvider:
    """A realm of its own in a running Keycloak."""

    staff_claim = "realm_access.roles"

    def __init__(self, server: Keycloak, realm: str, accounts: dict[str, Any]) -> None:
        self._server, self._realm, self._accounts = server, realm, accounts
        place = f"{server.url}/realms/{realm}/protocol/openid-connect"
        self.endpoints = {"AUTHORIZATION": f"{place}/auth", "TOKEN": f"{place}/token"}
        self.endpoints |= {"USER": f"{place}/userinfo", "JWKS": f"{place}/certs"}
        self._ids = {
            name: server.make_user(realm, _PASSWORD, **self._said(account)) for name, account in accounts.items()
        }
        self.write(accounts)

    @classmethod
    @contextlib.contextmanager
    def running(cls, server: Keycloak, redirect: str, accounts: dict[str, Any]) -> Iterator[KeycloakProvider]:
        """Make a realm whose client sends users back to `redirect`."""
        realm = f"r{uuid.uuid4().hex}"
        client, secret = os.environ["OIDC_CLIENT_ID"], os.environ["OIDC_CLIENT_SECRET"]
        server.make_realm(realm, client, secret, redirect, [STAFF, "others"])
        yield cls(server, realm, accounts)
        server.remove_realm(realm)

    def write(self, accounts: dict[str, Any]) -> None:
        """By the administration interface, where something differs."""
        for name, account in accounts.items():
            if account != self._accounts[name]:
                self._server.change_user(self._realm, self._ids[name], **self._said(account))
            if account["groups"] or account != self._accounts[name]:
                self._server.set_roles(self._realm, self._ids[name], account["groups"])
        self._accounts = accounts

    def subject(self, account: str) -> str:
        """Keycloak's own id of the user."""
        return self._ids[account]

    def sign_in(self, page: Page, account: str) -> None:
        """With the user's name and password."""
        page.fill("input[name=username]", self._accounts[account]["preferred_username"])
        page.fill("input[name=password]", _PASSWORD)
        page.click("#kc-login")

    @staticmethod
    def _said(account: dict[str, Any]) -> dict[str, str]:
        """An account as Keycloak calls it; it wants everybody to have names."""
        return {
            "username": account["preferred_username"],
            "email": account["email"],
            "firstName": account.get("given_name", "Any"),
            "lastName": account.get("family_name", "Body"),
        }
