"""Parsing of igwn.gwalert: real alerts, what may differ from the schema, and identities that arrival cannot change."""

from __future__ import annotations

import base64
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_pipeline.adapters.kafka.avro import decode_avro
from mma_pipeline.notices import lvk
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.key import EventVersion
from mma_pipeline.notices.model import AlertType, Role
from tests.alerts import REAL_FOLDER, alert, avro, body, fits_map, needs_real_alerts, real_paths


def _json(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode()


def _keys(data: bytes) -> list[str]:
    return [version.partition_key for version in lvk.versions_of(lvk.parse_json(data))]


@needs_real_alerts
@pytest.mark.parametrize("path", real_paths("*.json"), ids=lambda path: path.stem)
def test_real_alerts_parse(path: Path) -> None:
    """Every real alert parses, with the values that its JSON says."""
    record = json.loads(path.read_text())
    notice = lvk.parse_json(path.read_bytes())
    assert notice.superevent_id == record["superevent_id"]
    assert notice.alert_type.name == {"EARLYWARNING": "EARLY_WARNING"}.get(record["alert_type"], record["alert_type"])
    assert notice.time_created == datetime.fromisoformat(record["time_created"]).replace(tzinfo=UTC)
    if record["event"] is None:
        assert notice.event is None
        assert notice.alert_type is AlertType.RETRACTION
    else:
        assert notice.event is not None
        assert notice.event.far == record["event"]["far"]
        assert notice.event.significant == record["event"].get("significant")
        assert list(notice.event.instruments) == record["event"]["instruments"]
        sent = record["event"]["skymap"]
        assert notice.event.skymap == (base64.b64decode(sent) if sent else None)
    assert (notice.external is None) == (record["external_coinc"] is None)


#: Keys that earlier releases gave to real alerts: files, rows and messages that people have name them so.
FORMER_KEYS = {
    "MS181101ab-earlywarning.json": ["MS181101ab-EarlyWarning-20181101T223420-b66e6de74d"],
    "MS181101ab-ext-update.json": [
        "MS181101ab-Update-20181101T223625-a30124e776",
        "MS181101ab-Update-ExtCoinc-20181101T223625-a30124e776",
    ],
    "MS181101ab-initial.avro": ["MS181101ab-Initial-20181101T223625-ef553188b5"],
    "MS181101ab-initial.json": ["MS181101ab-Initial-20181101T223625-ef553188b5"],
    "MS181101ab-preliminary.json": ["MS181101ab-Preliminary-20181101T223449-2fb19de0a8"],
    "MS181101ab-retraction.avro": ["MS181101ab-Retraction-20181101T233623-51bf410ccd"],
    "MS181101ab-retraction.json": ["MS181101ab-Retraction-20181101T233623-51bf410ccd"],
    "MS181101ab-update.json": ["MS181101ab-Update-20181101T223625-bb4158768a"],
    "MS230425k-initial.json": ["MS230425k-Initial-20230425T121940-08d848ea5c"],
    "MS230425k-preliminary.json": ["MS230425k-Preliminary-20230425T105653-881d117096"],
    "MS230425k-retraction.json": ["MS230425k-Retraction-20230425T110209-8146f86ec2"],
    "MS230425l-initial.json": [
        "MS230425l-Initial-20230425T120212-5c63bc4999",
        "MS230425l-Initial-ExtCoinc-20230425T120212-5c63bc4999",
    ],
    "MS230425l-preliminary.json": [
        "MS230425l-Preliminary-20230425T115653-9986ac2d8d",
        "MS230425l-Preliminary-ExtCoinc-20230425T115653-9986ac2d8d",
    ],
    "MS230425m-retraction.json": ["MS230425m-Retraction-20230425T130209-c57802d616"],
    "MS230425n-preliminary.json": [
        "MS230425n-Preliminary-20230425T135652-bcf38cd13a",
        "MS230425n-Preliminary-ExtCoinc-20230425T135652-bcf38cd13a",
    ],
    "MS230425n-retraction.json": ["MS230425n-Retraction-20230425T140209-e7bf41714a"],
    "MS260605l-preliminary.json": ["MS260605l-Preliminary-20260605T120107-06d64ce06f"],
    "MS260605l-retraction.json": ["MS260605l-Retraction-20260605T121057-79393774ae"],
    "S230518h-INITIAL-2023-05-18T160718Z.json": ["S230518h-Initial-20230518T160718-7705e58b78"],
    "S230518h-PRELIMINARY-2023-05-18T133818Z.json": ["S230518h-Preliminary-20230518T133818-ed9ac15a64"],
    "S230518h-UPDATE-2023-05-18T165232Z.json": ["S230518h-Update-20230518T165232-c32452d36e"],
    "S240112e-PRELIMINARY-2024-01-12T010901Z.json": ["S240112e-Preliminary-20240112T010901-9164a3e86c"],
    "S240112e-PRELIMINARY-2024-01-12T011334Z.json": ["S240112e-Preliminary-20240112T011334-a9c55e1317"],
    "S240114aj-PRELIMINARY-2024-01-14T225954Z.json": ["S240114aj-Preliminary-20240114T225954-5a43758814"],
    "S240114aj-PRELIMINARY-2024-01-14T230524Z.json": ["S240114aj-Preliminary-20240114T230524-c6401a2d6a"],
}


@needs_real_alerts
@pytest.mark.parametrize("path", real_paths(), ids=lambda path: path.name)
def test_real_alerts_keep_their_identity(path: Path) -> None:
    """Every real alert has the identity, and so the former keys, that it always had; nothing in it is degraded."""
    data = path.read_bytes()
    notice = lvk.from_record(decode_avro(data)) if path.suffix == ".avro" else lvk.parse_json(data)
    assert [version.possible_keys[1] for version in lvk.versions_of(notice)] == FORMER_KEYS[path.name]
    assert notice.degraded == ()


@needs_real_alerts
def test_versions_of_real_events_differ_where_the_ui_shows_them() -> None:
    """The versions of each real event, of earlier archives and of today, have keys that differ within the first 20 characters."""
    shown: dict[str, set[str]] = {}
    keys: dict[str, set[str]] = {}
    for name in FORMER_KEYS:
        data = (REAL_FOLDER / name).read_bytes()
        for version in lvk.versions_of(
            lvk.from_record(decode_avro(data)) if name.endswith("avro") else lvk.parse_json(data)
        ):
            shown.setdefault(version.event_id, set()).add(version.partition_key[:20])
            keys.setdefault(version.event_id, set()).add(version.partition_key)
    assert {event: len(found) for event, found in shown.items()} == {event: len(found) for event, found in keys.items()}
    assert "S240112e-P010901-916" in shown["S240112e"]
    assert "S240112e-P011334-a9c" in shown["S240112e"]
    assert {"MS181101ab-U223625-a", "MS181101ab-X223625-a", "MS181101ab-U223625-b"} <= shown["MS181101ab"]


@needs_real_alerts
@pytest.mark.parametrize("path", real_paths("*.avro"), ids=lambda path: path.stem)
def test_avro_twins_are_one_version(path: Path) -> None:
    """The same alert from GCN (JSON) and from SCiMMA (Avro) has the same partition key."""
    from_avro = lvk.from_record(decode_avro(path.read_bytes()))
    from_json = lvk.parse_json(path.with_suffix(".json").read_bytes())
    assert lvk.versions_of(from_avro) == lvk.versions_of(from_json)


def test_avro_twin_with_external_coincidence() -> None:
    """An alert with a combined map, written by the published Avro schema, is the same two versions as its JSON."""
    record = alert(kind="UPDATE", external=fits_map(sigma=1.0))
    assert lvk.versions_of(lvk.from_record(decode_avro(avro(record)))) == lvk.versions_of(lvk.parse_json(_json(record)))


@needs_real_alerts
def test_keys_do_not_depend_on_arrival() -> None:
    """A stream replayed in any order, or twice, gives the same set of keys, all different."""
    paths = real_paths("*.json")
    first = {key for path in paths for key in _keys(path.read_bytes())}
    shuffled = paths * 2
    random.Random(3).shuffle(shuffled)
    assert {key for path in shuffled for key in _keys(path.read_bytes())} == first
    with_maps = [path for path in paths if "ext" in path.name or path.name.startswith(("MS230425l", "MS230425n"))]
    assert len(first) >= len(paths)
    assert with_maps


@given(st.permutations(["alert_type", "time_created", "superevent_id", "urls", "event", "external_coinc"]))
def test_key_order_and_white_space_do_not_matter(order: list[str]) -> None:
    """JSON that differs only in the order of keys or in white space is the same version."""
    record = alert(skymap=b"SIMPLE")
    again = json.dumps({key: record[key] for key in order}, indent=2).encode()
    assert _keys(again) == _keys(_json(record))


@pytest.mark.parametrize(
    "change",
    [
        {"far": 2e-9},
        {"significant": False},
        {"pipeline": "pycbc"},
        {"skymap": b"ABC"},
        {"classification": {"BBH": 1.0}},
    ],
)
def test_other_content_is_another_version(change: dict[str, Any]) -> None:
    """A change of facts or map under the same creation time changes the digest, and only the digest."""
    one, other = (lvk.versions_of(lvk.parse_json(data))[0] for data in (body(), body(**change)))
    assert one.digest != other.digest
    assert (one.event_id, one.label, one.created) == (other.event_id, other.label, other.created)


def test_combined_map_is_a_version_beside_its_parent() -> None:
    """A combined map makes a second version `…-ExtCoinc` with its own map; without one there is only the parent."""
    combined = fits_map(sigma=0.8)
    notice = lvk.parse_json(body(kind="UPDATE", external=combined))
    parent, external = lvk.versions_of(notice)
    assert (parent.label, external.label) == ("Update", "Update-ExtCoinc")
    assert parent.created == external.created
    assert lvk.map_of(notice, external) == combined
    assert lvk.map_of(notice, parent) == fits_map()
    record = alert(kind="UPDATE", external=combined)
    for absent in ({"combined_skymap": None}, {}):
        record["external_coinc"].pop("combined_skymap", None)
        record["external_coinc"] |= absent
        assert [v.label for v in lvk.versions_of(lvk.parse_json(_json(record)))] == ["Update"]


def test_old_spellings() -> None:
    """EARLY_WARNING and a missing `significant`, as in samples older than O4, are accepted."""
    record = alert(kind="EARLY_WARNING")
    del record["event"]["significant"]
    notice = lvk.parse_json(_json(record))
    assert notice.alert_type is AlertType.EARLY_WARNING
    assert notice.event is not None
    assert notice.event.significant is None
    same = alert(kind="EARLYWARNING")
    del same["event"]["significant"]
    assert _keys(_json(same)) == _keys(_json(record))


def test_unknown_keys_are_tolerated() -> None:
    """Keys that the schema does not know change neither parsing nor identity."""
    record = alert(skymap_filename="bayestar.multiorder.fits,1", HasSSM=0.3)
    record["sent_by"] = {"anything": [1, 2, 3]}
    assert _keys(_json(record)) == _keys(body())


def test_open_maps() -> None:
    """Properties that came later (HasSSM) are kept, null entries left out, and no classification at all is empty."""
    notice = lvk.parse_json(body(properties={"HasSSM": 0.25, "HasNS": None}, classification=None))
    assert notice.event is not None
    assert dict(notice.event.properties) == {"HasSSM": 0.25}
    assert dict(notice.event.classification) == {}


@pytest.mark.parametrize("notice_id", [524666471, "524666471"])
def test_external_notice_id_as_number_or_text(notice_id: object) -> None:
    """gcn_notice_id is an integer or text; both are the same version."""
    record = alert(kind="UPDATE", external=fits_map())
    record["external_coinc"]["gcn_notice_id"] = notice_id
    notice = lvk.parse_json(_json(record))
    assert notice.external is not None
    assert notice.external.gcn_notice_id == "524666471"


def test_chirp_mass_is_read() -> None:
    """mchirp_source gives edges and probabilities as sent."""
    histogram = {"bin_edges": [0.1, 1.74, 8.72], "probabilities": [0.9, 0.1]}
    notice = lvk.parse_json(body(mchirp_source=histogram))
    assert notice.event is not None
    assert notice.event.chirp_mass is not None
    assert notice.event.chirp_mass.bin_edges == (0.1, 1.74, 8.72)
    assert notice.event.chirp_mass.probabilities == (0.9, 0.1)


@pytest.mark.parametrize(
    ("event_id", "role"), [("S240301a", Role.OBSERVATION), ("MS240301a", Role.TEST), ("TS240301a", Role.TEST)]
)
def test_roles(event_id: str, role: Role) -> None:
    """The role of a notice, also of a retraction, comes from the id."""
    assert lvk.parse_json(body(event_id)).role is role
    assert lvk.parse_json(body(event_id, "RETRACTION")).role is role


def test_retraction_has_no_event() -> None:
    """A retraction is one version without event and map."""
    notice = lvk.parse_json(body(kind="RETRACTION"))
    (version,) = lvk.versions_of(notice)
    assert version.label == "Retraction"
    assert notice.event is None
    assert lvk.map_of(notice, version) is None


@needs_real_alerts
@pytest.mark.parametrize("path", real_paths("*.json"), ids=lambda path: path.stem)
def test_written_again_it_is_the_same_version(path: Path) -> None:
    """`to_record`, the JSON made for an alert received as Avro, parses to the same versions."""
    notice = lvk.parse_json(path.read_bytes())
    assert lvk.versions_of(lvk.parse_json(_json(lvk.to_record(notice)))) == lvk.versions_of(notice)


@pytest.mark.parametrize(
    ("created", "reason"),
    [
        ("0001-01-01T00:00:00Z", "outside the years 2000 to 2099"),
        ("1970-01-01T00:00:00Z", "outside the years 2000 to 2099"),
        ("1999-12-31T23:59:59Z", "outside the years 2000 to 2099"),
        ("9999-12-31T23:59:59-01:00", "outside the years"),
        ("2024-03-01", "a date without a time of day"),
        ("20240301", "a date without a time of day"),
    ],
)
def test_times_without_meaning(created: str, reason: str) -> None:
    """A time that no alert can have names no version; as the time of the event it is absent and named."""
    with pytest.raises(NoticeError, match=f"time_created is .*{reason}"):
        lvk.parse_json(body(created=created))
    notice = lvk.parse_json(body(time=created))
    assert notice.event is not None
    assert notice.event.time is None
    (line,) = notice.degraded
    assert line.startswith("event.time is ")
    assert reason in line


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("FINAL", AlertType.UPDATE),
        (None, AlertType.UPDATE),
        (7, AlertType.UPDATE),
        ("RETRACTED", AlertType.RETRACTION),
        ("early warnings", AlertType.EARLY_WARNING),
        ("Preliminary-2", AlertType.PRELIMINARY),
    ],
)
def test_unknown_kinds(written: object, read: AlertType) -> None:
    """A kind of notice that nobody knows is read as what it begins like, else as an Update, and named."""
    notice = lvk.parse_json(_json(alert() | {"alert_type": written}))
    assert notice.alert_type is read
    (line,) = notice.degraded
    assert line.endswith(f": read as {read.name}")


