"""The example messages of the documents are what the product posts, number for number."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.publishing.compose import compose
from mma_pipeline.adapters.publishing.gwtm_fields import alert_row
from mma_pipeline.notices.derived import DerivedAlert, json_schema_v2
from mma_pipeline.settings import Settings
from tests.adapters.publishing.helpers import ALERTS, needs_alerts
from tests.homes import Home

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "derived-alerts.md"
PUBLIC = {"MMA_PUBLIC_URL": "https://alerts.example.org/products"}


def documented() -> dict[str, Any]:
    """The example of a version in the document."""
    blocks: list[dict[str, Any]] = [
        json.loads(text) for text in re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    ]
    (found,) = (block for block in blocks if block["kind"] == "version")
    return found


def shortened(value: Any) -> Any:
    """Numbers as the document gives them: four digits."""
    if isinstance(value, dict):
        return {name: shortened(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shortened(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def test_the_example_is_a_message() -> None:
    """It follows the schema, reads back, and its id is that of its content."""
    example = documented()
    jsonschema.validate(example, json_schema_v2())
    assert DerivedAlert.from_json(example).to_json() == example


@pytest.fixture
def update(home: Home) -> VersionRecord:
    """S230518h's Update with its statistics."""
    (record,) = home.receive(next(ALERTS.glob("S230518h-UPDATE*.json")).read_bytes())
    assert home.make(record, ["raw_alert", "skymap", "skymap_statistics", "observability", "kilonova_forecast"]).success
    return record


@needs_alerts
def test_the_example_has_the_numbers_that_go_out(home: Home, update: VersionRecord) -> None:
    """Made again from the real alert, to four digits, with the first of its products and observatories."""
    alert, _ = compose(
        update, home.archive.products(update.partition_key), Settings(PUBLIC).publication.public_address, [update]
    )
    made = shortened(alert.to_json())
    made["products"] = made["products"][:1]
    made["observability"]["sites"] = made["observability"]["sites"][:1]
    assert documented() == DerivedAlert.from_json(made).to_json()


@needs_alerts
def test_the_distance_is_the_one_that_lvk_states(home: Home, update: VersionRecord) -> None:
    """277.91 ± 68.29 Mpc stand in the header of S230518h's Update; what the layers give goes beside it in the message."""
    alert, products = compose(
        update, home.archive.products(update.partition_key), Settings({}).publication.public_address, [update]
    )
    row = alert_row(alert, observing_run="O4", skymap_key=None).fields
    assert (row["distance"], row["distance_error"]) == (
        pytest.approx(277.91, abs=0.005),
        pytest.approx(68.29, abs=0.005),
    )
    place, statistics = alert.localisation, products["statistics"].statistics
    assert place is not None
    assert (place.distance_mean, place.distance_std) == (row["distance"], row["distance_error"])
    assert place.distance_mean_layers == statistics["distance_mean_mpc"] == pytest.approx(277.91, rel=0.01)
    assert place.distance_std_layers == statistics["distance_std_mpc"] == pytest.approx(68.29, rel=0.01)
    # Without a public address there is no link that could be dead.
    assert alert.products == ()
