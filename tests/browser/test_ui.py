"""What a person sees in the Dagster UI: the picture and the figures of a version, the graph that explains itself."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mma_pipeline.cli.local_dagster import LocalDagster, free_port
from mma_pipeline.defs.metadata import PLOT_WIDTH
from mma_pipeline.notices import lvk
from mma_pipeline.science.simulation.alerts import simulate_event
from tests.homes import FOREIGN, ROOT, Home
from tests.services.fixtures import needs
from tests.services.process import ServiceUnavailableError

playwright_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
#: The page and everything on it come from this machine, which has better things to do at times.
WAIT_MS = 120_000
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@dataclass
class Screen:
    """A Dagster that has one version of a simulated event, and a browser page."""

    url: str
    key: str
    page: playwright_api.Page

    def shot(self, name: str) -> None:
        """Keep a screenshot where MMA_SCREENSHOTS says; nowhere without it."""
        if folder := os.environ.get("MMA_SCREENSHOTS"):
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"))


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    """Make the last simulated update's products, start Dagster on them, and open a browser."""
    with needs("chromium"):
        if (chromium := shutil.which("chromium") or shutil.which("chromium-browser")) is None:
            raise ServiceUnavailableError("no chromium: install it from the distribution's packages")
    import dagster as dg

    home = Home(tmp_path_factory.mktemp("ui") / "home")
    notice = simulate_event("MS240301a", time=datetime(2024, 3, 1, 12, tzinfo=UTC), seed=1, max_order=8)[4]
    with home.active(), dg.DagsterInstance.from_config(str(home.folder)) as instance:
        home._instance = instance
        record = home.receive(json.dumps(lvk.to_record(notice)).encode())[0]
        assert home.make(record).success
    with pytest.MonkeyPatch.context() as patch:
        for name in FOREIGN:
            patch.delenv(name, raising=False)
        patch.setenv("PYTHONPATH", str(ROOT))
        with LocalDagster(home.folder, ROOT / "workspace.yaml", free_port(), home.env) as dagster:
            dagster.wait_until_ready()
            with playwright_api.sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
                page = browser.new_page(viewport={"width": 1500, "height": 1300})
                page.set_default_timeout(WAIT_MS)
                yield Screen(dagster.url, record.partition_key, page)
                browser.close()


def test_a_version_shows_its_picture(screen: Screen) -> None:
    """The asset page of a version shows the sky map as a picture that the browser can draw."""
    screen.page.goto(f"{screen.url}/assets/skymap_plot?view=partitions&partition={screen.key}")
    picture = screen.page.locator('img[src^="data:image/png;base64,"]').first
    if not picture.is_visible():
        # Long metadata is folded behind a button until it is asked for.
        screen.page.get_by_text("Show Markdown").first.or_(picture).first.wait_for()
        button = screen.page.get_by_text("Show Markdown")
        if button.count():
            button.first.click()
    picture.wait_for()
    width = picture.evaluate("image => image.decode().then(() => image.naturalWidth)")
    screen.shot("skymap_plot")
    assert width == PLOT_WIDTH


def test_a_version_shows_its_statistics(screen: Screen) -> None:
    """The asset page of a version shows the areas with their units, and the message that they come from."""
    screen.page.goto(f"{screen.url}/assets/skymap_statistics?view=partitions&partition={screen.key}")
    for words in ("area_90_deg2", "area_50_deg2", "distance_mean_mpc", "topic"):
        screen.page.get_by_text(words, exact=True).first.wait_for()
    screen.shot("skymap_statistics")


def test_the_graph_explains_itself(screen: Screen) -> None:
    """The asset graph shows the products by name, from the stream to the picture."""
    screen.page.goto(f"{screen.url}/asset-groups")
    for words in ("alert", "skymap"):
        screen.page.get_by_text(words, exact=True).first.wait_for()
    screen.page.wait_for_timeout(3000)
    screen.shot("graph")
