"""A Treasure Map with something in it."""

from __future__ import annotations

from typing import Any

import httpx

from tests.services.gwtm_standin import GwtmStandIn

USER, ADMIN = {"api_token": "test_token_user_002"}, {"api_token": "test_token_admin_001"}
MOSAIC = "#[(-0.5, -0.25)\n(-0.1, -0.25)\n(-0.1, 0.25)\n(-0.5, 0.25)]\n#[(0.1, -0.25)\n(0.5, -0.25)\n(0.5, 0.25)\n(0.1, 0.25)]"


def filled(server: GwtmStandIn, event: str) -> None:
    """Add an event, a rectangle of 2° × 1°, a camera of two CCDs, and three pointings: two completed, one planned."""
    alert = {"graceid": event, "role": "observation", "alert_type": "Preliminary", "timesent": "2024-03-01T12:00:00"}
    _post(server, "post_alert", alert, ADMIN)
    box = {"footprint_type": "Rectangular", "unit": "deg", "height": 1.0, "width": 2.0}
    mosaic = {"footprint_type": "Polygon", "unit": "deg", "polygon": MOSAIC}
    for name, shape in (("Rectangle", box), ("Mosaic", mosaic)):
        _post(server, "instruments", {"instrument_name": name, "instrument_type": 1, **shape}, USER)
    done = {"status": "completed", "band": "r", "depth": 20.5, "depth_unit": "ab_mag"}
    pointings: list[dict[str, Any]] = [
        {"ra": 200.5, "dec": -12.25, "instrumentid": 1, "time": "2024-03-01T13:30:00", "pos_angle": 30.0, **done},
        {"ra": 10.25, "dec": 45.5, "instrumentid": 1, "time": "2024-03-02T03:00:00", **done, "status": "planned"},
        {"ra": 150.0, "dec": 20.0, "instrumentid": 2, "time": "2024-03-02T04:00:00", **done},
    ]
    for pointing in pointings:
        _post(server, "pointings", {"graceid": event, "pointing": pointing}, USER)


def _post(server: GwtmStandIn, path: str, body: dict[str, Any], headers: dict[str, str]) -> None:
    answer = httpx.post(f"{server.base}{path}", json=body, headers=headers, timeout=10)
    answer.raise_for_status()
    assert not (answer.json() or {}).get("ERRORS"), answer.text