def test_probabilities_may_miss_their_bounds_by_rounding() -> None:
    """A probability of 1.0000000000000002 is one; one of 1.01 is none, and its neighbours stay."""
    notice = lvk.parse_json(body(classification={"BNS": 1.0000000000000002, "BBH": 1.01, "NSBH": 0.25}))
    assert notice.event is not None
    assert dict(notice.event.classification) == {"BNS": 1.0000000000000002, "NSBH": 0.25}
    assert notice.degraded == ("event.classification.BBH is 1.01, not a probability",)


def test_text_of_avro_is_cleaned_too() -> None:
    """What no database can hold is replaced whatever the form in which it came."""
    record = alert(pipeline="gst\x00lal")
    notices = [lvk.from_record(record | {"event": record["event"] | {"skymap": None}}), lvk.parse_json(_json(record))]
    assert [notice.event.pipeline for notice in notices if notice.event] == ["gst\ufffdlal"] * 2


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("2024-03-01T13:00:00+01:00", True),
        ("2024-03-01T12:00:00", True),
        ("2024-03-01T12:00:00.000Z", True),
        ("2024-03-01T12:00:01Z", False),
    ],
)
def test_times_are_utc(written: str, same: bool) -> None:
    """A creation time is the same instant however it is written; without a zone it is UTC."""
    assert (_keys(body(created=written)) == _keys(body())) is same


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
PLACES = [("alert_type",), ("time_created",), ("superevent_id",), ("urls",), ("event",), ("external_coinc",)] + [
    ("event", key)
    for key in (
        *("time", "far", "significant", "instruments", "group", "pipeline", "search", "classification", "properties"),
        *("duration", "central_frequency", "mchirp_source", "skymap"),
    )
]


@given(st.sampled_from(PLACES), JSON_VALUES)
def test_any_value_anywhere_is_read_or_refused(place: tuple[str, ...], value: object) -> None:
    """Whatever stands in a field, the notice is read with a key that parses, or refused with NoticeError."""
    record = alert(skymap=b"SIMPLE")
    inner = record
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    try:
        versions = lvk.versions_of(lvk.parse_json(json.dumps(record).encode()))
    except NoticeError as error:
        versions, reason = (), str(error)
    else:
        reason = "read"
    assert 0 < len(reason) < 400
    assert reason.isprintable()
    for version in versions:
        assert EventVersion.from_partition_key(version.partition_key) == version


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_politely(data: bytes) -> None:
    """Random bytes raise NoticeError and nothing else, as JSON and as Avro."""
    for parse in (lvk.parse_json, decode_avro, lambda d: decode_avro(b"Obj\x01" + d)):
        with pytest.raises(NoticeError):
            parse(data)
