"""Malformed messages through Kafka and the real sensor: those that do not say what they are of are put aside with a reason,
and nothing else happens; of the others as much is used as is sound."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from mma_pipeline.cli import app
from mma_pipeline.defs.all_products import PRODUCTS, expected_files
from mma_pipeline.products.ingest import MAX_REASON, Quarantined, parse_alert
from mma_pipeline.settings import current
from tests.alerts import SHARED, alert, fits_map
from tests.defs.malformed import cases, combined, degraded, degraded_maps, good, strange, tiny_map
from tests.defs.streaming import Streaming, keys_of
from tests.homes import Home, tree

CASES = list(cases())
STRANGE = list(strange())
DEGRADED, DEGRADED_MAPS = list(degraded()), list(degraded_maps())
FAULTS = SHARED / "data" / "faults"
#: What a person must not have to read.
PROGRAMMERS_WORDS = re.compile(r"Error|Exception|Traceback|NoneType|<class|object at 0x|\bdict\b|\bstr\b|Python|sys\.")


@dataclass
class Stream:
    """What became of a stream with a good alert before and after each malformed one."""

    home: Home
    keys: list[str]
    events: list[dg.AssetMaterialization]
    offsets: dict[str, int]
    before: set[str]


def _required(home: Home, record: VersionRecord) -> set[str]:
    """Names of a version's files, without those that may be absent."""
    optional = {spec.name for product in PRODUCTS for spec in product.files if spec.optional}
    return {product.name for product in home.archive.products(record.partition_key)} - optional


def _event_id(number: int) -> str:
    return f"S240301{chr(97 + number // 26)}{chr(97 + number % 26)}"


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    """All messages sent and read by the sensor, tick by tick."""
    top = tmp_path_factory.mktemp("malformed")
    home = Home(top / "a" / "b" / "home")
    with home.active(), EmbeddedKafka() as kafka:
        streaming = Streaming(home, kafka)
        before = tree(top)
        offsets = {}
        streaming.send(good(_event_id(0)))
        for number, (name, data, _) in enumerate(CASES):
            (offsets[name],) = streaming.send(data)
            streaming.send(good(_event_id(number + 1)))
        answers = streaming.ticks(2 * len(CASES) + 1)
        events = [event for answer in answers for event in answer.asset_events]
        yield Stream(home, keys_of(answers), events, offsets, before)


def test_enough_cases() -> None:
    """There are many kinds of malformed messages, all different."""
    assert len(CASES) >= 30
    assert len({data for _, data, _ in CASES}) == len({name for name, _, _ in CASES}) == len(CASES)


def test_every_good_alert_between_them_asks_for_its_run(stream: Stream) -> None:
    """The good alert before and after each malformed message has its run, once and in order; no other run is asked for."""
    assert [key.partition("-")[0] for key in stream.keys] == [_event_id(n) for n in range(len(CASES) + 1)]


@pytest.mark.parametrize(
    ("name", "pattern"), [(name, pattern) for name, _, pattern in CASES], ids=[c[0] for c in CASES]
)
def test_reason_is_understood_by_a_person(stream: Stream, name: str, pattern: str) -> None:
    """The quarantine event of a malformed message gives one plain sentence, and says which message it was."""
    (event,) = [event for event in stream.events if event.metadata["offset"].value == stream.offsets[name]]
    assert event.asset_key == dg.AssetKey("quarantine")
    reason = str(event.metadata["reason"].value)
    assert re.search(pattern, reason)
    assert PROGRAMMERS_WORDS.search(reason) is None, reason
    assert len(reason) <= MAX_REASON
    assert reason.isprintable()


def test_quarantine_keeps_every_byte(stream: Stream) -> None:
    """The archive holds each malformed message byte for byte, under the reason that the event shows."""
    kept = {message.offset: (message.body, reason) for _, message, reason in stream.home.archive.quarantined()}
    assert {offset: body for offset, (body, _) in kept.items()} == {
        stream.offsets[name]: data for name, data, _ in CASES
    }
    shown = {event.metadata["offset"].value: event.metadata["reason"].value for event in stream.events}
    assert shown == {offset: reason for offset, (_, reason) in kept.items()}


def test_nothing_is_written_outside(stream: Stream) -> None:
    """No malformed message makes a file anywhere but in the archive's database, whatever its id says."""
    made = tree(stream.home.folder.parents[2]) - stream.before
    assert {path.removeprefix(str(stream.home.folder)) for path in made} <= {
        *("/archive.db", "/archive.db-wal", "/archive.db-shm")
    }


