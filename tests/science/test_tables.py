"""VOTables of every product: units, UCDs, values."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy.io.votable import parse
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table

from mma_pipeline.defs.surveys.scoring import COLUMNS
from mma_pipeline.science import tables
from mma_pipeline.science.tables import ucd_of, votable


def test_every_ucd_is_of_the_vocabulary() -> None:
    """Each UCD that a column can have is a UCD1+ of IVOA's controlled vocabulary."""
    known = {
        *tables._UCDS.values(),
        *(ucd for _, ucd in tables._UCD_WORDS),
        "stat.value",
        "meta.note",
        "stat.probability",
    }
    wrong = [ucd for ucd in known if not check_ucd(ucd, check_controlled_vocabulary=True, has_colon=False)]
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "ucd"),
    [
        ("ra_deg", "pos.eq.ra;meta.main"),
        ("dec", "pos.eq.dec;meta.main"),
        ("best_distance_std_mpc", "stat.error;pos.distance"),
        ("area_90_deg2", "phys.angArea"),
        ("far_hz", "arith.rate"),
        ("p_chance_all", "stat.probability"),
        ("searched_vol_mpc3", "phys.volume"),
        ("mag_50", "phot.mag"),
    ],
)
def test_what_a_column_is(name: str, ucd: str) -> None:
    """A column's name says what it is in the vocabulary's words."""
    assert ucd_of(name, number=True) == ucd


def test_every_field_is_described() -> None:
    """Of the table of a survey's candidates every FIELD has a UCD, those with a unit keep it, and values come through."""
    kinds = {"string": "U4", "int64": "i8", "float64": "f8", "bool": "?"}
    table = Table({name: np.ones(2, dtype=kinds[kind]) for name, kind, _ in COLUMNS})
    for name, _, unit in COLUMNS:
        table[name].unit = unit or None
    found = parse(io.BytesIO(votable(table)), verify="exception").get_first_table()
    assert all(check_ucd(field.ucd, check_controlled_vocabulary=True) for field in found.fields)
    assert {f.name: str(f.unit or "") for f in found.fields} == {name: unit for name, _, unit in COLUMNS}
    assert list(found.to_table()["ra"]) == [1.0, 1.0]
