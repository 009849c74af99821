"""Pointings from tables as other programs write them: ECSV by astropy, with times, masks, units and any delimiter."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable, Table
from astropy.time import Time

from mma_pipeline.adapters.pointings.files import read_pointings
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.footprints import box
from mma_pipeline.notices.pointings import Pointing, Status

FIELD = box(1.0, 1.0)
WHEN = ["2023-09-22T03:10:00", "2023-09-22T03:15:30.5", "2023-09-23T04:00:00"]
RA, DEC = [8.25, 359.9, 120.5], [-70.5, 0.0, 45.125]


def read(path: Path) -> list[Pointing]:
    """The file's pointings, of which none may be left out."""
    held = read_pointings(path, footprints={}, instrument="Camera", footprint=FIELD)
    assert held.skipped == ()
    return list(held.pointings)


@pytest.mark.parametrize("delimiter", [" ", ","])
def test_a_masked_table(tmp_path: Path, delimiter: str) -> None:
    """Plain and masked columns: what is masked is absent, and no number stands for it."""
    table = Table(
        {
            "ra": RA * u.deg,
            "dec": DEC * u.deg,
            "obstime": WHEN,
            "filter": ["g", "r", "z"],
            "limmag": MaskedColumn([23.1, 0.0, 22.5], mask=[False, True, False], unit="mag"),
            "status": ["completed", "planned", "cancelled"],
            "comment": ["with a space", "", 'and "quotes"'],
        },
        meta={"survey": "ours"},
    )
    table.write(tmp_path / "mine.ecsv", format="ascii.ecsv", delimiter=delimiter)
    first, second, third = read(tmp_path / "mine.ecsv")
    assert (first.ra, first.dec, first.band, first.depth, first.status) == (8.25, -70.5, "g", 23.1, Status.COMPLETED)
    assert first.time == datetime(2023, 9, 22, 3, 10, tzinfo=UTC)
    assert (second.depth, second.depth_unit, second.status) == (None, None, Status.PLANNED)
    assert second.time == datetime(2023, 9, 22, 3, 15, 30, 500_000, tzinfo=UTC)
    assert (third.ra, third.dec, third.status) == (120.5, 45.125, Status.CANCELLED)
    assert {p.footprint for p in (first, second, third)} == {FIELD}


@pytest.mark.parametrize("form", ["isot", "iso", "mjd", "jd"])
@pytest.mark.parametrize("scale", ["utc", "tai", "tdb"])
def test_times_of_astropy(tmp_path: Path, form: str, scale: str) -> None:
    """A column of Time in any form and scale is the same moment in UTC."""
    time = getattr(Time(WHEN, scale="utc"), scale)
    time.format = form
    QTable({"ra": RA * u.deg, "dec": DEC * u.deg, "time": time}).write(tmp_path / "t.ecsv", format="ascii.ecsv")
    for pointing, when in zip(read(tmp_path / "t.ecsv"), WHEN, strict=True):
        assert pointing.time is not None
        assert abs((pointing.time - datetime.fromisoformat(when).replace(tzinfo=UTC)).total_seconds()) < 0.002


def test_positions_in_other_units_and_as_coordinates(tmp_path: Path) -> None:
    """Right ascension in hours or radians, and a column of SkyCoord in another frame, are the same place in degrees of ICRS."""
    place = SkyCoord(RA * u.deg, DEC * u.deg)
    QTable({"ra": place.ra.to(u.hourangle), "dec": place.dec.to(u.rad), "time": WHEN}).write(
        tmp_path / "units.ecsv", format="ascii.ecsv"
    )
    QTable({"target": place.galactic, "time": WHEN}).write(tmp_path / "galactic.ecsv", format="ascii.ecsv")
    QTable({"where": place, "time": WHEN}).write(tmp_path / "icrs.ecsv", format="ascii.ecsv")
    for name in ("units", "icrs", "galactic"):
        found = read(tmp_path / f"{name}.ecsv")
        away = SkyCoord([p.ra for p in found] * u.deg, [p.dec for p in found] * u.deg).separation(place)
        assert np.all(away < 0.001 * u.arcsec), name


def test_units_of_depths(tmp_path: Path) -> None:
    """A flux is a flux and AB a magnitude; of a unit that is neither, and of a time in seconds, the column is named."""
    base = {"ra": RA * u.deg, "dec": DEC * u.deg}
    QTable(base | {"depth": [3.631, 36.31, 363.1] * u.uJy}).write(tmp_path / "f.ecsv", format="ascii.ecsv")
    # AB magnitude: 3631 Jy are of magnitude zero (Oke & Gunn 1983).
    assert [p.limiting_magnitude for p in read(tmp_path / "f.ecsv")] == pytest.approx([22.5, 20.0, 17.5], abs=1e-3)
    QTable(base | {"depth": [22.5, 20.0, 17.5] * u.ABmag}).write(tmp_path / "m.ecsv", format="ascii.ecsv")
    assert [p.limiting_magnitude for p in read(tmp_path / "m.ecsv")] == [22.5, 20.0, 17.5]
    for name, column in (("depth", [1, 2, 3] * u.m), ("time", [1, 2, 3] * u.s), ("pos_angle", [1, 2, 3] * u.s)):
        QTable(base | {name: column}).write(tmp_path / f"{name}.ecsv", format="ascii.ecsv")
        with pytest.raises(NoticeError, match=f"column {name} is in"):
            read(tmp_path / f"{name}.ecsv")


def test_the_same_row_keeps_its_name(tmp_path: Path) -> None:
    """Read as ECSV or CSV, the same rows are the same pointings: an import of the one after the other adds nothing."""
    table = Table({"ra": RA, "dec": DEC, "time": WHEN, "band": ["g", "r", "z"]})
    table.write(tmp_path / "a.ecsv", format="ascii.ecsv")
    table.write(tmp_path / "a.csv", format="ascii.csv")
    assert [p.source_id for p in read(tmp_path / "a.ecsv")] == [p.source_id for p in read(tmp_path / "a.csv")]


def test_a_table_without_positions_says_so(tmp_path: Path) -> None:
    """What is missing is named; a file that only calls itself ECSV is refused in one sentence."""
    Table({"time": WHEN, "band": ["g", "r", "z"]}).write(tmp_path / "no.ecsv", format="ascii.ecsv")
    with pytest.raises(NoticeError, match="no column ra"):
        read(tmp_path / "no.ecsv")
    (tmp_path / "bad.ecsv").write_text("# %ECSV 1.0\n# ---\n# datatype: nonsense\nra dec\n1 2\n")
    with pytest.raises(NoticeError, match=r"bad\.ecsv"):
        read(tmp_path / "bad.ecsv")
