"""Which event a message speaks of can be told from what is left of it, and never from a map's bytes."""

from __future__ import annotations

import pytest

from mma_pipeline.notices.salvage import event_named, is_rehearsal
from tests.alerts import alert, avro
from tests.defs.malformed import good, tiny_map
from tests.neutrinos import notice

WHOLE = good("S240301b")


@pytest.mark.parametrize("end", [len(WHOLE), len(WHOLE) - 1, WHOLE.index(b"S240301b") + 9])
def test_json_cut_anywhere_behind_the_id(end: int) -> None:
    """A message cut short names its event as long as the id is there."""
    assert event_named(WHOLE[:end]) == "S240301b"


def test_json_cut_before_the_id_names_none() -> None:
    """Half an id is no id."""
    assert event_named(b'{"superevent_id": "S240301') is None
    assert event_named(b"") is None
    assert event_named(b"\xff\xfe not json") is None


def test_avro_whole_and_cut() -> None:
    """A text of Avro is found by its length, whatever letters follow it."""
    data = avro(alert("MS240301ab", skymap=tiny_map()))
    assert event_named(data) == "MS240301ab"
    assert event_named(data[: data.index(b"MS240301ab") + 40]) == "MS240301ab"
    assert event_named(b"Obj\x01...\x10S240301babc") == "S240301b"


def test_neutrino_notice() -> None:
    """IceCube's notice names the event in its reference."""
    body = notice("S240301b")
    assert event_named(body) == "S240301b"
    assert event_named(body[:-20]) == "S240301b"


@pytest.mark.parametrize(
    "data",
    [
        b'{"superevent_id": "../../S240301b"}',
        b'{"event": {"skymap": "AAAA/S240301b/AAAA"}}',
        b"S240301b",
        b'{"superevent_id": "S240301b\\u0000"}',
    ],
)
def test_what_only_looks_like_an_id_is_none(data: bytes) -> None:
    """An id inside other text, or a bare word, names no event."""
    assert event_named(data) is None


def test_rehearsals_are_recognised_and_nothing_else() -> None:
    """Mock and test ids, and searches for injections, are rehearsals; what cannot be told counts as real."""
    assert is_rehearsal(b"", "MS240301b")
    assert is_rehearsal(b"", "TS240301b")
    assert not is_rehearsal(b'{"search": "MDC"}', "S240301b")
    assert is_rehearsal(b'{"event": {"search" : "MDC"', None)
    assert not is_rehearsal(b'{"event": {"search": "AllSky"}}', None)
    assert not is_rehearsal(b"\x00", None)
