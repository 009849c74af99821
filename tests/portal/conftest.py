"""A portal over a small archive: a real event with a coincidence, a retracted one, one of today, a mock, a hostile message."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from mma_pipeline.portal.app import create_app
from mma_pipeline.portal.context import HealthReport, Portal
from mma_pipeline.settings import current
from tests.alerts import body, fits_map
from tests.homes import Home

#: Text that would run if a page did not escape it.
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
TODAY = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
LIVE = f"S{TODAY:%y%m%d}a"
#: The map of the event of today: a Fisher distribution around this place, of this width, all deg.
RA, DEC, SIGMA = 150.0, 20.0, 2.0


def make(home: Home, *names: str) -> None:
    """Make products of every version that they apply to, and the pages, without Dagster."""
    from mma_pipeline.defs.all_products import PRODUCTS
    from mma_pipeline.defs.events.page.write import write_event_page
    from mma_pipeline.products.inputs import ProductInput
    from mma_pipeline.products.materialize import materialize

    records = home.archive.versions()
    for record in records:
        for product in PRODUCTS:
            if product.name in names and product.need.met(record):
                materialize(product, ProductInput(home.archive, home.store, record.partition_key, current()))
    for event_id in {record.version.event_id for record in records}:
        write_event_page(home.archive, home.store, event_id)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The archive and its store; read only."""
    from mma_pipeline.adapters.kafka.message import StreamMessage
    from mma_pipeline.products.ingest import quarantine_message

    home = Home(tmp_path_factory.mktemp("portal"))
    with home.active():
        home.receive(body("S240301a"))
        home.receive(body("S240301a", "UPDATE", created="2024-03-01T13:00:00Z", external=fits_map(140.0, 25.0, 3.0)))
        home.receive(body("S240229b", significant=False, group=HOSTILE, far=1e-6, time="2024-02-29T10:00:00Z"))
        home.receive(body("S240229b", "RETRACTION", created="2024-03-01T15:00:00Z"))
        home.receive(body("MS240301a"))
        home.receive(body(LIVE, created=f"{TODAY:%Y-%m-%dT%H:%M:%SZ}", time=f"{TODAY:%Y-%m-%dT%H:%M:%SZ}"))
        make(home, "raw_alert", "skymap", "skymap_statistics", "coverage")
        message = StreamMessage(
            "gcn-gwalert", "igwn.gwalert", 0, 900, b'{"superevent_id": "S240301a"', None, (), None, datetime.now(UTC)
        )
        quarantine_message(home.archive, message, HOSTILE)
    return home


@pytest.fixture
def portal(filled: Home) -> Portal:
    """The portal."""
    report = HealthReport((HOSTILE,), {"runs queued": 3})
    return Portal(filled.archive, filled.store, health=lambda: report)


@pytest.fixture
def web(portal: Portal) -> Iterator[TestClient]:
    """A browser without a person."""
    with TestClient(create_app(portal, hosts=["testserver"]), raise_server_exceptions=False) as client:
        yield client
