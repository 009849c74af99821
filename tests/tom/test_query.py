"""Each criterion of the query, and the pages of the toolkit around it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from django.urls import reverse
from tom_dataservices.models import DataServiceQuery
from tom_targets.models import Target

from mma_pipeline.notices.candidate_summary import CheckVerdict
from mma_pipeline.tom import ingest
from mma_pipeline.tom.broker import MmaBroker, MmaBrokerForm
from mma_pipeline.tom.dataservice import MmaDataService
from mma_pipeline.tom.demo.event import SimulatedEvent
from mma_pipeline.tom.forms import AlertQueryForm
from mma_pipeline.tom.models import DerivedAlert, Event
from mma_pipeline.tom.query import MAX_ROWS, Criteria, select

from .conftest import deliver

pytestmark = pytest.mark.django_db
NIGHT = datetime(2026, 11, 22, 3, tzinfo=UTC)
REAL = "S230518h"


def names(**criteria: object) -> set[str]:
    """Candidates found."""
    return {alert.candidate for alert in select(Criteria(**criteria))}


@pytest.fixture
def three() -> None:
    """A significant candidate, one of an event that is not, and one of a mock event, an hour apart."""
    deliver(*SimulatedEvent(candidate="strong", event_id=REAL).score(0.9, NIGHT, 17.0))
    weak = SimulatedEvent(candidate="weak", event_id="S240112e", significant=False, ra=10.0, dec=80.0)
    deliver(*weak.score(0.3, NIGHT + timedelta(hours=1)))
    deliver(*SimulatedEvent(candidate="mock").score(0.95, NIGHT + timedelta(hours=2)))


def test_each_criterion(three) -> None:
    """Each criterion alone admits what meets it; v1 rows carry no event and count as not meeting event criteria."""
    assert names() == {"strong", "weak"}
    assert names(include_test=True) == {"strong", "weak", "mock"}
    assert names(min_kilonova_probability=0.5) == {"strong"}
    assert names(event=REAL) == {"strong"}
    assert names(only_significant=True) == {"strong"}
    assert names(max_credible_level=0.5) == {"strong", "weak"}
    assert names(max_credible_level=0.4) == set()
    assert names(until=NIGHT + timedelta(minutes=30)) == {"strong"}
    assert names(since=NIGHT + timedelta(minutes=30)) == {"weak"}
    assert names(ra=9.0, dec=80.0, radius=1.0) == {"weak"}


def test_the_posterior_is_what_is_asked_for(three) -> None:
    """A candidate with a posterior is found by it, not by its light curve; others by the light curve; the row has the reasons."""
    far = SimulatedEvent(candidate="far", event_id=REAL)
    verdict = CheckVerdict("host", "found", "host FAR at 2 arcsec", 0.001, counted=True)
    deliver(*far.score(0.964, NIGHT, posterior=0.005, vetting=(verdict,)))
    near = SimulatedEvent(candidate="near", event_id=REAL, ra=11.0)
    deliver(*near.score(0.4, NIGHT, posterior=0.97))
    assert names(min_kilonova_probability=0.5) == {"strong", "near"}
    assert names(min_kilonova_probability=0.001) == {"strong", "weak", "far", "near"}
    rows = MmaDataService().query_targets({"min_kilonova_probability": 0.001})
    found = next(row for row in rows if row["name"] == "far")
    assert (found["posterior"], found["reasons"]) == (0.005, ["host FAR at 2 arcsec"])


@pytest.mark.parametrize("first", [0, 1], ids=["v1 first", "v2 first"])
def test_a_mock_stays_out_without_its_header(first: int) -> None:
    """The v1 message of a mock candidate is left out with the mock, even if its sender did not mark it as a test."""
    pair = SimulatedEvent(candidate="mock").score(0.95, NIGHT)
    unmarked = [replace(sent, headers={k: v for k, v in sent.headers.items() if k != "_test"}) for sent in pair]
    deliver(unmarked[first], unmarked[1 - first])
    assert names() == set()
    assert names(include_test=True) == {"mock"}


def test_the_key_tells_a_mock(three) -> None:
    """A v1 message alone, without the header, is a test if its Kafka key is a mock's id, and none for any other key."""
    for n, (key, name) in enumerate(((b"MS261121a", "by key"), (b"S230518h", "real"), (b"\xff demo", "odd"))):
        old, _ = SimulatedEvent(candidate=name, event_id=REAL).score(0.9, NIGHT)
        assert ingest.store(old.body, old.headers, f"t/1/{n}", key=key) is ingest.Outcome.STORED
    assert {"real", "odd"} <= names()
    assert "by key" not in names()
    assert "by key" in names(include_test=True)


