"""Versions in their order, what each changed, the event's page, and a retraction that goes through all of it."""

from __future__ import annotations

import json
import math
import re
import threading
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import dagster as dg
import pytest

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.archive.event_history import chronological, map_before, version_before
from mma_pipeline.adapters.store import Store
from mma_pipeline.defs.events.assets import overtaken_differences
from mma_pipeline.defs.events.page import write
from mma_pipeline.defs.events.page.headline import headline
from mma_pipeline.defs.events.page.render import ALADIN, Attachments, page_html, page_markdown
from mma_pipeline.defs.events.page.sentences import host, joint_rate, verdict
from mma_pipeline.defs.events.page.state import event_state
from mma_pipeline.defs.events.page.write import page_key, write_event_page
from mma_pipeline.defs.events.sensors import event_page_sensor
from mma_pipeline.defs.resources import ArchiveResource, StoreResource
from mma_pipeline.notices.neutrino_words import neutrino_words
from mma_pipeline.settings import current
from tests.alerts import SHARED, alert, body, fits_map
from tests.homes import Home
from tests.neutrinos import notice, track
from tests.pages import HOSTILE, hostile_state, untimed

EVENT = "MS240301a"
FAULTS = SHARED / "data" / "faults" / "maps"
#: What these tests look at; pictures and contours take most of a run's time and are tested in `test_products.py`.
QUICK = ("raw_alert", "skymap", "skymap_statistics", "version_difference", "event_page")
EARLY, LATER, LATEST = (f"2024-03-01T12:{minute}:00Z" for minute in ("00", "06", "30"))


def _difference(home: Home, record: VersionRecord) -> dict[str, Any]:
    product = home.archive.product(record.partition_key, "difference")
    assert product is not None
    return dict(json.loads(home.store.get(product.store_key)))


class _Page(HTMLParser):
    """What a browser would make of a page: elements with attributes, and text outside of scripts and styles."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(data.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] not in {"script", "style"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def links(self) -> list[str]:
        found = [attributes.get("href") or attributes.get("src") for _, attributes in self.elements]
        return [link for link in found if link and "://" not in link and not link.startswith("#")]

    def anchors(self) -> tuple[set[str], set[str | None]]:
        """Places that links within the page name, and those that exist."""
        named = {link[1:] for _, attributes in self.elements if (link := attributes.get("href") or "").startswith("#")}
        return named, {attributes.get("id") for _, attributes in self.elements}


def _page(home: Home, event_id: str = EVENT) -> _Page:
    return _Page(home.store.get(page_key(event_id)))


# -- order -----------------------------------------------------------------------------------------------------------


def test_order_is_that_of_creation(home: Home) -> None:
    """Whatever the order of arrival, versions follow one another by creation time; maps are sought among the earlier."""
    no_map = alert(EVENT, "INITIAL", created=LATER)
    no_map["event"]["skymap"] = None
    (update,) = home.receive(body(EVENT, "UPDATE", created=LATEST))
    (initial,) = home.receive(json.dumps(no_map).encode())
    (first,) = home.receive(body(EVENT, created=EARLY))
    records = home.archive.versions(EVENT)
    assert chronological(records) == [first, initial, update]
    assert version_before(records, first) is None
    assert version_before(records, initial) == first
    assert (version_before(records, update), map_before(records, update)) == (initial, first)


def test_combined_maps_are_a_line_of_their_own(home: Home) -> None:
    """The first combined map is compared with its own notice's, the next with the combined map before it."""
    own, combined = home.receive(body(EVENT, created=EARLY, external=fits_map(sigma=1.0)))
    own2, combined2 = home.receive(body(EVENT, "UPDATE", created=LATER, external=fits_map(sigma=0.8)))
    records = home.archive.versions(EVENT)
    assert version_before(records, combined) == own
    assert version_before(records, combined2) == combined
    assert version_before(records, own2) == own
    assert version_before(records, own) is None


