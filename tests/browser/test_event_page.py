"""The page of an event in a real browser without a network: its picture is drawn, and no text of an alert acts."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest

from mma_pipeline.defs.events.page.render import ALADIN, Attachments, page_html
from tests.browser.test_ui import ARGUMENTS
from tests.pages import HOSTILE, hostile_state
from tests.services.fixtures import needs
from tests.services.process import ServiceUnavailableError

playwright_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def test_page_without_network(tmp_path: Path) -> None:
    """From a folder, offline: the picture shows, Aladin stays hidden, the banner is seen, nothing hostile runs."""
    with needs("chromium"):
        if (chromium := shutil.which("chromium") or shutil.which("chromium-browser")) is None:
            raise ServiceUnavailableError("no chromium: install it from the distribution's packages")
    folder = tmp_path / "mma" / "MS240301a"
    folder.mkdir(parents=True)
    (folder / "skymap.png").write_bytes(base64.b64decode(PIXEL))
    galaxies = [{"rank": 1, "name": HOSTILE, "ra": 1.0, "dec": 2.0, "score": 0.1, "info": {}}]
    attached = Attachments(galaxies, {"90": [[[1.0, 2.0], [2.0, 3.0]]]})
    state = hostile_state("mma/MS240301a/skymap.png")
    (folder / "index.html").write_bytes(page_html(state, "mma/MS240301a/index.html", attached))
    asked: list[str] = []
    dialogs: list[str] = []
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page = browser.new_page()

        def offline(route: playwright_api.Route) -> None:
            asked.append(route.request.url)
            route.abort()

        page.route(lambda url: not url.startswith(("file:", "data:")), offline)
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.goto((folder / "index.html").as_uri(), wait_until="load")
        width = page.locator("img").first.evaluate("image => image.decode().then(() => image.naturalWidth)")
        assert width == 1
        assert page.locator("#aladin").is_hidden()
        assert page.get_by_role("alert").is_visible()
        assert "<script>alert(1)</script>" in page.locator("h1").inner_text()
        # On a telephone only tables scroll sideways, each for itself.
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
    assert dialogs == []
    assert set(asked) == {ALADIN}
