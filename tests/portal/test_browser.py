"""The portal in a real browser, served as `mma serve` does: usable by everybody at both widths, and no link is dead."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn

from mma_pipeline.portal.app import create_app
from mma_pipeline.portal.context import HealthReport, Portal
from tests.alerts import body
from tests.browser.test_ui import ARGUMENTS
from tests.homes import Home
from tests.portal.conftest import HOSTILE, make
from tests.services.fixtures import needs
from tests.services.process import ServiceUnavailableError

playwright_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser]
PAGES = (
    "/", "/?test=true", "/quarantine", "/health", "/api", "/events/S240301a", "/events/S240229b/files",
    "/events/S240301a/circular",
)  # fmt: skip


@pytest.fixture(scope="module")
def address(filled: Home) -> Iterator[str]:
    """A portal on this machine."""
    report = HealthReport((HOSTILE,), {"runs queued": 3})
    with serving(Portal(filled.archive, filled.store, health=lambda: report)) as found:
        yield found


@contextmanager
def serving(portal: Portal) -> Iterator[str]:
    """A portal's server on this machine, by its address."""
    app = create_app(portal, hosts=["127.0.0.1"])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    running = threading.Thread(target=server.run, daemon=True)
    running.start()
    while not server.started:
        assert running.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    running.join(20)


@pytest.fixture(scope="module")
def page() -> Iterator[playwright_api.Page]:
    """One page of one browser for all tests here; nothing but this machine is reached."""
    with needs("chromium"):
        if (chromium := shutil.which("chromium") or shutil.which("chromium-browser")) is None:
            raise ServiceUnavailableError("no chromium: install it from the distribution's packages")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        found = browser.new_page()
        found.route(lambda url: not url.startswith("http://127.0.0.1"), lambda route: route.abort())
        yield found
        browser.close()


@pytest.mark.parametrize("path", PAGES)
def test_everybody_can_use_it(address: str, page: playwright_api.Page, path: str) -> None:
    """axe finds nothing serious on a desktop or a telephone, the page itself does not scroll sideways, and every link answers."""
    from tests.accessibility import problems_at_both_widths

    page.goto(f"{address}{path}", wait_until="load")
    assert problems_at_both_widths(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    links = page.evaluate("[...document.querySelectorAll('a[href], link[href], img[src]')].map(e => e.href || e.src)")
    own = {link.partition("#")[0] for link in links if link.startswith(address)}
    assert own
    answers = {link: page.request.head(link).status for link in sorted(own)}
    assert {link: status for link, status in answers.items() if status != 200} == {}


def test_nothing_is_off_a_telephone(address: str, page: playwright_api.Page) -> None:
    """At 390 px: types and sizes of files, the whole draft of a Circular and what changed are in sight; no list of files is long."""
    page.set_viewport_size({"width": 390, "height": 844})
    edge = "found => Math.max(...found.map(one => one.getBoundingClientRect().right))"
    page.goto(f"{address}/events/S240301a/files", wait_until="load")
    assert page.locator(".files td").evaluate_all(edge) <= 390
    page.goto(f"{address}/events/S240301a/circular", wait_until="load")
    assert page.locator("pre").evaluate("box => box.scrollWidth <= box.clientWidth")
    page.goto(f"{address}/events/S240301a", wait_until="load")
    assert page.get_by_text("what changed").evaluate("head => head.getBoundingClientRect().right") <= 390
    assert (
        page.locator("h2#versions ~ .wide td.words").first.evaluate("cell => cell.getBoundingClientRect().right") <= 390
    )
    lists = page.locator("details.files")
    assert lists.evaluate_all("all => all.every(one => !one.open && one.getBoundingClientRect().height < 80)")
    lists.first.locator("summary").click()
    names = lists.first.locator("a")
    assert names.evaluate_all("all => all.every(one => one.getClientRects().length === 1)"), "no name is broken"
    assert all(name.get_attribute("title") for name in names.all())


def test_a_tab_waits_for_the_event(home: Home, page: playwright_api.Page) -> None:
    """A tab opened before the event is archived says so, then that its page is not made, then shows it, by itself."""
    home.receive(body("S240229b"))
    with serving(Portal(home.archive, home.store)) as address:
        page.goto(f"{address}/events/S240301a", wait_until="load")
        assert "no event S240301a is archived" in page.locator("main").inner_text()
        home.receive(body("S240301a"))
        page.get_by_text("The page of S240301a is not made yet").wait_for(timeout=30_000)
        make(home, "raw_alert")
        page.wait_for_url("**/files/mma/S240301a/index.html", timeout=30_000)
        # On the portal the page leads to the list, to its files and to the draft; each of them answers.
        links = page.locator("#portal a")
        assert page.locator("#portal").is_visible()
        found = [links.nth(i).get_attribute("href") for i in range(links.count())]
        assert found == ["/", "/events/S240301a/files", "/events/S240301a/circular"]
        assert [page.request.head(f"{address}{path}").status for path in found] == [200, 200, 200]


def test_a_retraction_stays_on_the_list(home: Home, page: playwright_api.Page) -> None:
    """On an open list a retraction is red, and stays when a notice of another event comes after it."""
    home.receive(body("S240301a"))
    with serving(Portal(home.archive, home.store)) as address:
        # The stream begins when it is asked for: nothing that came before is told.
        with page.expect_response("**/api/v1/stream"):
            page.goto(f"{address}/", wait_until="load")
        page.wait_for_timeout(2000)
        home.receive(body("S240301a", "RETRACTION", created="2024-03-01T15:00:00Z"))
        page.get_by_text("Retracted: S240301a").wait_for(timeout=30_000)
        home.receive(body("S240302b", time="2024-03-02T10:00:00Z"))
        page.get_by_text("New version: S240302b").wait_for(timeout=30_000)
        told = page.get_by_role("alert").get_by_text("Retracted: S240301a")
        assert told.is_visible()
        assert told.evaluate("line => getComputedStyle(line).backgroundColor") == "rgb(179, 0, 27)"