# -- differences -----------------------------------------------------------------------------------------------------


def test_differences_of_an_event(home: Home) -> None:
    """First: none before. The same map again says so. A smaller region: areas, overlap and classes beside the old ones."""
    sent = [
        body(EVENT, created=EARLY),
        body(EVENT, created=LATER),
        body(
            EVENT,
            "UPDATE",
            created=LATEST,
            skymap=fits_map(sigma=1.0),
            far=1e-12,
            classification={"BNS": 0.5, "Terrestrial": 0.5},
        ),
    ]
    records = [home.receive(data)[0] for data in sent]
    for record in records:
        assert home.make(record, QUICK).success
    first, again, update = (_difference(home, record) for record in records)
    assert first == {"before": None, "summary": "first version: there is none before"}
    assert (again["before"], again["same_map"], again["changed"]) == (records[0].partition_key, True, {})
    assert update["before"] == update["map_before"] == records[1].partition_key
    # Concentric Gaussians of 2 and 1 deg: areas as the squares of the widths, the smaller region inside the larger.
    assert update["area_90_deg2_before"] / update["area_90_deg2"] == pytest.approx(4, rel=0.05)
    assert update["overlap_90_share"] == pytest.approx(1, abs=0.03)
    assert update["overlap_90_share_of_before"] == pytest.approx(0.25, rel=0.06)
    assert update["changed"] == {"far_hz": [1e-9, 1e-12]}
    assert update["classification"]["BNS"] == [0.9, 0.5]
    assert update["classification"]["NSBH"] == [0.05, None]


def test_a_late_notice_changes_what_its_successor_is_compared_with(home: Home) -> None:
    """When an earlier notice comes late, its run makes its successor's difference again and reports it there."""
    (second,) = home.receive(body(EVENT, "UPDATE", created=LATER, skymap=fits_map(sigma=1.0)))
    home.make(second, QUICK)
    assert _difference(home, second)["before"] is None
    (first,) = home.receive(body(EVENT, created=EARLY))
    result = home.make(first, QUICK)
    assert result.success
    assert _difference(home, second)["before"] == first.partition_key
    told = [(e.asset_key.to_user_string(), e.partition) for e in result.get_asset_materialization_events()]
    assert ("version_difference", second.partition_key) in told
    assert list(overtaken_differences(home.archive, home.store, EVENT, current())) == []
    assert "90 %: " in _page(home).text


def test_order_of_arrival_leaves_the_same_files(tmp_path: Any) -> None:
    """Pages, but for the time at which they were made, and differences are the same bytes whichever notice came first."""
    sent = [
        body(EVENT, created=EARLY),
        body(EVENT, "UPDATE", created=LATER, skymap=fits_map(sigma=1.0), external=fits_map(sigma=0.8)),
        body(EVENT, "RETRACTION", created=LATEST),
    ]
    found = []
    for name, order in (("one", sent), ("two", sent[::-1])):
        with Home(tmp_path / name).active() as home:
            for data in order:
                for record in home.receive(data):
                    assert home.make(record, QUICK).success
            files = {key: data for key, data in home.files().items() if key.startswith("mma/")}
            found.append({key: untimed(data) if key == page_key(EVENT) else data for key, data in files.items()})
    assert found[0] == found[1]


# -- the page --------------------------------------------------------------------------------------------------------


def test_notices_are_counted_and_where_their_messages_stand(home: Home) -> None:
    """A combined map is a version but no notice; each version names topic, partition and offset of its message."""
    for record in home.receive(body(EVENT, created=EARLY, external=fits_map(sigma=1.0))):
        assert home.make(record, QUICK).success
    (update,) = home.receive(body(EVENT, "UPDATE", created=LATER))
    assert home.make(update, QUICK).success
    text = _page(home).text
    assert text.count("Newest notice Update of") == 1
    assert "2 notices in all (3 versions with the combined or fetched maps)" in text
    assert text.count("igwn.gwalert partition 0, offset 0 , SHA-256") == 2
    assert "igwn.gwalert partition 0, offset 1 , SHA-256" in text


