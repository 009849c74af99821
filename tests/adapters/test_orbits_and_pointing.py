"""Orbital elements and pointing files: parsing what is found in the wild, keeping it, choosing the right one."""

from __future__ import annotations

import http.server
import io
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mma_pipeline.adapters.errors import NotFoundError, PermanentError, TransientError
from mma_pipeline.adapters.http import fetch
from mma_pipeline.adapters.spacecraft.orbits import TleArchive, parse_tle
from mma_pipeline.adapters.spacecraft.pointing import FermiPointing, met_to_unix, read_ft2
from mma_pipeline.adapters.store import Store

FERMI = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "fermi"
needs_fermi = pytest.mark.skipif(not FERMI.exists(), reason=f"no real files: {FERMI} is not there")
LINES = (
    "1 33053U 08029A   17229.56317825 +.00000508 +00000-0 +12437-4 0  9995",
    "2 33053 025.5829 306.0377 0012114 272.5539 087.3609 15.10926454506590",
)


@pytest.fixture
def store() -> Store:
    """An empty store."""
    return Store.open(f"memory://orbits-{np.random.default_rng().integers(1 << 60)}")


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r\r\n"])
def test_line_ends_of_the_wild(ends: str) -> None:
    """Titles, blank lines and every kind of line end are read over."""
    text = ends.join(["FGRST (GLAST)", *LINES, "", *LINES, ""])
    (found,) = parse_tle(text, 33053)
    assert (found.line1, found.line2) == LINES
    assert abs(found.epoch - datetime(2017, 8, 17, 13, 30, 58, tzinfo=UTC)) < timedelta(seconds=2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>No GP data found</html>",
        LINES[0],
        LINES[0] + "\n" + LINES[1].replace("306.0377", "306.0378"),
        LINES[0] + "\n" + LINES[1].replace("33053", "33054"),
        LINES[1] + "\n" + LINES[0],
    ],
)
def test_damaged_elements_are_refused(text: str) -> None:
    """A wrong checksum, a cut pair, two objects mixed or a web page is not taken for elements."""
    with pytest.raises(PermanentError):
        parse_tle(text, 33053)


@needs_fermi
def test_the_nearest_of_all_kept(store: Store) -> None:
    """From an archive of years the set nearest to the event is chosen, not today's; keeping twice adds nothing."""
    archive = TleArchive(store, [str(path) for path in sorted(FERMI.glob("*.tle"))])
    assert archive.nearest(33053, datetime(2017, 8, 17, tzinfo=UTC)) is None
    assert archive.refresh(33053) > 15
    assert archive.refresh(33053) == 0
    for time in (
        datetime(2017, 8, 17, 12, tzinfo=UTC),
        datetime(2024, 7, 1, tzinfo=UTC),
        datetime(2031, 1, 1, tzinfo=UTC),
    ):
        found = archive.nearest(33053, time)
        assert found is not None
        every = [s for p in FERMI.glob("*.tle") for s in parse_tle(p.read_text(), 33053)]
        assert abs(found.epoch - time) == min(abs(s.epoch - time) for s in every)
    assert archive.nearest(25544, datetime(2017, 8, 17, tzinfo=UTC)) is None


