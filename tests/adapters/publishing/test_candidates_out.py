"""Candidates on their way out: GCN's and Hermes's forms on a topic, rows on the Treasure Map; each once, and withdrawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from confluent_kafka import Producer

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.archive.publications import State
from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.publishing.compose import version_ref
from mma_pipeline.adapters.publishing.config import Access, DestinationConfig, load
from mma_pipeline.adapters.publishing.decision import enqueue_candidate
from mma_pipeline.notices import derived
from mma_pipeline.notices.candidate_summary import HostSummary
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement, PhotometryNotice
from tests.adapters.publishing.helpers import EVERYTHING, all_publications, decide_all, gwtm, publisher, take_in
from tests.adapters.publishing.test_hopskotch import destination, everything_on
from tests.alerts import body
from tests.defs.malformed import tiny_map
from tests.services.gwtm_schemas import ADMIN, USER
from tests.services.gwtm_standin import FaultKind, GwtmStandIn
from tests.services.hermes import check_message

NOW = datetime.now(UTC)
REAL, MOCK = "S240301a", "MS240301a"
SITE = DestinationConfig("gwtm", "gwtm", EVERYTHING, {"candidates": True})
AT = Candidate("AT2024abc", 150.2, 20.1)
OPENAPI = Path(__file__).resolve().parents[4] / "shared/data/gwtm_contract/openapi.json"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An archive with the photometry of one candidate."""
    found = Archive(f"sqlite:///{tmp_path / 'a.db'}", create=True)
    record(found, AT)
    return found


@pytest.fixture
def server() -> Iterator[GwtmStandIn]:
    """An empty site."""
    with GwtmStandIn() as running:
        yield running


@pytest.fixture
def topic() -> Iterator[str]:
    """Address of an empty topic."""
    cluster = Producer({"bootstrap.servers": "x", "test.mock.num.brokers": 1})
    broker = next(iter(cluster.list_topics(timeout=10).brokers.values()))
    yield f"kafka://{broker.host}:{broker.port}/candidates"
    del cluster


def record(archive: Archive, candidate: Candidate, *, simulated: bool = False) -> None:
    """Archive a limit and two detections."""
    rows = (
        Measurement(candidate, 60370.4, "g", 21.5, None, upper_limit=True, instrument="DECam"),
        Measurement(candidate, 60370.9, "i", 18.25, 0.02, instrument="DECam"),
        Measurement(candidate, 60371.9, "ztfr", 18.75, 0.03, telescope="P48"),
    )
    text = f"{candidate.name}{simulated}".encode()
    message = StreamMessage("photometry", candidate.name, 0, 0, text, None, (), None, NOW)
    PhotometryArchive(archive).record(message, PhotometryNotice(rows, "test", None, simulated))


def versions(archive: Archive, event: str = REAL) -> list[VersionRecord]:
    """A preliminary notice of an event."""
    return take_in(archive, [body(event, skymap=tiny_map())])


def retract(archive: Archive, event: str, *configs: DestinationConfig) -> None:
    """The event's retraction, decided on."""
    gone = take_in(archive, [body(event, "RETRACTION", created="2024-03-01T15:00:00Z")], start=50)
    decide_all(archive, gone, *configs)


def score(
    record_: VersionRecord, *, time_obs: float = 60371.9, p: float = 0.9, name: str = AT.name
) -> derived.DerivedAlert:
    """The score of a night."""
    host = HostSummary("NGC 4993", "50MGC", 10.0, 0.01, distance=40.7)
    found = derived.CandidateScore(name, AT.ra, AT.dec, time_obs, p, 1 - p, host=host, redshift=0.0098)
    kind = derived.DerivedKind.CANDIDATE
    return derived.DerivedAlert(kind, record_.version.event_id, version=version_ref(record_), candidate=found)


