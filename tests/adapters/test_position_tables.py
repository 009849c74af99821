"""Tables of stars and active nuclei: import of Gaia's and Milliquas's columns, order, replacement, damage."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from mma_pipeline.adapters.catalogs import positions
from mma_pipeline.adapters.catalogs.folder import MANIFEST
from mma_pipeline.adapters.catalogs.positions import PositionTable, build_table
from mma_pipeline.adapters.errors import ConfigurationError, NotFoundError, PermanentError

#: The first columns of an ECSV file of Gaia DR3, absent values as `null`.
GAIA = """# %ECSV 1.0
# ---
# datatype:
# - {name: source_id, datatype: int64}
solution_id,source_id,ra,dec,parallax,parallax_error,pmra,pmra_error,pmdec,pmdec_error,phot_g_mean_mag
1,4295806720,44.99,0.005,0.354,0.123,11.93,0.127,-10.3,0.111,17.64
1,38655544960,45.01,0.021,null,null,null,null,null,null,20.9
1,34361129088,null,0.019,0.1,0.1,0.1,0.1,0.1,0.1,18.0
"""


def _frame(number: int, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"source_id": np.arange(number), "ra": rng.uniform(0, 360, number)})
    frame["dec"] = np.degrees(np.arcsin(rng.uniform(-1, 1, number)))
    for name in ("parallax", "parallax_error", "pmra", "pmra_error", "pmdec", "pmdec_error", "phot_g_mean_mag"):
        frame[name] = rng.uniform(0.1, 1, number)
    return frame


def test_gaia_as_it_comes(tmp_path: Path) -> None:
    """Gaia's gzipped ECSV needs no mapping; `null` is absent, a row without a position is counted."""
    source = tmp_path / "GaiaSource_000000-003111.csv.gz"
    source.write_bytes(gzip.compress(GAIA.encode()))
    table = build_table([source], tmp_path / "stars", "stars", label="Gaia DR3")
    assert (len(table), table.label, table.epoch) == (2, "Gaia DR3", 2016.0)
    assert table.manifest["rows_without_position"] == 1
    first, second = sorted(table.rows.tolist(), key=lambda row: row[0])
    assert first[-1] == b"4295806720"
    np.testing.assert_allclose(first[2:9], [17.64, 0.354, 0.123, 11.93, 0.127, -10.3, 0.111], rtol=1e-6)
    assert np.isnan(second[3:9]).all()


def test_several_files_of_any_form_are_one_sorted_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet, CSV and FITS in batches give the same table as one file, in HEALPix order, every row whole."""
    from astropy_healpix import HEALPix

    monkeypatch.setattr("mma_pipeline.adapters.catalogs.batches.ROWS", 100)
    whole = _frame(900)
    whole.to_parquet(tmp_path / "all.parquet")
    whole[:300].to_parquet(tmp_path / "a.parquet")
    whole[300:600].to_csv(tmp_path / "b.csv", index=False)
    rows = fits.BinTableHDU.from_columns(
        [fits.Column(name.upper(), "K" if name == "source_id" else "D", array=whole[name][600:]) for name in whole]
    )
    fits.HDUList([fits.PrimaryHDU(), rows]).writeto(tmp_path / "c.fits")
    one = build_table([tmp_path / "all.parquet"], tmp_path / "one", "stars")
    three = build_table([tmp_path / n for n in ("a.parquet", "b.csv", "c.fits")], tmp_path / "three", "stars")
    assert len(one) == 900
    assert (np.diff(one.index29) >= 0).all()
    np.testing.assert_array_equal(one.index29, three.index29)
    assert one.rows.tobytes() == three.rows.tobytes()
    import astropy.units as u

    expected = HEALPix(2**29, "nested").lonlat_to_healpix(one.rows["ra"] * u.deg, one.rows["dec"] * u.deg)
    np.testing.assert_array_equal(one.index29, expected)
    number = one.rows["name"].astype(int)
    np.testing.assert_array_equal(one.rows["ra"], whole["ra"].to_numpy()[number])
    np.testing.assert_allclose(one.rows["pmdec"], whole["pmdec"].to_numpy()[number], rtol=1e-6)


def test_milliquas_columns(tmp_path: Path) -> None:
    """Milliquas's FITS columns need no mapping; a redshift of zero is none."""
    columns = [
        fits.Column("RA", "D", array=[0.0006, 10.0]), fits.Column("DEC", "D", array=[-2.1, 41.0]),
        fits.Column("NAME", "25A", array=["SDSS J000000.15-021000.0", "X"]), fits.Column("TYPE", "4A", array=["QR", "A"]),
        fits.Column("RMAG", "E", array=[21.6, 15.0]), fits.Column("Z", "E", array=[2.116, 0.0]),
    ]  # fmt: skip
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(tmp_path / "milliquas.fits")
    table = build_table([tmp_path / "milliquas.fits"], tmp_path / "agn", "agn")
    quasar = next(row for row in table.rows if row["type"] == b"QR")
    assert (quasar["name"], quasar["redshift"]) == (b"SDSS J000000.15-021000.0", np.float32(2.116))
    assert np.isnan(next(row for row in table.rows if row["type"] == b"A")["redshift"])