def test_a_score_of_a_mock_and_of_a_real_event_is_real() -> None:
    """The one v1 message that both events share is shown: leaving out mocks must not hide what is real."""
    for event_id in ("MS261121a", REAL):
        deliver(*SimulatedEvent(candidate="both", event_id=event_id).score(0.9, NIGHT))
    (old,) = DerivedAlert.objects.filter(schema="v1")
    assert not old.is_test
    assert names() == {"both"}


def test_retracted_only_when_asked(three) -> None:
    """Retracted alerts are left out unless asked for."""
    event = SimulatedEvent(candidate="strong", event_id=REAL)
    deliver(*event.retractions(*(m.id for m in event.score(0.9, NIGHT, 17.0))))
    assert "strong" not in names()
    assert "strong" in names(include_retracted=True)


@pytest.mark.parametrize(
    ("ra", "dec", "radius"),
    [
        (0.0, 0.0, 20.0),
        (359.9, 5.0, 3.0),
        (100.0, 89.9, 5.0),
        (200.0, -90.0, 12.0),
        (50.0, 40.0, 180.0),
        (30, 10, 1e-4),
    ],
)
def test_cone_is_the_great_circle(ra: float, dec: float, radius: float) -> None:
    """The sky region agrees with astropy's separations, across RA 0, at the poles, and down to arcseconds."""
    rng = np.random.default_rng(5)
    sky_ra, sky_dec = rng.uniform(0, 360, 400), np.degrees(np.arcsin(rng.uniform(-1, 1, 400)))
    near_ra, near_dec = (
        (ra + rng.normal(0, radius / 2, 100)) % 360,
        np.clip(dec + rng.normal(0, radius / 2, 100), -90, 90),
    )
    all_ra, all_dec = np.concatenate([sky_ra, near_ra]), np.concatenate([sky_dec, near_dec])
    DerivedAlert.objects.bulk_create(
        DerivedAlert(
            message_id=f"{n:032x}",
            schema="v1",
            kind="candidate",
            published=NIGHT,
            body={},
            candidate=str(n),
            ra=a,
            dec=d,
            **dict(zip("xyz", ingest.unit_vector(a, d), strict=True)),
        )
        for n, (a, d) in enumerate(zip(all_ra.tolist(), all_dec.tolist(), strict=True))
    )
    separation = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(all_ra, all_dec, unit="deg")).to_value(u.deg)
    rows = DerivedAlert.objects.filter(pk__in=_unbounded(ra, dec, radius)).values_list("candidate", flat=True)
    assert {int(name) for name in rows} == set(np.flatnonzero(separation <= radius).tolist())


def _unbounded(ra: float, dec: float, radius: float) -> list[int]:
    """All rows of a cone, by pages of the query, which gives at most MAX_ROWS."""
    from mma_pipeline.tom.query import _in_cone

    return list(_in_cone(DerivedAlert.objects.all(), ra, dec, radius).values_list("pk", flat=True))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"ra": 10}, "A sky region needs"),
        ({"ra": 10, "dec": 5}, "A sky region needs"),
        ({"min_kilonova_probability": 1.5}, "less than or equal to 1"),
        ({"event": "../../x"}, "not an id such as"),
        ({"since": "2026-01-02 00:00", "until": "2026-01-01 00:00"}, "must lie before"),
        ({"since": "yesterday"}, "Enter a valid date/time"),
    ],
)
def test_form_refuses_with_a_sentence(data: dict[str, object], error: str) -> None:
    """What makes no sense is refused at the form."""
    form = AlertQueryForm({"data_service": "MMA", **data})
    assert not form.is_valid()
    assert error in str(form.errors)


