"""A headless browser for the tests: Debian's chromium through Playwright, with no way out of this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

NODE_MODULES = Path(__file__).parent / "node" / "node_modules"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def needed(what: str, *names: str) -> str:
    """Path of a program of the tests; without it the tests skip, and fail where CI is set."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        message = f"{what} is not installed (looked for {', '.join(names)})"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def needed_packages() -> None:
    """The packages of tests/tom/node; without them the tests skip, and fail where CI is set."""
    if NODE_MODULES.is_dir():
        return
    message = "run `npm ci` in tests/tom/node (make test-tom does)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


PATIENCE_MS = 90_000
"""A busy machine is slow; what never comes fails all the same."""
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser."""
    path = needed("chromium", "chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


def _answer(route: Route) -> None:
    """This machine answers; nothing else is reached."""
    if urlsplit(route.request.url).hostname in {"localhost", "127.0.0.1"}:
        route.continue_()
    else:
        route.abort()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a browser that has no cookies yet."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(PATIENCE_MS)
    context.route("**/*", _answer)
    yield context.new_page()
    context.close()
