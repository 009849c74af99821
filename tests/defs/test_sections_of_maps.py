"""Sections of an event's page say of which map they are; the combined map's galaxies come first, and useless lists say so."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.catalogs.index import build_index
from mma_pipeline.defs.events.page.galaxies import GalaxyList
from mma_pipeline.defs.events.page.headline import headline
from mma_pipeline.defs.events.page.render import Attachments, page_html, page_markdown
from mma_pipeline.defs.events.page.state import event_state
from mma_pipeline.defs.events.page.write import page_key, write_event_page
from mma_pipeline.products.regions import Region, of_map, smaller_than_own
from tests.alerts import body, fits_map
from tests.homes import Home
from tests.pages import hostile_state

EVENT = "MS240301a"
MADE = ("raw_alert", "skymap", "skymap_statistics", "galaxies", "observability", "visibility")


@pytest.fixture
def both(home: Home) -> tuple[VersionRecord, VersionRecord]:
    """An event whose own map is wide and whose combined map is narrow, each with a list of galaxies."""
    rng = np.random.default_rng(3)
    count = 400_000
    table = Table(
        {
            "objname": [f"NED {i}" for i in range(count)],
            "ra": rng.uniform(0, 360, count),
            "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, count))),
            "DistMpc": 150 * rng.uniform(0, 1, count) ** (1 / 3),
            "Mstar": 10 ** rng.normal(10, 0.5, count),
        }
    )
    table.write(home.folder / "ned.fits")
    build_index(home.folder / "ned.fits", home.folder / "galaxies")
    sent = body(EVENT, "UPDATE", skymap=fits_map(sigma=2.0), external=fits_map(sigma=0.5))
    for record in home.receive(sent):
        assert home.make(record, MADE).success
    own, combined = sorted(home.archive.versions(EVENT), key=lambda found: found.version.is_external)
    return own, combined


def _text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_each_section_names_its_map(home: Home, both: tuple[VersionRecord, VersionRecord]) -> None:
    """Where a combined map leads, its own galaxies come first, and galaxies, windows and coverage name map and area."""
    own, combined = both
    state = event_state(home.archive, EVENT)
    smallest, mine = headline(state).regions
    assert state.combined is not None
    assert state.combined["partition"] == combined.partition_key
    write_event_page(home.archive, home.store, EVENT)
    page = home.store.get(page_key(EVENT)).decode()
    section = page[page.index('id="galaxies"') : page.index('id="versions"')]
    ours, theirs = (
        json.loads(
            home.store.get(next(p for p in home.archive.products(r.partition_key) if p.name == "galaxies").store_key)
        )
        for r in (own, combined)
    )
    assert [g["name"] for g in ours[:5]] != [g["name"] for g in theirs[:5]]
    assert section.index(of_map(smallest)) < section.index(f"<td>{theirs[0]['name']}</td>")
    assert section.index(f"<td>{theirs[0]['name']}</td>") < section.index(of_map(mine))
    windows = _text(page[page.index('id="windows"') : page.index('id="galaxies"')])
    assert f"some of the map of {of_map(mine)}" in windows
    assert smaller_than_own((smallest, mine)) in windows
    markdown = page_markdown(state, "mma/x/index.html", Attachments(ours, combined_galaxies=theirs))
    assert theirs[0]["name"] in markdown
    # 90 % of a narrow Gaussian lies within 2π ln(10) σ²: 58 deg² of the own map, 3.6 deg² of the combined one.
    assert re.search(r"Update, own map \(90 %: 5\d deg²\)", of_map(mine))
    assert re.search(r"by LVK \(90 %: [34]\.\d+ deg²\)", of_map(smallest))


def test_a_region_without_a_list_is_said(home: Home, both: tuple[VersionRecord, VersionRecord]) -> None:
    """Where the smallest region has no galaxies of its own, the page says that those below are of another map."""
    state = event_state(home.archive, EVENT)
    rows = [{"rank": 1, "name": "NGC 1", "ra": 1.0, "dec": 2.0, "score": 0.2, "info": {}}]
    text = _text(page_html(state, "mma/x/index.html", Attachments(rows)).decode())
    assert "The smallest region is another: Update-ExtCoinc, combined with Fermi by LVK" in text
    assert "There is no list of galaxies for it." in text


def test_words_of_a_map() -> None:
    """A map without distance says so; without a combined region there is no other one to speak of."""
    own = Region("Initial, own map", "2024", None, 20.0, 1.0, 2.0, None, None, combined=False)
    ours = replace(own, label="combined with S1 by us", created=None, area_90=9.0, distance=149.0, combined=True)
    assert of_map(own) == "Initial, own map (90 %: 20 deg², no distance)"
    assert of_map(ours) == "combined with S1 by us (90 %: 9.0 deg²)"
    assert smaller_than_own((own,)) == smaller_than_own(()) == smaller_than_own((ours,)) == ""
    assert smaller_than_own((own, replace(ours, area_90=40.0))) == ""
    assert smaller_than_own((ours, own)).startswith("The smallest region is another: combined with S1 by us")


def test_a_list_by_which_nobody_can_choose_says_so() -> None:
    """Twenty galaxies of 0.2 % each are 4 % of a list: no help; one of 20 % is."""
    flat = [
        {"rank": i, "name": f"N{i}", "ra": 1.0, "dec": 2.0, "score": 0.002, "info": {"Distance [Mpc]": 40.0}}
        for i in range(1, 21)
    ]
    assert GalaxyList("x", {}, flat).share == pytest.approx(0.04)
    state = hostile_state()
    listed = {"catalog": "50MGC", "galaxies_considered": 9000}
    version = {**state.versions[0], "statistics": {**state.versions[0]["statistics"], "galaxies": listed}}
    state = replace(state, versions=(version,))
    for rows, useless in ((flat, True), ([{**flat[0], "score": 0.2}], False), ([], False)):
        found = Attachments(rows)
        for text in (_text(page_html(state, "m/i.html", found).decode()), page_markdown(state, "m/i.html", found)):
            assert ("No targets can be chosen by" in text) is useless
            assert ("best 20" in text and "hold 4.0 %" in text) is useless


def test_names_are_the_field_s(home: Home, both: tuple[VersionRecord, VersionRecord]) -> None:
    """Instruments in orbit have their names, not those of their files; the catalog's note is a sentence."""
    write_event_page(home.archive, home.store, EVENT)
    page = home.store.get(page_key(EVENT)).decode()
    assert "<td>Fermi GBM</td>" in page
    assert "<td>Fermi LAT</td>" in page
    assert "<td>Fermi</td>" not in page
    # Uniform in volume to 150 Mpc: 99 % lie within 150 × 0.99^(1/3) = 149.5 Mpc.
    assert re.search(
        r"From [^;.]*(\.[^;.]*)*; [\d,]+ of its galaxies lie inside the map's volume, and 99 % of all within 1(49|50) Mpc\.",
        _text(page),
    )
    assert "of whose galaxies" not in page
