"""Products of versions: the job in process, files under the names that the GWTM site reads, written once."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mma_pipeline.defs.alerts.stream_assets import gwalert_stream
from mma_pipeline.defs.all_products import PRODUCTS, expected_files
from mma_pipeline.defs.jobs import alert_products
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.product_asset import product_asset
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource, StoreResource
from mma_pipeline.notices import lvk
from mma_pipeline.products.declaration import NEEDS_NOTHING, Product, ProductFiles, own_file
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.settings import current
from tests.alerts import BAD_FOLDER, REAL_FOLDER, alert, body, fits_map, map_of_columns, needs_real_alerts, real_paths
from tests.defs.malformed import tiny_map
from tests.homes import Home, tree
from tests.pages import untimed

#: Made where a galaxy catalog was imported (`test_observing.py`); these homes have none, and the asset says so.
NEEDS_CATALOG = {"galaxies"}
#: Made for neutrino notices only (`test_neutrinos.py`).
OF_NEUTRINOS = {"neutrino_notice", "neutrino_coincidence"}
#: Of the event's other versions as well as of the map.
OF_THE_EVENT = {"version_difference", "coincidences"}
#: Files of the forecast that a version without a forecast does not have.
FORECAST = {"forecast_table", "forecast_votable", "forecast_plot"}
MAP_PRODUCTS = {product.name for product in PRODUCTS} - {"raw_alert"} - NEEDS_CATALOG - OF_NEUTRINOS - OF_THE_EVENT
PAGE = "mma/{}/index.html"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dg.ExecuteInProcessResult]:
    """A home with every product of one mock alert, and the run that made them; read only."""
    with Home(tmp_path_factory.mktemp("made") / "home").active() as home:
        (record,) = home.receive(body())
        result = home.make(record)
    assert result.success
    return home, result


@pytest.fixture
def copied(home: Home, made: tuple[Home, dg.ExecuteInProcessResult]) -> Home:
    """A copy of that home of the test's own."""
    home.take_over(made[0])
    return home


def _materialisations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetMaterialization]:
    """Materialisations of products, which have files; the page of the event (`test_event_page.py`) is none."""
    found = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    named = {event.asset_key.to_user_string(): event for event in found}
    return {name: event for name, event in named.items() if name != "event_page" and name not in NEEDS_CATALOG}