def test_page_shows_every_version_and_links_every_file(home: Home) -> None:
    """All versions, areas and differences are on the page; every relative link leads to a file of the store."""
    for data in (body(EVENT, created=EARLY), body(EVENT, "UPDATE", created=LATER, skymap=fits_map(sigma=1.0))):
        for record in home.receive(data):
            assert home.make(record).success
    page, files = _page(home), home.files()
    for words in (
        "Preliminary",
        "Update",
        "BNS 90 %, NSBH 5 %, Terrestrial 5 %",
        "A mock or test event",
        "no orbital elements",
        "mma catalog import",
    ):
        assert words in page.text, words
    base = home.products / "mma" / EVENT
    linked = {(base / link).resolve().relative_to(home.products).as_posix() for link in page.links()}
    assert linked <= set(files)
    assert {p.store_key for r in home.archive.versions() for p in home.archive.products(r.partition_key)} <= linked
    named, there = page.anchors()
    assert named <= there
    (aladin,) = [a for tag, a in page.elements if tag == "script" and a.get("src")]
    assert aladin["src"] == ALADIN
    assert (aladin["integrity"] or "").startswith("sha384-")


def test_the_same_state_is_the_same_page(home: Home) -> None:
    """Where nothing changed, nothing is written and the page keeps the time at which it was made; a lost one is made again."""
    (record,) = home.receive(body(EVENT))
    home.make(record, QUICK)
    before = home.store.get(page_key(EVENT))
    assert write_event_page(home.archive, home.store, EVENT).writes == 0
    assert home.make(record, QUICK).success
    assert home.store.get(page_key(EVENT)) == before
    home.store.delete(page_key(EVENT))
    assert write_event_page(home.archive, home.store, EVENT).writes == 1
    assert untimed(home.store.get(page_key(EVENT))) == untimed(before)


def test_nothing_of_an_alert_is_markup() -> None:
    """Texts of alerts with elements, handlers and javascript links in every field stay text, in HTML and in Markdown."""
    galaxies = [{"rank": 1, "name": HOSTILE, "ra": 1.0, "dec": 2.0, "score": 0.1, "info": {HOSTILE: 1.0}}]
    attached = Attachments(galaxies, {HOSTILE: [[[1.0, 2.0]]]})
    plain = Attachments(galaxies, {"90": [[[1.0, 2.0]]]})
    page = _Page(page_html(hostile_state(), "mma/x/index.html", attached))
    reference = [tag for tag, _ in page.elements]
    assert reference.count("script") == 4
    assert [tag for tag, _ in _Page(page_html(hostile_state(), "mma/x/index.html", plain)).elements] == reference
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    addresses = [a.get("href") or a.get("src") or "" for _, a in page.elements]
    assert not any(address.lower().startswith("javascript:") for address in addresses)
    assert "<script>alert(1)</script>" in page.text
    assert "50 % (1 pair)" in page.text
    shown = page_markdown(hostile_state(), "mma/x/index.html", plain)
    assert "<script" not in shown
    assert "<img" not in shown
    assert "](" not in shown
    assert "\n# x" not in shown


