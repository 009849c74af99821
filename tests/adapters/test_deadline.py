"""One limit for many waits: what is left of it, and servers and brokers that would use it up."""

from __future__ import annotations

import pytest

from mma_pipeline.adapters.deadline import left, within
from mma_pipeline.adapters.errors import NotFoundError, OutOfTimeError, PermanentError, TransientError
from mma_pipeline.adapters.http import download, fetch
from mma_pipeline.adapters.kafka.reader import StreamReader
from mma_pipeline.adapters.kafka.stream import StreamConfig
from mma_pipeline.adapters.kafka.watch import BrokerWatch
from mma_pipeline.adapters.store import Store
from tests.services.stubborn import How, stubborn

ENDLESS = [How.SILENT, How.TRICKLING_HEAD, How.TRICKLING_BODY]


def test_limit_within_a_limit() -> None:
    """Without a limit a wait has its own; inside one it has no more than is left; an inner limit never lengthens it."""
    assert left(7.0) == 7.0
    with within(100.0):
        assert left(7.0) == 7.0
        assert 99.0 < left(1000.0) <= 100.0
        with within(5.0):
            assert left(7.0) <= 5.0
        with within(1000.0):
            assert left(2000.0) <= 100.0
        with within(0.0), pytest.raises(OutOfTimeError):
            left(7.0)
    assert left(1000.0) == 1000.0


@pytest.mark.parametrize("how", ENDLESS)
def test_download_ends_whatever_the_server_does(how: How) -> None:
    """The clock on the wall ends a request: also one of which every byte comes in time."""
    with stubborn(how) as server, pytest.raises(TransientError):
        download(server.url, most_bytes=10_000_000, seconds=0.5)


@pytest.mark.parametrize("how", ENDLESS)
def test_attempts_share_one_limit(how: How) -> None:
    """All attempts to fetch a file end within the limit of the work that they belong to."""
    with stubborn(how) as server, within(0.5), pytest.raises(TransientError):
        fetch(server.url)


def test_answers_of_a_server() -> None:
    """Content is given whole; too much, nothing there and an address that is none are errors for good."""
    with stubborn(How.GIVING, b"content") as server:
        assert download(server.url, most_bytes=7, seconds=30) == b"content"
        with pytest.raises(PermanentError, match="sends more than"):
            download(server.url, most_bytes=6, seconds=30)
        server.how = How.GONE
        with pytest.raises(NotFoundError):
            download(server.url, most_bytes=10, seconds=30)
    for nonsense in ("http://", "http://[::1", "ftp://host/file"):
        with pytest.raises((PermanentError, TransientError)):
            download(nonsense, most_bytes=10, seconds=5)


def test_secrets_of_an_address_are_not_shown() -> None:
    """Neither the query nor the credentials of an address reach an error's text."""
    with stubborn(How.GONE) as server, pytest.raises(NotFoundError) as caught:
        download(server.url.replace("http://", "http://me:hidden@") + "?token=hidden", most_bytes=10, seconds=30)
    assert "hidden" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")
def test_broker_that_takes_requests_and_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reader and watch of a dead broker end with an error within their time, however many requests they would make."""
    monkeypatch.setattr("mma_pipeline.adapters.kafka.reader.REQUEST_TIMEOUT_S", 1.0)
    monkeypatch.setattr("mma_pipeline.adapters.kafka.watch.LOOK_S", 1.0)
    with stubborn(How.SILENT) as server:
        address = server.url.removeprefix("http://").partition("/")[0]
        config = StreamConfig("dead", ("one", "two"), {"bootstrap.servers": address, "log_level": 0})
        reader, watch = StreamReader(config), BrokerWatch(config)
        try:
            with pytest.raises(TransientError):
                reader.poll({}, max_messages=5, timeout_s=0.2)
            with pytest.raises(TransientError):
                watch.lag({})
        finally:
            reader.close()
            watch.close()


def test_reader_in_another_thread_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick that comes while an earlier one still has the consumer says so instead of waiting behind it."""
    monkeypatch.setattr("mma_pipeline.adapters.kafka.reader.REQUEST_TIMEOUT_S", 0.2)
    reader = StreamReader(StreamConfig("busy", ("t",), {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}))
    try:
        with reader._lock, pytest.raises(TransientError, match="earlier request"):
            reader.poll({}, max_messages=5, timeout_s=0.1)
    finally:
        reader.close()


def test_store_begins_no_request_without_time(tmp_path) -> None:
    """Once the time is used up no further request is made, and none is repeated."""
    store = Store.open(tmp_path.as_uri())
    store.put("a/b.txt", b"x")
    with within(0.0), pytest.raises(OutOfTimeError):
        store.stat("a/b.txt")
