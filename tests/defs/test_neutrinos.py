"""IceCube notices in the graph: a partition of their own, compared with the newest map, again when that changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from mma_pipeline.defs import run_again
from mma_pipeline.defs.alerts.sensors import stream_sensor
from mma_pipeline.defs.alerts.streams import STREAMS, stream_of
from mma_pipeline.defs.all_products import expected_files
from mma_pipeline.defs.neutrinos import sensors as neutrino_fill
from mma_pipeline.defs.neutrinos.sensors import neutrino_coincidence_sensor
from mma_pipeline.defs.resources import ArchiveResource, KafkaResource
from mma_pipeline.settings import current
from tests.alerts import SHARED, alert, avro, body, fits_map
from tests.defs.malformed import tiny_map
from tests.defs.streaming import STREAM, Streaming, keys_of
from tests.homes import Home
from tests.neutrinos import notice, track

EXAMPLE = SHARED / "data" / "icecube" / "lvk_nu_track_search.example.json"
ICECUBE = next(stream for stream in STREAMS if stream.topic == "gcn.notices.icecube.lvk_nu_track_search")
#: The map of `tests.alerts.fits_map`: a Gaussian of 2 deg around RA 150, Dec 20.
CENTRE = (150.0, 20.0)


@pytest.fixture
def _no_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """The notices of the tests are years old."""
    monkeypatch.setattr(neutrino_fill, "LOOK_BACK", timedelta(days=36500))


def made(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Metadata of each product's materialisation by asset."""
    assert result.success
    found = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    shown = {m.asset_key.to_user_string(): {k: v.value for k, v in m.metadata.items()} for m in found}
    shown.pop("event_page", None)  # `test_event_page.py`
    return shown


def make(home: Home, record: VersionRecord) -> dg.ExecuteInProcessResult:
    """Make the two products of a notice alone."""
    return home.make(record, ["neutrino_notice", "neutrino_coincidence"])


def coincidence(home: Home, record: VersionRecord) -> dict[str, Any]:
    """The stored comparison."""
    found = home.archive.product(record.partition_key, "coincidence")
    assert found is not None
    return dict(json.loads(home.files()[found.store_key]))


def tick(home: Home) -> list[dg.RunRequest]:
    """What the sensor asks for."""
    context = dg.build_sensor_context(instance=home.instance, resources={"archive": ArchiveResource()})
    answer = neutrino_coincidence_sensor(context)
    return list(answer.run_requests or []) if isinstance(answer, dg.SensorResult) else []


def fill(home: Home) -> int:
    """Run what the sensor asks for, as the daemon does, until it asks for nothing; returns how many runs."""
    from mma_pipeline.definitions import defs

    count = 0
    while requests := tick(home):
        for request in requests:
            count += 1
            job = defs.resolve_job_def("neutrino_products")
            result = job.execute_in_process(
                partition_key=request.partition_key, instance=home.instance, tags=dict(request.tags)
            )
            assert result.success
    return count


def test_a_notice_is_a_partition_of_its_own(home: Home) -> None:
    """The notice as sent, in one layout, and compared with the map: files, figures, picture, and no product of a map."""
    (version,) = home.receive(body())
    data = notice("MS240301a", track(*CENTRE), track(152.0, 20.0, dt=250.0))
    (record,) = home.receive(data)
    assert record.partition_key.startswith("MS240301a-N124016-")
    assert str(record.stem) == "MS240301a-IceCube"
    shown = made(home.make(record))
    assert set(shown) == {"neutrino_notice", "neutrino_coincidence"}
    files, folder = home.files(), f"mma/MS240301a/{record.partition_key}"
    assert files[f"{folder}/notice.json"] == data
    assert files[f"{folder}/coincidence.png"].startswith(b"\x89PNG")
    names = {product.name for product in home.archive.products(record.partition_key)}
    assert expected_files(record, current()) <= names
    assert not any(key.startswith(("fit/", "test/")) for key in files)
    assert "data:image/png;base64" in shown["neutrino_coincidence"]["coincidence_picture"]
    assert shown["neutrino_coincidence"]["map_version"] == version.partition_key
    assert shown["neutrino_notice"]["topic"] == ICECUBE.topic
    assert shown["neutrino_notice"]["message sha256"] == hashlib.sha256(data).hexdigest()
    # A Gaussian of 2 deg holds 1 - exp(-r²/8) within r of its centre; the same within the best fit's own distance.
    found = coincidence(home, record)
    first, second = found["tracks"]
    assert first["probability_inside"] == pytest.approx(1 - np.exp(-(0.5**2) / 8), rel=0.05)
    distance = 2.0 * np.cos(np.radians(20.0))
    assert second["credible_level"] == pytest.approx(1 - np.exp(-(distance**2) / 8), rel=0.1)
    assert second["p_time"] == pytest.approx(0.5)
    assert found["event_time_offset_s"] == pytest.approx(-0.5)
    assert found["best_track"] == 1
    assert "Fisher" in found["method"]
    assert "picked in advance" in found["caveat"]


