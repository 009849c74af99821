"""One HTTP client: what an answer means, what is repeated, where limits hold, and that nobody has another."""

from __future__ import annotations

import ast
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

import mma_pipeline
from mma_pipeline.adapters import http as ours
from mma_pipeline.adapters.deadline import within
from mma_pipeline.adapters.errors import (
    ConfigurationError,
    CredentialsError,
    NotFoundError,
    OutOfTimeError,
    PermanentError,
    StoreFullError,
    TransientError,
    UncertainError,
)
from mma_pipeline.adapters.publishing.gwtm_client import GwtmClient
from mma_pipeline.adapters.publishing.webhook import WebhookDestination
from mma_pipeline.adapters.retry import attempts
from tests.services.stubborn import How, stubborn

PACKAGE = Path(mma_pipeline.__file__).parent
TOKEN = "a-token-that-nobody-may-read"
MEANING = {
    200: None, 204: None, 302: ConfigurationError, 307: ConfigurationError, 400: PermanentError, 401: CredentialsError,
    403: CredentialsError, 404: NotFoundError, 408: TransientError, 409: PermanentError, 410: NotFoundError,
    422: PermanentError, 425: TransientError, 429: TransientError,
}  # fmt: skip


@pytest.mark.parametrize("changes", [True, False])
def test_what_a_status_means(changes: bool) -> None:
    """One table for every request; a 5xx is uncertain only where the request may have changed something."""
    expected = MEANING | dict.fromkeys((500, 502, 503, 504), UncertainError if changes else TransientError)
    assert {status: ours.error_type(status, changes=changes) for status in expected} == expected


@pytest.mark.parametrize("status", [302, 400, 403, 404, 429, 500, 502])
@pytest.mark.parametrize("changes", [True, False])
def test_a_refusal_speaks_without_secrets(status: int, changes: bool) -> None:
    """The server's words and the status are told; our token, which the server may repeat, is not."""
    answer = httpx.Response(status, json={"message": f"no, {TOKEN}", "errors": ["bad"]})
    error = ours.refusal(answer, "GWTM post_alert", (TOKEN,), changes=changes)
    assert type(error) is ours.error_type(status, changes=changes)
    assert str(status) in str(error)
    assert TOKEN not in str(error)
    if isinstance(error, UncertainError):
        assert error.settled is (status == 500)


@pytest.mark.parametrize("changes", [True, False])
def test_a_broken_exchange_is_uncertain_only_if_it_may_have_left(changes: bool) -> None:
    """Who was never reached stored nothing; after that it depends on what was asked."""
    assert type(ours.transport_error(httpx.ConnectError("x"), "A", changes=changes)) is TransientError
    kind = UncertainError if changes else TransientError
    assert type(ours.transport_error(httpx.ReadTimeout("x"), "A", changes=changes)) is kind


class _Redirecting(http.server.BaseHTTPRequestHandler):
    """Sends everybody on to /there, and notes who came."""

    came: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.came.append(self.path)
        self.send_response(200 if self.path == "/there" else 307)
        self.send_header("location", "/there")
        self.send_header("content-length", "4" if self.path == "/there" else "0")
        self.end_headers()
        if self.path == "/there":
            self.wfile.write(b"[42]")

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def redirecting() -> Iterator[str]:
    """Address of a server that redirects."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Redirecting)
    _Redirecting.came.clear()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_who_carries_a_secret_follows_nobody(redirecting: str) -> None:
    """A redirect ends a request with a token, read or post, and a webhook; a file without either is fetched there."""
    site = GwtmClient(f"{redirecting}/api/v1/", TOKEN)
    for request in (lambda: site.alerts("S230518h"), lambda: site.post_alert({})):
        with pytest.raises(ConfigurationError, match="redirects"):
            request()
    site.close()
    hook = WebhookDestination("chat", f"{redirecting}/{TOKEN}")
    publication = type("P", (), {"payload": {"failure": {"kind": "problem", "error": "x"}}, "dedupe_key": "1"})()
    with pytest.raises(ConfigurationError, match="redirects") as caught:
        hook.send(publication)  # type: ignore[arg-type]
    assert TOKEN not in str(caught.value)
    with pytest.raises(ConfigurationError):
        ours.download(f"{redirecting}/here", most_bytes=100, seconds=30, bearer=TOKEN)
    assert "/there" not in _Redirecting.came
    assert ours.download(f"{redirecting}/here", most_bytes=100, seconds=30) == b"[42]"


def test_no_request_begins_without_time() -> None:
    """Where a piece of work has used up its time, neither a read nor a post leaves."""
    with stubborn(How.GIVING, b"[]") as server, within(0.0):
        with pytest.raises(OutOfTimeError):
            ours.fetch(server.url)
        with pytest.raises(OutOfTimeError):
            GwtmClient(server.url, TOKEN).post_alert({})
        assert server.requests == 0


def test_a_post_ends_with_the_time_of_its_work() -> None:
    """A client that would wait for minutes waits no longer than the work may take; whether it was stored is uncertain."""
    with stubborn(How.SILENT) as server, within(2.0), pytest.raises(UncertainError):
        GwtmClient(server.url, TOKEN, timeout_s=600.0).post_alert({})


@pytest.mark.parametrize(
    ("error", "expected"),
    [(TransientError("x"), 4), (UncertainError("x"), 1), (OutOfTimeError("x"), 1), (StoreFullError("x"), 1), (PermanentError("x"), 1)],
)  # fmt: skip
def test_trying_again_has_a_limit(error: Exception, expected: int) -> None:
    """What may pass is tried as often as said; what cannot pass now, once. The error comes out as it is."""
    calls = []

    def fail() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        attempts(4, first_s=0.0)(fail)
    assert len(calls) == expected


@pytest.mark.parametrize(
    ("library", "users"),
    [
        ({"Client", "AsyncClient", "get", "post", "request", "stream", "Timeout"}, {"adapters/http.py"}),
        # The store sees other libraries' errors; the portal waits for tables that another process is making, which is no
        # error that passes by itself.
        (
            {"Retrying", "retry", "AsyncRetrying"},
            {"adapters/retry.py", "adapters/store/store.py", "cli/serve.py"},
        ),
    ],
)  # fmt: skip
def test_nobody_has_a_loop_of_their_own(library: set[str], users: set[str]) -> None:
    """Clients of HTTP and loops that try again are made in one module each."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if _names(node, {"httpx", "tenacity", "requests"}) & library
    }
    assert {one for one in found if not one.startswith("tom/")} == users


def _names(node: ast.AST, libraries: set[str]) -> set[str]:
    """What a node takes from one of the libraries."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in libraries:
        return {node.attr}
    if isinstance(node, ast.ImportFrom) and node.module in libraries:
        return {alias.name for alias in node.names}
    return set()
