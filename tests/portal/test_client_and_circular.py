"""The Python client against the portal, and the draft of a Circular."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from fastapi.testclient import TestClient
from mocpy import MOC

from mma_pipeline import client
from mma_pipeline.adapters.archive.coincidences import pairs_of
from mma_pipeline.adapters.errors import ConfigurationError, DigestError, NotFoundError, PermanentError
from mma_pipeline.portal.circular import circular
from mma_pipeline.portal.words import ago, distance, false_alarm, sexagesimal, size
from tests.alerts import SHARED, body, needs_real_alerts, real_paths, utc
from tests.defs.test_coincidences import fermi
from tests.homes import Home
from tests.neutrinos import notice, track
from tests.portal.conftest import DEC, LIVE, RA, SIGMA, compare, make

FAULTS = SHARED / "data" / "faults" / "maps"


@pytest.fixture
def served(web: TestClient) -> Iterator[client.Portal]:
    """A client whose requests the portal answers."""

    def answer(request: httpx.Request) -> httpx.Response:
        found = web.request(request.method, str(request.url), content=request.content, headers=dict(request.headers))
        kept = {k: v for k, v in found.headers.items() if k not in {"content-encoding", "transfer-encoding"}}
        return httpx.Response(found.status_code, content=found.content, headers=kept)

    with client.Portal("http://testserver", transport=httpx.MockTransport(answer)) as found:
        yield found


def test_three_lines(served: client.Portal) -> None:
    """All products of an event come as the objects that suit them, compared with their digests."""
    event = served.event(LIVE)
    products = event.products()
    objects = dict(products)
    assert isinstance(objects["skymap"], Table)
    assert objects["skymap"]["PROBDENSITY"].max() > 0
    region = objects["coverage_90_fits"]
    assert isinstance(region, MOC)
    area = products.figures["skymap_statistics"]["area_90_deg2"]
    assert region.sky_fraction * 41252.96 == pytest.approx(area, rel=0.05)
    assert isinstance(objects["alert"], dict)
    assert set(products) == set(products.files)


def test_tables_of_the_client(served: client.Portal) -> None:
    """Lists are pandas frames, cross-matches astropy tables, with what the API says."""
    events = served.events()
    assert list(events.index) == [LIVE, "S240301a", "S240229b"]
    assert events["time"].dt.tz is not None
    assert list(served.events(retracted=True).index) == ["S240229b"]
    assert list(served.event("S240301a").versions()["kind"]) == ["Update-ExtCoinc", "Update", "Preliminary"]
    for table in (Table({"ra": [RA], "dec": [DEC + SIGMA]}), pd.DataFrame({"ra": [RA], "dec": [DEC + SIGMA]})):
        assert served.event(LIVE).crossmatch(table)["searched_prob"][0] == pytest.approx(0.39, abs=0.08)
    assert list(served.events_at(RA, DEC)["event"]) == [LIVE]
    assert served.objects_in(MOC.from_string("3/5")).empty
    assert served.event("S240301a").candidates().empty
    assert len(served.event(LIVE).files()) >= 6


def test_units_and_retraction_in_the_client(served: client.Portal) -> None:
    """Units that a table states are converted before it is sent, and the answer says that an event is retracted."""
    stated = Table(
        {"ra": [np.radians(RA)], "dec": [np.radians(DEC + SIGMA)], "distance": [9e4]},
        units={"ra": "rad", "dec": "rad", "distance": "kpc"},
    )
    row = served.event(LIVE).crossmatch(stated)[0]
    assert (row["ra_deg"], row["dec_deg"], row["distance_mpc"]) == pytest.approx((RA, DEC + SIGMA, 90.0))
    with pytest.raises(ValueError, match="column ra is in kpc"):
        served.event(LIVE).crossmatch(Table({"ra": [1.0], "dec": [2.0]}, units={"ra": "kpc"}))
    answer = served.event("S240229b").crossmatch(Table({"name": ["a"], "ra": [1.0], "dec": [2.0]}))
    assert list(answer["name"]) == ["a"]
    assert answer.meta["retracted_by"] == served.event("S240229b").summary["retracted_by"]
    assert "retracted_by" not in served.event(LIVE).crossmatch(stated).meta


def test_the_client_says_that_an_event_is_retracted(served: client.Portal) -> None:
    """A retracted event and its products name the notice, also where they are printed; of others nothing is said."""
    event = served.event("S240229b")
    products = event.products()
    assert event.retracted_by == products.retracted_by == event.summary["retracted_by"]
    for shown in (repr(event), repr(products)):
        assert f"RETRACTED by {event.retracted_by!r}" in shown
    standing = served.event(LIVE)
    assert standing.retracted_by is None
    assert standing.products().retracted_by is None
    assert "RETRACTED" not in f"{standing!r}{standing.products()!r}"


def test_pairs_of_the_client(served: client.Portal) -> None:
    """Pairs are a frame with a column for each figure; an event without any has an empty one."""
    pairs = served.pairs(test=True, state="claimed")
    assert list(pairs["other_event"]) == ["TFermi_731246338"]
    assert pairs["difference_s"][0] == pytest.approx(-1.7)
    assert served.event("MS240301a").pairs().equals(pairs)
    assert served.event(LIVE).pairs().empty


def test_failures_of_the_client(served: client.Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not there, what was changed on the way, and addresses elsewhere are errors that say so."""
    with pytest.raises(NotFoundError, match="S190425z"):
        served.event("S190425z")
    monkeypatch.delenv("MMA_PORTAL_URL", raising=False)
    with pytest.raises(ConfigurationError, match="MMA_PORTAL_URL"):
        client.Portal()
    file = served.event(LIVE).products().files["alert"]
    changed = client.FileInfo(**{**{n: getattr(file, n) for n in file.__dataclass_fields__}, "sha256": "0" * 64})
    with pytest.raises(DigestError, match="listed"):
        served.content(changed)
    with pytest.raises(PermanentError, match="not its own"):
        served._get("https://elsewhere.example.org/x")