def test_products_of_maps_know_nothing_of_neutrinos(home: Home) -> None:
    """An alert's run makes no neutrino product, and a second notice of the same event is another partition."""
    (version,) = home.receive(body(skymap=tiny_map()))
    first, second = home.receive(notice()), home.receive(notice(pval_generic=0.5))
    assert [str(r.stem) for r in (*first, *second)] == ["MS240301a-IceCube", "MS240301a-IceCube1"]
    assert not {"neutrino_notice", "coincidence"} & expected_files(version, current())
    assert home.make_all([version, *first]).success
    for record in (version, *first):
        assert {p.name for p in home.archive.products(record.partition_key)} >= expected_files(record, current())
    assert not {p.asset for p in home.archive.products(version.partition_key)} & {
        "neutrino_notice",
        "neutrino_coincidence",
    }
    assert {p.asset for p in home.archive.products(first[0].partition_key)} == {
        "neutrino_notice",
        "neutrino_coincidence",
    }


@pytest.mark.usefixtures("_no_age")
def test_without_a_map_it_waits_for_one(home: Home) -> None:
    """No map yet: said so, no picture, nothing fails. The map comes, then a newer one, then a retraction: filled in."""
    (record,) = home.receive(notice("MS240301a", track(*CENTRE)))
    shown = made(make(home, record))["neutrino_coincidence"]
    assert shown["state"] == "no map of the event is archived yet"
    assert "coincidence_picture" not in shown
    assert tick(home) == []
    (first,) = home.receive(body())
    (request,) = tick(home)
    assert request.partition_key == record.partition_key
    assert request.tags["mma/event"] == "MS240301a"
    assert fill(home) == 1
    assert coincidence(home, record)["map_version"] == first.partition_key
    near = coincidence(home, record)["tracks"][0]["credible_level"]
    newer = fits_map(ra=156.0)
    (second,) = home.receive(body(kind="UPDATE", created="2024-03-01T15:00:00Z", skymap=newer))
    assert fill(home) == 1
    after = coincidence(home, record)
    assert after["map_version"] == second.partition_key
    assert after["tracks"][0]["credible_level"] > near + 0.5
    # An older map that arrives late, and a map combined with another messenger's, change nothing.
    home.receive(body(kind="INITIAL", created="2024-03-01T13:00:00Z"))
    assert tick(home) == []
    (retraction,) = home.receive(body(kind="RETRACTION", created="2024-03-01T16:00:00Z"))
    assert fill(home) == 1
    last = coincidence(home, record)
    assert last["retracted_by"] == retraction.partition_key
    assert last["map_version"] == second.partition_key
    assert tick(home) == []


@pytest.mark.usefixtures("_no_age")
def test_the_sensor_asks_once_at_a_time(home: Home) -> None:
    """While a run for a comparison is under way, or has just failed, the sensor does not ask for another."""
    (record,) = home.receive(notice())
    make(home, record)
    home.receive(body(skymap=tiny_map()))
    (request,) = tick(home)
    from mma_pipeline.definitions import defs

    job = defs.resolve_job_def("neutrino_products")
    tags = {**request.tags, "dagster/partition": str(request.partition_key)}
    run = home.instance.create_run_for_job(job, tags=tags)
    assert tick(home) == []
    home.instance.report_run_failed(run)
    assert tick(home) == []
    # Long ago, and still not compared: asked for under a new key.
    run_again.PAUSE, kept = timedelta(0), run_again.PAUSE
    try:
        (again,) = tick(home)
    finally:
        run_again.PAUSE = kept
    assert again.run_key != request.run_key