def _identity(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and modification time (ns) of every file."""
    return {path: (Path(path).stat().st_ino, Path(path).stat().st_mtime_ns) for path in tree(folder)}


def test_files_under_the_names_of_the_site(home: Home) -> None:
    """A version's files have the names that the site reads; the alert is byte for byte; the map is gzipped FITS."""
    data = body("S240301a", "INITIAL")
    (record,) = home.receive(data)
    assert home.make(record).success
    files = home.files()
    assert files["fit/S240301a-Initial_alert.json"] == data
    assert gzip.decompress(files["fit/S240301a-Initial_moc.fits.gz"]) == fits_map()
    names = {product.name: product.store_key for product in home.archive.products(record.partition_key)}
    assert set(names) == expected_files(record, current()) | FORECAST
    assert {*names.values(), PAGE.format("S240301a")} == set(files)
    assert all(
        key.startswith(("fit/S240301a-Initial", f"mma/S240301a/{record.partition_key}/")) for key in names.values()
    )


def test_mock_events_go_to_the_test_folder(made: tuple[Home, dg.ExecuteInProcessResult]) -> None:
    """Files of mock events lie under test/, where the site keeps what is not of the sky."""
    home, _ = made
    assert "test/MS240301a-Preliminary_alert.json" in home.files()
    assert not any(key.startswith("fit/") for key in home.files())


def test_materialisation_says_where_it_comes_from(made: tuple[Home, dg.ExecuteInProcessResult]) -> None:
    """Every materialisation names stream, topic, partition, offset, times, digest, code version, seconds and files."""
    home, result = made
    (record,) = home.archive.versions()
    found = _materialisations(result)
    assert set(found) == {product.name for product in PRODUCTS} - NEEDS_CATALOG - OF_NEUTRINOS
    for name, event in found.items():
        shown = {key: value.value for key, value in event.metadata.items()}
        assert (shown["stream"], shown["topic"], shown["partition"]) == ("gcn-gwalert", "igwn.gwalert", 0)
        assert shown["offset"] == 0
        assert shown["created"] == "2024-03-01T12:00:00+00:00"
        assert shown["received"]
        assert shown["message sha256"] == hashlib.sha256(body()).hexdigest()
        assert shown["seconds"] >= 0
        assert shown["code version"]
        assert shown["made before, copied"] is False
        for product in home.archive.products(record.partition_key):
            if product.asset == name:
                assert product.store_key in shown["files"]
                assert product.sha256 in shown["content sha256"]
                assert product.sha256 == hashlib.sha256(home.files()[product.store_key]).hexdigest()
        assert event.partition == record.partition_key


def test_identical_map_is_copied(copied: Home) -> None:
    """A second preliminary with the identical map gets its own files, copied from the first ones."""
    second = body(created="2024-03-01T12:05:00Z")
    (two,) = copied.receive(second)
    found = _materialisations(copied.make(two))
    for name in MAP_PRODUCTS:
        assert found[name].metadata["made before, copied"].value is True, name
    assert found["raw_alert"].metadata["made before, copied"].value is False
    files = copied.files()
    assert files["test/MS240301a-Preliminary1_alert.json"] == second
    assert files["test/MS240301a-Preliminary1_moc.fits.gz"] == files["test/MS240301a-Preliminary_moc.fits.gz"]


def test_second_materialisation_writes_nothing(home: Home) -> None:
    """Materialised again, a version writes no file and says that all was made before."""
    (record,) = home.receive(body())
    home.make(record)
    before = _identity(home.products)
    found = _materialisations(home.make(record))
    assert _identity(home.products) == before
    assert all(event.metadata["made before, copied"].value is True for event in found.values())


@pytest.mark.parametrize("damage", ["deleted", "altered"])
def test_lost_files_are_made_again(copied: Home, damage: str) -> None:
    """Files that somebody deleted from the store, or altered, are there again after the next materialisation."""
    (record,) = copied.archive.versions()
    whole = copied.files()
    for key in whole:
        path = copied.products / key
        path.unlink() if damage == "deleted" else path.write_bytes(b"altered")
    assert copied.make(record).success
    page = PAGE.format(record.version.event_id)
    # A lost page is made now, not when it was made before.
    found = copied.files()
    assert found | {page: untimed(found[page])} == whole | {page: untimed(whole[page])}


def test_retraction_has_its_alert_only(home: Home) -> None:
    """A retraction, also of an event never seen, materialises its alert and what it says of the event; its run succeeds."""
    data = body("S240301z", "RETRACTION")
    (record,) = home.receive(data)
    result = home.make(record)
    assert result.success
    made = {
        event.asset_key.to_user_string(): event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    applies = {name for name, metadata in made.items() if "applies" not in metadata}
    assert applies == {"raw_alert", "version_difference", "coincidences", "event_page"}
    # What needs a map says that there is none, so that it does not stand as missing.
    assert {"skymap", "skymap_statistics", "skymap_plot", "contours", "coverage", "visibility"} <= made.keys() - applies
    assert all(made[name]["applies"].value is False for name in made.keys() - applies)
    assert not {"neutrino_notice", "neutrino_coincidence"} & made.keys()
    files = home.files()
    assert files.pop("fit/S240301z-Retraction_alert.json") == data
    folder = f"mma/S240301z/{record.partition_key}"
    assert set(files) == {PAGE.format("S240301z"), f"{folder}/difference.json", f"{folder}/coincidences.json"}
    assert expected_files(record, current()) == {"alert", "difference", "coincidences"}


def test_alert_without_map(home: Home) -> None:
    """An alert whose map is null materialises what needs no map."""
    record = alert("S240301y")
    record["event"]["skymap"] = None
    (version,) = home.receive(json.dumps(record).encode())
    result = home.make(version)
    assert result.success
    assert set(_materialisations(result)) == {"raw_alert", "visibility", "version_difference", "coincidences"}


def test_external_coincidence_beside_its_parent(home: Home) -> None:
    """The combined map of a coincidence has files of its own beside its parent's; the alert is the same."""
    data = body("S240301a", "UPDATE", external=fits_map(sigma=1.0))
    parent, external = home.receive(data)
    assert home.make(parent).success
    assert home.make(external).success
    files = home.files()
    assert gzip.decompress(files["fit/S240301a-Update_moc.fits.gz"]) == fits_map()
    assert gzip.decompress(files["fit/S240301a-Update-ExtCoinc_moc.fits.gz"]) == fits_map(sigma=1.0)
    assert files["fit/S240301a-Update_alert.json"] == files["fit/S240301a-Update-ExtCoinc_alert.json"] == data


def test_late_notice_gets_the_next_number(home: Home) -> None:
    """An earlier notice that arrives late gets the next number; no file of the site changes its name or its bytes."""
    early, late = body(created="2024-03-01T12:00:00Z"), body(created="2024-03-01T12:06:00Z", far=2e-9)
    (second,) = home.receive(late)
    home.make(second)
    before = {key: data for key, data in home.files().items() if key.startswith("test/")}
    (first,) = home.receive(early)
    home.make(first)
    files = home.files()
    assert (second.number, first.number) == (0, 1)
    assert before.items() <= files.items()
    assert files["test/MS240301a-Preliminary_alert.json"] == late
    assert files["test/MS240301a-Preliminary1_alert.json"] == early
    # Told apart by their creation times, whatever the order of arrival.
    assert first.partition_key < second.partition_key


def test_batch_with_a_retraction(home: Home) -> None:
    """A backfill that takes several partitions in one run makes all their files; the retraction in it has none to make."""
    sent = [
        body("MS240301a"),
        body("MS240301a", "RETRACTION", created="2024-03-01T12:30:00Z"),
        body("MS240301b", skymap=fits_map(ra=10.0)),
    ]
    records = [record for data in sent for record in home.receive(data)]
    result = home.make_all(records)
    assert result.success
    for record in records:
        made = {product.name for product in home.archive.products(record.partition_key)}
        assert made - FORECAST == expected_files(record, current())
    seen = [
        (event.partition, event.asset_key.to_user_string(), event.step_materialization_data.materialization.metadata)
        for event in result.get_asset_materialization_events()
    ]
    retraction = records[1].partition_key
    for partition, asset, metadata in seen:
        if asset == "event_page":
            continue
        applies = asset not in NEEDS_CATALOG and (partition != retraction or asset in {"raw_alert", *OF_THE_EVENT})
        assert ("files" in metadata) is applies, (partition, asset)
        if not applies:
            assert metadata["applies"].value is False


def test_drift_from_the_schema_is_shown_and_stops_nothing(home: Home) -> None:
    """A notice that departs from the published schema has its products; the check warns with one line per departure."""
    record = alert(kind="UPDATE", skymap=tiny_map())
    del record["event"]["significant"]
    (version,) = home.receive(json.dumps(record).encode())
    result = home.make(version)
    assert result.success
    (check,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "follows_published_schema"]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert "significant" in json.dumps(check.metadata["schema_drift"].value)


def test_alert_by_the_schema_has_no_drift(home: Home) -> None:
    """An alert that follows the schema, with and without coincidence, passes the check."""
    for data in (body(), body(kind="RETRACTION")):
        (version,) = home.receive(data)
        result = home.make(version, ["raw_alert"])
        (check,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "follows_published_schema"]
        assert check.passed


@pytest.mark.parametrize(
    ("cards", "passed"), [({}, True), ({"DATE-OBS": "2024-03-01T09:00:00"}, False), ({"DATE-OBS": "unknown"}, True)]
)
def test_map_and_alert_agree(home: Home, cards: dict[str, str], passed: bool) -> None:
    """A map whose DATE-OBS is far from the event's time fails the check; one without readable DATE-OBS does not."""
    import numpy as np

    skymap = map_of_columns(np.arange(12) + 4, np.full(12, 1 / (4 * np.pi)), layers=False, **cards)
    (version,) = home.receive(body(skymap=skymap))
    result = home.make(version, ["raw_alert", "skymap"])
    assert result.success
    (check,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "map_and_alert_agree"]
    assert check.passed is passed


def test_probability_sum_is_checked_as_sent(home: Home) -> None:
    """A map that sums to 1.02 is used, renormalised, and its check fails with the sum."""
    import numpy as np

    skymap = map_of_columns(np.arange(12) + 4, np.full(12, 1.02 / (4 * np.pi)), layers=False)
    (version,) = home.receive(body(skymap=skymap))
    (check,) = [
        e
        for e in home.make(version, ["raw_alert", "skymap"]).get_asset_check_evaluations()
        if e.check_name == "probability_sums_to_one"
    ]
    assert not check.passed
    assert check.metadata["probability_sum"].value == pytest.approx(1.02)


def _arrivals() -> list[bytes]:
    """Real alerts of every kind, the small ones of the suite where there are none, and a simulated event."""
    from mma_pipeline.science.simulation.alerts import simulate_event
    from tests.alerts import utc

    chosen = ["S240112e-PRELIMINARY-2024-01-12T010901Z", "MS181101ab-ext-update", "MS181101ab-retraction"]
    real = [path.read_bytes() for path in real_paths("*.json") if path.stem in chosen]
    simulated = simulate_event("MS240302x", time=utc("2024-03-02T01:02:03Z"), seed=5, max_order=7)
    return [
        *(real or [body("S240301a"), body("S240301a", "RETRACTION")]),
        json.dumps(lvk.to_record(simulated[4])).encode(),
    ]


def test_two_homes_have_the_same_bytes(tmp_path: Path) -> None:
    """Two independent homes that receive the same alerts in different order hold the same files with the same digests."""
    from mma_pipeline.products import inputs as source

    found = []
    for name, order in (("one", 1), ("two", -1)):
        with Home(tmp_path / name).active() as home:
            source._maps.clear()  # the second home must not live on what the first one decoded
            for data in _arrivals()[::order]:
                for record in home.receive(data):
                    assert home.make(record).success
            files = {k: untimed(data) if k.endswith("/index.html") else data for k, data in home.files().items()}
            found.append({key: hashlib.sha256(data).hexdigest() for key, data in files.items()})
    assert found[0] == found[1]
    assert len(found[0]) > 10


def _broken(source: ProductInput) -> ProductFiles:
    raise ZeroDivisionError("no such luck")


def _fine(source: ProductInput) -> ProductFiles:
    return ProductFiles({"extra": b"fine"})


def _product(name: str, make: Any, **options: Any) -> Product:
    return Product(
        name=name,
        about="A product for a test.",
        code_version="1",
        files=(own_file("extra" if make is _fine else name, f"{name}.txt", "text/plain"),),
        inputs=lambda source: [source.origin.sha256, source.record.partition_key, name],
        make=make,
        need=NEEDS_NOTHING,
        **options,
    )


@pytest.fixture
def breaking(home: Home) -> dg.JobDefinition:
    """The job with a product that cannot be made, one that depends on it, and one after them that can."""
    products = [
        PRODUCTS[0],
        _product("broken", _broken, deps=("raw_alert",)),
        _product("behind", _fine, deps=("broken",)),
        *PRODUCTS[1:2],
        _product("fine", _fine, deps=("raw_alert",)),
    ]
    definitions = dg.Definitions(
        assets=[gwalert_stream, *(product_asset(product) for product in products)],
        jobs=[alert_products],
        resources={"archive": ArchiveResource(), "store": StoreResource(), "settings": SettingsResource()},
    )
    return definitions.resolve_job_def("alert_products")


def test_failing_product_fails_alone(home: Home, breaking: dg.JobDefinition) -> None:
    """A product that cannot be made fails the run in one clear sentence, at once; what does not need it is made."""
    (record,) = home.receive(body())
    home.instance.add_dynamic_partitions(alert_versions.name or "", [record.partition_key])
    result = breaking.execute_in_process(
        instance=home.instance, partition_key=record.partition_key, raise_on_error=False
    )
    assert not result.success
    assert set(_materialisations(result)) == {"raw_alert", "skymap", "fine"}
    run = home.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["dagster/retry_on_asset_or_op_failure"] == "false", "Dagster is told not to retry the run"
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_key == "broken"
    assert f"broken could not be made for {record.partition_key}: no such luck" in str(
        failure.step_failure_data.error_display_string
    )
    assert not any(event.is_step_up_for_retry for event in result.all_events)


@pytest.mark.timeout(900)  # the first to ask for it waits for the replay of all real alerts
@needs_real_alerts
def test_every_real_alert_has_every_product(replayed: tuple[Home, list[dict[str, str]]]) -> None:
    """Every real alert has its partition; each with a map has every product, and the files are what the archive says."""
    home, _ = replayed
    versions = home.archive.versions()
    expected = set()
    for path in [*real_paths("*.json"), *BAD_FOLDER.glob("*.json")]:
        notice = lvk.parse_json(path.read_bytes())
        expected |= {version.partition_key for version in lvk.versions_of(notice)}
    assert {record.partition_key for record in versions} == expected
    files = home.files()
    for record in versions:
        products = home.archive.products(record.partition_key)
        assert {product.name for product in products} - FORECAST == expected_files(record, current()), (
            record.partition_key
        )
        for product in products:
            assert hashlib.sha256(files[product.store_key]).hexdigest() == product.sha256


@needs_real_alerts
def test_real_alerts_are_stored_byte_for_byte(replayed: tuple[Home, list[dict[str, str]]]) -> None:
    """The stored alert is the file that was sent; one that came as Avro is the same versions as its JSON twin."""
    home, outcome = replayed
    files = home.files()
    for entry in outcome:
        if entry["outcome"] != "made":
            continue
        folder = "test" if entry["stem"].startswith("MS") else "fit"
        stored, sent = files[f"{folder}/{entry['stem']}_alert.json"], REAL_FOLDER / entry["name"]
        sent = sent if sent.exists() else BAD_FOLDER / entry["name"]
        if sent.suffix == ".json":
            assert stored == sent.read_bytes()
        else:
            twin = lvk.parse_json(sent.with_suffix(".json").read_bytes())
            assert lvk.versions_of(lvk.parse_json(stored)) == lvk.versions_of(twin)


def test_what_a_telescope_needs_is_made_first(made: tuple[Home, dg.ExecuteInProcessResult]) -> None:
    """Statistics and contours come before all else of a map; forecast, windows and coverage after the rest, then pictures.

    Behind all products the version is published, then the page written.
    """
    _, result = made
    order = [e.step_key for e in result.all_events if e.event_type_value == "STEP_START"]
    of_map = [name for name in order if name not in {"raw_alert", "neutrino_notice"}]
    assert of_map[:3] == ["skymap", "skymap_statistics", "contours"]
    assert set(of_map[-7:-4]) == {"coverage_ledger", "kilonova_forecast", "observability"}
    assert of_map[-4:] == ["flat_skymap", "skymap_plot", "prompt_publication", "event_page"]
