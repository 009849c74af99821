"""Dagster's web server, or the portal, behind oauth2-proxy as their pod runs them, and a provider where people sign in.

Both run with the chart's own command lines, of which only addresses, ports and files are this machine's. Between the two
stands a relay that knows what the server was asked.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import secrets
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests

from tests.homes import Home
from tests.k8s.chart import BASE, OIDC, PORTAL, ROOT, only, render, secret_keys
from tests.services.oauth2_proxy import OAuth2Proxy
from tests.services.process import Child, free_ports
from tests.services.proxy import Proxy

BIN = Path(sys.executable).parent
#: A busy machine is slow; what never comes fails all the same.
PATIENCE_S = 240
COOKIE = "_oauth2_proxy"
ACCOUNTS: dict[str, dict[str, Any]] = {
    "vera": {"email": "vera@example.org", "email_verified": True, "groups": ["staff", "observers"]},
    "guest": {"email": "guest@example.org", "email_verified": True, "groups": ["staff", "observers-of-birds"]},
    "nobody": {"email": "nobody@example.org", "email_verified": True},
    "liar": {"email": "vera@example.org", "email_verified": False, "groups": ["observers"]},
}
"""Claims by account; only vera may come in."""


@dataclass
class Answer:
    """What came back for a request."""

    status: int
    headers: dict[str, str]
    body: str
    url: str = ""


class Visitor:
    """Somebody who follows redirects and keeps cookies.

    Attributes:
        cookies: what was set so far.
    """

    def __init__(self) -> None:
        """Without cookies."""
        # Browsers send secure cookies to the loopback interface, too.
        self.cookies = CookieJar(DefaultCookiePolicy(secure_protocols=("http", "https")))
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies)
        )

    def open(self, url: str, data: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """GET, or POST with data."""
        request = urllib.request.Request(url, data, dict(headers or {}))
        try:
            answer = self._opener.open(request, timeout=PATIENCE_S)
        except urllib.error.HTTPError as error:
            answer = error
        with contextlib.closing(answer):
            body = answer.read().decode(errors="replace")
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, body, answer.url)

    @property
    def session(self) -> Cookie | None:
        """The proxy's cookie, where it gave one."""
        return next((cookie for cookie in self.cookies if cookie.name == COOKIE), None)


@dataclass
class Door:
    """The running pod, seen from outside."""

    proxy: OAuth2Proxy
    relay: Proxy
    web: Child
    web_port: int
    issuer: str

    @property
    def url(self) -> str:
        """Where people come."""
        return f"http://127.0.0.1:{self.proxy.port}"

    @property
    def heard(self) -> tuple[int, list[str]]:
        """What reached the server so far: connections and requests."""
        return self.relay.connections, list(self.relay.requests)

    def ask(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Send one request, its target as it is; follow nothing."""
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request(method, target, body, dict(headers or {}))
            answer = connection.getresponse()
            # After "101 Switching Protocols" there is no end to wait for.
            text = b"" if answer.status == 101 else answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, text.decode(errors="replace"))

    def sign_in(self, account: str, start: str = "/") -> tuple[Visitor, Answer]:
        """Go through the provider's pages; who went, and what they see in the end."""
        visitor = Visitor()
        answer = visitor.open(self.url + start)
        for fields in ({"prompt": "login", "login": account, "password": "any"}, {"prompt": "consent"}):
            assert answer.url.startswith(f"{self.issuer}/interaction/"), answer.url
            form = re.search(r'<form[^>]* action="([^"]+)"', answer.body)
            assert form is not None, answer.body
            answer = visitor.open(urllib.parse.urljoin(answer.url, form[1]), urllib.parse.urlencode(fields).encode())
        return visitor, answer


@contextlib.contextmanager
def running(folder: Path, proxies: type[OAuth2Proxy], providers: Any) -> Iterator[Door]:
    """Run the web server's pod of a release with a login."""
    web, proxy = _containers("-webserver")
    (port,) = free_ports(1)
    with _server("dagster-webserver", _command(web, port, folder), folder, _home(folder)) as child:
        inside = Inside(child, port, "/server_info", 3000, OIDC["webserver"]["oidc"]["redirectUrl"])
        with _login(proxy, inside, proxies, providers) as door:
            yield door


@contextlib.contextmanager
def running_portal(folder: Path, home: Home, proxies: type[OAuth2Proxy], providers: Any) -> Iterator[Door]:
    """Run the portal's pod of a release with a login, over the archive and the store of a home."""
    portal, proxy = _containers("-portal")
    (port,) = free_ports(1)
    here = {"mma": str(BIN / "mma"), "3001": str(port)}
    assert here.keys() <= set(portal["command"])
    command = [here.get(word, word) for word in portal["command"]]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **home.env, "MMA_PORTAL_URL": PORTAL["portal"]["url"]}
    with _server("portal", command, folder, {"env": environ, "cwd": folder}) as child:
        inside = Inside(child, port, "/api/v1/events?size=1", 3001, f"{PORTAL['portal']['url']}/oauth2/callback")
        with _login(proxy, inside, proxies, providers) as door:
            yield door