def all_made(folder: Path, messages: Mapping[str, bytes]) -> tuple[Home, dict[str, tuple[VersionRecord, ...]]]:
    """A home that received messages and made every product of them in one run, and the versions of each."""
    with Home(folder).active() as home:
        received = {name: home.receive(data) for name, data in messages.items()}
        result = home.make_all([record for records in received.values() for record in records])
        assert result.success, [event.message for event in result.all_events if event.is_failure]
    return home, received


@pytest.fixture(scope="module")
def strange_made(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Home, dict[str, tuple[VersionRecord, ...]], set[str]]:
    """All strange alerts, each of an event of its own, with their products; and what lies beside the store."""
    top = tmp_path_factory.mktemp("strange")
    messages = {
        name: data.replace(b"S240302zz", f"S240302{chr(97 + number)}".encode())
        for number, (name, data) in enumerate(STRANGE)
    }
    home, received = all_made(top / "home", messages)
    return home, received, {path for path in tree(top) if not path.startswith(str(home.products))}


@pytest.mark.parametrize("name", [name for name, _ in STRANGE])
def test_strange_but_valid_alerts_are_processed(
    strange_made: tuple[Home, dict[str, tuple[VersionRecord, ...]], set[str]], name: str
) -> None:
    """An alert that is odd and valid has its products like any other, all inside the store's folder."""
    home, received, beside = strange_made
    for record in received[name]:
        assert _required(home, record) == expected_files(record, current())
    assert {path.removeprefix(str(home.folder)) for path in beside} <= {
        *("/dagster.yaml", "/archive.db", "/archive.db-wal", "/archive.db-shm")
    }


@pytest.mark.parametrize(("name", "data", "pattern"), DEGRADED, ids=[name for name, *_ in DEGRADED])
def test_a_bad_part_is_named_and_the_rest_is_used(name: str, data: bytes, pattern: str) -> None:
    """One part that is wrong leaves the version there, the part absent and named in one line for a person."""
    version, facts = parse_alert(data)[0]
    assert version.event_id == "S240302zz"
    (line,) = [line for line in facts["degraded"] if re.search(pattern, line)]
    assert PROGRAMMERS_WORDS.search(line) is None
    assert line.isprintable()
    assert len(line) <= 200
    json.dumps(facts, allow_nan=False).encode()


@pytest.mark.parametrize(("name", "data", "pattern"), DEGRADED_MAPS, ids=[name for name, *_ in DEGRADED_MAPS])
def test_a_bad_map_is_named_and_the_rest_is_used(name: str, data: bytes, pattern: str) -> None:
    """A map that cannot be used leaves a version that states no map, with the reason, and all that the notice says."""
    ((_, facts),) = parse_alert(data)
    (line,) = facts["degraded"]
    assert re.match("event.skymap[: ]", line)
    assert re.search(pattern, line)
    assert PROGRAMMERS_WORDS.search(line) is None
    assert facts["skymap_sha256"] is None
    assert (facts["far_hz"], facts["classification"]["BNS"]) == (1e-9, 0.9)


def test_a_sound_alert_is_not_degraded() -> None:
    """Nothing is said of an alert with nothing wrong, nor of one that is merely odd."""
    for data in [good("S240302zz"), *(data for name, data in STRANGE if "control" not in name)]:
        assert all("degraded" not in facts for _, facts in parse_alert(data))


def _failed_checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckSeverity]:
    found = [
        event.asset_check_evaluation_data for event in result.all_events if "ASSET_CHECK_EVAL" in event.event_type_value
    ]
    return {one.check_name: one.severity for one in found if not one.passed}


DEGRADED_FOR_PRODUCTS = [
    case for case in DEGRADED + DEGRADED_MAPS
    if case[0] in {"no event", "event time missing", "far null", "alert type unknown", "coincidence without notice id", "map with NaN"}
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "data", "pattern"), DEGRADED_FOR_PRODUCTS, ids=[name for name, *_ in DEGRADED_FOR_PRODUCTS]
)
def test_a_degraded_version_has_all_products_that_can_be_made(home: Home, name: str, data: bytes, pattern: str) -> None:
    """What is expected of a degraded version is made; a check that only warns, `mma show` and the page name the part."""
    for record in home.receive(data):
        result = home.make(record)
        assert result.success, [event.message for event in result.all_events if event.is_failure]
        assert _required(home, record) == expected_files(record, current())
        assert _failed_checks(result)["alert_is_whole"] is dg.AssetCheckSeverity.WARN
    shown = CliRunner().invoke(app, ["show", "S240302zz", "--json"])
    (lines,) = {tuple(version["degraded"]) for version in json.loads(shown.stdout)["versions"]}
    assert any(re.search(pattern, line) for line in lines)
    table = CliRunner().invoke(app, ["show", "S240302zz"])
    assert "left out" in table.output
    page = html.unescape(home.files()["mma/S240302zz/index.html"].decode())
    assert all(line in page for line in lines)


