"""The page of an event in a real browser: what the first screen says, that it stays current, and that no text of an alert acts."""

from __future__ import annotations

import base64
import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mma_pipeline.defs.events.page.render import ALADIN, Attachments, page_html
from mma_pipeline.defs.events.page.state import event_state
from mma_pipeline.defs.events.page.write import page_key
from tests.alerts import body, fits_map, needs_real_alerts, real_paths
from tests.browser.test_ui import ARGUMENTS
from tests.homes import Home
from tests.neutrinos import notice, track
from tests.pages import HOSTILE, hostile_state
from tests.portal.conftest import make
from tests.services.fixtures import needs
from tests.services.process import ServiceUnavailableError

playwright_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright_api.Browser]:
    """One browser for all pages."""
    with needs("chromium"):
        if (chromium := shutil.which("chromium") or shutil.which("chromium-browser")) is None:
            raise ServiceUnavailableError("no chromium: install it from the distribution's packages")
    with playwright_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield opened
        opened.close()


def offline(page: playwright_api.Page, *served: str) -> list[str]:
    """Cut a page off from all but files and what starts with `served`; returns what it asked for elsewhere."""
    asked: list[str] = []

    def refuse(route: playwright_api.Route) -> None:
        asked.append(route.request.url)
        route.abort()

    page.route(lambda url: not url.startswith(("file:", "data:", *served)), refuse)
    return asked


