"""Pages of the TOM load nothing from other servers, and are complete without the internet."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from playwright.sync_api import Page, expect
from tom_dataproducts.models import DataProduct
from tom_targets.models import Target

from mma_pipeline.tom.demo.event import SimulatedEvent

from .conftest import deliver
from .test_browser import log_in

NIGHT = datetime(2026, 11, 22, 3, tzinfo=UTC)
#: Attributes whose address a browser fetches by itself.
FETCHED = {"src", "srcset", "poster", "data", "background"}
#: What fetches by itself in a script or a style that stands in the page.
_FETCHES = re.compile(
    r"""(?:\bfetch\(|\bimport\(?|@import|\burl\(|\.(?:src|href)\s*=)\s*['"]?(?:https?:)?//[^'")\s]+"""
)
PAGES = [
    *("home", "login", "user-list", "user-create", "group-create", "user-profile", "admin:index"),
    *("targets:list", "targets:create", "targets:import", "targets:targetgrouping", "targets:create-group"),
    *("targets:target-selection", "targets:persistent-share-manage-form"),
    *("dataproducts:list", "dataproducts:group-list", "dataproducts:group-create"),
    *("observations:list", "observations:template-list", "observations:group-list", "observations:add-existing"),
    *("dataservices:query_list", "calendar:calendar"),
]
OF_A_TARGET = ["targets:detail", "targets:update", "targets:delete", "targets:share"]


class Reader(HTMLParser):
    """Addresses of other servers that a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element, with what it fetches."""
        self._inside = tag
        named = {name: value or "" for name, value in attrs}
        fetched = [value for name, value in named.items() if name in FETCHED]
        fetched += [named["href"]] if tag == "link" and "href" in named else []
        self.foreign += [f"{tag} {value}" for value in fetched if urlsplit(value.strip()).netloc]
        self.foreign += _FETCHES.findall(named.get("style", ""))

    def handle_data(self, data: str) -> None:
        """Text, which may be a script or a style."""
        # Plotly's own script is in the page as a whole; it fetches maps of the Earth only, which no page draws.
        if self._inside in {"script", "style"} and "plotly.js v" not in data[:400]:
            self.foreign += [found.group() for found in _FETCHES.finditer(data)]


def foreign(text: str) -> list[str]:
    """Addresses of other servers that a page fetches."""
    reader = Reader()
    reader.feed(text)
    return reader.foreign


@pytest.fixture
def target(settings) -> Target:
    """A target of the stream with a FITS file."""
    settings.MMA_TOM = settings.MMA_TOM | {"target_rule": {"enabled": True, "test_events": True}}
    deliver(*SimulatedEvent(candidate="AT2026mma", event_id="S261121a").score(0.9, NIGHT, 17.0))
    made = Target.objects.get()
    file = SimpleUploadedFile("image.fits", b"SIMPLE  =                    T")
    DataProduct.objects.create(product_id="image", target=made, data=file, data_product_type="fits_file")
    return made


def test_the_reader_finds_what_a_browser_would_fetch() -> None:
    """Scripts, styles and pictures of other servers are found, with and without a scheme; links that people follow are not."""
    assert foreign('<script src="//a.example/x.js"></script>') == ["script //a.example/x.js"]
    assert foreign('<link rel="stylesheet" href="https://a.example/x.css">') == ["link https://a.example/x.css"]
    assert foreign('<script>fetch("https://a.example/x")</script>')
    assert foreign("<style>@import url(//a.example/x.css)</style>")
    assert foreign('<a href="https://a.example/">there</a><script src="/static/x.js"></script>') == []


@pytest.mark.django_db
@pytest.mark.usefixtures("portal")
def test_no_page_fetches_from_another_server(admin_client, target: Target) -> None:
    """Every page of the menus, of a target and of a query names scripts, styles and pictures of this server alone."""
    addresses = [reverse(name) for name in PAGES]
    addresses += [reverse(name, args=[target.pk]) for name in OF_A_TARGET]
    addresses.append(f"{reverse('dataservices:create')}?data_service=MMA")
    addresses.append(f"{reverse('observations:create', args=['LCO'])}?target_id={target.pk}")
    found = {}
    for address in addresses:
        answer = admin_client.get(address)
        assert answer.status_code == 200, address
        assert answer["content-type"].startswith("text/html"), address
        found[address] = foreign(answer.content.decode())
    assert {address: names for address, names in found.items() if names} == {}


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("portal")
def test_pictures_that_cannot_come_say_so(live_server, page: Page, observer, target: Target) -> None:
    """Without the internet the list and the page of a target are complete, and in place of the sky stand words."""
    log_in(page, live_server.url)
    page.goto(f"{live_server.url}{reverse('targets:list')}")
    words = page.locator("#aladin-lite-div")
    expect(words).to_contain_text("cannot be reached")
    assert page.locator("#aladin-lite-div").bounding_box()["height"] < 200
    expect(page.locator("table")).to_contain_text("AT2026mma")
    page.goto(f"{live_server.url}{target.get_absolute_url()}")
    expect(page.locator(".js-aladin-finderchart")).to_contain_text("cannot be reached")
    expect(page.locator("#chart-form-div")).to_have_count(0)
    page.click("a[role=tab]:has-text('Alerts')")
    expect(page.locator("#mma-alerts")).to_contain_text("S261121a")
