"""Pages of the portal: what they show, what they refuse, and that nothing from outside runs in them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient

from mma_pipeline.adapters.archive.surveys import Beat, SurveyArchive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.surveys.packets import Formats
from mma_pipeline.notices.gcn.words import trigger_kind
from mma_pipeline.portal.app import create_app
from mma_pipeline.portal.context import Portal
from mma_pipeline.portal.pages import LABELS, health_rows
from mma_pipeline.products.ingest import quarantine_message
from mma_pipeline.products.surveys.judging import judge
from mma_pipeline.science.surveys.regions import RegionIndex
from mma_pipeline.science.surveys.vetting import Thresholds
from tests import gcn_notices as notices
from tests.alerts import body
from tests.defs.test_coincidences import fermi
from tests.homes import Home
from tests.portal.conftest import HOSTILE, LIVE

PAGES = ("/", "/?test=true", "/events/S240229b/files", "/events/S240229b/circular", "/quarantine", "/health", "/api")


def rows(text: str) -> list[str]:
    """Ids of the events of a list, in order."""
    return re.findall(r'<th scope="row"><a href="[^"]*/events/([^"]+)"', text)


def _tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    """Every tag of a page with its attributes, as a browser reads them."""
    found = list[tuple[str, dict[str, str | None]]]()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Reader().feed(text)
    return found


def test_newest_real_event_first(web: TestClient) -> None:
    """The list has real events, the newest first, and says of a retracted one that it is; mocks are on a list of their own."""
    answer = web.get("/")
    assert answer.status_code == 200
    assert rows(answer.text) == [LIVE, "S240301a", "S240229b"]
    assert "BNS 90 %" in answer.text
    assert "one in 32 years" in answer.text
    retracted = answer.text[answer.text.index("S240229b") :]
    assert "retracted</strong>" in retracted.partition("</tr>")[0]
    mocks = web.get("/?test=true").text
    assert rows(mocks) == ["TFermi_731246338", "MS240301a"]
    assert 'href="/events/TFermi_731246338">with TFermi_731246338</a>' in mocks


def test_what_a_trigger_is(home: Home) -> None:
    """The list says of each trigger what it is, and takes those of one messenger; the API does too."""
    sent = {
        "gamma rays": (fermi(classes={"GRB": 0.98, "SOLAR_FLARE": 0.02}), "gamma-ray burst, GRB 98 %"),
        "X-rays": (notices.body("einstein_probe_wxt"), "X-ray transient"),
        "neutrinos": (notices.body("icecube_tracks"), "neutrino track"),
        "gravitational waves": (body("MS240301a"), "BNS 90 %"),
    }
    for data, _ in sent.values():
        home.receive(data)
    with TestClient(create_app(Portal(home.archive, home.store), hosts=["testserver"])) as web:
        for messenger, (_, words) in sent.items():
            shown, told = [], []
            for test in ("true", "false"):
                query = {"messenger": messenger.upper(), "test": test}
                answer = web.get("/", params=query).text
                shown += re.findall(r"<td>([^<]*)", answer.partition("<tbody>")[2].partition("</tbody>")[0])
                told += web.get("/api/v1/events", params=query).json()["events"]
            assert [event["messenger"] for event in told] == [messenger]
            assert words in shown
    plain = {"messenger": "gamma rays", "classification": {}}
    assert trigger_kind(plain) == "gamma-ray trigger"
    assert trigger_kind({"stream": "maxi_gsc_known", "messenger": "X-rays"}) == "outburst of a known X-ray source"


def test_newest_of_a_retracted_event(web: TestClient) -> None:
    """A retracted event's newest notice is its retraction, in the list and in the API, as on its page."""
    row = web.get("/").text.partition("S240229b")[2].partition("</tr>")[0]
    assert "<td>Retraction <span" in row
    assert web.get("/api/v1/events/S240229b").json()["kind"] == "Retraction"
    assert web.get("/api/v1/events/S240301a").json()["kind"] == "Update"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("retracted=false&before=2025-01-01", ["S240301a"]),
        ("retracted=true", ["S240229b"]),
        ("coincidence=true", ["S240301a"]),
        ("kind=Retraction", ["S240229b"]),
        ("significant=false", ["S240229b"]),
        ("since=2024-03-01&before=2024-03-02", ["S240301a"]),
        ("text=s2403", ["S240301a"]),
        ("source_class=HasRemnant&min_probability=0.95", []),
        ("max_area_deg2=10", []),
        ("min_distance_mpc=90&max_distance_mpc=130&before=2025-01-01", ["S240301a", "S240229b"]),
    ],
)
def test_filters(web: TestClient, query: str, wanted: list[str]) -> None:
    """Each filter takes the events that it names, in the list and in the API alike."""
    assert rows(web.get(f"/?{query}").text) == wanted
    assert [e["event"] for e in web.get(f"/api/v1/events?{query}").json()["events"]] == wanted


