"""Galaxies and visibility of a version in Dagster: made, left out with the reason, filled in later."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from astropy.table import Table

from mma_pipeline.adapters.archive import Archive, Recorded, VersionRecord
from mma_pipeline.adapters.catalogs.index import build_index
from mma_pipeline.adapters.errors import ConfigurationError, NotFoundError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.spacecraft.orbits import parse_tle
from mma_pipeline.adapters.store import Store
from mma_pipeline.cli.materialise import materialise
from mma_pipeline.definitions import build_defs, defs
from mma_pipeline.defs.all_products import expected_files
from mma_pipeline.defs.observing import configuration as observing
from mma_pipeline.defs.observing import sensors as visibility_fill
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource, ObservingResource, SettingsResource, StoreResource
from mma_pipeline.products.ingest import ingest, parse_alert
from mma_pipeline.settings import Settings, current
from tests.homes import new_archive

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED.exists(), reason=f"no real alerts: {SHARED} is not there")
S230518H = SHARED / "gw_alerts" / "S230518h-PRELIMINARY-2023-05-18T133818Z.json"
RETRACTION = SHARED / "gw_alerts" / "MS230425k-retraction.json"
#: Fermi as it may have been on 2023-05-18: the elements of 2022 with another epoch and a checksum to match.
LINE1 = "1 33053U 08029A   23138.40000000  .00001259  00000-0  54777-4 0  999"
LINE2 = "2 33053  25.5816 188.2914 0012165   2.5099 357.5496 15.11835419757226"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home of its own."""
    for name in ("MMA_GALAXY_CATALOG", "MMA_ARCHIVE_URL", "MMA_STORE_URL", "PATH_TO_GALAXY_CATALOG_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return tmp_path


def _record(place: Path, alert: Path) -> VersionRecord:
    archive = new_archive(f"sqlite:///{place / 'archive.db'}")
    body = alert.read_bytes()
    now = datetime(2024, 1, 1, tzinfo=UTC)
    message = StreamMessage("test", "igwn.gwalert", 0, 0, body, None, (), None, now)
    recorded = ingest(archive, message, parse_alert)
    assert isinstance(recorded, Recorded)
    return recorded.versions[0]


def _products(place: Path, record: VersionRecord) -> dict[str, bytes]:
    archive, store = Archive(f"sqlite:///{place / 'archive.db'}"), Store.open(place / "products")
    return {p.name: store.get(p.store_key) for p in archive.products(record.partition_key)}


def _catalog(place: Path) -> None:
    rng = np.random.default_rng(3)
    table = Table(
        {
            "objname": [f"NED {i}" for i in range(40_000)],
            "ra": rng.uniform(0, 360, 40_000),
            "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, 40_000))),
            "DistMpc": 600 * rng.uniform(0, 1, 40_000) ** (1 / 3),
            "Mstar": 10 ** rng.normal(10, 0.5, 40_000),
        }
    )
    table.write(place / "ned.fits")
    build_index(place / "ned.fits", place / "galaxies")


def _make(instance: dg.DagsterInstance, record: VersionRecord) -> None:
    """Make what is asked of here and what it needs."""
    instance.add_dynamic_partitions(str(alert_versions.name), [record.partition_key])
    result = defs.resolve_job_def("alert_products").execute_in_process(
        partition_key=record.partition_key,
        instance=instance,
        raise_on_error=False,
        asset_selection=[dg.AssetKey(name) for name in ("raw_alert", "skymap", "galaxies", "visibility")],
    )
    assert result.success


def _line1() -> str:
    digits = sum(int(c) if c.isdigit() else c == "-" for c in LINE1)
    return LINE1 + str(digits % 10)


def test_without_catalog_and_elements_nothing_fails(place: Path) -> None:
    """No catalog: no list, none is expected, and the asset says what to do. No elements: unknown is said, without file."""
    record = _record(place, S230518H)
    with dg.DagsterInstance.ephemeral() as instance:
        assert materialise(instance, record)
        event = instance.get_latest_materialization_event(dg.AssetKey("galaxies"))
    assert event is not None
    assert event.asset_materialization is not None
    said = {name: value.value for name, value in event.asset_materialization.metadata.items()}
    assert said["applies"] is False
    assert "mma catalog import" in str(said["reason"])
    made = _products(place, record)
    assert "galaxies" not in made
    assert "galaxies" not in expected_files(record, current())
    assert expected_files(record, current()) <= set(made)
    told = json.loads(made["visibility"])
    assert told["Fermi-GBM"]["state"] == "unknown"
    assert "no orbital elements" in told["Fermi-GBM"]["reason"]
    assert told["Fermi-LAT"]["probability"] is None
    assert not {"Fermi", "LAT"} & set(made)
    assert not list((place / "products").rglob("*-Fermi.json"))


def test_galaxies_and_visibility_when_there_is_data(place: Path) -> None:
    """With a catalog and elements kept: the list in all its forms, and the region at the name that the site reads."""
    record = _record(place, S230518H)
    _catalog(place)
    with dg.DagsterInstance.ephemeral() as instance:
        _make(instance, record)
        first = _products(place, record)
        Store.open(place / "products")
        observing.tle_archive(Store.open(place / "products"), current()).keep(parse_tle(_line1() + "\n" + LINE2))
        _make(instance, record)
        made = _products(place, record)
        event = instance.get_latest_materialization_event(dg.AssetKey("galaxies"))
    entries = json.loads(made["galaxies"])
    assert len(entries) > 10
    assert [e["rank"] for e in entries] == list(range(1, len(entries) + 1))
    table = Table.read(made["galaxy_table"].decode().splitlines(), format="ascii.ecsv")
    assert str(table["distance_density"].unit) == "1 / Mpc3"
    assert list(table["name"][:5]) == [e["name"] for e in entries[:5]]
    np.testing.assert_allclose(table["score"][: len(entries)], [e["score"] for e in entries], rtol=1e-5)
    votable = Table.read(io.BytesIO(made["galaxy_votable"]), format="votable")
    assert str(votable["distance_density"].unit) == "1 / Mpc3"
    assert list(votable["name"]) == list(table["name"])
    np.testing.assert_array_equal(votable["score"], table["score"])
    assert first["galaxies"] == made["galaxies"]
    told = json.loads(made["visibility"])
    assert told["Fermi-GBM"]["state"] in {"known", "off"}
    assert (place / "products" / "fit" / "S230518h-Fermi.json").read_bytes() == made["Fermi"]
    assert told["Fermi-LAT"]["state"] == "unknown"
    assert event is not None
    assert event.asset_materialization is not None
    assert "NED" in str(event.asset_materialization.metadata["best"].value)


def test_retraction_has_neither(place: Path) -> None:
    """A retraction has no list and no field of view, and nothing fails."""
    _catalog(place)
    record = _record(place, RETRACTION)
    with dg.DagsterInstance.ephemeral() as instance:
        assert materialise(instance, record)
    assert not {"galaxies", "visibility"} & set(_products(place, record))


def test_settings(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranking follows our variables, else the old listener's file; wrong values are named."""
    ini = place / "gal_catalog_config.ini"
    ini.write_text("[GALAXIES]\nCREDZONE = 0.5\nNGALAXIES = 7\nSENSITIVITY = 20.5\nMINL=1e40\nMAXL=1e42\n")
    monkeypatch.setenv("PATH_TO_GALAXY_CATALOG_CONFIG", str(ini))
    found = observing.galaxy_settings(current())
    assert (found.choice.level, found.published) == (0.5, 7)
    assert found.choice.detectability is not None
    assert found.choice.detectability.limiting_magnitude == 20.5
    monkeypatch.setenv("MMA_GALAXY_LEVEL", "0.9")
    monkeypatch.setenv("MMA_GALAXY_WEIGHT", "none")
    choice = observing.galaxy_settings(current()).choice
    assert (choice.level, choice.weight) == (0.9, None)
    monkeypatch.setenv("MMA_GALAXY_LEVEL", "ninety")
    with pytest.raises(ConfigurationError, match="MMA_GALAXY_LEVEL"):
        observing.galaxy_settings(current())
    monkeypatch.delenv("MMA_GALAXY_LEVEL")
    monkeypatch.setenv("MMA_GALAXY_CATALOG", str(place / "nowhere"))
    with pytest.raises(NotFoundError, match="mma catalog import"):
        observing.galaxy_catalog(current())


def test_instruments_from_a_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More satellites come by a file; a file that cannot be used is said with the variable's name."""
    path = place / "instruments.json"
    path.write_text('[{"name": "SVOM-GRM", "file": "SVOM", "norad_id": 60086, "view": "unocculted"}]')
    monkeypatch.setenv("MMA_INSTRUMENTS", str(path))
    assert [i.name for i in observing.instruments(current())] == ["SVOM-GRM"]
    path.write_text("[{}]")
    with pytest.raises(ConfigurationError, match="MMA_INSTRUMENTS"):
        observing.instruments(current())


def test_settings_that_are_handed_in_decide(place: Path) -> None:
    """Products are made by the settings of the resource that a deployment gives, not by those of the environment."""
    path = place / "instruments.json"
    path.write_text('[{"name": "SVOM-GRM", "file": "SVOM", "norad_id": 60086, "view": "unocculted"}]')

    class Given(SettingsResource):
        def get(self) -> Settings:
            return super().get().with_(MMA_INSTRUMENTS=str(path))

    record = _record(place, S230518H)
    job = build_defs({"settings": Given()}).resolve_job_def("visibility_products")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(alert_versions.name or "", [record.partition_key])
        assert job.execute_in_process(instance=instance, partition_key=record.partition_key).success
    assert list(json.loads(_products(place, record)["visibility"])) == ["SVOM-GRM"]


def test_a_wrong_instruments_file_is_said_by_the_sensor(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tick fails no more than that: it is skipped, with the variable's name."""
    (place / "instruments.json").write_text("[{}]")
    monkeypatch.setenv("MMA_INSTRUMENTS", str(place / "instruments.json"))
    with dg.DagsterInstance.ephemeral() as instance:
        answer, _ = _tick(instance)
    assert isinstance(answer, dg.SkipReason)
    assert "MMA_INSTRUMENTS" in str(answer.skip_message)


def _tick(instance: dg.DagsterInstance, cursor: str | None = None) -> tuple[object, str | None]:
    """What the sensor answers, and its cursor afterwards."""
    resources = {
        "archive": ArchiveResource(),
        "settings": SettingsResource(),
        "store": StoreResource(),
        "observing": ObservingResource(),
    }
    context = dg.build_sensor_context(instance, cursor=cursor, resources=resources)
    return visibility_fill.visibility_sensor(context), context.cursor


def test_elements_are_there_before_the_first_event(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any event the sensor keeps elements, so that the first one has its field of view from its own run."""
    (place / "fermi.tle").write_text(_line1() + "\n" + LINE2)
    monkeypatch.setenv("MMA_TLE_SOURCE", str(place / "fermi.tle"))
    monkeypatch.setenv("MMA_FT2_SOURCE", "")
    with dg.DagsterInstance.ephemeral() as instance:
        _tick(instance)
        record = _record(place, S230518H)
        _make(instance, record)
    assert json.loads(_products(place, record)["visibility"])["Fermi-GBM"]["state"] in {"known", "off"}


def test_what_nobody_asked_for_is_not_called_unpublished(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no source of pointings is read, the unknown field of view says that, and not that nothing was published."""
    monkeypatch.setenv("MMA_FT2_SOURCE", "")
    record = _record(place, S230518H)
    with dg.DagsterInstance.ephemeral() as instance:
        _make(instance, record)
    seen = json.loads(_products(place, record)["visibility"])["Fermi-LAT"]
    assert (seen["state"], seen["reason"]) == ("unknown", "no source of pointings is read: MMA_FT2_SOURCE names one")


def test_servers_are_asked_again_for_a_new_version(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within half an hour the sensor asks no server twice for the versions that wait, and at once when another one does."""
    monkeypatch.setattr(visibility_fill, "LOOK_BACK", timedelta(days=36500))
    monkeypatch.setenv("MMA_TLE_SOURCE", str(place / "nowhere.tle"))
    monkeypatch.setenv("MMA_FT2_SOURCE", "")
    with dg.DagsterInstance.ephemeral() as instance:
        _, cursor = _tick(instance)
        record = _record(place, S230518H)
        _make(instance, record)
        (place / "nowhere.tle").write_text("no elements")
        _, cursor = _tick(instance, cursor)
        (place / "nowhere.tle").write_text(_line1() + "\n" + LINE2)
        again, cursor = _tick(instance, cursor)
        assert isinstance(again, dg.SkipReason)
        assert "servers were asked" in str(again.skip_message)
        late = visibility_fill.Asked.model_validate_json(cursor or "")
        earlier = late.model_copy(update={"at": late.at - visibility_fill.ASK_AGAIN})
        asked, _ = _tick(instance, earlier.model_dump_json())
    assert isinstance(asked, dg.SensorResult)


def test_unknown_is_filled_in_later(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once elements can be had, the sensor keeps them and asks for the versions that waited, once; else it waits."""
    record = _record(place, S230518H)
    monkeypatch.setattr(visibility_fill, "LOOK_BACK", timedelta(days=36500))
    monkeypatch.setenv("MMA_TLE_SOURCE", str(place / "nowhere.tle"))
    monkeypatch.setenv("MMA_FT2_SOURCE", "")
    with dg.DagsterInstance.ephemeral() as instance:
        _make(instance, record)

        assert isinstance(_tick(instance)[0], dg.SkipReason)
        (place / "fermi.tle").write_text(_line1() + "\n" + LINE2)
        monkeypatch.setenv("MMA_TLE_SOURCE", f"{place / 'nowhere.tle'},{place / 'fermi.tle'}")
        asked, _ = _tick(instance)
        assert isinstance(asked, dg.SensorResult)
        assert asked.run_requests is not None
        assert [r.partition_key for r in asked.run_requests] == [record.partition_key]
        _make(instance, record)
        assert isinstance(_tick(instance)[0], dg.SkipReason)
    assert json.loads(_products(place, record)["visibility"])["Fermi-GBM"]["state"] in {"known", "off"}