def test_the_smallest_region_comes_first_and_says_what_it_is(home: Home) -> None:
    """A newer combined map that is smaller leads, with the condition under which it holds, and the own map stands beside it."""
    sent = body(EVENT, "UPDATE", created=LATER, skymap=fits_map(sigma=2.0), external=fits_map(sigma=0.5))
    for record in home.receive(sent):
        assert home.make(record, QUICK).success
    first = headline(event_state(home.archive, EVENT))
    combined, own = first.regions
    # 90 % of a narrow Gaussian lies within 2π ln(10) σ².
    assert combined.area_90 == pytest.approx(2 * math.pi * math.log(10) * 0.5**2, rel=0.1)
    assert (combined.combined, own.combined) == (True, False)
    assert own.area_90 == pytest.approx(2 * math.pi * math.log(10) * 2.0**2, rel=0.05)
    text = _page(home).text
    assert (
        "Update-ExtCoinc, combined with Fermi by LVK, 2024-03-01 12:06:00 UTC; holds only if both are one source"
        in text
    )
    # Moments of r² N(100, 20): (μ³ + 3μσ²) / (μ² + σ²), and so on.
    assert re.search(r"Update, own map: 90 % 5\d deg², 108 ± 19 Mpc", text)
    # 1 / 2.1e-14 Hz is 1.5 million years.
    assert "Fermi GRB, 2.02 s apart, joint rate one in 1.5 million years, as LIGO/Virgo/KAGRA state" in text
    earlier = body(EVENT, "INITIAL", created=LATEST, skymap=fits_map(sigma=1.0))
    for record in home.receive(earlier):
        assert home.make(record, QUICK).success
    assert [r.combined for r in headline(event_state(home.archive, EVENT)).regions] == [False], (
        "the combined map is older"
    )


def test_pairs_in_words() -> None:
    """Places that exclude each other have no joint rate, a frequent rate no number, and a retraction its event and time."""
    key = "MS240301a-R150000-0123456789-20240301-Retraction-R150000"
    gone = {"state": "withdrawn", "withdrawn_by": key, "overlap": 1.72e-12, "far_hz": 140.0, "far_time_hz": 1e-9}
    retracted = "withdrawn: MS240301a was retracted at 2024-03-01 15:00:00 UTC"
    assert joint_rate(gone) == "none: places exclude each other"
    assert joint_rate(gone, "far_time_hz") == "one in 32 years"
    assert verdict(gone) == f"places exclude each other; {retracted}"
    near = {**gone, "overlap": 3.0, "far_hz": 1e-4}
    assert (joint_rate(near), verdict(near)) == ("more than one a day", retracted)
    assert verdict({"state": "claimed", "withdrawn_by": None}) == "claimed as one source"
    # On the first screen, too.
    pair = {**gone, "gw_event": "MS240301a", "other_event": "TFermi_731246338", "difference_s": 2.0}
    shown = replace(hostile_state(), event_id="MS240301a")
    version = {**shown.versions[0], "statistics": {"coincidences": {"pairs": [pair]}}}
    (said, *_) = headline(replace(shown, versions=(version,), map_version=None)).coincidences
    assert (said.rate, said.verdict) == ("", f"places exclude each other; {retracted}")


def test_each_chance_says_what_it_is_of() -> None:
    """IceCube's own chance and that of our comparison stand side by side, and each says whose it is."""
    facts = {"neutrinos": 2, "pval_generic": 1 / 1200}
    statistics = {"neutrino_coincidence": {"best_p_trials": 0.02}}
    version = {**hostile_state().versions[1], "facts": facts, "statistics": statistics}
    (said,) = headline(replace(hostile_state(), versions=(version,), map_version=None)).coincidences
    assert said.rate == "so much by chance, as IceCube states: 1 in 1,200"
    assert said.verdict == "the best track so near in time and place by chance, as we compare: 2.0 %"


def test_candidates_show_what_is_known_of_their_host() -> None:
    """A redshift, the host's distance and the form of the sky factor stand on the page; a score without them does too."""
    plain = {"slug": "x", "ra": 1.0, "dec": 2.0, "p_phot": 0.5, "sky_factor": 1.25, "nights": 2, "sufficient": True}
    known = {**plain, "candidate": "near", "redshift": 0.0098, "host_distance_mpc": 42.31, "sky_factor_dimensions": 3}
    state = replace(hostile_state(), candidates=(known, {**plain, "candidate": "of-before"}))
    text = _Page(page_html(state, "mma/x/index.html", Attachments((), {}))).text
    assert "near 1.00000 2.00000 0.500 0.0098 42.3 1.25 (3-D)" in text
    assert "of-before 1.00000 2.00000 0.500 1.25 2" in text


