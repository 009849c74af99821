"""Admin pages: received alerts, rejected messages, and withdrawals that need a person."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.utils import timezone

from .models import DerivedAlert, Event, OidcAccount, RejectedMessage, StreamPosition, Withdrawal


class _ReadOnly(admin.ModelAdmin):
    """Rows that only the stream writes."""

    def has_add_permission(self, request: Any) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        """Nobody."""
        return False


@admin.register(Event)
class EventAdmin(_ReadOnly):
    """Events."""

    list_display: ClassVar = ["event_id", "significant", "version", "retracted_at", "is_test"]


@admin.register(DerivedAlert)
class DerivedAlertAdmin(_ReadOnly):
    """Alerts."""

    list_display: ClassVar = ["published", "kind", "schema", "event", "candidate", "kilonova_probability", "retracted"]
    list_filter: ClassVar = ["kind", "schema", "retracted", "is_test"]
    search_fields: ClassVar = ["candidate", "event__event_id", "message_id"]


@admin.register(RejectedMessage)
class RejectedMessageAdmin(_ReadOnly):
    """Rejects."""

    list_display: ClassVar = ["received", "source", "reason"]


@admin.register(StreamPosition)
class StreamPositionAdmin(_ReadOnly):
    """Positions in the streams."""

    list_display: ClassVar = ["stream", "offsets"]


@admin.register(Withdrawal)
class WithdrawalAdmin(admin.ModelAdmin):
    """Withdrawals; failed ones can be retried."""

    list_display: ClassVar = ["record", "state", "attempts", "note"]
    list_filter: ClassVar = ["state"]
    actions: ClassVar = ["try_again"]

    @admin.action(description="Try again")
    def try_again(self, request: Any, queryset: Any) -> None:
        """Retry the chosen withdrawals from the start."""
        queryset.update(state=Withdrawal.State.WAITING, attempts=0, next_attempt=timezone.now())


admin.site.register(OidcAccount)
