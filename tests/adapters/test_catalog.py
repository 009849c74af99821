"""Galaxy catalogs: import of every layout, the index on disk, download, the old listener's settings."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mma_pipeline.adapters.catalogs import files as catalog_files
from mma_pipeline.adapters.catalogs.configuration import read_gwtm_settings
from mma_pipeline.adapters.catalogs.files import Columns, download
from mma_pipeline.adapters.catalogs.folder import MANIFEST
from mma_pipeline.adapters.catalogs.index import CatalogIndex, build_index
from mma_pipeline.adapters.catalogs.positions import build_table
from mma_pipeline.adapters.errors import ConfigurationError, NotFoundError, PermanentError, TransientError

MGC = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "galaxies" / "50MGC_catalog_short.fits"


def _ned_lvs(path: Path, rows: int = 50) -> Path:
    """A table with the columns of NED-LVS, values that can be told apart by row."""
    rng = np.random.default_rng(1)
    columns = [
        fits.Column("objname", "30A", array=np.array([f"GALAXY {i}" for i in range(rows)])),
        fits.Column("ra", "D", array=rng.uniform(0, 360, rows)),
        fits.Column("dec", "D", array=rng.uniform(-90, 90, rows)),
        fits.Column("z", "D", array=rng.uniform(0, 0.2, rows)),
        fits.Column("DistMpc", "D", array=np.where(np.arange(rows) == 3, -999.0, np.arange(rows) + 1.0)),
        fits.Column("Mstar", "D", array=np.where(np.arange(rows) == 5, np.nan, 1e10 + 1e8 * np.arange(rows))),
    ]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(path)
    return path


def test_ned_lvs_is_recognised_and_sorted(tmp_path: Path) -> None:
    """NED-LVS needs no mapping; the index is in HEALPix order and every row keeps its own values."""
    from astropy_healpix import HEALPix

    index = build_index(_ned_lvs(tmp_path / "NEDLVS.fits"), tmp_path / "index")
    assert (len(index), index.label) == (50, "NED-LVS")
    assert (np.diff(index.index29) >= 0).all()
    import astropy.units as u

    expected = HEALPix(2**29, "nested").lonlat_to_healpix(index.ra * u.deg, index.dec * u.deg)
    np.testing.assert_array_equal(index.index29, expected)
    number = np.array([int(n.split()[1]) for n in index.name])
    mass = index.weight("mass")
    assert mass is not None
    known = (number != 3) & (number != 5)
    np.testing.assert_allclose(index.distance[known], number[known] + 1.0)
    np.testing.assert_allclose(mass[known], 1e10 + 1e8 * number[known], rtol=1e-6)
    assert np.isnan(index.distance[number == 3]).all(), "a distance of -999 is no distance"
    assert np.isnan(mass[number == 5]).all()
    assert index.weight("luminosity") is None


@pytest.mark.skipif(not MGC.exists(), reason=f"no real catalog: {MGC} is not there")
def test_real_catalog(tmp_path: Path) -> None:
    """The 50 Mpc Galaxy Catalog imports whole: masses are out of their logarithm, masked values are absent."""
    index = build_index(MGC, tmp_path / "index")
    assert len(index) == 15_424
    row = int(np.flatnonzero(np.char.strip(index.name) == b"NGC4993")[0])
    mass = index.weight("mass")
    assert mass is not None
    assert index.ra[row] == pytest.approx(197.4487, abs=1e-3)
    assert index.distance[row] == pytest.approx(40.7, abs=0.1)
    assert mass[row] == pytest.approx(3.7e10, rel=0.01)
    assert np.isnan(mass).sum() == 3684


@pytest.mark.parametrize("name", ["mine.fits", "mine.ecsv", "mine.ecsv.gz"])
def test_stated_units_count(tmp_path: Path, name: str) -> None:
    """Positions in radians or hours, and distances in kpc, arrive in degrees and Mpc; what is no distance is refused by name."""
    import gzip

    import astropy.units as u
    from astropy.table import QTable

    ra, dec, distance = (
        np.array([10.0, 200.0]) * u.deg,
        np.array([-30.0, 45.0]) * u.deg,
        np.array([40.0, 120.0]) * u.Mpc,
    )
    there = {
        "ra": ra.to(u.hourangle).value * u.hour,
        "dec": dec.to(u.rad),
        "d": distance.to(u.kpc),
        "speed": [1, 2] * u.km / u.s,
    }
    plain = tmp_path / name.removesuffix(".gz")
    QTable(there).write(plain)
    if name.endswith(".gz"):
        (tmp_path / name).write_bytes(gzip.compress(plain.read_bytes()))
    if not name.endswith(".gz"):
        _, read = catalog_files.read_columns(plain, Columns("ra", "dec", "d"))
        np.testing.assert_allclose(read["ra"], ra.value)
        np.testing.assert_allclose(read["dec"], dec.value)
        np.testing.assert_allclose(read["distance"], distance.value, rtol=1e-6)
        with pytest.raises(
            ConfigurationError, match=r"column speed is in km s-?1|column speed is in km / s|column speed is in km s"
        ):
            catalog_files.read_columns(plain, Columns("ra", "dec", "speed"))
    table = build_table([tmp_path / name], tmp_path / "agn", "agn")
    np.testing.assert_allclose(np.sort(table.rows["ra"]), np.sort(ra.value))


def test_glade_plus_text(tmp_path: Path) -> None:
    """GLADE+ rows (40 blank-separated columns, `null` for absent) are read by column number."""
    row = ["null"] * 40
    row[3], row[8], row[9], row[13], row[32], row[35] = "NGC4993", "197.448776", "-23.383831", "-20.2", "41.0", "3.8"
    other = ["null"] * 40
    other[8], other[9], other[32] = "10.0", "20.0", "100.0"
    path = tmp_path / "GLADE+.txt"
    path.write_text(" ".join(row) + "\n" + " ".join(other) + "\n")
    index = build_index(path, tmp_path / "index")
    at = int(np.flatnonzero(index.name == b"NGC4993")[0])
    mass, light = index.weight("mass"), index.weight("luminosity")
    assert mass is not None
    assert light is not None
    assert mass[at] == pytest.approx(3.8e10)
    assert light[at] == pytest.approx(10 ** (0.4 * (5.44 + 20.2)), rel=1e-4)
    assert np.isnan(mass[1 - at])
    assert index.name[1 - at] == b""


def test_any_table_with_a_mapping(tmp_path: Path) -> None:
    """A table of one's own is read with a mapping; without one the error lists the columns to choose from."""
    path = tmp_path / "mine.csv"
    path.write_text("alpha,delta,d,logm,id\n10,20,30,10.0,one\n,5,6,9,nowhere\n350,-80,,9.5,no distance\n")
    with pytest.raises(ConfigurationError, match="alpha"):
        build_index(path, tmp_path / "index")
    mapping = Columns("alpha", "delta", "d", name="id", mass="logm", mass_scale="log10")
    index = build_index(path, tmp_path / "index", columns=mapping, label="mine")
    assert (len(index), index.manifest["rows_without_position"], index.label) == (2, 1, "mine")
    assert sorted(index.name) == [b"no distance", b"one"]
    with pytest.raises(ConfigurationError, match="no column"):
        build_index(path, tmp_path / "index", columns=Columns("alpha", "delta", "typo"))


