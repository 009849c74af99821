"""States of events for tests of their pages."""

from __future__ import annotations

import re
from typing import Any

from mma_pipeline.defs.events.page.state import EventState

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">|[a](javascript:alert(3))\n# x'


def untimed(page: bytes) -> bytes:
    """A page without the time at which it was made, and where its messages stood: all else follows from what they say."""
    found = re.search(rb'<meta name="mma-made" content="([^"]+)">', page)
    assert found, "a page says when it was made"
    made = found[1]
    page = re.sub(rb"<span data-where>[^<]*</span>", b"", page)
    return page.replace(made, b"").replace(made[:19].replace(b"T", b" "), b"")


def hostile_state(picture: str = f"fit/{HOSTILE}") -> EventState:
    """A retracted event in which every text that may come from outside is hostile; `picture` is the key of its picture."""
    facts: dict[str, Any] = {
        "alert_type": "Update", "urls": {"gracedb": "javascript:alert(4)"}, "far_hz": 1e-9, "significant": True,
        "instruments": [HOSTILE], "group": HOSTILE, "pipeline": HOSTILE, "search": HOSTILE,
        "classification": {HOSTILE: 0.5}, "properties": {HOSTILE: 0.5},
    }  # fmt: skip
    statistics = {
        "version_difference": {"before": "x", "summary": HOSTILE, "changed": {HOSTILE: [HOSTILE, HOSTILE]}},
        "coincidences": _hostile_pair(),
        "visibility": {f"{HOSTILE}_state": HOSTILE, f"{HOSTILE}_reason": HOSTILE},
        "skymap_statistics": {"area_90_deg2": 10.0, "peak_ra_deg": 1.0, "peak_dec_deg": 2.0, HOSTILE: HOSTILE},
    }
    version = {
        "partition": HOSTILE, "label": "Retraction", "own": True, "external": False, "neutrino": False, "test": True, "stem": HOSTILE,
        "created": "2024-03-01T12:00:00+00:00", "retracted": True, "facts": facts, "statistics": statistics,
        "files": [{"name": HOSTILE, "asset": "skymap_plot", "key": picture, "size": 1, "sha256": "0", "picture": True}],
    }  # fmt: skip
    neutrino = {
        **version,
        "own": False,
        "neutrino": True,
        "statistics": {"c": {HOSTILE: HOSTILE, "t": [{HOSTILE: HOSTILE}]}},
    }
    candidate = {
        "candidate": HOSTILE, "slug": HOSTILE, "ra": 1.0, "dec": 2.0, "p_phot": 0.5, "sky_factor": 1.0, "nights": 2,
        "sufficient": False, "redshift": 0.0098, "host_distance_mpc": 42.2, "sky_factor_dimensions": 3,
    }  # fmt: skip
    return EventState(HOSTILE, (version, neutrino), (candidate,), map_version=HOSTILE)


def _hostile_pair() -> dict[str, Any]:
    words = ("gw_event", "other_event", "search", "state", "no_far", "withdrawn_by")
    numbers = ("difference_s", "overlap", "p_chance", "p_chance_all", "area_90_combined_deg2")
    pair = dict.fromkeys(words, HOSTILE) | dict.fromkeys(numbers, 0.5) | {"pairs_looked_at": 1}
    pair |= {"far_hz": None, "far_time_hz": None, "window_s": [-5.0, 1.0], "instruments": [HOSTILE]}
    lvk = {"observatory": HOSTILE, "gcn_notice_id": HOSTILE, "words": HOSTILE, "time_difference_s": 1.0}
    lvk |= {"far_time_hz": 1e-9, "far_space_time_hz": None}
    return {"best_event": HOSTILE, "pairs": [pair], "lvk": lvk}