def test_a_host_and_a_redshift_that_was_sent() -> None:
    """A redshift that came with the photometry says so, also beside the verdict that no galaxy counts as host."""
    none = {
        "check": "host",
        "outcome": "doubtful",
        "words": "no host: the likeliest is far",
        "factor": 1.0,
        "counted": False,
    }
    assert host({"redshift": 0.0456, "vetting": {"verdicts": [none]}}) == (
        "none in the catalog, z = 0.0456 as sent with the photometry"
    )
    galaxy = {"name": "NGC 4993", "separation_arcsec": 10.2, "distance_mpc": 41.0}
    assert host({"vetting": {"host": galaxy}}) == "NGC 4993, 10″ away, 41 Mpc"
    assert host({}) == ""


@pytest.mark.skipif(not FAULTS.exists(), reason=f"{FAULTS} is not there")
def test_a_map_that_cannot_be_used_is_said_first(home: Home) -> None:
    """The first screen, and each section that needs the map, says that the notice's map cannot be used, and why."""
    (record, *_) = home.receive((FAULTS / "m_flat_nan.json").read_bytes())
    state = event_state(home.archive, record.version.event_id)
    text = page_html(state, page_key(state.event_id), Attachments()).decode()
    first = text.partition('<dl class="first"')[2].partition("</dl>")[0]
    said = f"The map of the notice Preliminary of {record.version.created:%Y-%m-%d %H:%M:%S} UTC cannot be used: event.skymap: "
    assert said in first
    assert "No map yet" not in text
    assert "no notice has a sky map" not in text
    assert text.count(said) >= 4
    assert "No map" in page_markdown(state, page_key(state.event_id), Attachments())
    # An earlier map that can be used stays, and the newest notice's is still named.
    good = body(state.event_id, created="2020-01-01T00:00:00Z")
    (earlier,) = home.receive(good)
    assert home.make(earlier, QUICK).success
    first = page_html(event_state(home.archive, state.event_id), "x", Attachments()).decode().partition("</dl>")[0]
    assert "90 %:" in first
    assert said in first


class _Interrupted(Store):
    """A store in which, while one page is being written, something else happens first."""

    def __init__(self, store: Store, meanwhile: list[Any]) -> None:
        self.__dict__ = store.__dict__
        self.meanwhile = meanwhile

    def put(self, key: str, data: Any, **options: Any) -> Any:
        if self.meanwhile:
            self.meanwhile.pop()()
        return super().put(key, data, **options)


def test_a_run_that_ends_meanwhile_leaves_no_stale_page(home: Home) -> None:
    """While a page is written, another version's run ends and writes its own: the page that stays shows both."""
    (first,) = home.receive(body(EVENT, created=EARLY))
    home.make(first, QUICK)
    (second,) = home.receive(body(EVENT, "UPDATE", created=LATER))

    def other_run() -> None:
        assert home.make(second, QUICK).success

    home.store.delete(page_key(EVENT))
    slow = _Interrupted(home.store, [other_run])
    written = write_event_page(home.archive, slow, EVENT)
    assert written.state.digest == event_state(home.archive, EVENT).digest
    assert write.shows(home.store, EVENT, written.state.digest)
    assert second.partition_key in _page(home).text


