"""The start page: what came, which candidates matter, and whether the stream is read; nothing of it before login."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.views.generic import TemplateView

from mma_pipeline.tom.models import DerivedAlert, Event, Withdrawal
from mma_pipeline.tom.query import Criteria, select

#: Rows of each table.
_SHOWN = 10


class HomeView(TemplateView):
    """The newest real events and candidates, one row each."""

    template_name = "tom_common/index.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Values for the page; strangers get none where the pages are locked."""
        found = super().get_context_data(**kwargs)
        may_see = self.request.user.is_authenticated or settings.AUTH_STRATEGY == "READ_ONLY"
        return found | {"may_see": may_see} | (_content() if may_see else {})


def _content() -> dict[str, Any]:
    newest = DerivedAlert.objects.order_by("-published", "-pk").values_list("published", flat=True).first()
    events = list(Event.objects.filter(is_test=False).order_by("-version_created", "-event_id")[:_SHOWN])
    pairs = DerivedAlert.objects.filter(kind=DerivedAlert.Kind.COINCIDENCE, event__in=events, retracted=False)
    partners: dict[str, list[str]] = {}
    for alert in pairs:
        partners.setdefault(str(alert.event_id), []).append(alert.label)
    return {
        "candidates": list(select(Criteria())[:_SHOWN]),
        "events": [{"event": event, "pairs": sorted(set(partners.get(event.event_id, ())))} for event in events],
        "mocks": Event.objects.filter(is_test=True).count(),
        "newest": newest,
        "waiting": Withdrawal.objects.filter(state=Withdrawal.State.FAILED).select_related("record")[:_SHOWN],
    }