def test_wrong_filter_says_so(web: TestClient) -> None:
    """A filter that cannot be read is named, not ignored."""
    answer = web.get("/?since=yesterday")
    assert answer.status_code == 400
    assert "From (UTC): Input should be a valid" in answer.text
    # Every error is named, nothing is listed that was not asked for, and what was typed stays.
    several = web.get("/?since=garbage&max_area_deg2=nan&kind=Update")
    assert several.status_code == 400
    assert rows(several.text) == []
    assert "90 % area up to, deg²: Input should be a finite number" in several.text
    assert "From (UTC): Input should be a valid" in several.text
    values = {tag[1]["name"]: tag[1].get("value") for tag in _tags(several.text) if tag[0] == "input"}
    assert (values["since"], values["max_area_deg2"]) == ("garbage", "nan")
    assert "<option selected>Update</option>" in several.text


def test_the_filter_speaks_as_the_form_does(web: TestClient) -> None:
    """Every label of the form names its errors, properties have the words of the pages, and a start past the end says so."""
    text = web.get("/").text
    assert all(f"<label>{label} " in text for label in LABELS.values())
    assert '<option value="HasNS">contains a neutron star</option>' in text
    assert "at least: Input should be" in web.get("/?min_probability=2").text
    beyond = web.get("/?start=99999").text
    assert '3 events, none of them from number 100,000 on: <a href="/?start=0">the first</a>' in beyond


def test_an_empty_list_leads_to_the_mocks(home: Home) -> None:
    """Where there are mock events alone, the list of real ones says so; the page that is open is marked, and no other."""
    home.receive(body("MS240301a"))
    with TestClient(create_app(Portal(home.archive, home.store))) as web:
        text = " ".join(web.get("/").text.split())
        assert '0 events. There are <a href="/?test=true">1 mock and test event</a>' in text
        for path, name in (("/", "Events"), ("/?test=true", "Mocks and tests"), ("/health", "Health"), ("/api", "API")):
            assert re.findall(r'aria-current="page">([^<]+)<', web.get(path).text) == [name]


def test_health_in_words() -> None:
    """Times are times, names of daemons are words, and whole numbers have no fraction."""
    values = {"runs queued": 3.0, "SENSOR: last heartbeat (s ago)": 892.0, "alert_products: runs failed in 24 h": 1}
    assert health_rows(values) == [
        ("pipeline", "runs queued", "3"),
        ("daemon sensor", "last heartbeat", "15 min ago"),
        ("alert products", "runs failed in 24 h", "1"),
    ]


def test_every_link_is_answered(web: TestClient) -> None:
    """Every link of every page, the page of an event included, leads to something on the portal."""
    seen, waiting = set[str](), ["/", "/?test=true"]
    while waiting:
        path = waiting.pop()
        answer = web.get(path)
        assert answer.status_code == 200, path
        if "html" not in answer.headers["content-type"]:
            continue
        base = answer.url.path
        for link in re.findall(r'(?:href|src)="([^"#]+)"', answer.text):
            if re.match("[a-z]+:", link):
                continue
            target = str(answer.url.join(link.replace("&amp;", "&"))).removeprefix(str(web.base_url))
            if target not in seen:
                seen.add(target)
                waiting.append(target)
        assert base
    assert "/static/icon.svg" in seen
    assert any(target.endswith("_moc.fits.gz") for target in seen)
    assert len(seen) > 40


@pytest.mark.parametrize("path", PAGES)
def test_nothing_from_outside_runs(web: TestClient, path: str) -> None:
    """Text of alerts and problems is escaped; the policy allows the portal's own script file and nothing inline."""
    answer = web.get(path)
    assert answer.status_code == 200
    assert HOSTILE not in answer.text
    assert "<img src=x" not in answer.text
    for tag, attributes in _tags(answer.text):
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert tag != "script" or attributes["src"] == "/static/live.js"
        assert not (attributes.get("href") or "").lower().startswith(("javascript:", "data:"))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_hostile_text_is_shown_as_text(web: TestClient) -> None:
    """What an alert says is seen as it was written."""
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in web.get("/quarantine").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in web.get("/health").text


def test_quarantine_names_alerts_first_and_packets_by_cause(web: TestClient, filled: Home) -> None:
    """An alert of a real event is above mocks and later messages of no event; thirty packets of one cause are one line."""
    now = datetime.now(UTC)
    for offset, text in enumerate((b'{"superevent_id": "MS240301b"', b"no event", b"nor here")):
        message = StreamMessage("gcn-gwalert", "igwn.gwalert", 0, 950 + offset, text, None, (), None, now)
        quarantine_message(filled.archive, message, f"reason {'abc'[offset]}")
    packets = [StreamMessage("survey", "ztf", 0, offset, b"no packet", None, (), None, now) for offset in range(30)]
    judged = judge(packets, Formats(), RegionIndex(), Thresholds())
    SurveyArchive(filled.archive).record("survey", judged.kept, judged.unusable, judged.outcomes, Beat("here:1", now))
    page = web.get("/quarantine").text
    order = [page.index(text) for text in ("S240301a</td>", "reason c", "reason b", "reason a", "by cause")]
    assert order == sorted(order)
    assert page.count("<td>survey</td>") == 1
    assert '<td class="number">30</td><td class="number">20</td>' in page


