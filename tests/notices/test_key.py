"""Version keys and file stems: what goes in comes out, and nothing else is accepted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.key import EventVersion, FileStem, check_event_id, event_of_key, spelled_event_id
from mma_pipeline.notices.model import AlertType, Role, role_of
from mma_pipeline.notices.trigger_ids import TRIGGER_ID

EVENT_IDS = st.from_regex(r"(S|MS|TS|GW)[0-9]{6}[A-Za-z]{1,8}", fullmatch=True)
LABELS = st.sampled_from(
    ["EarlyWarning", "Preliminary", "Initial", "Update", "Retraction", "Update-ExtCoinc", "Initial-ExtCoinc", "IceCube"]
)
ANY_EVENT_IDS = st.one_of(EVENT_IDS, st.from_regex(TRIGGER_ID, fullmatch=True))
TIMES = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0))
DIGESTS = st.from_regex(r"[0-9a-f]{10}", fullmatch=True)


@given(ANY_EVENT_IDS, TIMES, LABELS, DIGESTS)
def test_partition_key_round_trip(event_id: str, created: datetime, label: str, digest: str) -> None:
    """A version's keys, today's and the former one, parse back to the version, in every year that a time can have."""
    version = EventVersion(event_id, created, label, digest)
    assert version.partition_key == version.possible_keys[0]
    for key in version.possible_keys:
        parsed = EventVersion.from_partition_key(key)
        assert parsed == version
        assert hash(parsed) == hash(version)
        # An archived version keeps its key.
        assert parsed.partition_key == key
        assert event_of_key(key) == event_id
        # Dagster's own separators and wildcards have no place in a key, and it fits the archive's column.
        assert not set(key) & set("|,*?[]/\\ \t\n")
        assert len(key) <= 120


@given(ANY_EVENT_IDS, st.lists(st.tuples(TIMES, LABELS, DIGESTS), min_size=2, max_size=6))
def test_versions_of_an_event_differ_in_what_the_ui_shows(event_id: str, said: list[tuple[datetime, str, str]]) -> None:
    """Keys of one event differ in the first 20 characters, and in ten of each end, where kind or time of day differ."""
    versions = [EventVersion(event_id, *one) for one in said]
    for shown in (lambda key: key[:20], lambda key: (key[:10], key[-10:])):
        alike: dict[object, set[tuple[str, str]]] = {}
        for version in versions:
            kind = "combined" if version.is_external else version.label
            alike.setdefault(shown(version.partition_key), set()).add((kind, f"{version.created:%H%M%S}"))
        assert all(len(found) == 1 for found in alike.values()), alike


@pytest.mark.parametrize(
    ("key", "event"),
    [
        ("S230518h-AT2017gfo-MJD57983", "S230518h"),
        ("S230518h-57983zmal-AT2017gfo-57983", "S230518h"),
        ("57983zmal-AT2017gfo-MS181101abc", "MS181101abc"),
        ("S230518abc-MJD60083", "S230518abc"),
        ("S230518h", "S230518h"),
        ("2024-03-01", None),
        ("", None),
    ],
)
def test_event_of_any_partition(key: str, event: str | None) -> None:
    """The event of a night is found as that of a version; a partition of something else has none."""
    assert event_of_key(key) == event


@given(EVENT_IDS, LABELS, st.integers(0, 99_999))
def test_stem_round_trip(event_id: str, label: str, number: int) -> None:
    """A file stem parses back to event, label and number; zero is written as nothing."""
    stem = FileStem(event_id, label, number)
    assert FileStem.parse(str(stem)) == stem
    assert str(stem).endswith(label if number == 0 else str(number))


@given(st.text())
def test_arbitrary_text_is_no_key(text: str) -> None:
    """Text is either refused with NoticeError, or gives itself back."""
    for parse in (EventVersion.from_partition_key, FileStem.parse):
        try:
            found = parse(text)
        except NoticeError:
            continue
        assert (found.partition_key if isinstance(found, EventVersion) else str(found)) == text


@pytest.mark.parametrize(
    "key",
    [
        "",
        "S230518h",
        "S230518h-Preliminary-20230518T133818-1a2b3c4d5",
        "S230518h-Preliminary-20230518T133818-1A2B3C4D5E",
        "S230518h-Preliminary-20231318T133818-1a2b3c4d5e",
        "S230518h-PRELIMINARY-20230518T133818-1a2b3c4d5e",
        "S230518h-Preliminary-20230518T133818-1a2b3c4d5e\n",
        "../S230518h-Preliminary-20230518T133818-1a2b3c4d5e",
        "S230518h-IceCube-ExtCoinc-20230518T133818-1a2b3c4d5e",
        "S２３0518h-Preliminary-20230518T133818-1a2b3c4d5e",
        "S230518h-U133818-1a2b3c4d5e-20230518-Preliminary-U133818",
        "S230518h-P133818-1a2b3c4d5e-20230518-Preliminary-U133818",
        "S230518h-P133818-1a2b3c4d5e-20230518-Preliminary-P133819",
        "S230518h-P133818-1a2b3c4d5e-20231318-Preliminary-P133818",
        "S230518h-P133818-1a2b3c4d5e-20230518-Preliminary-P133818\n",
        "S230518h-P133818-1a2b3c4d5e-20230518-Preliminary",
        "S230518h-1a2b3c4d5e-20230518-Preliminary-P133818",
        "P1338181a2b3c4d5e-20230518-Preliminary-S230518h",
        "Fermi_745121685-I212124-1a2b3c4d5e-20240812-Initial-I212124",
        "I212124-1a2b3c4d5e-20240812-Initial-Fermi_745121685",
    ],
)
def test_wrong_keys_are_refused(key: str) -> None:
    """A key that no version has is refused, so that a mistyped partition fails at once."""
    with pytest.raises(NoticeError):
        EventVersion.from_partition_key(key)


@pytest.mark.parametrize(
    "stem", ["S230518h-Preliminary0", "S230518h-Preliminary01", "S230518h-Preliminary-1", "-Update"]
)
def test_wrong_stems_are_refused(stem: str) -> None:
    """Each stem has one spelling: no zero, no leading zeros."""
    with pytest.raises(NoticeError):
        FileStem.parse(stem)


@pytest.mark.parametrize(
    "value",
    [
        None,
        17,
        "",
        "S230518",
        "s230518h",
        "XS230518h",
        "S230518h/..",
        "../../x",
        "S230518h\x00",
        "S230518h\n",
        "S230518hé",
        "S230518abcdefghi",
        ["S230518h"],
        {"id": "S230518h"},
        True,
        2.5,
        "S２３０５１８h",
        "S230518h ",
    ],
)
def test_what_is_no_event_id(value: object) -> None:
    """Ids become file names: anything that is not exactly an id is refused in one short sentence."""
    with pytest.raises(NoticeError) as refusal:
        check_event_id(value)
    assert "superevent_id" in str(refusal.value)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("event_id", "role"),
    [("S230518h", "observation"), ("GW170817a", "observation"), ("MS230425k", "test"), ("TS240101a", "test")],
)
def test_role_is_told_by_the_id(event_id: str, role: str) -> None:
    """Mock (MS) and test (TS) events are tests by their id alone."""
    assert role_of(event_id) is Role(role)
    assert EventVersion(event_id, datetime(2024, 1, 1, tzinfo=UTC), "Retraction", "0" * 10).role is Role(role)


def test_alert_type_of_labels() -> None:
    """A label tells the kind of notice, with and without external coincidence; a neutrino notice has none."""
    created = datetime(2024, 1, 1, tzinfo=UTC)
    assert EventVersion("S240101a", created, "Update-ExtCoinc", "0" * 10).alert_type is AlertType.UPDATE
    assert EventVersion("S240101a", created, "Update-ExtCoinc", "0" * 10).is_external
    assert EventVersion("S240101a", created, "Initial", "0" * 10).alert_type is AlertType.INITIAL
    assert EventVersion("S240101a", created, "IceCube", "0" * 10).alert_type is None


@pytest.mark.parametrize(
    "event",
    [
        "S230518h", "MS181101ab", "TS240101a", "GW150914A", "Fermi_745121685", "TFermi_bn230518123", "IceCube_230518A",
        "DSA110_230518abcd", "SuperK_SN_095001_000001", "SVOM_sb23051801", "KM3NeT_230213A", "Glowbug_BUG230518_12",
    ],
)  # fmt: skip
def test_ids_as_their_observatories_spell_them(event: str) -> None:
    """GraceDB's ids, and triggers of each observatory, are recognised in upper and lower case; other text stays as it is."""
    assert [spelled_event_id(way) for way in (event, event.lower(), event.upper())] == [event] * 3
    for other in ("", "foo", "S23051h", f"{event}-x", "s230518h "):
        assert spelled_event_id(other) == other