def test_each_form_once_and_withdrawn_in_its_own(archive: Archive, topic: str) -> None:
    """GCN gets versions and candidates, Hermes candidates; the same score adds nothing; each is withdrawn by its id."""
    config = DestinationConfig("hop", "hopskotch", EVERYTHING, {"url": topic, "formats": ["gcn", "hermes"]})
    (first,) = versions(archive)
    decide_all(archive, [first], config)
    for _ in range(2):
        assert len(enqueue_candidate(archive, [config], score(first), NOW)) == 2
    sender = publisher(archive, destination(topic))
    sender.run("hop")
    for _ in range(2):
        retract(archive, REAL, config)
        sender.run("hop")
    assert {p.state for p in all_publications(archive)} == {State.DONE}
    found: dict[str, list[tuple[dict[bytes, Any], Any]]] = {"gcn": [], "hermes": []}
    for message in everything_on(topic):
        headers = dict(message.headers())
        found[headers["schema"].decode()].append((headers, json.loads(message.value())))
    notices = [body_ for _, body_ in found["gcn"]]
    assert [n["alert_type"] for n in notices].count("retraction") == 2
    alive = [n for n in notices if n["alert_type"] != "retraction"]
    assert {n["reference"]["mma.derived-alert"] for n in notices if n not in alive} == {n["id"] for n in alive}
    assert [len(n["data"]["photometry"]) for n in alive if "data" in n] == [3]
    told, gone = sorted((body_ for _, body_ in found["hermes"]), key=lambda b: "references" in b["data"])
    for one in (told, gone):
        check_message(one)
    ids = {bytes(headers["_id"]).hex() for headers, body_ in found["hermes"] if body_ == told}
    assert ids == {gone["data"]["references"][0]["citation"].replace("-", "")}
    assert told["topic"] == "candidates"


def test_simulated_candidates_of_real_events_stay_here(archive: Archive, topic: str) -> None:
    """Readers of GCN, Hermes and the Treasure Map cannot tell a simulated candidate from a real one, so they get none."""
    made_up = Candidate("SIM1", 10.0, 10.0)
    record(archive, made_up, simulated=True)
    config = DestinationConfig("hop", "hopskotch", EVERYTHING, {"url": topic, "formats": ["v2", "gcn", "hermes"]})
    (first,) = versions(archive)
    assert len(enqueue_candidate(archive, [config, SITE], score(first, name="SIM1"), NOW)) == 1
    (mock,) = versions(archive, MOCK)
    assert len(enqueue_candidate(archive, [config, SITE], score(mock, name="SIM1"), NOW)) == 4


def test_one_row_for_all_nights(archive: Archive, server: GwtmStandIn) -> None:
    """The site gets a candidate once, with its first detection, valid by its description; and only if it is switched on."""
    (first,) = versions(archive)
    off = DestinationConfig("gwtm", "gwtm", EVERYTHING)
    assert enqueue_candidate(archive, [off], score(first), NOW) == []
    sender = publisher(archive, gwtm(server))
    assert enqueue_candidate(archive, [SITE], score(first, time_obs=60370.9), NOW)
    sender.run("gwtm")
    assert server.candidates.rows == []
    waiting = all_publications(archive)
    assert [(p.state, "no row of S240301a yet" in (p.error or "")) for p in waiting] == [(State.PENDING, True)]
    decide_all(archive, [first], SITE)
    enqueue_candidate(archive, [SITE], score(first, p=0.95), NOW)
    sender.run("gwtm")
    (row,) = server.candidates.rows
    assert (row["candidate_name"], row["tns_name"], row["discovery_magnitude"]) == ("AT2024abc", "2024abc", 18.25)
    assert row["discovery_date"].isoformat() == "2024-03-01T21:36:00"
    assert (row["associated_galaxy"], row["magnitude_bandpass"]) == ("NGC 4993", "i")
    assert {p.state for p in all_publications(archive)} == {State.DONE}
    (posted,) = [p for p in all_publications(archive) if p.kind == "candidate"]
    if OPENAPI.exists():
        schemas = json.loads(OPENAPI.read_text())
        request = {"$ref": "#/components/schemas/PostCandidateRequest", "components": schemas["components"]}
        jsonschema.validate({"graceid": REAL, "candidate": posted.payload["fields"]}, request)


