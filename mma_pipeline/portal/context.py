"""What the portal works with: handed down once by `mma serve`, so that no module here opens anything itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import Request

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.store import Store
from mma_pipeline.portal.events import EventList
from mma_pipeline.products.survey_regions import LiveRegions

#: First segments of the keys that the pipeline writes; no other object of a bucket or account is served.
SERVED = ("fit", "test", "mma")


@dataclass(frozen=True)
class HealthReport:
    """The pipeline's health at one moment, as text for people."""

    problems: tuple[str, ...]
    """What needs a person's attention; empty if all is well."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Name and value."""


@dataclass(frozen=True)
class Portal:
    """Archive, store and settings of one portal."""

    archive: Archive
    store: Store
    url: str | None = None
    """Address of the portal for people (`MMA_PORTAL_URL`)."""
    health: Callable[[], HealthReport] | None = None
    """Reads the pipeline's health; None where Dagster's storage is not at hand."""
    live_days: float = 14.0
    """Days after an event in which it is live."""

    @cached_property
    def events(self) -> EventList:
        """All events."""
        return EventList(self.archive)

    @cached_property
    def regions(self) -> LiveRegions:
        """The regions of 99 % of the live real events of every messenger."""
        return LiveRegions(self.archive, days=self.live_days, level=0.99, mocks=False, triggers=True)

    @cached_property
    def rehearsed_regions(self) -> LiveRegions:
        """The same with mock and test events."""
        return LiveRegions(self.archive, days=self.live_days, level=0.99, mocks=True, triggers=True)

    @cached_property
    def base(self) -> str:
        """Path before every path of the portal: that of its address, without a final slash."""
        return urlsplit(self.url or "").path.rstrip("/")

    def file_path(self, key: str) -> str:
        """Path at which a storage key is served."""
        return f"{self.base}/files/{quote(key)}"


def portal_of(request: Request) -> Portal:
    """The portal that a request came to."""
    found: Portal = request.app.state.portal
    return found
