"""Nobody reaches Dagster without the login: the real web server, oauth2-proxy and an OpenID Connect provider."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest
import requests
import websocket
from playwright.sync_api import sync_playwright

from tests.k8s.login import COOKIE, PATIENCE_S, Answer, Door, Visitor, running
from tests.k8s.strangers import ADDRESS, ASKED, CLAIMS, HOST, JSON, PATHS, QUERY
from tests.services.fixtures import needs
from tests.services.process import ServiceUnavailableError

# The first test may have to build oauth2-proxy.
pytestmark = pytest.mark.timeout(3600)
BROWSER = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, oauth2_proxy, login_provider) -> Iterator[Door]:
    """The pod with its login."""
    with running(tmp_path_factory.mktemp("login"), oauth2_proxy, login_provider) as one:
        yield one


@pytest.fixture(scope="module")
def member(door: Door) -> Visitor:
    """Somebody who has signed in and belongs to the group."""
    visitor, answer = door.sign_in("vera")
    assert answer.status == 200, answer.body
    assert visitor.session is not None
    return visitor


@contextlib.contextmanager
def unheard(door: Door) -> Iterator[None]:
    """Nothing of what happens reaches the web server."""
    before = door.heard
    yield
    assert door.heard == before


def assert_kept_out(door: Door, answer: Answer) -> None:
    """A redirect to the login, or a refusal; nothing of Dagster's."""
    assert "dagster" not in answer.body.lower()
    if answer.status in (301, 302, 303, 307, 308):
        to = answer.headers["location"]
        # What is no login tidies the path, and asks again.
        assert to.startswith(f"{door.issuer}/auth?") or (to.startswith("/") and not to.startswith("//")), to
    else:
        assert 400 <= answer.status < 500, answer


@pytest.mark.parametrize(("method", "target"), ASKED)
def test_a_stranger_gets_nothing(door: Door, method: str, target: str) -> None:
    """Without a session every page, file and query leads to the login, and the web server is not even asked."""
    with unheard(door):
        answer = door.ask(method, target, JSON, QUERY if method == "POST" else None)
    assert_kept_out(door, answer)
    assert answer.status == 302
    assert answer.headers["location"].startswith(f"{door.issuer}/auth?")


