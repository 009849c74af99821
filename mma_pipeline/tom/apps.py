"""App configuration, through which the toolkit finds the parts of this app."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django.apps import AppConfig
from django.conf import settings

#: Seconds that a call to an observation portal may take.
FACILITY_TIMEOUT_S = 30.0


class MmaTomConfig(AppConfig):
    """The app of derived alerts."""

    name = "mma_pipeline.tom"
    label = "mma_tom"
    verbose_name = "Multi-messenger alerts"
    default_auto_field: ClassVar[str] = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Add the timeout that the toolkit's portal calls lack: without it a silent portal would block a thread."""
        from tom_observations.facilities import lco_redirect, ocs

        timeout = float(settings.MMA_TOM.get("facility_timeout_s", FACILITY_TIMEOUT_S))
        bounded = partial(ocs.make_request, timeout=timeout)
        ocs.make_request = bounded
        lco_redirect.make_request = bounded

    def include_url_paths(self) -> list[Any]:
        """The address at which the pipeline reads observation requests."""
        from django.urls import path

        from .pointings import PATH, pointings

        return [path(PATH, pointings, name="mma-pointings")]

    def data_services(self) -> list[dict[str, str]]:
        """The query of derived alerts."""
        return [{"class": "mma_pipeline.tom.dataservice.MmaDataService"}]

    def target_detail_tabs(self) -> list[dict[str, Any]]:
        """A tab with the alerts of a target, their events and products."""
        return [
            {
                "partial": "mma_tom/partials/target_alerts.html",
                "context": "mma_pipeline.tom.context.target_alerts",
                "label": "Alerts",
            }
        ]

    def target_detail_buttons(self) -> list[dict[str, Any]]:
        """Probability, events, and a warning on a retracted target, at the top of its page."""
        return [
            {
                "partial": "mma_tom/partials/target_status.html",
                "context": "mma_pipeline.tom.context.target_status",
            }
        ]

    def nav_items(self) -> list[dict[str, str]]:
        """A link to the query in the navigation bar."""
        return [{"partial": "mma_tom/partials/navbar.html"}]
