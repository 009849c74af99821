"""GraceDB's public API, against a stand-in: which files are notices, and what becomes of faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mma_pipeline.adapters.errors import NotFoundError, PermanentError, TransientError
from mma_pipeline.adapters.gracedb import ATTEMPTS, GraceDB
from mma_pipeline.notices.errors import NoticeError
from tests.services.gracedb import GraceDBStandIn
from tests.services.process import free_ports

FILES = {
    "bayestar.multiorder.fits,0": b"map",
    "S230518h-preliminary.json": b"p1",
    "S230518h-preliminary.json,0": b"p0",
    "S230518h-preliminary.json,1": b"p1",
    "S230518h-preliminary.json,10": b"p10",
    "S230518h-initial.json": b"i0",
    "S230518h-initial.json,0": b"i0",
    "S230518h-update.json,2": b"u2",
    "S230518h-earlywarning.json,0": b"e0",
    "S230518h-retraction.json,0": b"r0",
    "S230518h-1-Preliminary.xml": b"<xml/>",
    "../../etc/passwd": b"no",
}


@pytest.fixture
def stand_in() -> Iterator[GraceDBStandIn]:
    """A GraceDB with two superevents."""
    with GraceDBStandIn({"S230518h": FILES, "S240101a": {"p_astro.json": b"{}"}}) as running:
        yield running


@pytest.fixture
def service(stand_in: GraceDBStandIn) -> GraceDB:
    """A client that does not wait between attempts."""
    return GraceDB(stand_in.api, wait_s=0.0)


def test_notices_of_a_superevent(service: GraceDB) -> None:
    """Every uploaded version of every notice is listed once, in order of upload within its type, and nothing else."""
    assert [file.name for file in service.alert_files("S230518h")] == [
        "S230518h-earlywarning.json,0",
        "S230518h-initial.json,0",
        "S230518h-preliminary.json,0",
        "S230518h-preliminary.json,1",
        "S230518h-preliminary.json,10",
        "S230518h-retraction.json,0",
        "S230518h-update.json,2",
    ]


def test_download(service: GraceDB) -> None:
    """A file comes byte for byte, under its version."""
    contents = [service.download(file) for file in service.alert_files("S230518h")]
    assert contents == [b"e0", b"i0", b"p0", b"p1", b"p10", b"r0", b"u2"]


def test_unknown_superevent(service: GraceDB, stand_in: GraceDBStandIn) -> None:
    """What GraceDB does not know is asked for once and said so."""
    with pytest.raises(NotFoundError, match="does not know superevents/S190101z"):
        service.alert_files("S190101z")
    assert len(stand_in.requests) == 1


def test_superevent_without_notices(service: GraceDB) -> None:
    """A superevent without JSON notices (before O4) is an error that says why."""
    with pytest.raises(NotFoundError, match="older than O4"):
        service.alert_files("S240101a")


@pytest.mark.parametrize("name", ["../S230518h", "S230518h/files", "", "230518"])
def test_wrong_ids_are_never_sent(service: GraceDB, stand_in: GraceDBStandIn, name: str) -> None:
    """An id that is none is refused before any request."""
    with pytest.raises(NoticeError):
        service.alert_files(name)
    assert stand_in.requests == []


@pytest.mark.parametrize("fault", [500, 502, 503, 429])
def test_passing_trouble(service: GraceDB, stand_in: GraceDBStandIn, fault: int) -> None:
    """A server error or throttling is tried again."""
    stand_in.faults = [fault, fault]
    assert len(service.alert_files("S230518h")) == 7
    assert len(stand_in.requests) == 3


def test_lasting_trouble(service: GraceDB, stand_in: GraceDBStandIn) -> None:
    """Trying ends after a fixed number of attempts."""
    stand_in.faults = [500] * 50
    with pytest.raises(TransientError, match="GraceDB answered 500"):
        service.alert_files("S230518h")
    assert len(stand_in.requests) == ATTEMPTS


def test_not_public(service: GraceDB, stand_in: GraceDBStandIn) -> None:
    """A refusal is not tried again and says what it may mean."""
    stand_in.faults = [403]
    with pytest.raises(PermanentError, match="is the superevent public"):
        service.alert_files("S230518h")
    assert len(stand_in.requests) == 1


@pytest.mark.parametrize(("garbage", "error"), [(b"<html>busy</html>", TransientError), (b"[1, 2]", PermanentError)])
def test_garbage(service: GraceDB, stand_in: GraceDBStandIn, garbage: bytes, error: type[Exception]) -> None:
    """An answer that is no JSON object is an error in words."""
    stand_in.faults = [garbage]
    with pytest.raises(error, match="GraceDB answered"):
        service.alert_files("S230518h")


def test_nobody_answers() -> None:
    """No server at all is TransientError, after the attempts."""
    (port,) = free_ports(1)
    with pytest.raises(TransientError, match="GraceDB does not answer"):
        GraceDB(f"http://127.0.0.1:{port}/api/", wait_s=0.0).alert_files("S230518h")


def test_superevents_page_by_page(service: GraceDB) -> None:
    """A query follows the links to further pages to their end."""
    found = [entry["superevent_id"] for entry in service.superevents("created: 2023-05-18 .. 2024-02-01")]
    assert found == ["S230518h", "S240101a"]