def test_many_at_once(home: Home) -> None:
    """Eight that archive a version and write the page at the same time: whoever is last, all versions are on it."""
    bodies = [body(EVENT, created=f"2024-03-01T12:{minute:02d}:00Z", far=minute * 1e-9 + 1e-9) for minute in range(8)]
    records: list[VersionRecord] = []
    archive = home.archive

    def one(data: bytes) -> None:
        records.extend(home.receive(data))
        write_event_page(archive, home.store, EVENT)

    threads = [threading.Thread(target=one, args=(data,)) for data in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    page = _page(home)
    assert len(records) == 8
    assert all(record.partition_key in page.text for record in records)


def test_sensor_asks_for_a_page_that_is_behind(home: Home) -> None:
    """A page that rests behind the archive gets one run; one that changed just now is left to its own run."""
    (record,) = home.receive(body(EVENT))
    home.make(record, QUICK)
    cursor: str | None = None

    def tick() -> list[str]:
        nonlocal cursor
        context = dg.build_sensor_context(
            home.instance, cursor=cursor, resources={"archive": ArchiveResource(), "store": StoreResource()}
        )
        result = event_page_sensor(context)
        assert isinstance(result, dg.SensorResult)
        cursor = result.cursor
        return [str(request.partition_key) for request in result.run_requests or ()]

    assert [tick(), tick(), tick()] == [[], [], []]
    (update,) = home.receive(body(EVENT, "UPDATE", created=LATER))
    assert tick() == [], "its run is under way"
    assert tick() == [update.partition_key]
    write_event_page(home.archive, home.store, EVENT)
    assert [tick(), tick()] == [[], []]


# -- retraction ------------------------------------------------------------------------------------------------------


def test_a_retraction_goes_through(home: Home) -> None:
    """The page says it first; each product of the earlier versions is told; what is made later says it by itself."""
    (first,) = home.receive(body(EVENT, created=EARLY))
    home.make(first, QUICK)
    assert "Retracted" not in _page(home).text
    (retraction,) = home.receive(body(EVENT, "RETRACTION", created=LATEST))
    result = home.make(retraction, QUICK)
    assert result.success
    page = _page(home)
    assert [a for tag, a in page.elements if a.get("role") == "alert"]
    assert page.text.startswith(f"RETRACTED {EVENT}")
    told = [e.event_specific_data.asset_observation for e in result.all_events if e.is_asset_observation]
    products = {p.asset for p in home.archive.products(first.partition_key)}
    assert {o.asset_key.to_user_string() for o in told} == {"event_page", *products}
    assert all(o.partition == first.partition_key and o.metadata["retracted"].value is True for o in told)
    assert _difference(home, retraction)["summary"] == "the event is retracted"
    (late,) = home.receive(body(EVENT, "UPDATE", created=LATER, skymap=fits_map(sigma=1.0)))
    made = {e.asset_key.to_user_string(): e for e in home.make(late, QUICK).get_asset_materialization_events()}
    metadata = made["skymap"].step_materialization_data.materialization.metadata
    assert metadata["retracted by"].value == retraction.partition_key
    assert _difference(home, retraction)["before"] == late.partition_key


def test_a_version_after_a_retraction_is_compared_with_what_stated_facts(home: Home) -> None:
    """An update after a retraction says what changed against the version before it, not against the retraction."""
    (first,) = home.receive(body(EVENT, created=EARLY))
    home.receive(body(EVENT, "RETRACTION", created=LATER))
    (after,) = home.receive(body(EVENT, "UPDATE", created=LATEST, skymap=fits_map(sigma=1.0), far=1e-12))
    assert version_before(home.archive.versions(EVENT), after) == first
    assert home.make(after, QUICK).success
    assert "false alarms: one in 32 years → one in 32,000 years" in _page(home).text
    assert "Retracted" in _page(home).text


# -- neutrinos -------------------------------------------------------------------------------------------------------


def test_neutrinos_are_on_the_page(home: Home) -> None:
    """A neutrino notice is a version on the event's page: its tracks compared with the map, in tables, with the picture."""
    (record,) = home.receive(body(EVENT, created=EARLY))
    home.make(record, QUICK)
    (neutrinos,) = home.receive(notice(EVENT, track(150.2, 20.1), track(170.0, -40.0)))
    assert home.make(neutrinos).success
    page = _page(home)
    cells = [word.strip() for word in page.words]
    assert {"p_spacetime", "credible_level", "best credible level"} <= set(cells)
    assert not any("|---" in word for word in cells)
    assert f"{neutrinos.partition_key}/coincidence.png" in page.links()
    assert version_before(home.archive.versions(EVENT), record) is None


def test_neutrinos_in_sentences() -> None:
    """When, where, how near to the map and how often by chance, for each track; a notice without any is an upper limit."""
    track = {"time_offset_s": -12.9, "ra_deg": 150.2, "dec_deg": 20.1, "radius_deg": 0.5, "credible_level": 0.23}
    track |= {"probability_inside": 0.04, "p_spacetime": 1 / 3200, "p_trials": 1 / 1600}
    far = {**track, "credible_level": 0.9999, "probability_inside": 0.0}
    facts = {"neutrinos": 2, "pval_generic": 0.0191, "pval_bayesian": None}
    statistics = {"neutrino_coincidence": {"map_version": "x", "tracks": [track, far]}}
    said = neutrino_words(facts, statistics)
    assert (
        said[0]
        == "IceCube's search has 2 tracks in coincidence. Probability of as much by chance: as a transient 1.9 %."
    )
    assert said[1] == (
        "Track 1 came 13 s before the event, at RA 150.20°, Dec +20.10° within 0.5°, on the edge of the map's 23 % region, "
        "with 4.0 % of the map inside its circle. So near in time and place by chance: 1 in 3,200, for any of the 2 tracks "
        "1 in 1,600."
    )
    assert "outside of the map, with 0 % of the map" in said[2]
    none = {"facts": {"neutrinos": 0}, "statistics": {"neutrino_notice": {"flux_sensitivity_gev_cm2": [0.0277, 0.647]}}}
    assert neutrino_words(none["facts"], none["statistics"]) == [
        "IceCube's search has no track in coincidence.",
        "An upper limit: sensitive to 0.0277 to 0.647 GeV/cm² for an E⁻² spectrum.",
    ]


def test_an_empty_list_of_galaxies_says_why() -> None:
    """With a map and a catalog whose galaxies all lie outside, the page says that, and asks for neither of the two."""
    state = hostile_state()
    found = {"catalog": "50MGC", "galaxies_considered": 0, "galaxies_listed": 0}
    version = {**state.versions[0], "statistics": {**state.versions[0]["statistics"], "galaxies": found}}
    text = _Page(page_html(replace(state, versions=(version,)), "mma/x/index.html", Attachments())).text
    assert "No galaxy of 50MGC lies inside the map's volume." in text
    assert "it needs a sky map" not in text
    assert "it needs a sky map" in _Page(page_html(state, "mma/x/index.html", Attachments())).text


def test_galaxies_in_front_of_the_map_are_said_to_be() -> None:
    """Where the map lies beyond the catalog, the page warns and names the catalog, in HTML and in Markdown."""
    listed = {
        "catalog": "50MGC",
        "catalog_depth_mpc": 52.7,
        "probability_beyond_catalog": 1.0,
        "galaxies_considered": 2,
        "galaxies_listed": 2,
    }
    state = hostile_state()
    version = {**state.versions[0], "statistics": {**state.versions[0]["statistics"], "galaxies": listed}}
    galaxies = [{"rank": 1, "name": "NGC 1", "ra": 1.0, "dec": 2.0, "score": 0.2, "info": {"Distance [Mpc]": 40.0}}]
    shown = replace(state, versions=(version,))
    text = _Page(page_html(shown, "mma/x/index.html", Attachments(galaxies, {}))).text
    assert "The map lies beyond the catalog: the source is farther than 53 Mpc, where 50MGC ends" in text
    assert "**The map lies beyond 50MGC**" in page_markdown(shown, "mma/x/index.html", Attachments(galaxies, {}))
    near = {
        **version,
        "statistics": {**version["statistics"], "galaxies": {**listed, "probability_beyond_catalog": 0.02}},
    }
    shown = replace(state, versions=(near,))
    assert "lies beyond" not in _Page(page_html(shown, "mma/x/index.html", Attachments(galaxies, {}))).text