def run(client, **data: object) -> str:
    """Fill in the form as a browser does; the result page."""
    answer = client.post(reverse("dataservices:create"), {"data_service": "MMA", **data}, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_pages(client, observer, three) -> None:
    """Form, results and target: the chosen row becomes the target, and only that row."""
    client.force_login(observer)
    page = run(client, min_kilonova_probability=0.5, event=REAL, since="2026-11-01 00:00")
    assert "strong" in page
    assert "weak" not in page
    row = DerivedAlert.objects.get(candidate="strong", schema="v2")
    data = {"data_service": "MMA", "query_id": "", "selected_results": f"mma-{row.pk}"}
    answer = client.post(reverse("dataservices:create-target"), data)
    target = Target.objects.get()
    assert answer["Location"] == reverse("tom_targets:detail", args=[target.pk])
    assert target.name == "strong"
    assert observer.has_perm("tom_targets.change_target", target)
    client.post(reverse("dataservices:create-target"), data)
    assert Target.objects.count() == 1


def test_results_are_not_stale(client, observer, three) -> None:
    """The same query shows an alert that came a moment ago, and no longer one that was retracted."""
    client.force_login(observer)
    assert "fresh" not in run(client)
    fresh = SimulatedEvent(candidate="fresh", event_id=REAL)
    sent = fresh.score(0.8, NIGHT)
    deliver(*sent)
    assert "fresh" in run(client)
    deliver(*fresh.retractions(*(m.id for m in sent)))
    assert "fresh" not in run(client)


def test_two_users_do_not_get_each_others_rows(client, client2, observer, django_user_model, three) -> None:
    """A query of somebody else between my query and my click does not change what I click."""
    client.force_login(observer)
    client2.force_login(django_user_model.objects.create_user("second"))
    run(client, event=REAL)
    mine = DerivedAlert.objects.get(candidate="strong", schema="v2")
    run(client2, event="S240112e")
    data = {"data_service": "MMA", "query_id": "", "selected_results": f"mma-{mine.pk}"}
    client.post(reverse("dataservices:create-target"), data)
    assert {t.name for t in Target.objects.all()} <= {"strong"}


@pytest.fixture
def client2():
    """A second browser."""
    from django.test import Client

    return Client()


def test_saved_query_runs_again(client, observer, three) -> None:
    """A saved query keeps its times and runs later."""
    client.force_login(observer)
    run(client, query_save="on", query_name="last night", since="2026-11-22 03:30")
    saved = DataServiceQuery.objects.get()
    page = client.get(reverse("dataservices:run_saved", args=[saved.pk])).content.decode()
    assert "weak" in page
    assert "strong" not in page


def test_too_many_are_said(client, observer) -> None:
    """More than a page of results is said, never shown in silence as all there is."""
    client.force_login(observer)
    for n in range(MAX_ROWS):
        deliver(SimulatedEvent(candidate=f"c{n}", event_id=REAL).score(0.5, NIGHT)[1])
    assert "only showing the first 100" in run(client)


def test_nothing_without_login(client, three) -> None:
    """Nobody sees alerts or targets before logging in."""
    for url in (reverse("dataservices:run"), reverse("tom_targets:list")):
        answer = client.get(url)
        assert answer.status_code == 302
        assert "/accounts/login/" in answer["Location"]


def test_broker_of_older_toms(three) -> None:
    """A TOM with brokers gets the same rows, and its magnitude is a magnitude or nothing."""
    form = MmaBrokerForm({"query_name": "q", "broker": "MMA", "event": REAL})
    assert form.is_valid(), form.errors
    broker = MmaBroker()
    (row,) = broker.fetch_alerts(form.cleaned_data)
    alert = broker.to_generic_alert(row)
    assert (alert.name, alert.mag, alert.score) == ("strong", 17.0, 0.9)
    old = DerivedAlert.objects.get(candidate="strong", schema="v1")
    assert broker.to_generic_alert({"alert": old.pk}).mag is None
    assert broker.to_target(row) == broker.to_target({"alert": old.pk})
    assert Target.objects.count() == 1


def test_service_is_found_by_the_toolkit() -> None:
    """The toolkit lists the data service under its name."""
    from tom_dataservices.dataservices import get_data_service_class

    assert get_data_service_class("MMA") is MmaDataService
    assert Event.objects.count() == 0
