"""Creates targets of candidates: one target per candidate, whatever the number of messages about it."""

from __future__ import annotations

from enum import StrEnum
from functools import reduce
from typing import Any

from django.db import connection, transaction
from tom_dataproducts.models import PhotometryReducedDatum
from tom_targets.base_models import BaseTarget
from tom_targets.models import Target, TargetExtra, TargetName

from .models import DerivedAlert

#: Characters that the toolkit's own name matching ignores (tom_targets.base_models.simplify_name).
_IGNORED = " -_()"
_PLAIN_NAME = reduce(lambda sql, character: f"replace({sql}, '{character}', '')", _IGNORED, "lower(name)")
SOURCE_NAME = "mma_pipeline"


class Status(StrEnum):
    """Whether any alert still speaks for the target."""

    LIVE = "live"
    RETRACTED = "retracted"


def find(name: str, aliases: list[str] | None = None) -> Target | None:
    """The target known by this name, by an alias, or by a spelling that differs only in case, spaces and dashes.

    The same rule as the toolkit's `match_fuzzy_name`, but with one query, while that one reads every target. Of several
    targets it returns the oldest.
    """
    spellings = sorted({_simplify(spelling) for spelling in (name, *(aliases or ()))})
    marks = ", ".join(["%s"] * len(spellings))
    # Only table names and placeholders are concatenated here.
    sql = (
        f"SELECT id FROM {BaseTarget._meta.db_table} WHERE {_PLAIN_NAME} IN ({marks}) "  # noqa: S608
        f"UNION SELECT target_id FROM {TargetName._meta.db_table} WHERE {_PLAIN_NAME} IN ({marks}) "
        "ORDER BY 1 LIMIT 1"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*spellings, *spellings])
        row = cursor.fetchone()
    return None if row is None else Target.objects.get(pk=row[0])


@transaction.atomic
def make(alert: DerivedAlert, user: Any = None) -> tuple[Target, bool]:
    """The target of an alert and whether it is new; further alerts of the candidate give the same one.

    `user` gets permissions for a target that it created. Raises ValueError if the alert has no position.
    """
    if alert.kind != DerivedAlert.Kind.CANDIDATE:
        raise ValueError(f"{alert} has no position: only candidates become targets")
    target = find(alert.candidate, alert.aliases)
    created = False
    if target is None:
        # get_or_create, because the unique name decides if the stream and a person create the target at the same time.
        target, created = Target.objects.get_or_create(
            name=alert.candidate,
            defaults={"type": Target.SIDEREAL, "ra": alert.ra, "dec": alert.dec, "epoch": 2000.0},
        )
    if user is not None and created:
        target.give_user_access(user)
    attach(alert, target)
    return target, created


@transaction.atomic
def attach(alert: DerivedAlert, target: Target) -> None:
    """Link all alerts of the candidate to its target, and update the target."""
    loose = DerivedAlert.objects.filter(
        candidate=alert.candidate, kind=DerivedAlert.Kind.CANDIDATE, target__isnull=True
    )
    fresh = list(loose)
    loose.update(target=target)
    for each in fresh:
        _photometry(target, each)
    for name in dict.fromkeys((alert.candidate, *alert.aliases)):
        taken = Target.objects.filter(name=name).exists() or TargetName.objects.filter(name=name).exists()
        if not taken:
            TargetName.objects.create(target=target, name=name)
    refresh(target.pk)


def refresh(target_pk: int) -> Status:
    """Recompute the target's values from its newest alert that was not retracted, in whatever order they arrived."""
    target = Target.objects.get(pk=target_pk)
    alerts = DerivedAlert.objects.filter(target_id=target_pk).select_related("event").order_by("published", "pk")
    standing = [alert for alert in alerts if not alert.retracted]
    status = Status.LIVE if standing else Status.RETRACTED
    shown = standing or list(alerts)
    newest = shown[-1]
    events = sorted({alert.event_id for alert in shown if alert.event_id})
    # v1 and v2 of the same score are two messages, and only v2 has these.
    measured = next((a for a in reversed(shown) if a.magnitude is not None), None)
    placed = next((a for a in reversed(shown) if a.credible_level is not None), None)
    extras = {
        "alert status": str(status),
        "events": ", ".join(events),
        "kilonova probability": newest.kilonova_probability,
        "other probability": newest.other_probability,
        "posterior": newest.posterior,
        "credible level": placed.credible_level if placed else None,
        "magnitude": measured.magnitude if measured else None,
        "band": measured.band if measured else None,
        "last observed": newest.observed.isoformat(timespec="seconds") if newest.observed else None,
    }
    for key, value in extras.items():
        if value in (None, ""):
            TargetExtra.objects.filter(target=target, key=key).delete()
        else:
            # Not update_or_create: it saves only `value`, so the number that filters compare would be out of date.
            extra, _ = TargetExtra.objects.get_or_create(target=target, key=key)
            if extra.value != str(value):
                extra.value = str(value)
                extra.save()
    return status


def _photometry(target: Target, alert: DerivedAlert) -> None:
    """The magnitude of an alert as a point of the target's light curve."""
    if alert.magnitude is None or alert.observed is None or not alert.band:
        return
    PhotometryReducedDatum.objects.get_or_create(
        target=target,
        bandpass=alert.band,
        timestamp=alert.observed,
        brightness=alert.magnitude,
        defaults={"brightness_error": alert.magnitude_error, "unit": "AB mag", "source_name": SOURCE_NAME},
    )


def _simplify(name: str) -> str:
    return name.lower().translate(dict.fromkeys(map(ord, _IGNORED)))
