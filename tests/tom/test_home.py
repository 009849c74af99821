"""The start page, one row for each candidate, pairs by name, and what a retracted target no longer offers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page
from tom_targets.models import Target

from mma_pipeline.notices.coincidence import Coincidence
from mma_pipeline.notices.derived import DerivedAlert as Message
from mma_pipeline.notices.derived import DerivedKind, VersionRef, encode, headers_v2, message_id
from mma_pipeline.tom.demo.event import Sent, SimulatedEvent
from mma_pipeline.tom.models import DerivedAlert, RejectedMessage
from mma_pipeline.tom.query import Criteria, select

from .conftest import deliver
from .test_browser import log_in

NIGHT = datetime(2026, 11, 22, 3, tzinfo=UTC)
REAL, MOCK, GRB = "S261121a", "MS261121b", "Fermi_785999999"


def pair(event_id: str = REAL) -> Sent:
    """The message of a claimed pair, as the pipeline sends it."""
    version = VersionRef(f"{event_id}-Preliminary-20261121T120000-0123456789", "Preliminary", NIGHT)
    found = Coincidence(GRB, f"{GRB}-Initial-20261121T120000-0123456789", "CBC with GRB", -1.74, 3e-10)
    alert = Message(DerivedKind.COINCIDENCE, event_id, version=version, coincidence=found)
    headers = {name: value.encode() for name, value in headers_v2(alert, NIGHT).items()}
    return Sent(encode(alert), headers, str(message_id(alert)))


def unmarked(sent: tuple[Sent, ...]) -> list[Sent]:
    """The same without the header of tests."""
    return [replace(one, headers={k: v for k, v in one.headers.items() if k != "_test"}) for one in sent]


def rows(**criteria: Any) -> list[tuple[str, str]]:
    """Name and schema of what a query finds."""
    return [(alert.candidate, alert.schema) for alert in select(Criteria(**criteria))]


@pytest.mark.django_db
def test_one_row_for_each_candidate() -> None:
    """Both messages of all nights of a candidate are one row: that of the latest, with its event; criteria are held against it."""
    event = SimulatedEvent(candidate="AT2026mma", event_id=REAL)
    first = event.score(0.9, NIGHT, 17.1)
    second = event.score(0.2, NIGHT + timedelta(days=1), 18.0)
    other = SimulatedEvent(candidate="AT2026two", event_id=REAL, ra=10.0).score(0.5, NIGHT)
    # Out of order: arrival decides nothing.
    deliver(*second, *other, *first)
    assert sorted(rows()) == [("AT2026mma", "v2"), ("AT2026two", "v2")]
    shown = {alert.candidate: alert for alert in select(Criteria())}["AT2026mma"]
    assert (shown.kilonova_probability, shown.magnitude, shown.event_id) == (0.2, 18.0, REAL)
    assert rows(min_kilonova_probability=0.6) == []
    # Until then it was the first night's.
    assert rows(min_kilonova_probability=0.6, until=NIGHT + timedelta(hours=12)) == [("AT2026mma", "v2")]


@pytest.mark.django_db
@pytest.mark.usefixtures("auto_targets")
def test_spellings_of_one_target_are_one_row() -> None:
    """Names that lead to one target are one candidate."""
    for name, night in (("AT2026mma", 0), ("AT 2026-mma", 1)):
        event = SimulatedEvent(candidate=name, event_id=REAL)
        deliver(*event.score(0.9, NIGHT + timedelta(days=night)))
    assert Target.objects.count() == 1
    assert rows() == [("AT 2026-mma", "v2")]


@pytest.mark.django_db
@pytest.mark.parametrize("late", [False, True], ids=["v1 first", "v1 last"])
def test_all_v1_messages_of_a_mock_stay_out(*, late: bool) -> None:
    """A mock's v1 messages are left out with it, also one without the header whose v2 never came."""
    event = SimulatedEvent(candidate="AT2026mock", event_id=MOCK)
    both = unmarked(event.score(0.9, NIGHT))
    (old, _) = unmarked(event.score(0.8, NIGHT + timedelta(days=1)))
    deliver(*([*both, old] if late else [old, *both]))
    assert rows() == []
    assert rows(include_test=True) == [("AT2026mock", "v1")]


