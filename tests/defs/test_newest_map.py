"""Everybody who takes an event's newest map takes the same one, and everybody knows the same retraction."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from mma_pipeline.cli import app
from mma_pipeline.defs.candidates.scoring import current_version
from mma_pipeline.defs.events.page.state import event_state
from mma_pipeline.defs.neutrinos.compared_event import compared_event
from tests.alerts import alert, body, fits_map
from tests.homes import Home

EVENT = "S240301a"
EARLY, LATER, LATEST, LAST = (f"2024-03-01T{hour}:00:00Z" for hour in (12, 13, 14, 15))


def test_all_take_the_same_map(home: Home) -> None:
    """Candidates, neutrinos, page and `mma crossmatch`: the newest own map, past a version with a combined map alone."""
    (newest,) = home.receive(body(EVENT, "INITIAL", created=LATER))
    (older,) = home.receive(body(EVENT, created=EARLY))
    mapless = alert(EVENT, "UPDATE", created=LATEST, external=fits_map(sigma=0.8))
    mapless["event"]["skymap"] = None
    update, combined = home.receive(json.dumps(mapless).encode())
    assert [r.has_map for r in (newest, older, update, combined)] == [True, True, False, True]
    for record in (older, newest, combined):
        home.make(record, ("skymap", "skymap_statistics"))

    def answers() -> dict[str, str | None]:
        current, found = current_version(home.archive, EVENT), compared_event(home.archive, EVENT).map_version
        shown = event_state(home.archive, EVENT).localisation
        matched = CliRunner().invoke(app, ["crossmatch", EVENT, "--ra", "150", "--dec", "20", "--json"])
        return {
            "candidates": current and current.partition_key,
            "neutrinos": found and found.partition_key,
            "page": shown and shown["partition"],
            "crossmatch": json.loads(matched.output)["version"],
        }

    assert set(answers().values()) == {newest.partition_key}
    (retraction,) = home.receive(body(EVENT, "RETRACTION", created=LATEST))
    (after,) = home.receive(body(EVENT, "UPDATE", created=LAST))
    home.make(after, ("skymap", "skymap_statistics"))
    # A retracted event has no candidates; what else is asked for is answered from its newest map, and marked.
    assert answers() == {"candidates": None, **dict.fromkeys(("neutrinos", "page", "crossmatch"), after.partition_key)}
    assert compared_event(home.archive, EVENT).retracted_by == retraction.partition_key
    states = {v["partition"]: v["retracted"] for v in event_state(home.archive, EVENT).versions}
    assert [key for key, retracted in states.items() if not retracted] == [retraction.partition_key]