def test_page_of_an_event(web: TestClient, filled: Home) -> None:
    """The page of an event is the store's, byte for byte, at an address from which its relative links work."""
    answer = web.get("/events/S240301a")
    assert answer.url.path == "/files/mma/S240301a/index.html"
    assert answer.content == filled.store.get("mma/S240301a/index.html")
    assert "sandbox" not in answer.headers["content-security-policy"]


def test_unknown_event(web: TestClient) -> None:
    """An event that is not archived, and what can be none, are not found; the page says so."""
    for path in (
        "/events/S190425z",
        "/events/S190425z/files",
        "/events/nonsense",
        "/events/S190425z/circular",
        "/none",
    ):
        answer = web.get(path)
        assert answer.status_code == 404
        assert "text/html" in answer.headers["content-type"]


@pytest.mark.parametrize("path", ["", "/files", "/circular?instrument=DECam"])
def test_one_address_for_each_page(web: TestClient, path: str) -> None:
    """An id in another case leads to the page's own address; one that is not archived yet, to where its page will be."""
    for asked, event in (
        ("s240301a", "S240301a"),
        ("tfermi_731246338", "TFermi_731246338"),
        ("ms999999Z", "MS999999z"),
    ):
        answer = web.get(f"/events/{asked}{path}", follow_redirects=False)
        assert answer.status_code == 307
        assert answer.headers["location"] == f"/events/{event}{path}"
    assert web.get(f"/events/foo{path}").status_code == 404


def test_nothing_changes_anything(web: TestClient) -> None:
    """No page takes anything but GET and HEAD."""
    for path in (*PAGES, "/files/mma/S240301a/index.html"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert web.request(method, path).status_code == 405


def test_unchanged_pages_are_not_sent_again(web: TestClient) -> None:
    """A page has an ETag; asked with it, the answer is 304 without a body. HEAD gives the same headers without a body."""
    for path in ("/quarantine", "/api/v1/events"):
        first = web.get(path)
        again = web.get(path, headers={"if-none-match": f'"other", {first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        head = web.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(first.content))


def test_other_hosts_are_refused(web: TestClient) -> None:
    """A name that is not the portal's gets nothing, so that no other site can lead a browser here."""
    assert web.get("/", headers={"host": "evil.example.org"}).status_code == 421
    assert web.get("/", headers={"host": "testserver:8000"}).status_code == 200


def test_below_a_path(filled: Home) -> None:
    """A portal whose address has a path answers there, and its links stay there."""
    portal = Portal(filled.archive, filled.store, url="https://example.org/mma/portal/")
    with TestClient(create_app(portal)) as client:
        text = client.get("/mma/portal/").text
        links = re.findall(r'href="(/[^"]*)"', text)
        assert links
        assert all(link.startswith("/mma/portal/") for link in links)
        assert client.get("/mma/portal/events/S240301a").status_code == 200
        files = client.get("/mma/portal/api/v1/events/S240301a/files").json()["files"]
        assert client.get(files[0]["href"]).status_code == 200


def test_failures_name_nothing(filled: Home, tmp_path: object) -> None:
    """Where the store is away, the answer is 503 and repeats neither its address nor what the library said."""
    from mma_pipeline.adapters.errors import TransientError

    class Away:
        def __getattr__(self, name: str) -> object:
            raise TransientError("get s3://secret-bucket/x: the connection failed (key AKIA123)")

    portal = Portal(filled.archive, Away())  # type: ignore[arg-type]
    with TestClient(create_app(portal), raise_server_exceptions=False) as client:
        for path in ("/files/fit/x.json", "/events/S240301a", "/api/v1/events/S240301a/files"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert "secret" not in answer.text
            assert "AKIA" not in answer.text


def test_newest_leads_to_the_newest_real_event(web: TestClient) -> None:
    """The link that the Dagster UI has from the start leads to the event that is the newest when it is followed."""
    answer = web.get("/newest", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, f"/events/{LIVE}")


def test_examples_of_the_api_are_of_an_event_that_is_there(web: TestClient, home: Home) -> None:
    """The page of the API asks for the newest real event with a map; where none is archived, it says that its id is an example."""
    page = web.get("/api").text
    assert f"event(&#34;{LIVE}&#34;)" in page or f'event("{LIVE}")' in page
    assert f"/api/v1/events/{LIVE}/crossmatch" in page
    assert "S230518h" not in page
    with TestClient(create_app(Portal(home.archive, home.store), hosts=["testserver"])) as empty:
        assert "S230518h stands for one of yours" in empty.get("/api").text