#: Lines as in milliquas.txt of version 8, written by hand after the bytes in Flesch's ReadMe (quasars.org/Milliquas-ReadMe.txt;
#: CDS has the same as VII/294): RA 1-11, DEC 13-23, NAME 26-50, TYPE 52-55, RMAG 57-61, BMAG 63-67, Z 77-82. A magnitude of 0 is unknown.
MILLIQUAS = """\
187.2779154   2.0523883  3C 273                    ARX   12.8  13.1 pG  - -  0.158 3C     MARZKE                        XMMSL J122906.6+020308 3C 273
  0.0006000  -2.1000000  SDSS J000000.14-020600.0  Q      0.0  21.2     -    2.116 DR16Q  DR16Q
"""
#: HEASARC's form of the same rows: its TDAT format (heasarc.gsfc.nasa.gov/docs/software/dbdocs/tdat.html) with the names of its table
#: `milliquas`, where `class` is a number of its own and `broad_type` is Milliquas's type.
TDAT = """\
<HEADER>
#
#         TABLE: heasarc_milliquas
#
table_name = heasarc_milliquas
table_description = "Million Quasars Catalog (MILLIQUAS)"
field[name] = char25 [meta.id;meta.main] (index) // Source Designation
field[ra] = float8:.5f_degree [pos.eq.ra;meta.main] (key) // Right Ascension
line[1] = name ra dec lii bii broad_type rmag bmag optical_flag red_psf_flag blue_psf_flag redshift ref_name ref_redshift radio_name xray_name alt_name_1 alt_name_2 class
#
<DATA>
3C 273|187.2779154|2.0523883|289.95|64.36|ARX|12.8|13.1|pG|-|-|0.158|3C|MARZKE|3C 273|XMMSL J122906.6+020308|||3100|
SDSS J000000.14-020600.0|0.0006|-2.1|95.5|-62.0|Q||21.2||-||2.116|DR16Q|DR16Q|||||1800|
<END>
"""
#: VizieR's tab-separated output of VII/294: names, units, a ruler, rows.
VIZIER = """\
#RESOURCE=yCat_7294
#Name: VII/294
RAJ2000\tDEJ2000\tName\tType\tRmag\tBmag\tz
deg\tdeg\t \t \tmag\tmag\t
-----------\t-----------\t-------------------------\t----\t-----\t-----\t------
187.2779154\t2.0523883\t3C 273\tARX\t12.8\t13.1\t0.158
0.0006000\t-2.1000000\tSDSS J000000.14-020600.0\tQ\t\t21.2\t2.116
"""


@pytest.mark.parametrize(
    ("name", "text", "unplaced"),
    [
        ("milliquas.txt", MILLIQUAS, 0),
        ("catalog.dat.gz", MILLIQUAS, 0),
        ("heasarc_milliquas.tdat", TDAT, 0),
        ("heasarc_milliquas.tdat.gz", TDAT, 0),
        ("asu.tsv", VIZIER, 2),
    ],
)
def test_milliquas_as_it_is_published(tmp_path: Path, name: str, text: str, unplaced: int) -> None:
    """The author's text, HEASARC's TDAT and VizieR's table give the same two nuclei without a mapping of columns."""
    data = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    table = build_table([tmp_path / name], tmp_path / "agn", "agn")
    near, far = sorted(table.rows, key=lambda row: row["redshift"])
    assert (near["name"], near["type"], near["ra"], near["dec"]) == (b"3C 273", b"ARX", 187.2779154, 2.0523883)
    assert (near["magnitude"], near["redshift"]) == (np.float32(12.8), np.float32(0.158))
    assert (far["name"], far["type"], far["redshift"]) == (b"SDSS J000000.14-020600.0", b"Q", np.float32(2.116))
    assert np.isnan(far["magnitude"]), "a magnitude of zero is none"
    assert table.manifest["rows_without_position"] == unplaced


