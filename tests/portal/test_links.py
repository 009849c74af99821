"""Links of the Dagster UI to files: to the portal where it has an address, and there they are answered."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from mma_pipeline.portal.app import create_app
from mma_pipeline.portal.context import Portal
from mma_pipeline.settings import Settings
from tests.alerts import body
from tests.homes import Home


@pytest.mark.parametrize("portal", ["https://portal.example.org/mma/", None])
def test_metadata_lead_to_the_portal(home: Home, monkeypatch: pytest.MonkeyPatch, portal: str | None) -> None:
    """Files in the metadata of a materialisation are links to the portal; without one they name the store's own address."""
    if portal is not None:
        monkeypatch.setenv("MMA_PORTAL_URL", portal)
        home.env["MMA_PORTAL_URL"] = portal
    (record,) = home.receive(body("S240301a"))
    result = home.make(record, ["raw_alert"])
    (event,) = result.asset_materializations_for_node("raw_alert")
    links = re.findall(r"\]\(([^)]+)\)", str(event.metadata["files"].value))
    assert links
    if portal is None:
        assert all(link.startswith("file://") for link in links)
        return
    with TestClient(create_app(Portal(home.archive, home.store, url=portal))) as web:
        for link in links:
            assert link.startswith("https://portal.example.org/mma/files/fit/S240301a")
            assert web.get(link).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    ["portal.example.org", "ftp://portal.example.org", "https://user:secret@portal.example.org", "https://x/?a=b"],
)
def test_addresses_that_lead_nowhere(wrong: str) -> None:
    """What is no plain web address is refused, and never repeated: it may hold a password."""
    from mma_pipeline.adapters.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="MMA_PORTAL_URL") as caught:
        Settings({"MMA_PORTAL_URL": wrong}).portal  # noqa: B018 - reading it is what must fail
    assert "secret" not in str(caught.value)
