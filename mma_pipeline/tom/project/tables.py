"""The list of targets, with the values by which observers choose."""

from __future__ import annotations

from typing import Any

import django_tables2 as tables
from django.db.models import OuterRef, QuerySet, Subquery
from tom_targets.models import TargetExtra
from tom_targets.tables import TargetTable
from tom_targets.views import TargetListView


def _extra(key: str, value: str) -> Subquery:
    return Subquery(TargetExtra.objects.filter(target=OuterRef("pk"), key=key).values(value)[:1])


class AlertTargetTable(TargetTable):
    """Names and positions with event, probability, magnitude, and whether all alerts were retracted."""

    events = tables.Column()
    kilonova = tables.Column(verbose_name="Kilonova")
    magnitude = tables.Column()
    status = tables.Column()

    class Meta(TargetTable.Meta):
        """The toolkit's columns that remain, and their order."""

        fields = ("selection", "name", "ra", "dec", "events", "kilonova", "magnitude", "status")


class AlertTargetListView(TargetListView):
    """The toolkit's list with these columns; numbers sort as numbers."""

    table_class = AlertTargetTable

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet:
        """The user's targets with the columns' values, in one query."""
        return (
            super()
            .get_queryset(*args, **kwargs)
            .annotate(
                events=_extra("events", "value"),
                kilonova=_extra("kilonova probability", "float_value"),
                magnitude=_extra("magnitude", "float_value"),
                status=_extra("alert status", "value"),
            )
        )
