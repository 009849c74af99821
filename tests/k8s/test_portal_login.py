"""Nobody reaches the portal without the login: the real `mma serve`, oauth2-proxy and an OpenID Connect provider."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
from collections.abc import Iterator

import psutil
import pytest
import requests

from mma_pipeline.adapters.errors import AdapterError
from mma_pipeline.client import Portal
from tests.alerts import body
from tests.homes import Home
from tests.k8s.login import COOKIE, PATIENCE_S, Answer, Door, Visitor, running_portal
from tests.k8s.strangers import ADDRESS, CLAIMS, HOST, PATHS

# The first test may have to build oauth2-proxy.
pytestmark = pytest.mark.timeout(3600)
EVENT, FILE = "S240301a", "mma/S240301a/words.json"
CONTENT = b'{"words": "for members"}'
#: A request of each kind that the portal answers: pages, files, static files, API, computations, stream of events.
ASKED = [
    *[(method, "/") for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]],
    *[
        ("GET", path)
        for path in ("/?test=true", f"/events/{EVENT}", f"/events/{EVENT}/files", "/quarantine", "/health")
    ],
    *[("GET", path) for path in (f"/events/{EVENT}/circular", "/static/portal.css", "/api", "/api/v1/openapi.json")],
    *[(method, f"/files/{FILE}") for method in ("GET", "HEAD")],
    *[("GET", path) for path in ("/api/v1/events", f"/api/v1/events/{EVENT}", "/api/v1/pairs", "/api/v1/quarantine")],
    *[("POST", path) for path in (f"/api/v1/events/{EVENT}/crossmatch", "/api/v1/regions/objects")],
    ("GET", "/api/v1/stream"),
]
TABLE = {"Content-Type": "text/csv"}
POSITIONS = b"ra,dec\n150.0,20.0\n"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, oauth2_proxy, login_provider) -> Iterator[Door]:
    """The pod with its login, over an archive with an event and a store with a file."""
    home = Home(tmp_path_factory.mktemp("home"))
    with home.active():
        home.receive(body(EVENT))
        home.store.put(FILE, CONTENT, content_type="application/json")
    with running_portal(tmp_path_factory.mktemp("login"), home, oauth2_proxy, login_provider) as one:
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
    """Nothing of what happens reaches the portal."""
    before = door.heard
    yield
    assert door.heard == before


def assert_sent_to_the_login(door: Door, answer: Answer) -> None:
    """A redirect to the provider, with nothing of the portal's."""
    assert answer.status == 302
    assert answer.headers["location"].startswith(f"{door.issuer}/auth?")
    assert "for members" not in answer.body


def test_a_stranger_gets_nothing(door: Door) -> None:
    """Without a session every page, file, request of the API and the stream leads to the login; the portal is not asked."""
    with unheard(door):
        for method, target in ASKED:
            answer = door.ask(method, target, TABLE, POSITIONS if method == "POST" else None)
            assert_sent_to_the_login(door, answer)


def test_a_program_is_refused_in_plain_words(door: Door) -> None:
    """A program without a session that asks for JSON gets 401 and an empty object."""
    with unheard(door):
        for method, target in (
            ("GET", "/api/v1/events"),
            ("GET", f"/files/{FILE}"),
            ("POST", "/api/v1/regions/objects"),
        ):
            answer = door.ask(method, target, {"Accept": "application/json"}, b"{}" if method == "POST" else None)
            assert (answer.status, json.loads(answer.body)) == (401, {})


def test_no_path_leads_around_the_login(door: Door) -> None:
    """Dots, doubled and encoded slashes and the paths that need no login open nothing of the portal."""
    with unheard(door):
        for target in PATHS:
            for place in ("api/v1/events", f"files/{FILE}"):
                answer = door.ask("GET", target.replace("graphql", place).replace("GRAPHQL", place.upper()))
                assert EVENT not in answer.body or answer.status in (301, 302, 307, 308)
                assert answer.status in (301, 302, 307, 308) or 400 <= answer.status < 500, target


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_a_stranger_claims_is_not_believed(door: Door, claim: str) -> None:
    """Names, tokens, sessions, forwarded addresses and hosts change nothing in the answer."""
    said = {name: value.replace("{token}", "e30.e30.") for name, value in CLAIMS[claim].items()}
    with unheard(door):
        for target in ("/", "/api/v1/stream"):
            answer = door.ask("GET", target, said)
            assert_sent_to_the_login(door, answer)
            assert HOST not in answer.headers["location"] + answer.body
    assert ADDRESS not in door.proxy.log


@pytest.mark.parametrize(("account", "status"), [("guest", 403), ("nobody", 403), ("liar", 500)])
def test_who_is_not_of_the_group_stays_outside(door: Door, account: str, status: int) -> None:
    """Another group, none, or an unconfirmed address end at the login, without a session."""
    with unheard(door):
        visitor, answer = door.sign_in(account, f"/events/{EVENT}/files")
        assert answer.status == status
        assert visitor.session is None


def test_a_member_uses_the_portal(door: Door, member: Visitor) -> None:
    """Somebody of the group gets the pages, a file byte for byte, the API in JSON, and the answer to a computation."""
    assert f"/events/{EVENT}" in member.open(f"{door.url}/").body
    assert member.open(f"{door.url}/static/portal.css").status == 200
    file = member.open(f"{door.url}/files/{FILE}")
    assert file.body.encode() == CONTENT
    assert file.headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    found = json.loads(member.open(f"{door.url}/api/v1/events").body)["events"]
    assert [one["event"] for one in found] == [EVENT]
    match = member.open(f"{door.url}/api/v1/events/{EVENT}/crossmatch", POSITIONS, TABLE)
    assert json.loads(match.body)["event"] == EVENT


def test_a_member_follows_the_stream(door: Door, member: Visitor) -> None:
    """Through the proxy server-sent events come as they are sent, not when the stream ends."""
    assert member.session is not None
    headers = {"Cookie": f"{COOKIE}={member.session.value}", "Last-Event-ID": "0"}
    with requests.get(f"{door.url}/api/v1/stream", headers=headers, stream=True, timeout=PATIENCE_S) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines(decode_unicode=True)
        data = next(line for line in lines if line.startswith("data: "))
    assert json.loads(data.removeprefix("data: "))["event"] == EVENT


def test_a_program_with_a_members_session_uses_the_client(door: Door, member: Visitor) -> None:
    """The Python client works with the cookie of a session, and with no other."""
    assert member.session is not None
    with Portal(door.url, headers={"Cookie": f"{COOKIE}={member.session.value}"}) as portal:
        assert list(portal.events().index) == [EVENT]
    altered = f"AAAA{member.session.value[4:]}"
    with (
        unheard(door),
        Portal(door.url, headers={"Cookie": f"{COOKIE}={altered}"}) as portal,
        pytest.raises(AdapterError),
    ):
        portal.events()


def test_the_portal_is_on_the_loopback_interface_only(door: Door) -> None:
    """It would answer anybody under its own names, and only its own pod's addresses reach it."""
    assert requests.get(f"http://127.0.0.1:{door.web_port}/api/v1/events", timeout=PATIENCE_S).ok
    stranger = {"Host": HOST}
    assert requests.get(f"http://127.0.0.1:{door.web_port}/", headers=stranger, timeout=PATIENCE_S).status_code == 421
    found = psutil.Process(door.web.process.pid).net_connections(kind="inet")
    assert {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    for address in {a.address for group in psutil.net_if_addrs().values() for a in group if a.family == socket.AF_INET}:
        if not address.startswith("127."):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((address, door.web_port), timeout=PATIENCE_S)
