"""An event that merges now, from `mma simulate` to its products and to what Fermi saw; the day does not matter."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.spacecraft.orbits import TleArchive, TwoLineElements, parse_tle
from mma_pipeline.cli import app
from mma_pipeline.defs.all_products import expected_files
from mma_pipeline.notices.key import EventVersion
from mma_pipeline.notices.times import datetime_of_mjd, mjd_of
from mma_pipeline.science.sphere import separation
from mma_pipeline.settings import current
from tests.homes import Home
from tests.science.test_visibility import FERMI_2017


def _mma(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def _keep_elements(home: Home, epoch: datetime) -> TwoLineElements:
    """Keep the elements of 2017 as if they held for another time."""
    day = (epoch - datetime(epoch.year, 1, 1, tzinfo=UTC)) / timedelta(days=1) + 1
    line = f"{FERMI_2017.line1[:18]}{epoch:%y}{day:012.8f}{FERMI_2017.line1[32:68]}"
    line += str(sum(int(c) if c.isdigit() else c == "-" for c in line) % 10)
    (found,) = parse_tle(f"{line}\n{FERMI_2017.line2}\n")
    assert TleArchive(home.store, ()).keep([found]) == 1
    return found


def _earth_centre(elements: TwoLineElements, moment: datetime) -> tuple[float, float]:
    """Right ascension and declination (deg) of the Earth's centre, by astropy's frames."""
    import astropy.units as u
    from astropy.coordinates import GCRS, TEME, CartesianRepresentation
    from astropy.time import Time
    from sgp4.api import Satrec

    time = Time(moment)
    _, position, _ = Satrec.twoline2rv(elements.line1, elements.line2).sgp4(time.jd1, time.jd2)
    seen = TEME(CartesianRepresentation(-np.array(position) * u.km), obstime=time).transform_to(GCRS(obstime=time))
    return float(seen.spherical.lon.deg), float(seen.spherical.lat.deg)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Messages about an event that merges at this moment: a first map, and neutrinos."""
    found: list[str] = _mma("simulate", tmp_path / "now", "--order", 5, "--neutrino")["files"]
    return [found[1], found[-1]]


def _gbm(home: Home, key: str) -> dict[str, Any]:
    (entry,) = [product for product in home.archive.products(key) if product.name == "visibility"]
    found: dict[str, Any] = json.loads(home.store.get(entry.store_key))["Fermi-GBM"]
    return found


def test_all_products_of_an_event_of_today(home: Home, files: list[str]) -> None:
    """Every product of every version is made, and Fermi's view is where astropy has the Earth from elements of the day."""
    now = datetime.now(UTC)
    elements = _keep_elements(home, now - timedelta(days=2))
    assert {entry["outcome"] for entry in _mma("replay", "--direct", *files)} == {"made"}
    records = list(home.archive.versions(limit=20))
    assert sorted(record.version.label for record in records) == ["IceCube", "Preliminary"]
    for record in records:
        assert EventVersion.from_partition_key(record.partition_key) == record.version
        assert expected_files(record, current()) <= {
            product.name for product in home.archive.products(record.partition_key)
        }
        if record.version.label == "IceCube":
            continue
        merger = datetime.fromisoformat(str(record.facts["time"]))
        assert abs(merger - now) < timedelta(minutes=10)
        assert record.version.event_id == f"MS{merger:%y%m%d}aa"
        seen = _gbm(home, record.partition_key)
        assert seen["state"] in {"known", "off"}, seen["reason"]  # off: in the South Atlantic Anomaly at this moment
        assert seen["state"] == "off" or "2.0 days from the event" in seen["reason"]
        assert float(separation(seen["ra_deg"], seen["dec_deg"], *_earth_centre(elements, merger))) < 0.01


def test_elements_of_another_year_are_not_used(home: Home, files: list[str]) -> None:
    """Elements two years older than the event give no field of view, and the product says how old they are."""
    _keep_elements(home, datetime.now(UTC) - timedelta(days=730))
    (record,) = home.receive(Path(files[0]).read_bytes())
    assert home.make(record, only=["visibility"]).success
    seen = _gbm(home, record.partition_key)
    assert (seen["state"], seen["ra_deg"]) == ("unknown", None)
    assert "730 days off" in seen["reason"]


def test_mjd_of_now_is_astropys() -> None:
    """MJD and back agree with astropy now, two years on and ten years ago, to a millisecond."""
    from astropy.time import Time

    for days in (0, 730, -3650):
        moment = datetime.now(UTC) + timedelta(days=days)
        assert mjd_of(moment.isoformat()) == pytest.approx(Time(moment).mjd, abs=1e-8)
        assert abs(datetime_of_mjd(Time(moment).mjd) - moment) < timedelta(milliseconds=1)