def first_screen(browser: playwright_api.Browser, home: Home, event_id: str, size: dict[str, int]) -> str:
    """Words of the first screen; all of them and the links to the sections are on it, and nothing scrolls sideways."""
    page = browser.new_page(viewport=size)
    offline(page)
    page.goto((home.products / page_key(event_id)).as_uri(), wait_until="load")
    box = page.locator("#first").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= size["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    words = " ".join(page.locator("body").inner_text().split("\nSky map\n")[0].split())
    page.close()
    return words


@needs_real_alerts
def test_first_screen_of_a_real_event(browser: playwright_api.Browser, home: Home) -> None:
    """S230518h without scrolling, at a desk and on a telephone: what, when, how sure, which detectors, where, how far."""
    (path,) = real_paths("S230518h-UPDATE*")
    home.receive(path.read_bytes())
    make(home, "raw_alert", "skymap", "skymap_statistics", "contours", "skymap_plot")
    for size in (DESKTOP, PHONE):
        said = first_screen(browser, home, "S230518h", size)
        for words in (
            "NSBH 86 %, Terrestrial 10 %, BBH 4 %",
            "contains a neutron star >99 %, ejecta 0 %",
            "2023-05-18 12:59:08 UTC",
            "MJD 60082.54107",
            "years ago",
            "significant, one false alarm in 98 years",
            "H1 (Hanford), L1 (Livingston)",
            "280 ± 69 Mpc",
            "90 %: 666 deg², 50 %: 180 deg²",
            "peak RA 95.7129°, Dec -10.9589° (06:22:51.1 -10:57:32)",
            "Update, own map, 2023-05-18 16:52:32 UTC",
            "No other messenger that we know of.",
            "Page made",
        ):
            assert words in said, (size, words)
        assert "e-" not in said


def test_first_screen_with_everything(browser: playwright_api.Browser, home: Home) -> None:
    """A retraction stands above all, and coincidences with time and rate, and the smallest region, are still on the screen."""
    home.receive(body("S240301a", "UPDATE", external=fits_map(sigma=0.5)))
    home.receive(notice("S240301a", track(150.2, 20.1), track(170.0, -40.0)))
    home.receive(body("S240301a", "RETRACTION", created="2024-03-01T15:00:00Z"))
    make(home, "raw_alert", "skymap", "skymap_statistics", "neutrino_coincidence")
    for size in (DESKTOP, PHONE):
        said = first_screen(browser, home, "S240301a", size)
        assert said.startswith("S240301a Retracted at 2024-03-01 15:00:00 UTC"), size
        assert "Fermi GRB, 2.02 s apart, joint rate one in 1.5 million years" in said
        assert (
            "IceCube, 2 tracks in its search, the best 13 s after the event, so much by chance, as IceCube states: 1.9 %"
            in said
        )
        assert said.index("combined with Fermi by LVK") < said.index("own map")
        assert "holds only if both are one source" in said


def test_a_newer_page_is_loaded(browser: playwright_api.Browser, home: Home, tmp_path: Path) -> None:
    """An open page counts the time since the event, and loads itself again when the server has a newer one, within its policy."""
    home.receive(body("S240301a"))
    state = event_state(home.archive, "S240301a")
    shown = tmp_path / "index.html"
    now = datetime.now(UTC)
    shown.write_bytes(page_html(state, "mma/S240301a/index.html", Attachments(), now - timedelta(hours=3)))
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        page = browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        offline(page, url)
        page.clock.install(time=now)
        page.goto(f"{url}index.html", wait_until="load")
        made = page.locator("p [data-since]")
        assert made.inner_text() == "3 h 0 min ago"
        page.clock.run_for(61_000)
        assert made.inner_text() == "3 h 1 min ago"
        shown.write_bytes(page_html(state, "mma/S240301a/index.html", Attachments(), now))
        with page.expect_event("load"):
            page.clock.run_for(31_000)
        assert page.locator('meta[name="mma-made"]').get_attribute("content") == now.isoformat(timespec="seconds")
        page.close()
        server.shutdown()
    assert not [text for text in complaints if "Content Security Policy" in text]


def windowed(tmp_path: Path, made: datetime, targets: tuple[str, ...] = ()) -> Path:
    """A page, made at a moment, with three observatories: one whose window is over, one that ends soon, one late."""
    stamps = [f"{made + timedelta(hours=h):%Y-%m-%dT%H:%M:%SZ}" for h in (-5, -1, 1, 9)]
    shared = {
        "probability": 0.5, "best": stamps[0], "best_probability": 0.5, "peak_airmass": None, "moon_separation_deg": 90.0,
        "moon_altitude_deg": -1.0, "moon_illumination": 0.5, "dusk": stamps[0], "dawn": stamps[3], "field_deg2": 1.0,
        "depth_mag": 21.5, "depth_band": "r", "begins": stamps[0], "first_targets": targets,
    }  # fmt: skip
    sites = [
        shared | {"site": name, "ends": end} for name, end in zip(("over", "soon", "late"), stamps[1:], strict=True)
    ]
    state = hostile_state()
    version = dict(state.versions[0])
    version["statistics"] = {
        "skymap_statistics": {"area_90_deg2": 10.0, "peak_ra_deg": 1.0, "peak_dec_deg": 2.0},
        "observability": {
            "begins": "2026-11-29T06:00:00Z", "sites": sites, "sites_observing": 3, "sites_considered": 4,
            "probability_any_site": 0.5,
        },
    }  # fmt: skip
    shown = tmp_path / "index.html"
    shown.write_bytes(page_html(replace(state, versions=(version,)), "mma/S1a/index.html", Attachments(), made))
    return shown


def test_windows_pass(browser: playwright_api.Browser, tmp_path: Path) -> None:
    """On an open page a window that ends goes to those that are over, and tonight becomes the night of its date."""
    made = datetime(2026, 11, 29, 20, tzinfo=UTC)
    shown = windowed(tmp_path, made)
    page = browser.new_page()
    offline(page)
    page.clock.install(time=made)
    page.goto(shown.as_uri(), wait_until="load")
    first = (
        "() => [...document.querySelectorAll('#to-come tr[data-ends] td:first-child')].map(cell => cell.textContent)"
    )
    assert page.evaluate(first) == ["late", "soon"]
    assert page.locator("#windows").inner_text() == "Windows: tonight event retracted"
    assert page.locator("#over summary").inner_text() == "Windows that are over (1)"
    page.clock.run_for(3_601_000)
    assert page.evaluate(first) == ["late"]
    assert page.locator("#over summary").inner_text() == "Windows that are over (2)"
    page.clock.fast_forward(10 * 3_600_000)
    assert page.locator("#windows").inner_text() == "Windows: the night of 2026-11-29 event retracted"
    assert page.locator("#to-come").is_hidden()
    assert page.locator("#none-to-come").is_visible()
    page.close()


def test_the_windows_fit(browser: playwright_api.Browser, tmp_path: Path) -> None:
    """At a desk all columns are in sight, on a telephone those up to `most at`, and names stay; no two columns share a name."""
    made = datetime(2026, 11, 29, 20, tzinfo=UTC)
    shown = windowed(tmp_path, made, ("NGC 4993", "PGC 12345", "WISEA J130847.67-233839.8", "field 1234"))
    for size in (DESKTOP, PHONE):
        page = browser.new_page(viewport=size)
        offline(page)
        page.clock.install(time=made)
        page.goto(shown.as_uri(), wait_until="load")
        table = page.locator("#to-come .wide")
        heads = table.locator("th").all_inner_texts()
        assert len(set(heads)) == len(heads)
        last = table.locator("th", has_text="first targets" if size is DESKTOP else "most at")
        edge = last.evaluate("head => head.getBoundingClientRect().right")
        assert edge <= size["width"], heads
        if size is DESKTOP:
            assert table.evaluate("box => box.scrollWidth <= box.clientWidth")
        table.evaluate("box => box.scrollLeft = 200")
        name = table.locator("td:first-child").first.bounding_box()
        assert name is not None
        assert name["x"] >= 0
        page.close()


def test_a_retraction_is_never_out_of_sight(browser: playwright_api.Browser, home: Home) -> None:
    """Wherever a link leads on a retracted event's page, the banner and the section's head, which says so too, are in sight."""
    home.receive(body("S240301a"))
    home.receive(body("S240301a", "RETRACTION", created="2024-03-01T15:00:00Z"))
    make(home, "raw_alert", "skymap", "skymap_statistics", "observability")
    for size in (DESKTOP, PHONE):
        page = browser.new_page(viewport=size)
        offline(page)
        for section in ("sky", "covered", "forecast", "windows", "galaxies"):
            page.goto(f"{(home.products / page_key('S240301a')).as_uri()}#{section}", wait_until="load")
            banner, head = page.get_by_role("alert").bounding_box(), page.locator(f"#{section}").bounding_box()
            assert banner is not None
            assert head is not None
            assert banner["y"] >= 0
            assert banner["y"] + banner["height"] <= head["y"] < size["height"], (size, section)
            assert "event retracted" in page.locator(f"#{section}").inner_text()
        page.close()


def test_page_without_network(browser: playwright_api.Browser, tmp_path: Path) -> None:
    """From a folder, offline: the picture shows, Aladin stays hidden, the banner is seen, nothing hostile runs."""
    folder = tmp_path / "mma" / "MS240301a"
    folder.mkdir(parents=True)
    (folder / "skymap.png").write_bytes(base64.b64decode(PIXEL))
    galaxies = [{"rank": 1, "name": HOSTILE, "ra": 1.0, "dec": 2.0, "score": 0.1, "info": {}}]
    attached = Attachments(galaxies, {"90": [[[1.0, 2.0], [2.0, 3.0]]]})
    state = hostile_state("mma/MS240301a/skymap.png")
    (folder / "index.html").write_bytes(page_html(state, "mma/MS240301a/index.html", attached))
    dialogs: list[str] = []
    page = browser.new_page()
    asked = offline(page)
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto((folder / "index.html").as_uri(), wait_until="load")
    width = page.locator("img").first.evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert width == 1
    assert page.locator("#aladin").is_hidden()
    assert page.locator("#portal").is_hidden(), "a folder has no portal to lead to"
    assert page.get_by_role("alert").is_visible()
    assert "<script>alert(1)</script>" in page.locator("h1").inner_text()
    # On a telephone only tables scroll sideways, each for itself.
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
    assert dialogs == []
    assert set(asked) == {ALADIN}