def _ft2(start: datetime, minutes: int, *, saa: bool = True) -> bytes:
    """An FT2 file of one-minute rows; mission time from astropy's own scales."""
    from astropy.time import Time

    met = (Time(start).tt - Time(51910.0 + 7.428703703703703e-4, format="mjd", scale="tt")).sec
    begin = met + 60.0 * np.arange(minutes)
    columns = [
        fits.Column("START", "D", array=begin),
        fits.Column("STOP", "D", array=begin + 60),
        fits.Column("RA_SCZ", "E", array=np.linspace(10, 20, minutes)),
        fits.Column("DEC_SCZ", "E", array=np.zeros(minutes)),
    ]
    if saa:
        columns.append(fits.Column("IN_SAA", "L", array=np.zeros(minutes, bool)))
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="SC_DATA")]).writeto(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("year", [2005, 2008, 2010, 2014, 2016, 2018, 2025])
def test_mission_time_counts_leap_seconds(year: int) -> None:
    """Mission elapsed time must become UTC as astropy has it, on both sides of every leap second."""
    from astropy.time import Time

    moment = Time(f"{year}-03-06T00:00:00", scale="utc")
    met = (moment.tt - Time("2001-01-01T00:00:00", scale="utc").tt).sec
    assert float(met_to_unix(met)) == pytest.approx(moment.unix, abs=1e-3)


@needs_fermi
def test_a_real_ft2_file() -> None:
    """The real file's rows are those of its header: one minute each, from midnight of 2025-03-06."""
    path = FERMI / "FERMI_POINTING_FINAL_875_2025065_2025072_00.fits"
    table = read_ft2(path.read_bytes(), path.name)
    assert table.start.size == 10
    # Its header says midnight for a mission time that leaves out the five leap seconds.
    assert abs(datetime.fromtimestamp(table.start[1], UTC) - datetime(2025, 3, 6, tzinfo=UTC)) < timedelta(seconds=6)
    np.testing.assert_allclose(np.diff(table.start), 60.0)
    assert table.ra[1] == pytest.approx(33.526, abs=1e-3)
    assert table.in_saa is not None
    assert not table.in_saa.any()


@pytest.mark.parametrize("body", [b"", b"<html>", b"SIMPLE  =                    T"])
def test_what_is_no_ft2_file_is_refused(body: bytes) -> None:
    """Error pages and cut files are refused with the file's name."""
    with pytest.raises(PermanentError, match="week"):
        read_ft2(body, "week")


WEEK = datetime(2025, 3, 6, tzinfo=UTC)
PRELIM = "FERMI_POINTING_PRELIM_875_2025065_2025072_01.fits"
FINAL = "FERMI_POINTING_FINAL_875_2025065_2025072_00.fits"
EVENT = WEEK + timedelta(minutes=5, seconds=30)


def test_final_replaces_preliminary(store: Store, tmp_path: Path) -> None:
    """The preliminary file serves until the final one is there; what was fetched is kept without the source."""
    source = tmp_path / "ft2"
    pointing = FermiPointing(store, str(source))
    assert pointing.at(EVENT) is None, "a source that has nothing yet is no error"
    source.mkdir()
    (source / "FERMI_POINTING_PRELIM_875_2025065_2025072_00.fits").write_bytes(b"an older version, never opened")
    (source / PRELIM).write_bytes(_ft2(WEEK, 10, saa=False))
    (source / "FERMI_POINTING_FINAL_874_2025058_2025065_00.fits").write_bytes(b"another week")
    first = pointing.at(EVENT)
    assert first is not None
    assert (first.source, first.in_saa) == (PRELIM, None)
    (source / FINAL).write_bytes(_ft2(WEEK, 10))
    second = pointing.at(EVENT)
    assert second is not None
    assert second.source == FINAL
    kept = FermiPointing(store, None).at(EVENT)
    assert kept is not None
    assert kept.source == FINAL
    assert pointing.at(EVENT + timedelta(days=14)) is None


class _Site(http.server.BaseHTTPRequestHandler):
    files: dict[str, bytes] = {}  # noqa: RUF012

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].rpartition("/")[2]
        if self.path == "/ft2/":
            body = "".join(f'<a href="{n}">{n}</a> 19-May-2025 970K\n' for n in self.files).encode()
        elif name in self.files:
            body = self.files[name]
        else:
            self.send_error(500 if name == "broken" else 403 if name == "private" else 404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


@pytest.fixture
def site() -> Iterator[str]:
    """Address of a local stand-in for the science support centre."""
    _Site.files = {PRELIM: _ft2(WEEK, 10), "gp.txt": "\r\n".join(["FERMI", *LINES]).encode()}
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}/"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_over_the_network(site: str, store: Store) -> None:
    """Listing and files are read from a server as from a folder; elements likewise, with the number filled in."""
    found = FermiPointing(store, site + "ft2/").at(EVENT)
    assert found is not None
    assert found.source == PRELIM
    archive = TleArchive(store, [site + "gp.txt?CATNR={norad}"])
    assert archive.refresh(33053) == 1
    assert archive.nearest(33053, EVENT) is not None


def test_failures_of_the_network_are_told_apart(site: str, store: Store) -> None:
    """An outage may pass, a refusal will not, and what is not there is not there; one dead source does not stop others."""
    with pytest.raises(TransientError):
        fetch(site + "broken")
    with pytest.raises(PermanentError, match="403"):
        fetch(site + "private?token=secret")
    with pytest.raises(NotFoundError):
        fetch(site + "nothing")
    with pytest.raises(NotFoundError):
        TleArchive(store, []).refresh(33053)
    assert TleArchive(store, [site + "broken", site + "private", site + "gp.txt"]).refresh(33053) == 1


def test_addresses_are_shown_without_secrets(site: str) -> None:
    """What an error says of an address leaves out its query and user."""
    with pytest.raises(PermanentError) as caught:
        fetch(site.replace("//", "//user:hunter22@") + "private?token=hunter22")
    assert "hunter22" not in str(caught.value)
