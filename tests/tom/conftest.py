"""Fixtures of the TOM's tests: a simulated event, the stand-in portal, users."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mma_pipeline.tom.demo.event import Sent, SimulatedEvent
from mma_pipeline.tom.demo.portal import PROPOSAL, Portal
from tests.services.fixtures import pytest_terminal_summary  # noqa: F401 - a hook: what could not be tested

from .browsing import browser, page  # noqa: F401 - fixtures

# Playwright's synchronous interface runs an event loop in the test's thread, and Django refuses the database there.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


NIGHT = datetime(2026, 11, 22, 3, tzinfo=UTC)


def deliver(*messages: Sent) -> list[str]:
    """Store messages as the stream does; the outcome of each."""
    from mma_pipeline.tom import ingest

    offsets = range(deliver.sent, deliver.sent + len(messages))  # type: ignore[attr-defined]
    deliver.sent += len(messages)  # type: ignore[attr-defined]
    return [str(ingest.store(m.body, m.headers, f"t/0/{n}")) for m, n in zip(messages, offsets, strict=True)]


deliver.sent = 0  # type: ignore[attr-defined]


@pytest.fixture
def event() -> SimulatedEvent:
    """A significant event with one candidate."""
    return SimulatedEvent()


@pytest.fixture
def portal(settings) -> Iterator[Portal]:
    """The stand-in portal, and the toolkit's LCO facility pointed at it."""
    from django.core.cache import cache

    cache.clear()
    with Portal(token="portal-token") as running:
        settings.FACILITIES = {
            "LCO": settings.FACILITIES["LCO"] | {"portal_url": running.url, "api_key": running.token},
        }
        yield running


@pytest.fixture
def observer(django_user_model):
    """A user who may not administer anything."""
    return django_user_model.objects.create_user("observer", password="see the sky")


@pytest.fixture
def auto_targets(settings) -> None:
    """Every candidate becomes a target by itself."""
    settings.MMA_TOM = settings.MMA_TOM | {"target_rule": {"enabled": True, "test_events": True}}


def imaging_form(target: Any, **changes: object) -> dict[str, object]:
    """The fields that an observer fills in for one exposure in r."""
    from django.utils import timezone

    tomorrow = timezone.now() + timedelta(days=1)
    return {
        "target_id": target.pk,
        "facility": "LCO",
        "observation_type": "IMAGING",
        "name": f"{target.name} first look",
        "proposal": PROPOSAL,
        "ipp_value": 1.05,
        "observation_mode": "NORMAL",
        "optimization_type": "TIME",
        "configuration_repeats": 1,
        "start_0": timezone.now().date().isoformat(),
        "start_1": "00:00",
        "end_0": tomorrow.date().isoformat(),
        "end_1": "23:59",
        "c_1_instrument_type": "1M0-SCICAM-SINISTRO",
        "c_1_configuration_type": "EXPOSE",
        "c_1_max_airmass": 1.6,
        "c_1_guide_mode": "ON",
        "c_1_ic_1_exposure_time": 120,
        "c_1_ic_1_exposure_count": 2,
        "c_1_ic_1_filter": "rp",
        "c_1_ic_1_readout_mode": "full_frame",
        "submit": "Submit",
    } | changes


@pytest.fixture
def requested(client, event, portal, observer, auto_targets) -> Any:
    """A request that the observer submitted for the target of an alert."""
    from django.urls import reverse
    from tom_observations.models import ObservationRecord
    from tom_targets.models import Target

    client.force_login(observer)
    deliver(*event.score(0.9, NIGHT, magnitude=17.5))
    target = Target.objects.get()
    url = f"{reverse('tom_observations:create', args=['LCO'])}?target_id={target.pk}"
    answer = client.post(url, imaging_form(target))
    assert answer.status_code == 302, answer.content
    return ObservationRecord.objects.get()
