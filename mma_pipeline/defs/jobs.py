"""Jobs: what a sensor, a person or a backfill starts for a version."""

from __future__ import annotations

from enum import StrEnum

import dagster as dg

#: Run tag that queues and launchers sort by.
LANE_TAG = "mma/lane"
#: Tag of a run that failed for a reason which people are told apart from the run: it is no news of its own.
TOLD = {"mma/told": "true"}


class Lane(StrEnum):
    """What a run competes with: real alerts are never to wait for anything else."""

    LIVE = "live"
    MOCK = "mock"
    BACKFILL = "backfill"
    KILONOVA = "kilonova"
    """Scoring of candidates: minutes of computing, which no alert waits for."""


#: Every product of a version, in one process: a process of its own per product would cost seconds each.
alert_products = dg.define_asset_job(
    "alert_products",
    selection=dg.AssetSelection.groups("alert", "skymap", "observing", "neutrino", "event"),
    executor_def=dg.in_process_executor,
    description="Every product of one version of an event.",
)
