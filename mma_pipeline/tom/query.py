"""The query of derived alerts: criteria -> rows of the local table. Does not use the stream."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from django.db.models import CharField, F, Q, QuerySet, Value, Window
from django.db.models.functions import Cast, Coalesce, Concat, RowNumber

from .ingest import unit_vector
from .models import DerivedAlert

#: Greatest number of rows of a query; the toolkit shows 100, and says so if there are more.
MAX_ROWS = 101


@dataclass(frozen=True, slots=True)
class Criteria:
    """Criteria of a query; None means any."""

    min_kilonova_probability: float | None = None
    """Of the posterior where there is one, else of the light curve."""
    since: datetime | None = None
    """Published at or after, UTC."""
    until: datetime | None = None
    """Published before, UTC."""
    event: str | None = None
    only_significant: bool = False
    ra: float | None = None
    """Centre of the sky region, deg."""
    dec: float | None = None
    """Centre of the sky region, deg."""
    radius: float | None = None
    """Radius of the sky region, deg."""
    max_credible_level: float | None = None
    include_retracted: bool = False
    include_test: bool = False

    @classmethod
    def from_form(cls, cleaned: Mapping[str, Any]) -> Criteria:
        """Criteria of a cleaned or saved form: times as ISO text, unknown keys ignored, empty text means any."""
        values = {f.name: cleaned[f.name] for f in fields(cls) if cleaned.get(f.name) not in (None, "")}
        for name in ("since", "until"):
            if isinstance(values.get(name), str):
                moment = datetime.fromisoformat(values[name])
                values[name] = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return cls(**values)


def select(criteria: Criteria) -> QuerySet[DerivedAlert]:
    """Candidates that meet all criteria by their latest alert, one row each, newest first, at most `MAX_ROWS`.

    The latest alert is that of the latest observation, v2 before v1 of the same score, of those in the span of time, of the
    event, and retracted or of mocks only if asked for. Names that lead to one target are one candidate. An alert that lacks the value of a criterion does not meet it: a v1 message has no event, so it is not
    found by event, significance or credible level.
    """
    rows = DerivedAlert.objects.filter(kind=DerivedAlert.Kind.CANDIDATE)
    if not criteria.include_retracted:
        rows = rows.filter(retracted=False)
    if not criteria.include_test:
        rows = rows.filter(is_test=False)
    if criteria.since is not None:
        rows = rows.filter(published__gte=criteria.since)
    if criteria.until is not None:
        rows = rows.filter(published__lt=criteria.until)
    if criteria.event:
        rows = rows.filter(event_id=criteria.event)
    rows = _latest(rows)
    if criteria.min_kilonova_probability is not None:
        least = criteria.min_kilonova_probability
        rows = rows.filter(Q(posterior__gte=least) | Q(posterior=None, kilonova_probability__gte=least))
    if criteria.only_significant:
        rows = rows.filter(event__significant=True)
    if criteria.max_credible_level is not None:
        rows = rows.filter(credible_level__lte=criteria.max_credible_level)
    if criteria.ra is not None and criteria.dec is not None and criteria.radius is not None:
        rows = _in_cone(rows, criteria.ra, criteria.dec, criteria.radius)
    return rows.defer("body")[:MAX_ROWS]


def _latest(rows: QuerySet[DerivedAlert]) -> QuerySet[DerivedAlert]:
    """The latest alert of each candidate among these."""
    candidate = Coalesce(Cast("target_id", CharField()), Concat(Value("name "), "candidate"))
    order = (F("observed").desc(nulls_last=True), F("schema").desc(), F("published").desc(), F("pk").desc())
    place = Window(RowNumber(), partition_by=[candidate], order_by=order)
    latest = rows.order_by().annotate(place=place).filter(place=1).values("pk")
    return DerivedAlert.objects.filter(pk__in=latest).select_related("event")


def _in_cone(rows: QuerySet[DerivedAlert], ra: float, dec: float, radius: float) -> QuerySet[DerivedAlert]:
    """Rows within `radius` deg. Compares chords, because the cosine of a small angle loses its precision."""
    x, y, z = unit_vector(ra, dec)
    chord = 2.0 * math.sin(math.radians(min(radius, 180.0)) / 2.0)
    distance = (F("x") - x) * (F("x") - x) + (F("y") - y) * (F("y") - y) + (F("z") - z) * (F("z") - z)
    return (
        rows.filter(dec__gte=dec - radius, dec__lte=dec + radius).alias(chord=distance).filter(chord__lte=chord * chord)
    )
