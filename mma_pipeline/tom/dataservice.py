"""The toolkit's data service for derived alerts: query form -> rows of the local table -> targets.

TOM Toolkit 3 replaced brokers (`tom_alerts.GenericBroker`, deprecated) by data services; `broker` serves TOMs that
still have brokers.
"""

from __future__ import annotations

from typing import Any

from django.core.cache import cache
from django.db.models import Count, Max, Q
from tom_dataservices.dataservices import DataService

from . import targets
from .forms import AlertQueryForm
from .models import DerivedAlert
from .query import Criteria, select

#: Seconds for which a row of a result page can be turned into a target; as long as the toolkit keeps results.
_CACHE_S = 3600


class MmaDataService(DataService):
    """Derived alerts of mma_pipeline, from the local table that the stream fills."""

    name = "MMA"
    verbose_name = "Multi-messenger derived alerts"
    service_notes = "Alerts with their probabilities; both messages of a candidate (v1 and v2) are one target."
    query_results_table = "mma_tom/partials/query_results_table.html"

    @classmethod
    def get_form_class(cls) -> type[AlertQueryForm]:
        """The query form."""
        return AlertQueryForm

    def build_query_parameters(self, parameters: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """The form's values and the state of the table.

        The toolkit shows cached results for an hour if the parameters are equal. With the table's state among them, a new
        alert or a retraction is shown at once.
        """
        state = DerivedAlert.objects.aggregate(
            last=Max("pk"),
            retracted=Count("pk", filter=Q(retracted=True)),
            targets=Count("target"),
        )
        wanted = {name: parameters.get(name) for name in Criteria.__dataclass_fields__}
        self.query_parameters = {**wanted, "table": list(state.values())}
        return self.query_parameters

    def query_service(self, query_parameters: dict[str, Any], **kwargs: Any) -> list[DerivedAlert]:
        """Rows that meet the criteria, newest first; at most `query.MAX_ROWS`."""
        self.query_results = list(select(Criteria.from_form(query_parameters)))
        return self.query_results

    def query_targets(self, query_parameters: dict[str, Any], **kwargs: Any) -> list[dict[str, Any]]:
        """The rows as the result table shows them.

        The toolkit identifies a chosen row by its number on the page, which means another row once someone else has run a
        query. So each row is also kept under a unique name, which the table sends.
        """
        results = []
        for alert in self.query_service(query_parameters):
            row = _row(alert)
            cache.set(f"result_{row['key']}", row, _CACHE_S)
            results.append(row)
        return results

    def to_target(self, target_result: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        """The target of a row, created on first use; the user who creates it may change it."""
        if target_result is None:
            return None
        request = kwargs.get("request")
        alert = DerivedAlert.objects.get(pk=target_result["alert"])
        target, _ = targets.make(alert, user=request.user if request is not None else self.user)
        return target

    def build_query_parameters_from_target(self, target: Any, **kwargs: Any) -> dict[str, Any]:
        """Parameters that find the alerts of a target."""
        return {"target": target.pk}

    def query_photometry(self, query_parameters: dict[str, Any], **kwargs: Any) -> list[dict[str, Any]]:
        """Nothing to fetch: magnitudes are added to the target's light curve when their alert arrives."""
        return []

    def query_aliases(self, query_parameters: Any = None, target: Any = None, **kwargs: Any) -> list[str]:
        """Nothing to fetch: aliases are added to the target when their alert arrives."""
        return []


def _row(alert: DerivedAlert) -> dict[str, Any]:
    return {
        "key": f"mma-{alert.pk}",
        "alert": alert.pk,
        "name": alert.candidate,
        "ra": alert.ra,
        "dec": alert.dec,
        "event": alert.event_id or "",
        "significant": alert.event.significant if alert.event else None,
        "kilonova_probability": alert.kilonova_probability,
        "posterior": alert.posterior,
        "reasons": alert.reasons,
        "credible_level": alert.credible_level,
        "magnitude": alert.magnitude,
        "band": alert.band,
        "published": alert.published,
        "schema": alert.schema,
        "retracted": alert.retracted,
        "target": alert.target_id,
    }
