"""Tables of positions in the units that they state."""

from __future__ import annotations

import io

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Longitude, SkyCoord
from astropy.table import QTable, Table

from mma_pipeline.science.position_tables import TableError, angle, kind_of, positions_of_table, read_table
from mma_pipeline.science.sphere import PositionError, check_positions

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
    text = "\ufeff# mine\nName,RA,Dec,mag,Distance\n,10,-20,21,\nb,20,30,x,200\nc,30,40,,--\n"
    found = positions_of_table(read_table(text.encode(), "csv"))
    assert found.names == (None, "b", "c")
    assert list(found.ra) == [10, 20, 30]
    assert np.array_equal(found.distance, [np.nan, 200, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("ra", "dec"),
    [("12:19:27", "+49:53:49"), ("12 19 27.0", "+49 53 49"), ("12h19m27s", "49d53m49s"), ("184d51m45s", "49:53:49.0")],
)
def test_sexagesimal_positions(ra: str, dec: str) -> None:
    """A right ascension with colons is hours, a declination degrees, beside rows in degrees: 12:19:27 +49:53:49 as SkyCoord has it."""
    wanted = SkyCoord("12:19:27 +49:53:49", unit=("hourangle", "deg"))
    found = positions_of_table(read_table(f"ra,dec\n{ra},{dec}\n10.5,-20\n".encode(), "csv"))
    assert found.ra.tolist() == pytest.approx([wanted.ra.deg, 10.5])
    assert found.dec.tolist() == pytest.approx([wanted.dec.deg, -20])
    assert angle("-00:00:36", "dec") == pytest.approx(-0.01)
    for wrong in ("12:75:00", "1:2:3:4", "12:19:27 N", "noon"):
        with pytest.raises(PositionError):
            angle(wrong, "ra")


def test_blank_rows_and_the_numbers_of_rows() -> None:
    """Rows in which nothing stands are left out, and what is wrong is named by its row, counted from 1 with them."""
    found = positions_of_table(read_table(b"name,ra,dec\na,1,2\n,,\nb,3,4\n,,\n", "csv"))
    assert (found.names, found.ra.tolist()) == (("a", "b"), [1, 3])
    for row in ("b,400,4", "b,3,"):
        with pytest.raises(PositionError, match="position 3 "):
            positions_of_table(read_table(f"name,ra,dec\na,1,2\n,,\n{row}\n".encode(), "csv"))
    with pytest.raises(PositionError, match="position 1 "):
        check_positions([400], [0])
    with pytest.raises(PositionError, match="no position"):
        positions_of_table(read_table(b"ra,dec\n,\n", "csv"))


@pytest.mark.parametrize("distance", ["-3", "0"])
def test_a_distance_that_is_none_is_refused(distance: str) -> None:
    """A distance in a table that is not positive is refused with its row, as one on the command line is."""
    with pytest.raises(PositionError, match="position 2: the distance"):
        positions_of_table(read_table(f"ra,dec,distance\n1,2,3\n1,2,{distance}\n".encode(), "csv"))


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
