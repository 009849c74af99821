"""What is read out of messages, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.tom.messages import read

V1 = {"candidate": "AT2017gfo", "ra": 197.45, "dec": -23.38, "time_obs": 57982.5, "kn_score": 0.9, "other_score": 0.1}
V1_HEADERS = {
    "sender": b"alert-integration-demo",
    "schema": b"scimma.alert-integration-demo/broker/v1",
    "time": b"2022-08-01 12:00:00.500000",
    "id": b"0f0f0f0f0f0f4f0f8f0f0f0f0f0f0f0f",
}


def test_v1_of_the_demo() -> None:
    """A message as the demo's own broker sends it is read in full, and its id is no magnitude."""
    reading = read(json.dumps(V1).encode(), V1_HEADERS)
    assert reading.schema == "v1"
    assert reading.message_id == "0f0f0f0f0f0f4f0f8f0f0f0f0f0f0f0f"
    assert reading.published == datetime(2022, 8, 1, 12, 0, 0, 500000, tzinfo=UTC)
    position = reading.position
    assert position is not None
    assert position.magnitude is None
    # MJD 57982.5 is noon of 2017-08-17.
    assert position.observed == datetime(2017, 8, 17, 12, tzinfo=UTC)
    assert (position.kilonova_probability, position.other_probability) == (0.9, 0.1)


def test_v1_without_headers_is_known_again() -> None:
    """Without an id header, the same content is the same message and another content another."""
    first, again = (read(json.dumps(V1).encode(), {}) for _ in range(2))
    other = read(json.dumps(V1 | {"kn_score": 0.91}).encode(), {})
    assert first.message_id == again.message_id != other.message_id


def test_v2_carries_event_magnitude_and_level(event) -> None:
    """A v2 candidate has its event, credible level, and a magnitude that is the magnitude."""
    _, new = event.score(0.9, datetime(2026, 11, 22, tzinfo=UTC), magnitude=17.5)
    reading = read(new.body, new.headers)
    assert reading.event_id == event.event_id
    assert reading.is_test
    assert reading.message_id == new.id.hex
    position = reading.position
    assert position is not None
    assert (position.magnitude, position.band, position.credible_level) == (17.5, "r", 0.47)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ra": "197"}, "ra is a text"),
        ({"ra": 400}, "outside 0 to 360"),
        ({"dec": None}, "dec is a null"),
        ({"kn_score": 1.5}, "outside 0 to 1"),
        ({"kn_score": True}, "boolean"),
        ({"time_obs": 2457983.0}, "time_obs is"),
        ({"candidate": ""}, "not a name"),
        ({"candidate": "x" * 101}, "not a name"),
        ({"candidate": "a\x00b"}, "not a name"),
        ({"candidate": 7}, "number where text"),
    ],
)
def test_values_that_cannot_be(change: dict[str, object], reason: str) -> None:
    """A value that cannot be true is refused with a reason that names it."""
    with pytest.raises(NoticeError, match=reason):
        read(json.dumps(V1 | change).encode(), V1_HEADERS)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"\xff\xfe", {}),
        (b"[1]", {}),
        (b'{"ra": NaN}', {}),
        (b"[" * 100_000, {}),
        (b'{"schema": "mma.derived-alert/2.0"}', {}),
        (b'{"schema": "mma.derived-alert/2.0", "kind": "candidate", "event_id": "S1"}', {}),
        (b'{"schema": "mma.derived-alert/2.0", "kind": "candidate", "event_id": "S230518h"}', {}),
        (b'{"schema": "mma.derived-alert/2.0", "kind": "retraction", "event_id": "S230518h"}', {}),
        (b'{"schema": "mma.derived-alert/2.0", "kind": "candidate", "event_id": ["S230518h"]}', {}),
        (b'{"schema": "mma.derived-alert/3.0", "kind": "version", "event_id": "S230518h"}', {}),
        (json.dumps(V1).encode(), {"time": b"yesterday"}),
        (json.dumps(V1).encode(), {"id": b"17.2"}),
        (json.dumps(V1).encode(), {"schema": b"scimma.alert-integration-demo/source/v1"}),
    ],
)
def test_what_is_no_derived_alert(body: bytes, headers: dict[str, bytes]) -> None:
    """Anything else is refused with one sentence, never with another error."""
    with pytest.raises(NoticeError):
        read(body, headers)