@pytest.mark.usefixtures("_no_age")
def test_order_of_arrival_does_not_matter(tmp_path: Path) -> None:
    """Two homes that receive the same messages in opposite order hold the same files, byte for byte, in the end."""
    messages = [
        body(created="2024-03-01T12:00:00Z"),
        notice("MS240301a", track(151.0, 21.0)),
        notice("MS240301a", alert_datetime="2024-03-01T12:50:00Z"),
        body(kind="UPDATE", created="2024-03-01T15:00:00Z", skymap=fits_map(ra=152.0)),
    ]
    found = []
    for name, order in (("one", 1), ("two", -1)):
        with Home(tmp_path / name).active() as home:
            for data in messages[::order]:
                for record in home.receive(data):
                    if record.version.label == "IceCube":
                        assert make(home, record).success
            fill(home)
            found.append({key: data for key, data in home.files().items() if "-IceCube" in key})
    assert found[0] == found[1]
    assert len(found[0]) == 8


def test_an_upper_limit_is_a_result(home: Home) -> None:
    """No coincident events: the notice has all its files; the comparison says that there is nothing to compare."""
    home.receive(body())
    (record,) = home.receive(notice(coincident_events=..., n_events_coincident=0, most_probable_direction=...))
    shown = made(make(home, record))
    assert "upper limit" in shown["neutrino_coincidence"]["comparison"]
    assert "best_track" not in shown["neutrino_coincidence"]
    assert coincidence(home, record)["tracks"] == []


@pytest.mark.parametrize(
    ("changes", "drift"),
    [
        ({}, []),
        ({"reference": {"gcn.notices.LVK.alert": 4642}}, ["$.reference"]),
        ({"pval_bayesian": "null"}, ["$.pval_bayesian"]),
        ({"pval_generic": ...}, ["pval_generic"]),
    ],
)
def test_drift_is_shown_and_stops_nothing(home: Home, changes: dict[str, Any], drift: list[str]) -> None:
    """A notice that departs from the schema has its products; the check warns and names the departure."""
    (record,) = home.receive(notice("MS240301a", track(*CENTRE), **changes))
    result = make(home, record)
    assert result.success
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    check = checks["notice_follows_schema"]
    assert check.passed is (not drift)
    assert check.severity is dg.AssetCheckSeverity.WARN
    shown = json.dumps(check.metadata["schema_drift"].value) if drift else ""
    assert all(place in shown for place in drift)
    assert checks["no_neutrino_lost"].passed


def test_checks_find_what_does_not_fit(home: Home) -> None:
    """A count that is not the list's, another event time, the old layout of positions: warnings; no track is lost."""
    home.receive(body())
    old = {"event_dt": 1.0, "ra": 150.0, "dec": 20.0, "ra_uncertainty": [0.51], "uncertainty_shape": "circle"}
    (record,) = home.receive(notice("MS240301a", old, n_events_coincident=2, trigger_time="2024-03-01T11:58:00Z"))
    result = make(home, record)
    assert result.success
    failed = {c.check_name for c in result.get_asset_check_evaluations() if not c.passed}
    assert failed == {"notice_follows_schema", "no_neutrino_lost", "same_event_time"}
    (found,) = coincidence(home, record)["tracks"]
    assert (found["ra_deg"], found["dec_deg"], found["radius_deg"]) == (150.0, 20.0, 0.51)


@pytest.mark.skipif(not EXAMPLE.is_file(), reason=f"{EXAMPLE} is not there")
def test_the_published_example(home: Home) -> None:
    """The schema's own example follows what we expect of the schema, and all its figures are shown."""
    (record,) = home.receive(EXAMPLE.read_bytes())
    shown = made(make(home, record))["neutrino_notice"]
    assert shown["schema_drift"] == []
    assert (shown["pval_generic"], shown["pval_bayesian"], shown["neutrinos"]) == (0.0191, 0.0549, 2)
    assert shown["reference"] == "S230914ak-2-Preliminary"
    assert shown["flux_sensitivity_gev_cm2"] == [0.0277, 0.647]
    document = json.loads(home.files()[f"mma/S230914ak/{record.partition_key}/neutrinos.json"])
    assert [t["ra_deg"] for t in document["tracks"]] == [17.48, 13.82]