def test_index_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """A failed import leaves the old index; a good one replaces it while old readers go on."""
    folder = tmp_path / "index"
    old = build_index(_ned_lvs(tmp_path / "a.fits"), folder)
    names = old.name
    (tmp_path / "bad.fits").write_bytes(b"not a table")
    with pytest.raises(ConfigurationError):
        build_index(tmp_path / "bad.fits", folder)
    assert len(CatalogIndex.open(folder)) == 50
    assert len(build_index(_ned_lvs(tmp_path / "b.fits", 7), folder)) == 7
    assert names[0].startswith(b"GALAXY")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.fits", "b.fits", "bad.fits", "index"]


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    """Naming a folder that holds something else must not delete it."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("x")
    with pytest.raises(ConfigurationError, match="other files"):
        build_index(_ned_lvs(tmp_path / "a.fits"), tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.tex").exists()


def test_missing_and_damaged_indexes_say_what_to_do(tmp_path: Path) -> None:
    """No index, a cut column and a foreign manifest each give one clear error."""
    with pytest.raises(NotFoundError, match="mma catalog import"):
        CatalogIndex.open(tmp_path)
    index = build_index(_ned_lvs(tmp_path / "a.fits"), tmp_path / "index")
    column = index.folder / "ra.npy"
    column.write_bytes(column.read_bytes()[:200])
    with pytest.raises(PermanentError, match="import it again"):
        _ = CatalogIndex.open(index.folder).ra
    (index.folder / MANIFEST).write_text(json.dumps({"format": 99}))
    with pytest.raises(PermanentError, match="of this format"):
        CatalogIndex.open(index.folder)
    with pytest.raises(NotFoundError):
        build_index(tmp_path / "nothing.fits", tmp_path / "x")


class _Server(http.server.BaseHTTPRequestHandler):
    body = b"SIMPLE  =                    T" + b"x" * 3_000_000
    failures = 0

    def do_GET(self) -> None:
        if self.path == "/flaky" and type(self).failures < 2:
            type(self).failures += 1
            self.send_error(503)
        elif self.path in {"/catalog", "/flaky", "/short"}:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.body) + (10 if self.path == "/short" else 0)))
            self.end_headers()
            self.wfile.write(self.body)
        elif self.path == "/page":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"\n<html>Sorry</html>")
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    """Address of a local catalog server."""
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    _Server.failures = 0
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.mark.parametrize("path", ["catalog", "flaky"])
def test_download(server: str, tmp_path: Path, path: str) -> None:
    """A catalog arrives whole, also where the server fails twice first."""
    target = download(f"{server}/{path}", tmp_path / "deep" / "catalog.fits")
    assert target.read_bytes() == _Server.body
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("path", "error"), [("missing", PermanentError), ("page", PermanentError), ("short", TransientError)]
)
def test_download_that_fails_leaves_nothing(server: str, tmp_path: Path, path: str, error: type[Exception]) -> None:
    """An error page, a refusal and a broken transfer must not become a file."""
    with pytest.raises(error):
        download(f"{server}/{path}", tmp_path / "catalog.fits")
    assert list(tmp_path.iterdir()) == []


def test_download_from_a_dead_server_is_transient(tmp_path: Path) -> None:
    """Nobody listening is an outage, said within the limits of the retries."""
    with pytest.raises(TransientError):
        download("http://127.0.0.1:1/x", tmp_path / "catalog.fits")


INI = """; config.ini

