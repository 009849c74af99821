"""Tables of positions in the units that they state."""

from __future__ import annotations

import io

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Longitude
from astropy.table import QTable, Table

from mma_pipeline.science.position_tables import TableError, kind_of, positions_of_table, read_table
from mma_pipeline.science.sphere import PositionError

#: One place in several units: 184.5°, 49.25°, 40 Mpc.
RA, DEC, MPC = 184.5, 49.25, 40.0


def written(table: Table, kind: str) -> bytes:
    """A table as a file of a kind."""
    buffer = io.BytesIO() if kind == "votable" else io.StringIO()
    table.write(buffer, format={"csv": "ascii.csv", "ecsv": "ascii.ecsv", "votable": "votable"}[kind])
    value = buffer.getvalue()
    return value if isinstance(value, bytes) else value.encode()


@pytest.mark.parametrize("kind", ["ecsv", "votable"])
@pytest.mark.parametrize(
    ("ra", "dec", "distance"),
    [
        ((RA, "deg"), (DEC, "deg"), (MPC, "Mpc")),
        ((RA * np.pi / 180, "rad"), (DEC * np.pi / 180, "rad"), (MPC * 1e3, "kpc")),
        ((RA / 15, "hourangle"), (DEC * 60, "arcmin"), (MPC / 1e3, "Gpc")),
        ((RA / 15, "h"), (DEC * 3.6e6, "mas"), (MPC * 1e6, "pc")),
        ((RA, None), (DEC, None), (MPC, None)),
    ],
)
def test_units_are_converted(kind: str, ra: tuple, dec: tuple, distance: tuple) -> None:
    """Angles become degrees and distances Mpc, whatever unit a file states; without a unit they are that."""
    table = Table({"RA": [ra[0]], "Dec": [dec[0]], "distance": [distance[0]], "name": ["a"]})
    for name, (_, unit) in {"RA": ra, "Dec": dec, "distance": distance}.items():
        table[name].unit = unit
    data = written(table, kind)
    assert kind_of(data) == kind
    found = positions_of_table(read_table(data, kind))  # type: ignore[arg-type]
    assert (found.ra[0], found.dec[0], found.distance[0]) == pytest.approx((RA, DEC, MPC), rel=1e-12)
    assert found.names == ("a",)


def test_quantities_are_converted() -> None:
    """Columns that are astropy quantities count by their units, too."""
    table = QTable({"ra": Longitude([RA / 15] * u.hourangle), "dec": [DEC * 60] * u.arcmin, "distance": [4e4] * u.kpc})
    found = positions_of_table(table)
    assert (found.ra[0], found.dec[0], found.distance[0]) == pytest.approx((RA, DEC, MPC), rel=1e-12)


@pytest.mark.parametrize(
    ("column", "unit"), [("ra", "kpc"), ("dec", "h"), ("dec", "furlong"), ("distance", "deg"), ("distance", "mag")]
)
def test_other_units_are_refused_by_name(column: str, unit: str) -> None:
    """A unit that is no angle, or no distance, is refused with its name and the column's."""
    table = Table({"ra": [1.0], "dec": [2.0], "distance": [3.0]})
    table[column].unit = u.Unit(unit, parse_strict="silent")
    with pytest.raises(PositionError, match=f"column {column} is in {unit}"):
        positions_of_table(table)


def test_an_ecsv_table_called_csv_keeps_its_units() -> None:
    """What begins as an ECSV table is read as one, whatever it is called, so that its units are not lost."""
    table = Table({"ra": [np.pi], "dec": [0.5]}, units={"ra": "rad", "dec": "rad"})
    assert positions_of_table(read_table(written(table, "ecsv"), "csv")).ra[0] == pytest.approx(180.0)


def test_csv_of_a_spreadsheet() -> None:
    """A byte order mark, comments, absent names and distances, and other columns do no harm."""
    text = "\ufeff# mine\nName,RA,Dec,mag,Distance\n,10,-20,21,\nb,20,30,x,200\nc,30,40,,-1\n"
    found = positions_of_table(read_table(text.encode(), "csv"))
    assert found.names == (None, "b", "c")
    assert list(found.ra) == [10, 20, 30]
    assert np.array_equal(found.distance, [np.nan, 200, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    "text", ["ra,dec\n400,1\n", "ra,dec\n-361,1\n", "ra,dec\n1,91\n", "ra,dec\nnan,1\n", "ra,dec\n1,\n", "ra\n1\n", "", "ra,dec\nx,1\n"]
)  # fmt: skip
def test_positions_off_the_sphere_are_refused(text: str) -> None:
    """A right ascension beyond ±360, a declination beyond ±90, and what is no number are refused."""
    with pytest.raises(PositionError):
        positions_of_table(read_table(text.encode(), "csv"))


def test_what_is_no_table_is_refused() -> None:
    """What no reader takes is one error."""
    for data, kind in ((b"\xff\xfe", "csv"), (b"ra,dec\n1,2\n", "ecsv"), (b"ra,dec\n1,2\n", "votable")):
        with pytest.raises(TableError, match="cannot be read"):
            read_table(data, kind)  # type: ignore[arg-type]
