"""Pairs of events of different messengers."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import AliasChoices, Field

from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.notices.times import DAY_S, YEAR_S
from mma_pipeline.science.coincidence.searches import SEARCHES, Search, SearchRules, searches_from
from mma_pipeline.settings.base import Group, setting


class CoincidenceSettings(Group):
    """Pairs of events of different messengers: by which searches they are compared, and which are claimed."""

    searches: Path | None = setting(
        None,
        "MMA_COINCIDENCE_SEARCHES",
        about="JSON file with search windows, rates and sources in place of the published ones.",
    )
    far_per_year: float = Field(
        1.0,
        gt=0,
        validation_alias=AliasChoices("MMA_COINCIDENCE_FAR_PER_YEAR"),
        description="Joint false-alarm rate, per year, up to which a pair is claimed and published.",
    )
    gw_per_day: float = Field(
        2.0,
        gt=0,
        validation_alias=AliasChoices("MMA_COINCIDENCE_GW_PER_DAY"),
        description="False-alarm rate, per day, to which gravitational-wave alerts are sent.",
    )
    sure_gw_days: float = Field(
        3.0,
        gt=0,
        validation_alias=AliasChoices("MMA_COINCIDENCE_SURE_GW_DAYS"),
        description="Days between sure gravitational waves: pairs of significant ones are rated by it too.",
    )
    alerts: bool = setting(True, "MMA_COINCIDENCE_ALERTS", about="Publish claimed pairs as derived alerts.")

    @property
    def rules(self) -> SearchRules:
        """By which pairs are compared; raises ConfigurationError if the file cannot be used."""
        return SearchRules(
            searches=SEARCHES if self.searches is None else _searches(self.searches),
            far_max=self.far_per_year / YEAR_S,
            far_gw_max=self.gw_per_day / DAY_S,
            rate_gw=1.0 / (self.sure_gw_days * DAY_S),
        )


def _searches(path: Path) -> tuple[Search, ...]:
    try:
        return searches_from(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"MMA_COINCIDENCE_SEARCHES: {path} cannot be used: {error}") from error
