"""Tags and order of runs, however they were started, and where the UI leads a person first."""

from __future__ import annotations

import dagster as dg
import pytest

from mma_pipeline.definitions import build_defs
from mma_pipeline.defs.alerts.sensors import run_request
from mma_pipeline.defs.metadata import metadata_value
from mma_pipeline.defs.operations.health import portal_links
from tests.alerts import body
from tests.homes import Home


def test_a_run_that_a_person_started_has_its_event(home: Home) -> None:
    """A run without tags is tagged with the event of its partition, one of several events with all of them."""
    records = [home.receive(body(event))[0] for event in ("MS240301a", "MS240301b")]
    alone = home.make(records[0], ["raw_alert"])
    together = home.make_all(records, ["raw_alert", "event_page"])
    tags = [home.instance.get_run_by_id(result.run_id).tags for result in (alone, together)]
    assert tags[0]["mma/event"] == "MS240301a"
    assert "mma/event" not in tags[1]
    assert tags[1]["mma/events"] == "MS240301a, MS240301b"


def test_retractions_run_first(home: Home) -> None:
    """A retraction is ahead of all versions in the queue, and a mock one still behind every real run."""
    order = []
    for kind, event in (
        ("RETRACTION", "S240301a"),
        ("UPDATE", "S240301a"),
        ("RETRACTION", "MS240301a"),
        ("UPDATE", "MS240301a"),
    ):
        (record,) = home.receive(body(event, kind))
        request = run_request(record, home.archive.origin(record.message_id))
        order.append(int(request.tags["dagster/priority"]))
    assert order == sorted(set(order), reverse=True)


def test_health_leads_to_the_portal(home: Home) -> None:
    """The report of the health has links to the portal, the newest real event and the health page; none without a portal."""
    home.receive(body("S240301a"))
    home.receive(body("MS240302a", created="2024-03-02T12:00:00Z"))
    assert portal_links(home.archive, None) == {}
    links = {name: value.value for name, value in portal_links(home.archive, "https://example.org/mma/").items()}
    assert links == {
        "portal": "https://example.org/mma/",
        "newest event": "[S240301a](https://example.org/mma/events/S240301a)",
        "health": "https://example.org/mma/health",
    }


def test_the_place_to_begin_has_its_links_before_any_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The asset's own metadata and description link the portal, its newest event, health and quarantine; without a portal none."""
    monkeypatch.delenv("MMA_PORTAL_URL", raising=False)
    key = dg.AssetKey("pipeline_health")
    assert build_defs().resolve_asset_graph().get(key).metadata.keys() & {"portal", "newest event"} == set()
    monkeypatch.setenv("MMA_PORTAL_URL", "https://example.org/mma/")
    node = build_defs().resolve_asset_graph().get(key)
    links = {name: value.value for name, value in node.metadata.items() if isinstance(value, dg.UrlMetadataValue)}
    assert links == {
        "portal": "https://example.org/mma/",
        "newest event": "https://example.org/mma/newest",
        "health": "https://example.org/mma/health",
        "quarantine": "https://example.org/mma/quarantine",
    }
    assert all(f"({at})" in node.description for at in links.values())
    monkeypatch.setenv("MMA_PORTAL_URL", "not an address")
    assert build_defs().resolve_asset_graph().get(key) is not None


def test_pictures_show_without_a_click(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a portal the UI's metadata name the picture there, short enough to be shown at once; without one they embed it."""
    (record,) = home.receive(body("MS240301a"))
    wanted = ("raw_alert", "skymap", "skymap_statistics", "contours", "skymap_plot")

    def shown() -> str:
        made = {e.asset_key.to_user_string(): e for e in home.make(record, wanted).get_asset_materialization_events()}
        metadata = made["skymap_plot"].step_materialization_data.materialization.metadata
        return str(metadata["picture"].value)

    assert shown().startswith("![skymap.png](data:image/png;base64,")
    monkeypatch.setenv("MMA_PORTAL_URL", "https://example.org/mma/")
    address = f"https://example.org/mma/files/mma/MS240301a/{record.partition_key}/skymap.png"
    assert shown() == f"[![skymap.png]({address})]({address})"
    assert len(shown()) < 1000


def test_metadata_are_rounded() -> None:
    """Numbers have six digits in the UI, and dates their thousandths; texts and whole numbers stay as they are."""
    assert metadata_value(1.0041234567e-116) == 1.00412e-116
    assert (metadata_value(95.71289062), metadata_value(60082.541067), metadata_value(7)) == (95.7129, 60082.541, 7)
    assert metadata_value({"a": [0.123456789, None, "x"]}).value == {"a": [0.123457, None, "x"]}
