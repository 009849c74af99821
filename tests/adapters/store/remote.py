"""What stores behind a network must do besides the common contract: broken connections, wrong credentials, no space."""

from __future__ import annotations

import logging
import os
import socket
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from mma_pipeline.adapters.errors import CredentialsError, TransientError
from mma_pipeline.adapters.store import Store
from tests.adapters.store.suite import StoreContract
from tests.services.proxy import Proxy

_SIZE = 3_000_000


@dataclass(frozen=True)
class Place:
    """Where a real server has a place of the test's own.

    Attributes:
        url: address of the store.
        port: the server's, for a proxy.
        environ_at: environment names that reach the server by way of a port.
        secrets: names of that environment that hold secrets.
    """

    url: str
    port: int
    environ_at: Callable[[int], dict[str, str]]
    secrets: tuple[str, ...]

    def open(self, port: int | None = None, **options: object) -> Store:
        """The store, straight or by way of a port."""
        return Store.open(self.url, environ=self.environ_at(port or self.port), **options)


class RemoteContract(StoreContract):
    """What every store with a server must do."""

    @pytest.fixture
    def store(self, place: Place) -> Store:
        """The place, opened."""
        return place.open(first_wait_s=0.05)

    @pytest.fixture
    def proxy(self, place: Place) -> Iterator[Proxy]:
        """A proxy that can break connections."""
        with Proxy.to(place.port) as proxy:
            yield proxy

    def test_connection_breaks_while_writing(self, place: Place, store: Store, proxy: Proxy) -> None:
        """An upload that is cut twice is tried again and ends whole."""
        content = b"0123456789" * (_SIZE // 10)
        shaky = place.open(proxy.port, first_wait_s=0.05)
        proxy.break_next(2, after=_SIZE // 2)
        assert shaky.put("p/x", content, metadata={"v": "1"}).written
        assert proxy.cuts == 0
        assert store.get("p/x") == content

    def test_connection_breaks_while_reading(self, place: Place, store: Store, proxy: Proxy, tmp_path) -> None:
        """A download that is cut is tried again; nobody gets a part of an object."""
        content = b"0123456789" * (_SIZE // 10)
        store.put("p/x", content)
        shaky = place.open(proxy.port, first_wait_s=0.05)
        proxy.break_next(2, after=_SIZE // 2)
        assert shaky.get("p/x") == content
        proxy.break_next(2, after=_SIZE // 2)
        shaky.get_file("p/x", tmp_path / "x")
        assert proxy.cuts == 0
        assert (tmp_path / "x").read_bytes() == content

    def test_tries_are_limited(
        self, place: Place, store: Store, proxy: Proxy, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A connection that always breaks is a TransientError after the given number of tries; the old object stays."""
        store.put("p/x", b"old")
        shaky = place.open(proxy.port, attempts=3, first_wait_s=0.05)
        proxy.break_next(1000, after=_SIZE // 2)
        with pytest.raises(TransientError, match="p/x"):
            shaky.put("p/x", b"n" * _SIZE)
        assert [r.args[1:] for r in caplog.records if "try %d of %d" in r.msg] == [(1, 3), (2, 3)]
        assert store.get("p/x") == b"old"

    def test_nobody_listens(self, place: Place) -> None:
        """A store that is down is a TransientError, soon."""
        with socket.socket() as taken:  # bound, not listening: refused
            taken.bind(("127.0.0.1", 0))
            store = place.open(taken.getsockname()[1], attempts=2, first_wait_s=0.05)
            with pytest.raises(TransientError):
                store.get("p/x")

    def test_silent_server(self, place: Place) -> None:
        """A server that accepts and says nothing is given up after the timeout."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            store = place.open(silent.getsockname()[1], attempts=1, timeout_s=0.5)
            with pytest.raises(TransientError):
                store.get("p/x")

    def test_wrong_credentials(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        """Wrong secrets are a CredentialsError at once, and no secret is in the message, the traceback or any log."""
        wrong = place.environ_at(place.port)
        for name in place.secrets:
            wrong[name] = wrong[name][:-6] + "AAAA=="
        with caplog.at_level(logging.DEBUG):
            store = Store.open(place.url, environ=wrong)
            with pytest.raises(CredentialsError, match="check the store's credentials") as caught:
                store.put("p/x", b"1")
            with pytest.raises(CredentialsError):
                store.get("p/x")
        texts = [caplog.text, repr(store), store.url("x"), *traceback.format_exception(caught.value)]
        error: BaseException | None = caught.value
        while error is not None:  # also what a traceback would not print
            texts += [str(error), repr(error.args), repr(vars(error))]
            error = error.__cause__ or error.__context__
        for name in place.secrets:
            assert not [text for text in texts if wrong[name] in text]

    def test_no_secret_in_logs(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        """Also with every logger at DEBUG, ordinary work shows no secret."""
        environ = place.environ_at(place.port)
        with caplog.at_level(logging.DEBUG):
            store = place.open()
            store.put("p/x", b"1")
            store.get("p/x")
            store.ls("p/")
        for name in place.secrets:
            assert environ[name] not in caplog.text

    def test_requests_are_few(self, place: Place, proxy: Proxy) -> None:
        """A new object takes two requests, an unchanged one, a read and a look-up one each; nothing is ever listed."""
        store = place.open(proxy.port)
        store.put("p/warm", b"1")
        counts = []
        for work in (
            lambda: store.put("p/x", b"1"),
            lambda: store.put("p/x", b"1"),
            lambda: store.get("p/x"),
            lambda: store.stat("p/missing"),
        ):
            proxy.requests.clear()
            work()
            counts.append(len(proxy.requests))
            assert not [line for line in proxy.requests if "list" in line or "format=json" in line]
        assert counts == [2, 1, 1, 1]

    def test_after_fork(self, store: Store) -> None:
        """A store goes on working in a process that was forked off, and in the one that forked."""
        store.put("a", b"1")
        child = os.fork()
        if child == 0:
            os._exit(0 if store.get("a") == b"1" and store.put("b", b"2").written else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert store.get("b") == b"2"

    def test_several_stores_at_once(self, place: Place, store: Store) -> None:
        """Stores opened one after another in one process do not disturb each other."""
        other = place.open()
        store.put("a", b"1")
        assert other.get("a") == b"1"
        del other
        assert store.get("a") == b"1"
