"""IceCube notices: both schemas, upper limits, what is refused, identity."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.icecube import is_icecube, parse_json, version_of

EXAMPLE = (
    Path(__file__).resolve().parents[2].parent / "shared" / "data" / "icecube" / "lvk_nu_track_search.example.json"
)


def _notice(**changes: Any) -> dict[str, Any]:
    record: dict[str, Any] = {
        "type": "IceCube LVK Alert Nu Track Search",
        "reference": {"gcn.notices.LVK.alert": "S230914ak-2-Preliminary"},
        "ref_ID": "S230914ak",
        "alert_datetime": "2023-09-14T11:49:16.526Z",
        "trigger_time": "2023-09-14T11:14:01Z",
        "observation_start": "2023-09-14T11:05:41.000Z",
        "observation_stop": "2023-09-14T11:22:21.000Z",
        "pval_generic": 0.0191,
        "pval_bayesian": None,
        "coincident_events": [
            {
                "event_dt": 12.91,
                "localization": {"ra": 17.48, "dec": 16.15, "ra_dec_error": 0.5, "containment_probability": 0.9},
                "id": ["138590_39138551"],
            }
        ],
    }
    return {key: value for key, value in (record | changes).items() if value is not ...}


def _bytes(**changes: Any) -> bytes:
    return json.dumps(_notice(**changes)).encode()


@pytest.mark.skipif(not EXAMPLE.exists(), reason=f"{EXAMPLE} is not there")
def test_the_published_example() -> None:
    """Every value of the schema's own example is kept, with its unit."""
    found = parse_json(EXAMPLE.read_bytes())
    assert (found.event_id, found.reference) == ("S230914ak", "S230914ak-2-Preliminary")
    assert found.trigger_time == datetime(2023, 9, 14, 11, 14, 1, tzinfo=UTC)
    assert found.window_s == 1000.0
    assert (found.pval_generic, found.pval_bayesian) == (0.0191, 0.0549)
    first, second = found.neutrinos
    assert (first.time_offset, first.radius, first.containment) == (12.91, 0.5, 0.9)
    assert second.direction is not None
    assert (second.direction.ra, second.direction.dec) == (13.82, 18.66)
    assert second.pval_bayesian == 0.0656
    assert first.pval_bayesian is None
    assert first.ids == ("138590_39138551",)
    assert found.most_probable is not None
    assert found.flux_sensitivity == (0.0277, 0.647)
    assert found.energy_range == (542, 23_000_000)


@pytest.mark.parametrize(
    ("event", "radius"),
    [
        ({"localization": {"ra": 1.0, "dec": 2.0, "ra_dec_error": [0.4, 0.6]}}, 0.6),
        ({"localization": {"ra": 1.0, "dec": 2.0, "ra_uncertainty": [0.51], "uncertainty_shape": "circle"}}, 0.51),
        ({"ra": 1.0, "dec": 2.0, "ra_uncertainty": [0.51]}, 0.51),
        ({"ra": 361.0, "dec": 2.0, "ra_uncertainty": 0.3}, 0.3),
        ({"localization": {"ra": 1.0, "dec": 2.0, "position_a_error": 0.45}}, 0.45),
        ({"localization": {"ra": 1.0, "dec": 2.0}}, None),
        ({"localization": {"ra": 1.0, "dec": 2.0, "ra_uncertainty": []}}, None),
    ],
)
def test_positions_of_every_schema(event: dict[str, Any], radius: float | None) -> None:
    """Number or list, old or new name, inside `localization` or beside it: the position is never lost."""
    (found,) = parse_json(_bytes(coincident_events=[event])).neutrinos
    assert found.direction is not None
    assert (found.direction.ra, found.direction.dec) == (1.0, 2.0)
    assert found.radius == radius


@pytest.mark.parametrize("events", [[], None, ...])
def test_a_notice_without_events_is_a_result(events: Any) -> None:
    """No coincidence is an upper limit, not nothing."""
    found = parse_json(_bytes(coincident_events=events, most_probable_direction=None))
    assert found.neutrinos == ()
    assert found.most_probable is None
    assert found.pval_generic == 0.0191


@pytest.mark.parametrize("reference", ["S230914ak-2-Preliminary", 4642])
def test_reference_may_be_text_or_number(reference: str | int) -> None:
    """The old example has an integer where the new one has a name."""
    assert parse_json(_bytes(reference={"gcn.notices.LVK.alert": reference})).reference == str(reference)


def test_window_before_and_after() -> None:
    """Seconds searched before and after the event; None where the notice does not tell or contradicts itself."""
    assert parse_json(_bytes()).window == (500.0, 500.0)
    assert parse_json(_bytes(observation_stop="2023-09-28T11:14:01Z")).window == (500.0, 14 * 86400.0)
    assert parse_json(_bytes(trigger_time=...)).window is None
    assert parse_json(_bytes(trigger_time="2023-09-15T00:00:00Z")).window is None