@pytest.mark.skipif(not EXAMPLE.is_file(), reason="../shared/data/icecube is not there")
def test_what_we_expect_of_the_schema_is_in_the_published_one() -> None:
    """Every property of the published schema's own part is one that we know, with the same kinds."""
    from importlib.resources import files

    ours = json.loads(
        files("mma_pipeline.notices").joinpath("schemas/icecube-lvk-nu-track-search.schema.json").read_text()
    )
    published = json.loads(EXAMPLE.with_name("lvk_nu_track_search.schema.json").read_text())
    assert set(published["properties"]) <= set(ours["properties"])
    assert set(published["$defs"]["coincevent"]["properties"]) <= set(ours["$defs"]["track"]["properties"])
    for name in ("pval_generic", "pval_bayesian"):
        assert published["properties"][name]["type"] == ours["$defs"]["p_value"]["type"]


def test_streams_are_told_apart() -> None:
    """Alerts in JSON and Avro, notices, and messages of neither kind go to the parser of their stream."""
    assert stream_of(notice()) is ICECUBE
    assert stream_of(notice(reference=...)) is ICECUBE
    for data in (body(skymap=tiny_map()), avro(alert(skymap=tiny_map())), b"{}", b"", b"\xff"):
        assert stream_of(data) is STREAM


@pytest.fixture
def neutrinos(home: Home) -> Iterator[Streaming]:
    """An empty home that reads the neutrino stream of an embedded Kafka."""
    with EmbeddedKafka() as kafka:
        # However slow the machine is: a tick of the test waits for its messages.
        yield Streaming(home, kafka, stream=replace(ICECUBE, wait_s=None))


def test_the_stream_has_its_sensor(neutrinos: Streaming) -> None:
    """Raw bytes archived, one run per notice, repeats none, bad ones in quarantine with the reason."""
    good = notice("S240301a", track(*CENTRE))
    bad = [notice(ref_ID="../../x"), notice(alert_datetime="yesterday"), body(skymap=tiny_map()), b"not a notice"]
    neutrinos.send(good, *bad, good)
    answers = neutrinos.ticks(6)
    (key,) = keys_of(answers)
    assert key.startswith("S240301a-N124016-")
    (request,) = [r for a in answers for r in a.run_requests or []]
    assert (request.tags["mma/lane"], request.run_key) == ("live", key)
    archive = neutrinos.home.archive
    assert archive.message(archive.version(key).message_id).body == good
    reasons = sorted(reason for _, _, reason in archive.quarantined())
    assert len(reasons) == 4
    assert any("superevent_id is '../../x'" in reason for reason in reasons)
    assert any("alert_datetime is 'yesterday'" in reason for reason in reasons)
    assert archive.counts()["versions"] == 1
    assert [e.asset_key.to_user_string() for a in answers for e in a.asset_events] == ["quarantine"] * 4


def test_a_broker_of_ones_own_need_not_have_the_topic(home: Home) -> None:
    """On a broker without the topic the sensor skips and says so."""
    with EmbeddedKafka() as kafka:
        kafka.create_topic(STREAM.topic)
        resources = {"archive": ArchiveResource(), "kafka": KafkaResource(bootstrap=kafka.bootstrap)}
        answer = stream_sensor(ICECUBE)(dg.build_sensor_context(instance=home.instance, resources=resources))
    assert isinstance(answer, dg.SkipReason)
    assert ICECUBE.topic in str(answer.skip_message)


def test_old_notices_are_left_alone(home: Home) -> None:
    """A notice older than half a year is compared again by hand only."""
    (record,) = home.receive(notice())
    make(home, record)
    home.receive(body(skymap=tiny_map()))
    assert tick(home) == []
    assert next(neutrino_fill.outdated(home.archive, datetime(2024, 3, 2, tzinfo=UTC)))[0] == record
