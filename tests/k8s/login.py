"""Dagster's web server behind oauth2-proxy as their pod runs them, and a provider where people sign in.

Both run with the chart's own command lines, of which only addresses, ports and files are this machine's. Between the two
stands a relay that knows what the web server was asked.
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

from tests.k8s.chart import BASE, OIDC, ROOT, only, render, secret_keys
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
        """What reached the web server so far: connections and requests."""
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
    """Run the pod of a release with a login."""
    web, proxy = only(render(BASE, OIDC), "Deployment", "-webserver")["spec"]["template"]["spec"]["containers"]
    web_port, port = free_ports(2)
    with contextlib.ExitStack() as stack:
        child = Child("dagster-webserver", _command(web, web_port, folder), folder / "web.log", **_home(folder))
        stack.callback(child.end)
        relay = stack.enter_context(Proxy.to(web_port))
        back = f"http://127.0.0.1:{port}/oauth2/callback"
        provider = stack.enter_context(providers.running(redirect=back, accounts=ACCOUNTS))
        given = OIDC["webserver"]["oidc"]
        here = {
            f"--oidc-issuer-url={given['issuerUrl']}": f"--oidc-issuer-url={provider.issuer}",
            f"--redirect-url={given['redirectUrl']}": f"--redirect-url={back}",
            "--http-address=0.0.0.0:4180": f"--http-address=127.0.0.1:{port}",
            "--upstream=http://127.0.0.1:3000": f"--upstream=http://127.0.0.1:{relay.port}",
        }
        assert here.keys() <= set(proxy["args"])
        values = {
            "client-id": provider.client,
            "client-secret": provider.secret,
            "cookie-secret": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        }
        environ = {name: values[key] for name, key in secret_keys(proxy).items()}
        arguments = [here.get(argument, argument) for argument in proxy["args"]]
        front = stack.enter_context(proxies.running(port=port, arguments=arguments, environ=environ))
        child.wait_ready(lambda: _answers(web_port), timeout=480)
        yield Door(front, relay, child, web_port, provider.issuer)


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


def _answers(port: int) -> bool:
    """Whether the web server answers those who reach it, as the chart's probes ask."""
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"http://127.0.0.1:{port}/server_info", timeout=30).ok
    return False
