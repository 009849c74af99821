"""Values for the partial templates of the target page. Each function takes the page's context."""

from __future__ import annotations

from typing import Any

from .models import DerivedAlert, Event, Withdrawal
from .targets import Status

#: Greatest number of alerts listed on a target's page; the query finds older ones.
_SHOWN = 50


def target_status(context: Any) -> dict[str, Any]:
    """Whether the target is retracted, by which events, and the state of its requests."""
    target = context["object"]
    alerts = DerivedAlert.objects.filter(target_id=target.pk)
    newest = alerts.filter(retracted=False).first() or alerts.first()
    if newest is None:
        return {"mma_known": False}
    return {
        "mma_known": True,
        "mma_newest": newest,
        "mma_retracted": target.extra_fields.get("alert status") == Status.RETRACTED,
        "mma_events": _events(target),
        "mma_withdrawals": Withdrawal.objects.filter(record__target_id=target.pk).select_related("record"),
    }


def target_alerts(context: Any) -> dict[str, Any]:
    """The target's alerts, newest first, and the newest version of each of its events with its products."""
    target = context["object"]
    events = _events(target)
    versions = [
        DerivedAlert.objects.filter(kind=DerivedAlert.Kind.VERSION, event=event, version=event.version).first()
        or DerivedAlert.objects.filter(kind=DerivedAlert.Kind.VERSION, event=event).first()
        for event in events
    ]
    return {
        "mma_alerts": DerivedAlert.objects.filter(target_id=target.pk).select_related("event")[:_SHOWN],
        "mma_versions": [version for version in versions if version is not None],
        "mma_pairs": DerivedAlert.objects.filter(
            kind=DerivedAlert.Kind.COINCIDENCE, event__in=events, retracted=False
        ).order_by("event_id", "-published"),
    }


def _events(target: Any) -> list[Event]:
    return list(Event.objects.filter(alerts__target_id=target.pk).distinct().order_by("event_id"))
