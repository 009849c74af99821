"""IceCube notices for tests, built by hand from the published schema, without the code under test."""

from __future__ import annotations

import json
from typing import Any


def track(ra: float, dec: float, *, radius: Any = 0.5, dt: float = 12.91, **more: Any) -> dict[str, Any]:
    """A coincident event: best fit and radius in deg, time offset in s."""
    return {
        "event_dt": dt,
        "localization": {
            "ra": ra,
            "dec": dec,
            "ra_dec_error": radius,
            "containment_probability": 0.9,
            "systematic_included": False,
        },
        "id": ["138590_39138551"],
        "event_pval_generic": 0.0191,
        "event_pval_bayesian": None,
    } | more


def notice(event: str = "MS240301a", *tracks: dict[str, Any], **changes: Any) -> bytes:
    """A notice about the event of `tests.alerts.alert`, which merged at 2024-03-01T11:59:00.5; `...` leaves a key out."""
    record: dict[str, Any] = {
        "$schema": "https://gcn.nasa.gov/schema/main/gcn/notices/icecube/lvk_nu_track_search.schema.json",
        "type": "IceCube LVK Alert Nu Track Search",
        "reference": {"gcn.notices.LVK.alert": f"{event}-1-Preliminary"},
        "ref_ID": event,
        "alert_datetime": "2024-03-01T12:40:16.526Z",
        "trigger_time": "2024-03-01T11:59:00Z",
        "observation_start": "2024-03-01T11:50:40.000Z",
        "observation_stop": "2024-03-01T12:07:20.000Z",
        "observation_livetime": 1000,
        "pval_generic": 0.0191,
        "pval_bayesian": 0.0549,
        "n_events_coincident": len(tracks),
        "coincident_events": list(tracks),
        "most_probable_direction": {"ra": 150.1, "dec": 20.1},
        "neutrino_flux_sensitivity_range": {
            "flux_sensitivity": [0.0277, 0.647],
            "sensitive_energy_range": [542, 23000000],
        },
    } | changes
    return json.dumps({key: value for key, value in record.items() if value is not ...}).encode()