[GALAXIES]
CATALOG_PATH = /app/data/NEDLVS_20250602.fits
CREDZONE = 0.5
NSIGMAS_IN_D = 3
COMPLETENESSP = 0.5
MINGALAXIES = 100
NGALAXIES = 1000
MINL = 1e40 ; expected min luminosity of event in r-band
MAXL = 1e42 ; expected max luminosity of event in r-band
SENSITIVITY = 22 ; LCO limiting magnitude in r-band
MINDISTFACTOR = 0.01 ; reflecting a small chance that the theory is completely wrong
ALPHA = -1.07 ; Schecter function parameters
MB_STAR = -20.7 ; Schecter function parameters
"""


def test_old_settings_are_read(tmp_path: Path) -> None:
    """The file as the old listener has it gives its values; luminosities become bolometric magnitudes."""
    path = tmp_path / "gal_catalog_config.ini"
    path.write_text(INI)
    found = read_gwtm_settings(path)
    assert (found.catalog_path, found.level, found.limit) == ("/app/data/NEDLVS_20250602.fits", 0.5, 1000)
    assert (found.limiting_magnitude, found.floor) == (22.0, 0.01)
    # The Sun: 3.828e33 erg/s is M_bol = 4.74.
    assert found.brightest == pytest.approx(4.74 - 2.5 * np.log10(1e42 / 3.828e33), abs=1e-3)
    assert found.faintest == pytest.approx(4.74 - 2.5 * np.log10(1e40 / 3.828e33), abs=1e-3)


@pytest.mark.parametrize(
    "text", ["", "[OTHER]\nx=1\n", "[GALAXIES]\nCREDZONE = half\n", "no section", "[GALAXIES]\nMINL=-1\n"]
)
def test_bad_old_settings(tmp_path: Path, text: str) -> None:
    """A file that is no such configuration gives one error with its name."""
    path = tmp_path / "x.ini"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"x\.ini"):
        read_gwtm_settings(path)
    with pytest.raises(NotFoundError):
        read_gwtm_settings(tmp_path / "none.ini")


def test_unknown_scale_is_refused() -> None:
    """A mapping with a scale that does not exist is refused when it is made."""
    with pytest.raises(ConfigurationError, match="log10"):
        catalog_files.Columns("a", "b", "c", mass="m", mass_scale="ln")
