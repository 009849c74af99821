"""Pairs of events of different messengers in the graph: found in any order, kept, shown, published once, withdrawn."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import jsonschema
import pytest
from mocpy import MOC
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import VersionRecord, outbox, reading
from mma_pipeline.adapters.archive.coincidences import PairState, pairs_of
from mma_pipeline.adapters.archive.retention import forget
from mma_pipeline.adapters.publishing.config import load
from mma_pipeline.adapters.publishing.decision import Decider
from mma_pipeline.adapters.publishing.hopskotch import HopskotchDestination
from mma_pipeline.cli import app
from mma_pipeline.defs.all_products import expected_files
from mma_pipeline.defs.coincidences import sensors
from mma_pipeline.defs.coincidences.assets import announce, coincidences, keep_pairs
from mma_pipeline.defs.events.page.write import write_event_page
from mma_pipeline.defs.resources import SettingsResource
from mma_pipeline.notices.derived import SCHEMA_V2_1, DerivedAlert, encode, json_schema_v2
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.products.materialize import materialize
from mma_pipeline.science.coincidence.searches import SearchRules
from mma_pipeline.science.regions.coverage import probability_within
from mma_pipeline.science.simulation.triggers import simulate_triggers
from mma_pipeline.science.skymaps.model import decode_skymap
from mma_pipeline.settings import current
from tests.alerts import REAL_FOLDER, body, fits_map, needs_real_alerts
from tests.homes import Home

GW = "MS240301a"
GRB = "TFermi_731246338"
#: 1.7 s after the gravitational wave of `tests.alerts.alert`.
TIME = "2024-03-01T11:59:02.200"


def fermi(
    trigger: str = "731246338",
    *,
    time: str = TIME,
    kind: str = "initial",
    created: str = "2024-03-01T12:00:30",
    at: tuple[float, float] = (152.0, 21.0),
    error: float = 3.0,
    classes: dict[str, float] | None = None,
) -> bytes:
    """A notice of Fermi GBM, with a position and its error."""
    record: dict[str, Any] = {
        "$schema": "https://gcn.nasa.gov/schema/main/gcn/notices/fermi/gbm/trigger.schema.json",
        "mission": "Fermi",
        "instrument": "GBM",
        "alert_tense": "test",
        "alert_type": kind,
        "alert_datetime": created,
        "trigger_time": time,
        "id": [trigger],
        "subtype": "GROUND_POSITION",
        **({} if classes is None else {"classification": classes}),
    }
    if kind != "retraction":
        record |= {"ra": at[0], "dec": at[1], "ra_dec_error": error, "containment_probability": 0.68}
    return json.dumps(record).encode()


def make(home: Home, record: VersionRecord) -> dict[str, Any]:
    """Make the product and what follows from it, without a run of Dagster; returns its statistics."""
    archive, key, now = home.archive, record.partition_key, datetime.now(UTC)
    statistics = materialize(coincidences, ProductInput(archive, home.store, key, current())).statistics
    announce(archive, keep_pairs(archive, key, now), load(current().access), now, current())
    return dict(statistics)


def run(home: Home, record: VersionRecord) -> dict[str, Any]:
    """The same in a run of Dagster."""
    assert home.make(record, ["raw_alert", "coincidences", "coincidence_alert"]).success
    found = home.archive.product(record.partition_key, "coincidences")
    assert found is not None
    return dict(found.statistics)


def follow(home: Home) -> int:
    """Run what the sensor asks for, as the daemon does, until it asks for nothing; returns how many runs."""
    from mma_pipeline.definitions import defs
    from mma_pipeline.defs.resources import ArchiveResource

    count = 0
    while True:
        context = dg.build_sensor_context(
            instance=home.instance, resources={"archive": ArchiveResource(), "settings": SettingsResource()}
        )
        answer = sensors.coincidence_sensor(context)
        requests = list(answer.run_requests or []) if isinstance(answer, dg.SensorResult) else []
        if not requests:
            return count
        for request in requests:
            count += 1
            assert count < 20, "the sensor asks without end"
            job = defs.resolve_job_def("coincidence_products")
            home.instance.add_dynamic_partitions("alert_version", [str(request.partition_key)])
            done = job.execute_in_process(
                partition_key=request.partition_key, instance=home.instance, tags=dict(request.tags)
            )
            assert done.success


@pytest.fixture
def _no_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """The notices of the tests are years old."""
    monkeypatch.setattr(sensors, "LOOK_BACK", timedelta(days=36500))


@pytest.fixture
def topic(home: Home, monkeypatch: pytest.MonkeyPatch) -> str:
    """A Hopskotch topic that takes messages of tests; nothing is sent."""
    path = home.folder / "publication.toml"
    path.write_text(
        "[destinations.a]\nkind = 'hopskotch'\nurl = 'kafka://127.0.0.1:1/t'\n[destinations.a.rule]\nroles = ['test']\n"
    )
    monkeypatch.setenv("MMA_PUBLICATION_CONFIG", str(path))
    return "a"


def messages(home: Home, kind: str) -> list[dict[str, Any]]:
    """What the outbox holds of a kind of message, in order."""
    with reading(home.archive.engine) as connection:
        found = [dict(item.payload["alert"]) for item in outbox.publications(connection)]
    return [alert for alert in found if alert["kind"] == kind]


def test_a_pair_is_found_and_kept(home: Home) -> None:
    """A burst 1.7 s after a merger at the same place: its figures, picture, combined map smaller than either, in the archive."""
    (gw,) = home.receive(body(far=1e-6))
    assert run(home, gw)["pairs_found"] == 0
    (grb,) = home.receive(fermi())
    assert grb.version.event_id == GRB
    found = run(home, grb)
    (pair,) = found["pairs"]
    assert found["best_event"] == GW
    assert pair["state"] == "claimed"
    assert pair["difference_s"] == pytest.approx(-1.7)
    assert pair["search"] == "CBC with GRB"
    # FAR_gw x 325 a year x 6 s, over the overlap in space
    assert pair["far_time_hz"] == pytest.approx(1e-6 * 325 / (365 * 86400) * 6, rel=1e-9)
    assert pair["far_space_time_hz"] == pytest.approx(pair["far_time_hz"] / pair["overlap"], rel=1e-9)
    # A significant one is rated by one such event in three days too, and the larger rate counts.
    assert pair["far_hz"] == pair["far_sure_space_time_hz"] > pair["far_space_time_hz"]
    assert pair["overlap"] > 10
    assert 0 < pair["p_chance"] < 0.1
    assert pair["area_90_combined_deg2"] < min(pair["area_90_gw_deg2"], pair["area_90_other_deg2"])
    files = home.files()
    folder = f"mma/{GRB}/{grb.partition_key}"
    assert files[f"{folder}/coincidences.png"].startswith(b"\x89PNG")
    both = decode_skymap(files[f"{folder}/coincidence_moc.fits.gz"])
    assert both.is_3d
    for level in (50, 90):
        region = MOC.from_fits(io.BytesIO(files[f"{folder}/coincidence-{level}.moc.fits"]))
        # Whole pixels of the combined map: no less than its level, and by a pixel more than its interpolated area.
        assert level / 100 <= probability_within(both, region) < level / 100 + 0.02
        assert region.sky_fraction * 41_252.96 == pytest.approx(pair[f"area_{level}_combined_deg2"], rel=0.05)
    assert files[f"{folder}/coincidence-map.png"].startswith(b"\x89PNG")
    assert grb.partition_key in both.meta["HISTORY"]
    (kept,) = pairs_of(home.archive, GW)
    assert (kept.gw_event, kept.other_event, kept.state) == (GW, GRB, PairState.CLAIMED)
    assert kept.figures["overlap"] == pair["overlap"]
    # Made again, nothing changes: the bytes are those of before.
    assert make(home, grb)["pairs"] == [pair]


def test_unrelated_events_are_not_claimed(home: Home) -> None:
    """A burst of the same hour is no pair; one at the same time on the other side of the sky is excluded by place."""
    (gw,) = home.receive(body(far=1e-6))
    (later,) = home.receive(fermi("731247000", time="2024-03-01T12:10:00", created="2024-03-01T12:11:00"))
    (opposite,) = home.receive(fermi("731246339", time=TIME, at=(330.0, -20.0)))
    make(home, later)
    make(home, opposite)
    found = make(home, gw)
    assert found["pairs_claimed"] == 0
    (pair,) = found["pairs"]
    assert pair["other_event"] == "TFermi_731246339"
    assert pair["state"] == "excluded"
    assert pair["p_chance"] > 0.01
    assert pairs_of(home.archive, later.version.event_id) == []


@pytest.mark.usefixtures("_no_age")
def test_both_events_say_the_same_in_any_order(home: Home) -> None:
    """The event that came first learns of the pair, and of newer maps and retractions of the other one, by the sensor."""
    (gw,) = home.receive(body(far=1e-6))
    make(home, gw)
    (grb,) = home.receive(fermi())
    make(home, grb)
    assert follow(home) == 1
    shown = home.archive.product(gw.partition_key, "coincidences")
    assert shown is not None
    assert shown.statistics["best_event"] == GRB
    (final,) = home.receive(fermi(kind="update", created="2024-03-01T12:30:00", at=(150.5, 20.2), error=1.0))
    assert make(home, final)["pairs"][0]["other_version"] == final.partition_key
    assert follow(home) == 1
    assert pairs_of(home.archive, GW)[0].other_partition == final.partition_key
    (gone,) = home.receive(fermi(kind="retraction", created="2024-03-01T13:00:00"))
    withdrawn = make(home, gone)
    assert withdrawn["pairs"][0]["state"] == "withdrawn"
    assert follow(home) == 1
    (pair,) = pairs_of(home.archive, GW)
    assert pair.state is PairState.WITHDRAWN
    assert pair.figures["withdrawn_by"] == gone.partition_key
    assert follow(home) == 0
    rules = current().coincidences.rules
    assert list(sensors.outdated(home.archive, rules, datetime.now(UTC))) == []
    # With other rules every pair is made again.
    assert list(sensors.outdated(home.archive, SearchRules(far_max=1e-20), datetime.now(UTC)))


def test_a_claimed_pair_is_published_once_and_withdrawn(home: Home, topic: str) -> None:
    """One message by the schema for the versions that were compared, another for a newer map, and withdrawals of both."""
    (gw,) = home.receive(body(far=1e-6))
    make(home, gw)
    (grb,) = home.receive(fermi())
    make(home, grb)
    make(home, gw)
    make(home, grb)
    (message,) = messages(home, "coincidence")
    jsonschema.validate(message, json_schema_v2())
    assert message["schema"] == SCHEMA_V2_1
    assert message["event_id"] == GW
    assert message["coincidence"]["other_event"] == GRB
    alert = DerivedAlert.from_json(message)
    assert json.loads(encode(alert)) == message
    assert alert.localisation is not None
    assert alert.localisation.area_90 is not None
    assert alert.localisation.distance_mean is not None
    with reading(home.archive.engine) as connection:
        (item,) = [i for i in outbox.publications(connection) if i.dedupe_key.startswith("coincidence:")]
    assert (
        HopskotchDestination(topic, "kafka://127.0.0.1:1/t", anonymous=True).preview(item)["headers"]["_test"] == "true"
    )  # type: ignore[arg-type]
    (final,) = home.receive(fermi(kind="update", created="2024-03-01T12:30:00", at=(150.5, 20.2), error=1.0))
    make(home, final)
    assert [m["coincidence"]["other_version"] for m in messages(home, "coincidence")] == [
        grb.partition_key,
        final.partition_key,
    ]
    (gone,) = home.receive(fermi(kind="retraction", created="2024-03-01T13:00:00"))
    make(home, gone)
    make(home, gone)
    withdrawals = messages(home, "retraction")
    assert [w["retracts"] for w in withdrawals] == [m["id"] for m in messages(home, "coincidence")]
    assert all(GRB in w["reason"] and gone.partition_key in w["reason"] for w in withdrawals)


def test_a_retraction_of_the_gravitational_wave_withdraws_the_message_once(home: Home, topic: str) -> None:
    """Both the pair's own run and the publication of the retraction withdraw a message: one withdrawal is sent."""
    (gw,) = home.receive(body(far=1e-6))
    (grb,) = home.receive(fermi())
    make(home, gw)
    make(home, grb)
    (gone,) = home.receive(body(kind="RETRACTION", created="2024-03-01T13:00:00Z"))
    make(home, gone)
    # It says that the event itself is retracted, as the publication of the retraction would.
    assert [w["version"]["label"] for w in messages(home, "retraction")] == ["Retraction"]
    Decider(home.archive, lambda _: None, load(current().access)).decide(gone, datetime.now(UTC))
    assert [w["retracts"] for w in messages(home, "retraction")] == [m["id"] for m in messages(home, "coincidence")]
    assert topic