@dataclass
class Inside:
    """A server that has no login, as it runs here and as the chart has it."""

    child: Child
    port: int
    alive: str
    """What it answers when it is ready."""
    charts_port: int
    charts_redirect: str


@contextlib.contextmanager
def _login(proxy: dict[str, Any], inside: Inside, proxies: type[OAuth2Proxy], providers: Any) -> Iterator[Door]:
    """Run the pod's oauth2-proxy in front of its server, and a provider."""
    (port,) = free_ports(1)
    back = f"http://127.0.0.1:{port}/oauth2/callback"
    with (
        Proxy.to(inside.port) as relay,
        providers.running(redirect=back, accounts=ACCOUNTS) as provider,
    ):
        here = {
            f"--oidc-issuer-url={OIDC['webserver']['oidc']['issuerUrl']}": f"--oidc-issuer-url={provider.issuer}",
            f"--redirect-url={inside.charts_redirect}": f"--redirect-url={back}",
            "--http-address=0.0.0.0:4180": f"--http-address=127.0.0.1:{port}",
            f"--upstream=http://127.0.0.1:{inside.charts_port}": f"--upstream=http://127.0.0.1:{relay.port}",
        }
        assert here.keys() <= set(proxy["args"])
        values = {
            "client-id": provider.client,
            "client-secret": provider.secret,
            "cookie-secret": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        }
        environ = {name: values[key] for name, key in secret_keys(proxy).items()}
        arguments = [here.get(argument, argument) for argument in proxy["args"]]
        with proxies.running(port=port, arguments=arguments, environ=environ) as front:
            inside.child.wait_ready(lambda: _answers(inside.port, inside.alive), timeout=480)
            yield Door(front, relay, inside.child, inside.port, provider.issuer)


@contextlib.contextmanager
def _server(name: str, command: list[str], folder: Path, how: dict[str, Any]) -> Iterator[Child]:
    """Start a server, which gets ready while the login is started."""
    child = Child(name, command, folder / f"{name}.log", **how)
    try:
        yield child
    finally:
        child.end()


def _containers(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The server and the proxy of a pod of the release."""
    server, proxy = only(render(BASE, OIDC, PORTAL), "Deployment", name)["spec"]["template"]["spec"]["containers"]
    return server, proxy


def _command(container: dict[str, Any], port: int, folder: Path) -> list[str]:
    """The web server's command line with this machine's places."""
    workspace = folder / "workspace.yaml"
    place = {"module_name": "mma_pipeline.definitions", "location_name": "mma_pipeline", "working_directory": str(ROOT)}
    workspace.write_text(json.dumps({"load_from": [{"python_module": place}]}))
    here = {
        "dagster-webserver": str(BIN / "dagster-webserver"),
        "3000": str(port),
        "/opt/dagster/workspace.yaml": str(workspace),
    }
    assert here.keys() <= set(container["command"])
    return [here.get(word, word) for word in container["command"]]


def _home(folder: Path) -> dict[str, Any]:
    """Dagster's home: its storage is this folder's, and what runs here is nobody else's business."""
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(home)}
    environ["MMA_ARCHIVE_URL"] = f"sqlite:///{folder / 'archive.db'}"
    return {"env": environ, "cwd": folder}


def _answers(port: int, path: str) -> bool:
    """Whether a server answers those who reach it, as the chart's probes ask."""
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"http://127.0.0.1:{port}{path}", timeout=30).ok
    return False