def test_draft_has_the_facts(filled: Home) -> None:
    """The draft of a Circular states what the archive has, in lines of at most 72 columns, and fills GCN's form."""
    draft = circular(filled.archive, "S240301a")
    words = " ".join(draft.body.split())
    assert draft.subject == "LIGO/Virgo/KAGRA S240301a: summary from automated products"
    for fact in ("BNS 90%", "contains a neutron star 100%", "one in 32 years (significant)", "Fermi, 2.02 s apart"):
        assert fact in words
    assert "TEST" not in draft.body
    assert max(map(len, draft.body.splitlines())) <= 72
    assert draft.link is not None
    parts = urlsplit(draft.link)
    assert (parts.netloc, parts.path) == ("gcn.nasa.gov", "/circulars/new")
    assert parse_qs(parts.query) == {"subject": [draft.subject], "body": [draft.body]}


def test_draft_has_the_regions_that_the_page_has(filled: Home) -> None:
    """The draft names LIGO/Virgo/KAGRA's combined map beside the event's own one, the smallest first, and on what it depends."""
    words = " ".join(circular(filled.archive, "S240301a").body.split())
    labels = "Update-ExtCoinc, combined with Fermi by LVK", "Update, own map"
    combined, own = (words.index(f"({label}, created 2024-03-01 13:00:00 UTC) has a 50%") for label in labels)
    assert "It holds only if both events have one source." in words[min(combined, own) :]
    areas = [
        float(words[at:].partition("(90%) credible region of ")[2].split("(")[1].split(")")[0])
        for at in sorted((combined, own))
    ]
    assert areas == sorted(areas)


def test_draft_of_a_mock_and_of_a_retraction(filled: Home) -> None:
    """A draft about a mock says so first, one about a retracted event that it describes no astrophysical event."""
    mock = circular(filled.archive, "MS240301a")
    assert mock.subject.startswith("TEST: ")
    assert mock.body.startswith("THIS IS A TEST.")
    assert "was retracted" in circular(filled.archive, "S240229b").body
    with pytest.raises(NotFoundError):
        circular(filled.archive, "S190425z")


@needs_real_alerts
def test_draft_of_a_real_event(home: Home) -> None:
    """S230518h's draft has the values of its public notices: FAR 1 in 98 years, NSBH 86 % (GCN Circular 33813)."""
    for path in real_paths("S230518h*"):
        home.receive(path.read_bytes())
    words = " ".join(circular(home.archive, "S230518h").body.split())
    assert "one in 98 years" in words
    assert "NSBH 86%" in words
    assert "2023-05-18 12:59:08 UTC" in words


