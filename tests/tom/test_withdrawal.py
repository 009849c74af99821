"""The chain alert -> target -> request -> retraction -> withdrawal, against a portal that answers as the real one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from tom_observations.models import ObservationRecord
from tom_targets.models import Target

from mma_pipeline.tom import withdrawal
from mma_pipeline.tom.models import Withdrawal

from .conftest import NIGHT, deliver, imaging_form

pytestmark = pytest.mark.django_db


def retract(event) -> None:
    """Retract the event of the fixture's alert."""
    deliver(*event.retractions(*(m.id for m in event.score(0.9, NIGHT, magnitude=17.5))))


def test_alert_to_request(requested, portal, event) -> None:
    """The portal holds a request for the alert's position, in the filter asked for."""
    (group,) = portal.groups.values()
    (request,) = group["requests"]
    assert str(request["id"]) == requested.observation_id
    target = request["configurations"][0]["target"]
    assert (target["name"], target["type"]) == (event.candidate, "ICRS")
    assert (target["ra"], target["dec"]) == (event.ra, event.dec)
    assert request["configurations"][0]["instrument_configs"][0]["optical_elements"] == {"filter": "rp"}
    assert request["location"] == {"telescope_class": "1m0"}


def test_what_the_portal_refuses_is_shown(client, event, portal, observer, auto_targets) -> None:
    """A request that the portal does not accept is not recorded, and the observer reads why."""
    client.force_login(observer)
    deliver(*event.score(0.9, NIGHT))
    target = Target.objects.get()
    url = f"{reverse('tom_observations:create', args=['LCO'])}?target_id={target.pk}"
    day = timezone.now().date()
    wrong = {"start_0": (day + timedelta(days=3)).isoformat(), "end_0": (day + timedelta(days=2)).isoformat()}
    answer = client.post(url, imaging_form(target, **wrong))
    assert answer.status_code == 200
    assert "cannot be earlier than window start" in answer.content.decode()
    assert not ObservationRecord.objects.exists()
    assert not portal.groups


def test_retraction_withdraws(requested, portal, event) -> None:
    """A retraction marks the target and the portal's request ends as CANCELED, once."""
    retract(event)
    assert Target.objects.get().extra_fields["alert status"] == "retracted"
    assert withdrawal.run() == {"waiting": 0, "done": 1, "failed": 0}
    requested.refresh_from_db()
    assert requested.status == "CANCELED"
    assert portal.groups[1]["state"] == "CANCELED"
    cancels = [c for c in portal.calls if c.endswith("/cancel/")]
    retract(event)
    assert withdrawal.run() == {"waiting": 0, "done": 0, "failed": 0}
    assert [c for c in portal.calls if c.endswith("/cancel/")] == cancels


@pytest.mark.parametrize("state", ["COMPLETED", "WINDOW_EXPIRED"])
def test_too_late_is_said_not_retried(requested, portal, event, state: str) -> None:
    """A request that ended meanwhile is not withdrawn: its true state is recorded and the matter is closed."""
    portal.set_state(int(requested.observation_id), state)
    retract(event)
    assert withdrawal.run()["done"] == 1
    requested.refresh_from_db()
    assert requested.status == state
    assert portal.groups[1]["state"] == state


def test_known_end_is_left_alone(requested, portal, event) -> None:
    """A request that the TOM knows to be over is not touched."""
    requested.status = "COMPLETED"
    requested.save()
    retract(event)
    assert not Withdrawal.objects.exists()


@pytest.mark.parametrize(
    "answer",
    [
        (503, {"detail": "maintenance"}),
        (500, {}),
        (401, {"detail": "Invalid token."}),
        (200, {"unexpected": "shape"}),
        (200, [1, 2, 3]),
        (429, {"detail": "Request was throttled."}),
    ],
)
def test_portal_in_trouble(requested, portal, event, answer) -> None:
    """Whatever the portal answers, the retraction is stored, the withdrawal waits, and succeeds when it is back."""
    portal.failure = lambda call: answer if call.startswith("POST") else None
    retract(event)
    assert withdrawal.run()["waiting"] == 1
    pending = Withdrawal.objects.get()
    assert pending.attempts == 1
    assert pending.note
    assert portal.token not in pending.note
    assert withdrawal.run() == {"waiting": 0, "done": 0, "failed": 0}  # not before its pause is over
    portal.failure = lambda call: None
    Withdrawal.objects.update(next_attempt=timezone.now())
    assert withdrawal.run()["done"] == 1
    requested.refresh_from_db()
    assert requested.status == "CANCELED"


def test_attempts_end(requested, portal, event) -> None:
    """After the last attempt a person is asked, and nothing is called any more."""
    portal.failure = lambda call: (503, {})
    retract(event)
    for _ in range(withdrawal.MAX_ATTEMPTS + 2):
        Withdrawal.objects.update(next_attempt=timezone.now())
        withdrawal.run()
    assert Withdrawal.objects.get().state == "failed"
    assert len([c for c in portal.calls if c == "GET /api/requestgroups/"]) == withdrawal.MAX_ATTEMPTS


def test_portal_calls_have_a_timeout(requested, portal, event, settings) -> None:
    """The toolkit calls the portal with a limit in seconds."""
    import threading

    from tom_observations.facilities import ocs

    assert ocs.make_request.keywords == {"timeout": 30.0}

    released = threading.Event()

    def hangs(call):
        released.wait(120)

    portal.failure = hangs
    try:
        with pytest.raises(ocs.requests.Timeout):
            ocs.make_request("GET", f"{portal.url}/api/profile/", timeout=0.2)
    finally:
        released.set()


def test_page_tells_the_story(client, requested, portal, event) -> None:
    """The target's page shows probability and products while it stands, then retraction and withdrawal."""
    deliver(event.announcement())
    url = reverse("targets:detail", args=[requested.target_id])
    before = client.get(url).content.decode()
    assert "Kilonova probability <strong>0.900</strong>" in before
    assert f"{event.products}/{event.event_id}/skymap.fits.gz" in before
    assert "17.50 r" in before
    retract(event)
    withdrawal.run()
    after = client.get(url).content.decode()
    assert "Retracted." in after
    assert f"Request {requested.observation_id} at LCO" in after
    assert "withdrawn." in after
