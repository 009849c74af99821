"""The query form. Cleaned values are JSON, because the toolkit keeps them in the session and in saved queries."""

from __future__ import annotations

from typing import Any

from crispy_forms.layout import Column, Layout, Row
from django import forms
from tom_dataservices.forms import BaseQueryForm

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.key import check_event_id


class AlertQueryForm(BaseQueryForm):
    """Criteria of `query.Criteria`, field by field."""

    min_kilonova_probability = forms.FloatField(
        required=False,
        min_value=0,
        max_value=1,
        label="Minimum kilonova probability",
        help_text="0 to 1; the posterior where there is one, else by the light curve",
    )
    max_credible_level = forms.FloatField(
        required=False,
        min_value=0,
        max_value=1,
        label="Maximum credible level",
        help_text="0.9: inside the 90 % region of the sky map",
    )
    since = forms.DateTimeField(required=False, label="Published since", help_text="UTC, such as 2023-05-18 13:00")
    until = forms.DateTimeField(required=False, label="Published before", help_text="UTC")
    event = forms.CharField(required=False, max_length=40, help_text="Superevent id, such as S230518h")
    only_significant = forms.BooleanField(required=False, label="Only significant events")
    ra = forms.FloatField(required=False, min_value=0, max_value=360, label="Right ascension (deg)")
    dec = forms.FloatField(required=False, min_value=-90, max_value=90, label="Declination (deg)")
    radius = forms.FloatField(required=False, min_value=1e-6, max_value=180, label="Radius (deg)")
    include_retracted = forms.BooleanField(required=False, label="Include retracted alerts")
    include_test = forms.BooleanField(required=False, label="Include mock and test events")

    def get_layout(self) -> Layout:
        """Two fields per row; the sky region is one row."""
        return Layout(
            "data_service",
            Row(Column("min_kilonova_probability"), Column("max_credible_level")),
            Row(Column("since"), Column("until")),
            Row(Column("event"), Column("only_significant")),
            Row(Column("ra"), Column("dec"), Column("radius")),
            Row(Column("include_retracted"), Column("include_test")),
        )

    def clean_since(self) -> str | None:
        """The time as ISO text."""
        return _iso(self.cleaned_data["since"])

    def clean_until(self) -> str | None:
        """The time as ISO text."""
        return _iso(self.cleaned_data["until"])

    def clean_event(self) -> str:
        """The event's id, checked."""
        event = self.cleaned_data["event"].strip()
        try:
            return check_event_id(event) if event else ""
        except NoticeError as error:
            raise forms.ValidationError(str(error)) from error

    def clean(self) -> dict[str, Any]:
        """Check that a sky region has all three numbers, and that a time range is in order."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        region = [cleaned.get(name) is not None for name in ("ra", "dec", "radius")]
        if any(region) and not all(region):
            raise forms.ValidationError("A sky region needs right ascension, declination and radius.")
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since >= until:
            raise forms.ValidationError("'Published since' must lie before 'Published before'.")
        return cleaned


def _iso(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()