def test_nothing_is_published_when_switched_off(home: Home, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs are compared and kept, and no message is written, with MMA_COINCIDENCE_ALERTS=false."""
    monkeypatch.setenv("MMA_COINCIDENCE_ALERTS", "false")
    (gw,) = home.receive(body(far=1e-6))
    (grb,) = home.receive(fermi())
    make(home, gw)
    assert make(home, grb)["pairs_claimed"] == 1
    assert messages(home, "coincidence") == []
    assert topic


def test_what_lvk_states_stands_beside_ours(home: Home) -> None:
    """The notice's own external coincidence is compared with our pair of the same trigger, else of the same difference."""
    external = fits_map(151.0, 20.5, 1.5)
    found = {}
    (grb,) = home.receive(fermi("524666471", time="2024-03-01T11:59:02.520"))
    make(home, grb)
    records = home.receive(body(far=1e-6, external=external))
    for record in records:
        found[record.version.label] = make(home, record)
    own = found["Preliminary"]["lvk"]
    assert own["our_event"] == "TFermi_524666471"
    assert own["far_time_hz"] == 2.1e-14
    assert own["ratio_time"] == pytest.approx(own["our_far_time_hz"] / 2.1e-14)
    assert own["ratio_space_time"] is None
    # Without an event of ours beside it, the notice's own still stands.
    (alone,) = home.receive(body("MS240305b", time="2024-03-05T00:00:00Z", created="2024-03-05T00:01:00Z"))
    assert make(home, alone)["lvk"] is None


def test_page_and_show(home: Home) -> None:
    """The page has a section with the pair, its picture and LVK's own; `mma show` a line for each."""
    (grb,) = home.receive(fermi())
    make(home, grb)
    (gw, _) = home.receive(body(far=1e-6, external=fits_map(151.0, 20.5, 1.5)))
    assert home.make(gw, ["raw_alert", "coincidences", "coincidence_alert", "event_page"]).success
    page = home.files()[f"mma/{GW}/index.html"].decode()
    assert "Coincident events</h3>" in page
    assert GRB in page
    assert "coincidences.png" in page
    # The combined map of a claimed pair stands below the event's own, with its files.
    own, _, rest = page.partition('<h2 id="sky">')[2].partition("Combined sky map with " + GRB)
    assert "coincidence-map.png" in own
    for name in ("coincidence_moc.fits.gz", "coincidence-50.moc.fits", "coincidence-90.moc.fits"):
        assert name in rest.partition("<h2")[0]
    assert "LIGO/Virgo/KAGRA state a coincidence with Fermi" in page
    answer = CliRunner().invoke(app, ["show", GW])
    assert answer.exit_code == 0
    assert f"{GRB} claimed: -1.70 s" in answer.output


def test_rates_of_a_pair_on_the_page(home: Home) -> None:
    """Each joint rate has its method: FAR x 325 a year x 6 s by the search, one wave in three days for sure, over I in space."""
    (gw,) = home.receive(body(far=1e-9))
    make(home, gw)
    (grb,) = home.receive(fermi())
    make(home, grb)
    (pair,) = run(home, gw)["pairs"]
    page = home.store.get(write_event_page(home.archive, home.store, GW).key).decode()
    rows = [
        re.sub("<[^>]*>", "|", row) for row in page.partition("How the joint rates come about")[2].split("<tr>")[2:4]
    ]
    bursts = 325 / (365 * 86_400) * 6
    for row, name, rate in zip(
        rows, ("by the search's method", "the wave taken for sure"), (1e-9, 1 / (3 * 86_400)), strict=True
    ):
        years = [1 / (rate * bursts / by * 365.25 * 86_400) for by in (1, pair["overlap"])]
        assert name in row
        for value in years:
            assert (
                f"one in {float(f'{value:.2g}'):,.0f} years" in row
                or f"one in {float(f'{value / 1e6:.2g}'):g} million years" in row
            )
    joint = page.partition('<h3 id="coincident">')[2].partition("How the joint rates")[0]
    assert f"one in {float(f'{years[1]:.2g}'):,.0f} years" in joint, "the joint rate is the larger"


@pytest.mark.usefixtures("_no_age")
@pytest.mark.parametrize("retracted", ["burst", "gravitational wave"])
def test_a_withdrawn_pair_on_both_pages(home: Home, retracted: str) -> None:
    """Whichever event is retracted, both pages name the pair as withdrawn, and by what, and no combined map stays."""
    (gw,) = home.receive(body(far=1e-6))
    make(home, gw)
    (grb,) = home.receive(fermi())
    make(home, grb)
    assert follow(home) == 1
    late = "2024-03-01T13:00:00"
    notice = (
        fermi(kind="retraction", created=late) if retracted == "burst" else body(kind="RETRACTION", created=late + "Z")
    )
    (gone,) = home.receive(notice)
    assert run(home, gone)["pairs"][0]["state"] == "withdrawn"
    follow(home)
    for event_id in (GW, GRB):
        page = write_event_page(home.archive, home.store, event_id)
        section = home.files()[page.key].decode().partition('<h3 id="coincident">')[2].partition("<h")[0]
        assert f"withdrawn: {gone.version.event_id} was retracted at 2024-03-01 13:00:00 UTC" in section
        assert f"({gone.partition_key})" not in section
        assert "claimed" not in section
    names = ("coincidence_skymap", "coincidence_moc_50", "coincidence_moc_90", "coincidence_picture")
    # Also of the version that was made again: what it had and has no more is none of its files.
    for record in (gw if retracted == "burst" else grb, gone):
        assert [name for name in names if home.archive.product(record.partition_key, name)] == []
    for event_id in (GW, GRB):
        sky = home.files()[f"mma/{event_id}/index.html"].decode().partition('<h2 id="sky">')[2].partition("<h2")[0]
        assert "coincidence-map.png" not in sky


@needs_real_alerts
def test_lvks_own_coincidence_of_a_real_alert(home: Home) -> None:
    """MS230425l with the burst that its notice names: the same rate in time but for RAVEN's rate of bursts, 310 a year then."""
    data = (REAL_FOLDER / "MS230425l-preliminary.json").read_bytes()
    stated = json.loads(data)["external_coinc"]
    trigger = str(stated["gcn_notice_id"])
    (grb,) = home.receive(fermi(trigger, time="2023-04-25T11:42:28.386", created="2023-04-25T11:43:00"))
    make(home, grb)
    (gw, *_) = home.receive(data)
    found = make(home, gw)
    assert found["pairs"][0]["difference_s"] == pytest.approx(stated["time_difference"], abs=0.01)
    beside = found["lvk"]
    assert beside["our_event"] == f"TFermi_{trigger}"
    assert beside["far_time_hz"] == stated["time_coincidence_far"]
    assert beside["far_space_time_hz"] == stated["time_sky_position_coincidence_far"]
    assert beside["ratio_time"] == pytest.approx(325 / 310, rel=1e-3)
    # Like stands beside like: theirs in time, and ours by the same method, which is 325/310 of it.
    page = home.store.get(write_event_page(home.archive, home.store, gw.version.event_id).key).decode()
    table = page.partition("as LIGO/Virgo/KAGRA state</td>")[2].partition("</table>")[0]
    years = [
        1 / (rate * 365.25 * 86_400) for rate in (stated["time_coincidence_far"], found["pairs"][0]["far_time_hz"])
    ]
    assert years[0] / years[1] == pytest.approx(325 / 310, rel=1e-3)
    theirs, ours = (f"{y / 1e9:.2g} billion years" for y in years)
    assert table.startswith(f"<td>one in {theirs}</td>"), table[:100]
    assert f"ours by the search's method</td><td>one in {ours}</td>" in table
    assert "a second" not in page, "places that exclude each other make no rate"


def test_simulated_burst_of_the_merger(home: Home) -> None:
    """Of the simulated notices of a merger its burst makes a claimed pair; neutrino, X-rays and the later burst do not."""
    merger = datetime(2024, 3, 1, 11, 59, 0, 500000, tzinfo=UTC)
    (gw,) = home.receive(body(far=1e-9))
    names = {}
    for record in simulate_triggers(decode_skymap(fits_map()), time=merger, seed=1, test=True):
        (version,) = home.receive(json.dumps(record).encode())
        names[version.version.event_id] = record["instrument"]
    assert sorted(names.values()) == ["GBM", "GBM", "IC86", "WXT"]
    (pair,) = make(home, gw)["pairs"]
    assert names[pair["other_event"]] == "GBM"
    assert pair["state"] == "claimed"
    assert pair["difference_s"] == pytest.approx(-1.7, abs=0.01)
    assert pair["area_90_combined_deg2"] < min(pair["area_90_gw_deg2"], pair["area_90_other_deg2"])


def test_what_is_no_burst_takes_no_part(home: Home) -> None:
    """A trigger that Fermi's newest classification gives to particles or the Sun makes no pair; one that is open does."""
    (gw,) = home.receive(body(far=1e-6))
    home.receive(fermi("731246340", classes={"GRB": 0.3, "DISTANT_PARTICLES": 0.7}))
    home.receive(fermi("731246341", classes={"GRB": 0.85, "GENERIC_SGR": 0.14}))
    home.receive(fermi("731246341", kind="update", created="2024-03-01T12:05:00"))  # does not classify
    home.receive(fermi("731246342", classes={"UNRELIABLE_LOCATION": 1.0}))
    home.receive(fermi("731246343", classes={"GRB": 0.9}))
    home.receive(fermi("731246343", kind="update", created="2024-03-01T12:05:00", classes={"SOLAR_FLARE": 0.8}))
    assert {p["other_event"] for p in make(home, gw)["pairs"]} == {"TFermi_731246341", "TFermi_731246342"}


def test_pairs_go_with_their_mock_events(home: Home) -> None:
    """Removing old mock events removes their pairs."""
    (gw,) = home.receive(body(far=1e-6))
    (grb,) = home.receive(fermi())
    make(home, gw)
    make(home, grb)
    assert len(pairs_of(home.archive, GW)) == 1
    forget(home.archive.engine, [gw.partition_key])
    assert pairs_of(home.archive, GRB) == []


def test_own_table_of_searches(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file replaces the published searches; a file that cannot be used names itself."""
    from mma_pipeline.adapters.errors import ConfigurationError

    path = tmp_path / "searches.json"

    def write(entries: Sequence[dict[str, Any]]) -> None:
        path.write_text(json.dumps(entries))

    monkeypatch.setenv("MMA_COINCIDENCE_SEARCHES", str(path))
    write([{"gw": "CBC", "other": "GRB", "window": [-1, 1], "source": "this test", "per_year": 1}])
    (gw,) = home.receive(body(far=1e-6))
    (grb,) = home.receive(fermi())
    make(home, grb)
    assert make(home, gw)["pairs_found"] == 0  # 1.7 s apart
    write([{"gw": "CBC", "other": "aurora", "window": [-1, 1], "source": "this test"}])
    with pytest.raises(ConfigurationError, match="MMA_COINCIDENCE_SEARCHES"):
        _ = current().coincidences.rules
    # The version is not kept waiting for it, and the asset says why it has no pairs.
    assert "MMA_COINCIDENCE_SEARCHES" in str(coincidences.unconfigured(current()))
    assert "coincidences" not in expected_files(gw, current())