@pytest.mark.django_db
def test_a_pair_has_its_label() -> None:
    """A message about a pair is stored as such and says with which event; what it retracts is gone from the pages."""
    assert deliver(pair()) == ["stored"]
    assert not RejectedMessage.objects.exists()
    (alert,) = DerivedAlert.objects.all()
    assert alert.kind == DerivedAlert.Kind.COINCIDENCE
    assert alert.label == f"Coincidence with {GRB}, 1.7 s apart"
    assert str(alert) == alert.label
    odd = json.loads(pair().body) | {"coincidence": None, "kind": "coincidence"}
    assert DerivedAlert(kind="coincidence", body=odd, event_id=REAL).label == f"Coincidence of {REAL}"


@pytest.mark.django_db
def test_home_tells_strangers_nothing(client, observer, settings) -> None:
    """Before login the start page shows no event and no candidate; after it, real ones with their pairs, and how many mocks."""
    real = SimulatedEvent(candidate="AT2026mma", event_id=REAL)
    mock = SimulatedEvent(candidate="AT2026mock", event_id=MOCK)
    deliver(real.announcement(), *real.score(0.9, NIGHT, 17.0), pair(), *mock.score(0.9, NIGHT))
    strange = client.get("/").content.decode()
    for secret in (REAL, "AT2026mma", GRB):
        assert secret not in strange
    assert reverse("login") in strange
    client.force_login(observer)
    page = client.get("/").content.decode()
    for shown in (REAL, "AT2026mma", f"Coincidence with {GRB}, 1.7 s apart", "1 mock or test event left out"):
        assert shown in page
    assert "AT2026mock" not in page
    settings.AUTH_STRATEGY = "READ_ONLY"
    client.logout()
    assert "AT2026mma" in client.get("/").content.decode()


@pytest.mark.django_db
@pytest.mark.usefixtures("auto_targets", "portal")
def test_no_requests_of_a_retracted_target(client, observer) -> None:
    """The page of a target offers LCO's form until every alert of it is retracted."""
    event = SimulatedEvent(candidate="AT2026mma", event_id=REAL)
    sent = event.score(0.9, NIGHT, 17.0)
    deliver(*sent)
    target = Target.objects.get()
    client.force_login(observer)
    link = f"{reverse('tom_observations:create', args=['LCO'])}?target_id={target.pk}"
    assert link in client.get(target.get_absolute_url()).content.decode()
    deliver(*event.retractions(*(m.id for m in sent)))
    page = client.get(target.get_absolute_url()).content.decode()
    assert link not in page
    assert "Retracted: no requests." in page


@pytest.mark.django_db
def test_pages_name_no_other_server(client, observer) -> None:
    """Scripts and styles of home, query and list of targets come from this server, and are there."""
    client.force_login(observer)
    for path in ("/", "/targets/", f"{reverse('dataservices:create')}?data_service=MMA"):
        text = client.get(path).content.decode()
        for name in ("bootstrap.min.css", "bootstrap.bundle.min.js", "alpine.min.js"):
            address = f"/static/mma_tom/vendor/{name}"
            assert address in text
            assert client.get(address).status_code == 200
        assert "cdn." not in text


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_everybody_can_use_the_home_page(live_server, page: Page, observer) -> None:
    """axe finds nothing serious on it at both widths, before login and after, without the internet."""
    from tests.accessibility import problems_at_both_widths

    outside: list[str] = []
    page.context.unroute_all()
    page.route(
        lambda url: not url.startswith(live_server.url),
        lambda route: (outside.append(route.request.url), route.abort()),
    )
    event = SimulatedEvent(candidate="AT2026mma", event_id=REAL)
    deliver(event.announcement(), *event.score(0.9, NIGHT, 17.0), pair())
    page.goto(live_server.url)
    found = problems_at_both_widths(page)
    log_in(page, live_server.url)
    outside.clear()  # the list of targets asks for the sky map, which is drawn from surveys elsewhere
    page.goto(live_server.url)
    assert not (both := found + problems_at_both_widths(page)), "\n".join(both)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # The menu of Bootstrap works on a telephone.
    page.click("button.navbar-toggler")
    page.locator("nav >> text=Derived alerts").wait_for(state="visible")
    page.goto(f"{live_server.url}/")
    assert outside == []
