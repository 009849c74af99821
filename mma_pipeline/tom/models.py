"""Tables of the TOM: events, derived alerts, rejects, the position in the stream, and withdrawals."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from tom_observations.models import ObservationRecord
from tom_targets.models import BaseTarget


class Event(models.Model):
    """A gravitational-wave event, as its newest version describes it."""

    event_id = models.CharField(max_length=40, primary_key=True)
    is_test = models.BooleanField(default=False)
    significant = models.BooleanField(null=True, db_index=True)
    """The collaboration's flag; null if no version has given it yet."""
    significant_as_of = models.DateTimeField(null=True)
    """Creation time of the version that gave it."""
    version = models.CharField(max_length=100, blank=True, default="")
    """Partition key of the newest version other than a retraction."""
    version_created = models.DateTimeField(null=True)
    retracted_at = models.DateTimeField(null=True)
    """When its retraction was first published; null if it was not retracted."""

    def __str__(self) -> str:
        """The event's id."""
        return self.event_id


class DerivedAlert(models.Model):
    """One message of the stream. Messages never change; consequences of later messages are separate fields."""

    class Kind(models.TextChoices):
        """Kind of a message, spelled as in `mma_pipeline.notices.derived.DerivedKind`."""

        VERSION = "version"
        CANDIDATE = "candidate"
        COINCIDENCE = "coincidence"
        RETRACTION = "retraction"

    message_id = models.CharField(max_length=32, unique=True)
    schema = models.CharField(max_length=4)
    kind = models.CharField(max_length=12, choices=Kind.choices, db_index=True)
    source = models.CharField(max_length=300, blank=True, default="")
    """`topic/partition/offset` of its first copy."""
    published = models.DateTimeField(db_index=True)
    body = models.JSONField()
    event = models.ForeignKey(Event, null=True, on_delete=models.PROTECT, related_name="alerts")
    version = models.CharField(max_length=100, blank=True, default="")
    is_test = models.BooleanField(default=False)

    candidate = models.CharField(max_length=100, blank=True, default="", db_index=True)
    ra = models.FloatField(null=True)
    """deg, ICRS"""
    dec = models.FloatField(null=True, db_index=True)
    """deg, ICRS"""
    x = models.FloatField(null=True)
    """Unit vector of the position, so that a cone is plain arithmetic for every database."""
    y = models.FloatField(null=True)
    z = models.FloatField(null=True)
    observed = models.DateTimeField(null=True)
    kilonova_probability = models.FloatField(null=True, db_index=True)
    other_probability = models.FloatField(null=True)
    credible_level = models.FloatField(null=True)
    magnitude = models.FloatField(null=True)
    """AB magnitude"""
    magnitude_error = models.FloatField(null=True)
    band = models.CharField(max_length=32, blank=True, default="")
    aliases = models.JSONField(default=list)
    posterior = models.FloatField(null=True, db_index=True)
    """By all that is known: after vetting, else without; null if no message of the score says. v1 has it from its v2 twin."""
    reasons = models.JSONField(default=list)
    """What vetting found, in words."""

    retracts = models.CharField(max_length=32, blank=True, default="", db_index=True)
    """Id of the message that this one retracts."""
    retracted = models.BooleanField(default=False, db_index=True)
    target = models.ForeignKey(BaseTarget, null=True, on_delete=models.SET_NULL, related_name="mma_alerts")

    class Meta:
        """Newest first."""

        ordering: ClassVar = ["-published", "-pk"]

    def __str__(self) -> str:
        """Candidate, or kind and event."""
        return self.candidate or self.label

    @property
    def label(self) -> str:
        """What it is about, for people: of a pair, with which event and how far apart in time."""
        pair = self.body.get("coincidence")
        if self.kind != self.Kind.COINCIDENCE or not isinstance(pair, dict):
            return f"{self.get_kind_display()} of {self.event_id}"
        apart = pair.get("time_difference")
        seconds = f", {abs(apart):.1f} s apart" if isinstance(apart, int | float) else ""
        return f"Coincidence with {str(pair.get('other_event', 'another event'))[:60]}{seconds}"

    @property
    def products(self) -> list[dict[str, object]]:
        """Links of the message: dicts with name, url, sha256 and size; only web addresses become links."""
        found = self.body.get("products") or []
        return [p for p in found if isinstance(p, dict) and str(p.get("url", "")).startswith(("https://", "http://"))]


class RejectedMessage(models.Model):
    """A message that is not a derived alert, kept with the reason; it stops nothing."""

    source = models.CharField(max_length=300, unique=True)
    reason = models.TextField()
    body = models.BinaryField()
    """The first 64 KiB."""
    received = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        """Its position in the stream, and why it was rejected."""
        return f"{self.source}: {self.reason}"


class StreamPosition(models.Model):
    """Position in a stream; changed in the transaction that stores the messages."""

    stream = models.CharField(max_length=200, primary_key=True)
    offsets = models.JSONField(default=dict)
    """topic -> partition -> next offset"""

    def __str__(self) -> str:
        """The stream's name."""
        return self.stream


class Withdrawal(models.Model):
    """An observation request to withdraw after a retraction: stored with the retraction, executed afterwards."""

    class State(models.TextChoices):
        """State of the withdrawal."""

        WAITING = "waiting"
        DONE = "done"
        FAILED = "failed"

    record = models.OneToOneField(ObservationRecord, on_delete=models.CASCADE, related_name="mma_withdrawal")
    retraction = models.ForeignKey(DerivedAlert, null=True, on_delete=models.SET_NULL)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING, db_index=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt = models.DateTimeField(db_index=True)
    note = models.TextField(blank=True, default="")
    """The facility's answer, for people."""

    def __str__(self) -> str:
        """Request and state."""
        return f"{self.record}: {self.state}"


class OidcAccount(models.Model):
    """The user of a subject of the OpenID Connect provider."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="mma_oidc")
    subject = models.CharField(max_length=255, unique=True)

    def __str__(self) -> str:
        """User and subject."""
        return f"{self.user} ({self.subject})"