def test_a_combined_map_of_nan_degrades_its_own_version_only(home: Home) -> None:
    """The notice's own map is used; the version of the combined map has no products of a map, and says why."""
    own, joint = home.receive(combined(tiny_map(density=np.full(12, np.nan))))
    assert "degraded" not in own.facts
    assert joint.facts["degraded"] == [
        "external_coinc.combined_skymap: 12 of 12 rows have no finite PROBDENSITY (NaN); map products are not made"
    ]
    for record in (own, joint):
        assert home.make(record).success
        assert _required(home, record) == expected_files(record, current())
    assert "skymap" in expected_files(own, current())
    assert "skymap" not in expected_files(joint, current())


def test_one_impossible_distance_does_not_move_the_event(home: Home) -> None:
    """A row of 1e20 Mpc is left out and named; the mean distance is that of the other rows."""
    from mma_pipeline.science.skymaps.model import decode_skymap, encode_skymap
    from mma_pipeline.science.skymaps.statistics import distance_moments

    sound = decode_skymap(fits_map())
    assert sound.distmu is not None
    mu = sound.distmu.copy()
    mu[int(np.argmax(sound.prob))] = 1e20
    data = encode_skymap(dataclasses.replace(sound, distmu=mu))
    (record,) = home.receive(json.dumps(alert("S240302zz", skymap=data)).encode())
    assert record.facts["degraded"] == [
        f"event.skymap: 1 of {len(mu)} rows has a distance that no source can have: it is left out"
    ]
    found, truth = distance_moments(decode_skymap(data)), distance_moments(sound)
    assert found == pytest.approx(truth, rel=1e-3)


RIGHT = {
    "alerts/combined_map_nan_main_map_good": (["", "3072 of 3072 rows have no finite PROBDENSITY"], [True, False]),
    "alerts/j33_far_missing": (["event.far is missing"], [True]),
    "alerts/j43_class_text": (["event.classification.BNS is a text"], [True]),
    "alerts/j53_signif_int": (["event.significant is 1"], [True]),
    "alerts/j76_urls_list": (["urls is a list"], [True]),
    "alerts/j82_surrogate": (["event.pipeline holds characters"], [True]),
    "alerts/j89_mchirp_nullprob": (["event.mchirp_source.probabilities is a null"], [True]),
    "alerts/retraction_urls_list": (["urls is a list"], [False]),
    "alerts/S240114n-preliminary-cwb": ([""], [True]),
    "maps/gzip_twice": ([""], [True]),
    "maps/m_flat_nan": (["rows have no finite PROB (NaN); map products are not made"], [False]),
    "maps/m_flat_radec": ([""], [True]),
    "maps/m_flat_unseen": ([""], [True]),
}


@pytest.fixture(scope="module")
def faults_made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dict[str, tuple[VersionRecord, ...]]]:
    """All real faults with their products."""
    messages = {name: (FAULTS / f"{name}.json").read_bytes() for name in RIGHT}
    return all_made(tmp_path_factory.mktemp("faults") / "home", messages)


@pytest.mark.skipif(not FAULTS.is_dir(), reason=f"{FAULTS} is not there")
@pytest.mark.parametrize("name", RIGHT)
def test_inputs_that_failed_before(faults_made: tuple[Home, dict[str, tuple[VersionRecord, ...]]], name: str) -> None:
    """Each real fault gives what is right: versions made, the bad part named; then every reading command works."""
    home, received = faults_made
    lines, mapped = RIGHT[name]
    records = received[name]
    assert len(records) == len(lines)
    for record, line, has_map in zip(records, lines, mapped, strict=True):
        found = record.facts.get("degraded", [])
        assert len(found) == bool(line)
        assert line in "".join(found)
        assert ("contours" in expected_files(record, current())) is has_map
        assert _required(home, record) == expected_files(record, current())
    with home.active():
        for command in (["status"], ["status", "--json"], ["show", records[0].version.event_id], ["quarantine"]):
            answer = CliRunner().invoke(app, command)
            assert answer.exit_code == 0, answer.output


def test_unforeseen_failure_of_a_parser_is_quarantined(home: Home) -> None:
    """Even a parser that breaks in a way nobody thought of puts its message aside and stops nothing."""
    from datetime import UTC, datetime

    from mma_pipeline.adapters.kafka.message import StreamMessage
    from mma_pipeline.products.ingest import ingest

    def broken(body: bytes) -> tuple[()]:
        raise ZeroDivisionError("\x00 internal")

    message = StreamMessage("s", "t", 0, 7, b"body", None, (), None, datetime.now(UTC))
    outcome = ingest(home.archive, message, broken)
    assert isinstance(outcome, Quarantined)
    assert "please report" in outcome.reason
    assert PROGRAMMERS_WORDS.search(outcome.reason) is None