@pytest.mark.parametrize("kind", ["500", "500 after", "truncated", "html"])
def test_a_fault_makes_no_second_row(archive: Archive, server: GwtmStandIn, kind: FaultKind) -> None:
    """Whether the site stored a row before it failed or not, there is one in the end."""
    (first,) = versions(archive)
    decide_all(archive, [first], SITE)
    enqueue_candidate(archive, [SITE], score(first), NOW)
    sender = publisher(archive, gwtm(server))
    sender.run("gwtm", limit=1)
    server.fail("candidate", kind)
    sender.run("gwtm")
    assert len(server.candidates.rows) == 1
    server.candidates.rows.clear()
    # The look goes well, the post does not.
    record(archive, Candidate("AT2024xyz", 151.0, 21.0))
    enqueue_candidate(archive, [SITE], score(first, name="AT2024xyz"), NOW)
    _fail_post(server, kind)
    sender.run("gwtm")
    assert [row["candidate_name"] for row in server.candidates.rows] == ["AT2024xyz"]
    assert {p.state for p in all_publications(archive)} == {State.DONE}


def _fail_post(server: GwtmStandIn, kind: FaultKind) -> None:
    """Let the next post fail, not the look before it."""
    look = server.candidates.get

    def once(request: Any) -> Any:
        server.candidates.get = look  # type: ignore[method-assign]
        server.fail("candidate", kind)
        return look(request)

    server.candidates.get = once  # type: ignore[method-assign]


def test_a_retraction_removes_ours_alone(archive: Archive, server: GwtmStandIn) -> None:
    """After the event's retraction our candidates are gone, those of others stay, and no later one is posted."""
    (first,) = versions(archive)
    decide_all(archive, [first], SITE)
    sender = publisher(archive, gwtm(server))
    sender.run("gwtm")
    theirs = {"candidate_name": "AT2024other", "ra": 1.0, "dec": 2.0}
    gwtm(server, token=USER).client.post_candidate(REAL, theirs)
    enqueue_candidate(archive, [SITE], score(first), NOW)
    sender.run("gwtm")
    assert len(server.candidates.rows) == 2
    for _ in range(2):
        retract(archive, REAL, SITE)
        sender.run("gwtm")
    assert [row["candidate_name"] for row in server.candidates.rows] == ["AT2024other"]
    record(archive, Candidate("AT2024late", 151.0, 21.0))
    enqueue_candidate(archive, [SITE], score(first, name="AT2024late"), NOW)
    sender.run("gwtm")
    assert len(server.candidates.rows) == 1
    assert {p.state for p in all_publications(archive)} == {State.DONE}
    assert ADMIN not in str(all_publications(archive))


def test_what_another_posted_is_not_repeated(archive: Archive, server: GwtmStandIn) -> None:
    """A candidate of that name on the site is enough, whoever posted it; it is not removed with ours."""
    (first,) = versions(archive)
    decide_all(archive, [first], SITE)
    sender = publisher(archive, gwtm(server))
    sender.run("gwtm")
    gwtm(server, token=USER).client.post_candidate(REAL, {"candidate_name": AT.name, "ra": AT.ra, "dec": AT.dec})
    enqueue_candidate(archive, [SITE], score(first), NOW)
    sender.run("gwtm")
    retract(archive, REAL, SITE)
    sender.run("gwtm")
    assert len(server.candidates.rows) == 1
    assert {p.state for p in all_publications(archive)} == {State.DONE}


def test_switches_in_the_file(tmp_path: Path) -> None:
    """Forms and candidates are switched on in the file of destinations; without a file they are off."""
    path = tmp_path / "p.toml"
    path.write_text(
        "[destinations.site]\nkind = 'gwtm'\ncandidates = true\n"
        "[destinations.out]\nkind = 'hopskotch'\nurl = 'kafka://h/t'\nformats = ['gcn', 'hermes']\n"
    )
    site, out = load(Access(file=path))
    assert site.takes_candidates
    assert out.formats == ("gcn", "hermes")
    plain = load(Access(api_base="https://x/api/v1/", hop_url="kafka://h/t"))
    assert [(c.takes_candidates, c.formats) for c in plain] == [(False, ()), (True, ("v2",))]
    path.write_text("[destinations.out]\nkind = 'hopskotch'\nurl = 'kafka://h/t'\nformats = ['atom']\n")
    with pytest.raises(ConfigurationError, match="'v1', 'v2', 'gcn', 'hermes'"):
        load(Access(file=path))
