"""Fixtures of the TOM's tests: a simulated event, the stand-in portal, users."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mma_pipeline.tom.demo.event import Sent, SimulatedEvent
from mma_pipeline.tom.demo.portal import Portal
from tests.services.fixtures import pytest_terminal_summary  # noqa: F401 - a hook: what could not be tested

from .browsing import browser, page  # noqa: F401 - fixtures

# Playwright's synchronous interface runs an event loop in the test's thread, and Django refuses the database there.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


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
