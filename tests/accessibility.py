"""axe-core in a browser: what of a page people with disabilities cannot use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Page

#: Widths of a desktop and of a telephone, pixels.
WIDTHS = (1440, 390)
_HEIGHT = 900
_COUNTED = ("serious", "critical")


def problems(page: Page) -> list[str]:
    """Serious and critical violations of the page as it is shown: rule, what it asks for, where."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{page.url}: {one['id']} ({one['help']}) at {', '.join(str(node['target'][0]) for node in one['nodes'][:5])}"
        for one in found
        if one["impact"] in _COUNTED
    ]


def problems_at_both_widths(page: Page) -> list[str]:
    """The same on a desktop and on a telephone."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": _HEIGHT})
        found += [f"{width} px, {one}" for one in problems(page)]
    return found