@pytest.mark.parametrize(
    ("far", "said"),
    [
        (1e-9, "one in 32 years"),
        (9.9e-12, "one in 3,200 years"),
        (1 / 86400, "one in 1.0 days"),
        (1e-5, "one in 1.2 days"),
        (1e-3, "3.6 an hour"),
        (5e-324, "one in more than 10³⁰⁰ years"),
        (1e-120, "one in 3.2 × 10¹¹² years"),
        (0.0, ""),
        (None, ""),
    ],
)
def test_false_alarm_in_words(far: float | None, said: str) -> None:
    """A rate is one in so many years or days, with two digits, and never a bare power of ten of hertz."""
    assert false_alarm(far) == said


def test_numbers_for_people() -> None:
    """Positions round without a 60 in them; ages and sizes have one unit."""
    assert sexagesimal(101.5, -30.25) == "06:46:00.0 -30:15:00"
    assert sexagesimal(359.99999, 89.99999) == "00:00:00.0 +90:00:00"
    assert sexagesimal(0.0, -0.00001) == "00:00:00.0 +00:00:00"
    assert ago(utc("2026-01-01T00:00:00Z"), utc("2026-01-01T03:00:00Z")) == "3 h ago"
    assert ago(utc("2023-01-01T00:00:00Z"), utc("2026-07-02T00:00:00Z")) == "3.5 yr ago"
    # A width of 99.6 is one of 100, which has two digits before its tens.
    assert (distance(8577, 2696), distance(1004.0, 99.6)) == ("8,600 ± 2,700", "1,000 ± 100")
    assert (distance(280.4, 68.9), distance(1234.5, None), distance(1.26, 0.31)) == ("280 ± 69", "1,234", "1.3 ± 0.3")
    assert (size(999), size(1500), size(12_345_678)) == ("999 bytes", "1.5 kB", "12 MB")


def test_draft_names_pair_and_neutrinos(home: Home) -> None:
    """The claimed pair with its rate and the region of both, and IceCube's notice, stand in the draft, in plain letters."""
    home.receive(body("MS240301a"))
    (burst,) = home.receive(fermi())
    home.receive(notice("MS240301a", track(150.2, 20.1, dt=-12.91)))
    make(home, "raw_alert", "skymap", "skymap_statistics", "neutrino_coincidence")
    compare(home, burst.partition_key)
    draft = circular(home.archive, "MS240301a").body
    words = " ".join(draft.split())
    assert draft.isascii()
    # 1.7 s, and one sure wave in three days x 325 bursts a year x 6 s, over the overlap integral.
    (pair,) = pairs_of(home.archive, "MS240301a")
    years = pair.figures["overlap"] / (325 / (365 * 86_400) * 6 / (3 * 86_400)) / (365.25 * 86_400)
    assert "makes a pair with TFermi_731246338 (GBM)" in words or "makes a pair with TFermi_731246338" in words
    assert "is -1.70 s, the joint false alarm rate one in " + f"{float(f'{years:.2g}'):,.0f} years" in words
    assert "The product of both sky maps has a 50% (90%) credible region of" in words
    assert "it holds only if both have one source" in words
    assert "IceCube's search from 11:50:40 to 12:07:20 UTC has one track in coincidence" in words
    assert (
        "Track 1 came 12 s before the event, at RA 150.20 deg, Dec +20.10 deg" in words
        or "13 s before the event" in words
    )
    assert max(map(len, draft.splitlines())) <= 72


@pytest.mark.skipif(not FAULTS.exists(), reason=f"{FAULTS} is not there")
def test_draft_says_that_a_map_cannot_be_used(home: Home) -> None:
    """A notice whose map has a row without a number gives no localization, and the draft says why."""
    data = next(FAULTS.glob("m_flat_nan*")).read_bytes()
    (record, *_) = home.receive(data)
    words = " ".join(circular(home.archive, record.version.event_id).body.split())
    assert "The sky map of the Preliminary notice cannot be used (event.skymap: " in words
    assert "no localization is given here." in words
    assert "credible region" not in words


@pytest.mark.parametrize("content", [b"<html>another service</html>", b"[1, 2]", b""])
def test_a_server_that_is_no_portal(content: bytes) -> None:
    """What another server answers is an error that names the address, not one of JSON."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=content))
    with client.Portal("http://elsewhere.example", transport=transport) as found:
        for ask in (lambda: found.event("S240301a"), found.events, lambda: found.objects_in(MOC.from_string("3/5"))):
            with pytest.raises(PermanentError, match=r"http://elsewhere\.example does not answer as a portal does"):
                ask()