@pytest.mark.parametrize("target", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_path_leads_around_the_login(door: Door, method: str, target: str) -> None:
    """Dots, doubled and encoded slashes and the paths that need no login open nothing."""
    with unheard(door):
        assert_kept_out(door, door.ask(method, target, JSON, QUERY if method == "POST" else None))


def unsigned_token(door: Door) -> str:
    """A token that says the right things of a member, signed by nobody."""
    claims = {"iss": door.issuer, "aud": "mma-ui", "sub": "vera", "email": "vera@example.org", "groups": ["observers"]}
    parts = ({"alg": "none", "typ": "JWT"}, {**claims, "email_verified": True, "exp": 4102444800})
    return ".".join([*(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts), ""])


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_a_stranger_claims_is_not_believed(door: Door, claim: str) -> None:
    """Names, tokens, sessions, forwarded addresses change nothing in the answer, and nobody is sent elsewhere."""
    said = {name: value.replace("{token}", unsigned_token(door)) for name, value in CLAIMS[claim].items()}
    with unheard(door):
        for method, body in (("GET", None), ("POST", QUERY)):
            answer = door.ask(method, "/graphql", JSON | said, body)
            assert_kept_out(door, answer)
            assert answer.status == 302
            assert answer.headers["location"].startswith(f"{door.issuer}/auth?")
            assert HOST not in answer.headers["location"] + answer.body
    assert ADDRESS not in door.proxy.log, "the log takes an address from a header that anybody can send"


def test_a_program_is_refused_in_plain_words(door: Door) -> None:
    """Who asks for JSON gets 401 and no redirect."""
    with unheard(door):
        answer = door.ask("POST", "/graphql", JSON | {"Accept": "application/json"}, QUERY)
    assert answer.status == 401
    assert json.loads(answer.body) == {}


@pytest.mark.parametrize("path", ["/ping", "/ready"])
def test_probes_tell_nothing(door: Door, path: str) -> None:
    """What answers without a session says that it is there and nothing more."""
    with unheard(door):
        for method in ("GET", "POST"):
            answer = door.ask(method, f"{path}?verbose=1", JSON, QUERY if method == "POST" else None)
            assert (answer.status, answer.body) == (200, "OK")
            assert answer.headers.keys() <= {"date", "content-length", "content-type"}


def test_the_proxy_has_no_other_words_for_strangers(door: Door) -> None:
    """The proxy's own pages say nothing of Dagster and nothing of who is signed in."""
    with unheard(door):
        said = {
            path: door.ask("GET", path)
            for path in ("/robots.txt", "/oauth2/sign_in", "/oauth2/auth", "/oauth2/userinfo")
        }
        assert door.ask("GET", "/metrics").status == 302
    assert all("dagster" not in answer.body.lower() for answer in said.values())
    assert (said["/oauth2/auth"].status, said["/oauth2/userinfo"].status) == (401, 401)


def test_a_member_uses_dagster(door: Door, member: Visitor) -> None:
    """Somebody of the group gets pages, an answer of GraphQL that knows the code, and a websocket."""
    assert "/_next/static/" in member.open(f"{door.url}/").body
    data = json.loads(member.open(f"{door.url}/graphql", QUERY, JSON).body)["data"]
    assert [node["location"]["name"] for node in data["repositoriesOrError"]["nodes"]] == ["mma_pipeline"]
    cookie = f"{COOKIE}={member.session.value}"
    address = f"{door.url.replace('http', 'ws')}/graphql"
    line = websocket.create_connection(address, timeout=PATIENCE_S, subprotocols=["graphql-ws"], cookie=cookie)
    with contextlib.closing(line):
        line.send(json.dumps({"type": "connection_init", "payload": {}}))
        assert json.loads(line.recv())["type"] == "connection_ack"


def test_the_session_is_the_browsers_alone(member: Visitor) -> None:
    """Its cookie is for HTTPS, for this host, out of reach of scripts and of other sites' forms, and small enough."""
    cookie = member.session
    assert cookie.secure
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite").lower() == "lax"
    assert not cookie.domain_specified
    assert len(cookie.value) < 3800, "more than one cookie is more than an ingress's buffer holds by default"
    for secret in ("vera", "observers"):
        assert secret not in cookie.value


@pytest.mark.parametrize("part", range(3))
def test_an_altered_session_is_none(door: Door, member: Visitor, part: int) -> None:
    """A session cookie whose content, time or signature was changed lets nobody in."""
    whole = member.session.value
    parts = whole.split("|")
    assert len(parts) == 3
    parts[part] = str(int(parts[1]) + 1) if part == 1 else f"AAAA{parts[part][4:]}"
    assert door.ask("POST", "/graphql", JSON | {"Cookie": f"{COOKIE}={whole}"}, QUERY).status == 200
    with unheard(door):
        answer = door.ask("POST", "/graphql", JSON | {"Cookie": f"{COOKIE}={'|'.join(parts)}"}, QUERY)
    assert answer.status == 302
    assert_kept_out(door, answer)


@pytest.mark.parametrize(("account", "status"), [("guest", 403), ("nobody", 403), ("liar", 500)])
def test_who_is_not_of_the_group_stays_outside(door: Door, account: str, status: int) -> None:
    """A password is not enough: another group, none, or an unconfirmed address end at the login, without a session."""
    with unheard(door):
        visitor, answer = door.sign_in(account)
        assert answer.status == status
        assert "dagster" not in answer.body.lower()
        assert visitor.session is None
        # The provider knows them now, and lets them through to the same answer.
        again = visitor.open(f"{door.url}/graphql?query={{version}}")
        assert (again.status, urlsplit(again.url).path) == (status, "/oauth2/callback")


def test_the_login_leads_nowhere_else(door: Door) -> None:
    """After the login people are at this address, whatever a link that they followed said."""
    for start in (
        f"/oauth2/start?rd=https://{HOST}/",
        f"/oauth2/start?rd=//{HOST}",
        f"/oauth2/sign_in?rd=/%5c{HOST}",
    ):
        _, answer = door.sign_in("vera", start)
        assert answer.url.startswith(f"{door.url}/"), answer.url


def test_the_web_server_is_on_the_loopback_interface_only(door: Door) -> None:
    """It would answer anybody, and only its own pod's addresses reach it."""
    assert "dagster_version" in requests.get(f"http://127.0.0.1:{door.web_port}/server_info", timeout=PATIENCE_S).text
    assert listening(door.web.process.pid, door.web_port) == {"127.0.0.1"}
    others = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    ]
    for other in ["127.0.0.2", *others]:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((other, door.web_port), timeout=PATIENCE_S)


def listening(pid: int, port: int) -> set[str]:
    """Addresses on which a process listens at a port."""
    found = psutil.Process(pid).net_connections(kind="inet")
    return {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN and one.laddr.port == port}


def test_the_proxy_is_content_with_its_flags(door: Door, member: Visitor) -> None:
    """No flag is deprecated or warned about, one port is open, and no secret is in the log."""
    assert "AuthSuccess" in door.proxy.log
    own = [line.lower() for line in door.proxy.log.splitlines() if " HTTP/1.1" not in line]
    assert not [line for line in own if "warning" in line or "deprecated" in line]
    found = psutil.Process(door.proxy.pid).net_connections(kind="inet")
    assert {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN} == {door.proxy.port}
    for secret in [*door.proxy.secrets, member.session.value]:
        assert secret not in door.proxy.log


def test_a_browser_shows_the_ui(door: Door) -> None:
    """A real browser goes through the login to the page that it asked for, and shows the project's code on it."""
    # The last test: what a closing browser still asked for must not be heard by the others.
    with needs("chromium"):
        if (chromium := shutil.which("chromium") or shutil.which("chromium-browser")) is None:
            raise ServiceUnavailableError("no chromium: install it from the distribution's packages")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER)
        with contextlib.closing(browser):
            page = browser.new_page()
            page.set_default_timeout(PATIENCE_S * 1000)
            page.goto(f"{door.url}/locations")
            page.fill("input[name=login]", "vera")
            page.fill("input[name=password]", "any")
            page.click("button[type=submit]")
            page.click("button:has-text('Continue')")
            page.wait_for_url(f"{door.url}/**")
            page.get_by_text("mma_pipeline").first.wait_for()
