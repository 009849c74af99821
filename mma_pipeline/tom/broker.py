"""The same query for TOMs that still use brokers (`tom_alerts`, deprecated since TOM Toolkit 3).

Add `tom_alerts` to INSTALLED_APPS and `mma_pipeline.tom.broker.MmaBroker` to TOM_ALERT_CLASSES.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import reverse
from tom_alerts.alerts import GenericAlert, GenericBroker, GenericQueryForm

from . import targets
from .forms import AlertQueryForm
from .models import DerivedAlert
from .query import Criteria, select

_CRITERIA = tuple(Criteria.__dataclass_fields__)


class MmaBrokerForm(GenericQueryForm):
    """The criteria of `forms.AlertQueryForm` on a broker's form."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in _CRITERIA:
            self.fields[name] = AlertQueryForm.base_fields[name]
        self.helper.layout = None

    clean_since = AlertQueryForm.clean_since
    clean_until = AlertQueryForm.clean_until
    clean_event = AlertQueryForm.clean_event


class MmaBroker(GenericBroker):
    """Derived alerts of mma_pipeline as a broker."""

    name = "MMA"
    form = MmaBrokerForm
    score_description = "Probability of being the event's kilonova, else of a kilonova by the light curve, 0 to 1."

    def fetch_alerts(self, parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Rows of the local table as dictionaries with the key `alert`, newest first."""
        return ({"alert": alert.pk} for alert in select(Criteria.from_form(parameters)))

    def fetch_alert(self, alert_id: int) -> dict[str, Any]:
        """One row by its number."""
        return {"alert": alert_id}

    def to_generic_alert(self, alert: dict[str, Any]) -> GenericAlert:
        """The row as the toolkit's table shows it; `mag` is the magnitude, or None if no message gave one."""
        row = DerivedAlert.objects.get(pk=alert["alert"])
        target = reverse("tom_targets:detail", kwargs={"pk": row.target_id}) if row.target_id else ""
        return GenericAlert(
            timestamp=row.published,
            id=row.pk,
            name=row.candidate,
            ra=row.ra,
            dec=row.dec,
            mag=row.magnitude,
            score=row.kilonova_probability if row.posterior is None else row.posterior,
            url=target,
        )

    def to_target(self, alert: dict[str, Any]) -> Any:
        """The target of the row, created on first use."""
        target, _ = targets.make(DerivedAlert.objects.get(pk=alert["alert"]))
        return target