def test_text_that_is_no_table_is_named(tmp_path: Path) -> None:
    """A TDAT file without data or names of columns, and an empty file, say what is missing."""
    for text, says in (
        ("<HEADER>\nline[1] = ra dec\n", "no <DATA>"),
        ("<HEADER>\n<DATA>\n1|2|\n", "no columns"),
        ("", "empty"),
    ):
        (tmp_path / "x.tdat").write_text(text)
        with pytest.raises(ConfigurationError, match=says):
            build_table([tmp_path / "x.tdat"], tmp_path / "agn", "agn")


def test_columns_by_name_and_what_is_missing(tmp_path: Path) -> None:
    """Foreign names are mapped; a table of stars without motions is refused with what it has."""
    frame = _frame(5).rename(columns={"pmra": "mu_a"})
    frame.to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(ConfigurationError, match="no column for pmra: name them with --column pmra="):
        build_table([tmp_path / "mine.csv"], tmp_path / "stars", "stars")
    assert len(build_table([tmp_path / "mine.csv"], tmp_path / "stars", "stars", columns={"pmra": "mu_a"})) == 5
    with pytest.raises(ConfigurationError, match="no column 'elsewhere'"):
        build_table([tmp_path / "mine.csv"], tmp_path / "stars", "stars", columns={"pmra": "elsewhere"})
    with pytest.raises(NotFoundError):
        build_table([tmp_path / "nowhere.csv"], tmp_path / "stars", "stars")
    frame.assign(ra=np.nan).rename(columns={"mu_a": "pmra"}).to_csv(tmp_path / "empty.csv", index=False)
    with pytest.raises(ConfigurationError, match="no row with a position"):
        build_table([tmp_path / "empty.csv"], tmp_path / "stars", "stars")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(ConfigurationError, match=r"bad\.parquet"):
        build_table([tmp_path / "bad.parquet"], tmp_path / "stars", "stars")


def test_an_import_replaces_only_when_complete(tmp_path: Path) -> None:
    """A failed import leaves the table that is there; a table in use keeps its rows; other files are never overwritten."""
    _frame(20).to_parquet(tmp_path / "a.parquet")
    table = build_table([tmp_path / "a.parquet"], tmp_path / "stars", "stars")
    rows = table.rows
    (tmp_path / "b.csv").write_text("ra,dec\n1,2\n")
    with pytest.raises(ConfigurationError):
        build_table([tmp_path / "b.csv"], tmp_path / "stars", "stars")
    assert len(PositionTable.open(tmp_path / "stars", "stars")) == 20
    _frame(30, seed=2).to_parquet(tmp_path / "c.parquet")
    assert len(build_table([tmp_path / "c.parquet"], tmp_path / "stars", "stars")) == 30
    assert rows["ra"].size == 20
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")], "nothing half-made is left"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    with pytest.raises(ConfigurationError, match="other files"):
        build_table([tmp_path / "a.parquet"], tmp_path / "full", "stars")


def test_damage_is_named(tmp_path: Path) -> None:
    """No table, another kind, a cut file: each says what to do."""
    with pytest.raises(NotFoundError, match="--kind stars"):
        PositionTable.open(tmp_path / "none", "stars")
    _frame(20).to_parquet(tmp_path / "a.parquet")
    build_table([tmp_path / "a.parquet"], tmp_path / "stars", "stars")
    with pytest.raises(PermanentError, match="no table of agn"):
        PositionTable.open(tmp_path / "stars", "agn")
    (tmp_path / "stars" / "rows.npy").write_bytes((tmp_path / "stars" / "rows.npy").read_bytes()[:200])
    with pytest.raises(PermanentError, match="rows"):
        _ = PositionTable.open(tmp_path / "stars", "stars").rows
    (tmp_path / "stars" / MANIFEST).write_text("{")
    with pytest.raises(PermanentError, match="manifest"):
        PositionTable.open(tmp_path / "stars", "stars")


def test_records_have_units() -> None:
    """Every column of both kinds has a unit, if only an empty one."""
    assert {name for kind in positions.RECORDS.values() for name in kind.names or ()} <= set(positions.UNITS)