def test_told_apart_from_gravitational_wave_alerts() -> None:
    """Messages of this stream are known by their keys, also when something in them is missing."""
    assert is_icecube(_notice())
    assert is_icecube(_notice(reference=...))
    assert not is_icecube({"superevent_id": "S230914ak", "alert_type": "RETRACTION"})
    assert not is_icecube({"hello": 1})


def test_superevent_from_the_reference_where_the_id_is_missing() -> None:
    """Without ref_ID the superevent is read from the reference."""
    assert parse_json(_bytes(ref_ID=...)).event_id == "S230914ak"
    assert parse_json(_bytes(pval_generic="null")).pval_generic is None


@pytest.mark.parametrize(
    "changes",
    [
        {"ref_ID": "../../x"},
        {"ref_ID": 12},
        {"ref_ID": ..., "reference": ...},
        {"ref_ID": ..., "reference": "S230914ak"},
        {"alert_datetime": ...},
        {"alert_datetime": "yesterday"},
        {"alert_datetime": "2023-09-14"},
        {"alert_datetime": "1970-01-01T00:00:00Z"},
    ],
)
def test_a_notice_without_name_or_time_is_refused(changes: dict[str, Any]) -> None:
    """Only the event and the notice's own time can refuse a notice, with the reason."""
    with pytest.raises(NoticeError) as caught:
        parse_json(_bytes(**changes))
    assert len(str(caught.value)) > 10


@pytest.mark.parametrize(
    ("changes", "line", "tracks"),
    [
        ({"reference": ...}, "it must name the LVK alert", 1),
        ({"reference": {"gcn.notices.LVK.alert": None}}, "reference.gcn.notices.LVK.alert is null", 1),
        ({"pval_generic": 1.5}, "pval_generic is 1.5, not a probability", 1),
        ({"pval_generic": "small"}, "pval_generic is a text", 1),
        ({"trigger_time": "noon"}, "trigger_time is 'noon'", 1),
        ({"coincident_events": {}}, "coincident_events is a object", 0),
        ({"coincident_events": [{}] * 1001}, "coincident_events has 1001 entries", 1000),
        ({"coincident_events": [None, {}]}, "coincident_events[0] is a null", 1),
        ({"coincident_events": [{"localization": []}]}, "coincident_events[0].localization is a list", 1),
        ({"coincident_events": [{"localization": {"ra": 1, "dec": 91}}]}, "coincident_events[0].dec is 91", 1),
        ({"coincident_events": [{"ra": 1, "dec": 2, "ra_uncertainty": [-1]}]}, "ra_uncertainty is [-1]", 1),
        ({"coincident_events": [{"localization": {"ra": "1", "dec": 2}}]}, "coincident_events[0].ra is a text", 1),
        ({"coincident_events": [{"event_dt": float("nan")}]}, "coincident_events[0].event_dt is not a finite", 1),
        ({"most_probable_direction": [1, 2]}, "most_probable_direction is a list", 1),
        ({"neutrino_flux_sensitivity_range": {"flux_sensitivity": [1, "2"]}}, "flux_sensitivity is a text", 1),
    ],
)
def test_a_bad_part_is_absent_and_named(changes: dict[str, Any], line: str, tracks: int) -> None:
    """Any other wrong value leaves the rest in use, and is named in one line."""
    found = parse_json(_bytes(**changes))
    assert (found.event_id, len(found.neutrinos)) == ("S230914ak", tracks)
    (said,) = found.degraded
    assert line in said


def test_a_bad_value_leaves_its_track_in_use() -> None:
    """A radius of zero or a p-value of -1 is absent; place, time and the other tracks stay."""
    good = _notice()["coincident_events"][0]
    bad = {"event_dt": 222.46, "localization": {"ra": 13.82, "dec": 18.66, "ra_dec_error": 0}, "event_pval_generic": -1}
    found = parse_json(_bytes(coincident_events=[good, bad]))
    assert found.neutrinos[0] == parse_json(_bytes()).neutrinos[0]
    second = found.neutrinos[1]
    assert second.direction is not None
    assert (second.time_offset, second.direction.ra) == (222.46, 13.82)
    assert second.radius is second.pval_generic is None
    assert found.degraded == (
        "coincident_events[1].ra_dec_error is 0, not an angle in degrees",
        "coincident_events[1].event_pval_generic is -1.0, not a probability",
    )
    assert parse_json(_bytes()).degraded == ()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b'{"pval_generic": NaN}', b'{"a": "\xff"}', b"Unknown topic"]
)
def test_bodies_that_are_no_notice(body: bytes) -> None:
    """Empty, cut, not UTF-8, not JSON, not an object: refused."""
    with pytest.raises(NoticeError):
        parse_json(body)


def test_identity_depends_on_content_alone() -> None:
    """The same notice written in another order is the same version; another p-value is another."""
    body = _bytes()
    notice = parse_json(body)
    turned = json.dumps(dict(reversed(_notice().items())), indent=2).encode()
    key = version_of(notice, body).partition_key
    assert key.startswith("S230914ak-N114916-")
    assert version_of(parse_json(turned), turned).partition_key == key
    other = _bytes(pval_generic=0.02)
    assert version_of(parse_json(other), other).partition_key != key
