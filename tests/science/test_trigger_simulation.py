"""Simulated notices of other observatories: they parse, agree with the merger's map, and are the same again."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from mma_pipeline.notices.gcn.notice import parse_core
from mma_pipeline.notices.gcn.streams import stream_for
from mma_pipeline.notices.model import Role
from mma_pipeline.science.simulation.triggers import simulate_triggers
from mma_pipeline.science.skymaps.model import decode_skymap
from mma_pipeline.science.sphere import separation
from tests.alerts import fits_map

TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("test", [True, False])
def test_notices_of_a_merger(test: bool) -> None:
    """A burst of four notices, a neutrino and an X-ray transient of one place and hour, and a burst that is elsewhere in time."""
    skymap = decode_skymap(fits_map(150.0, 20.0, 2.0))
    records = simulate_triggers(skymap, time=TIME, seed=3, test=test)
    assert records == simulate_triggers(skymap, time=TIME, seed=3, test=test)
    parsed = []
    for record in records:
        stream = stream_for(record)
        assert stream is not None
        parsed.append(parse_core(stream, json.dumps(record).encode()))
    assert [version.created for _, version in parsed] == sorted(version.created for _, version in parsed)
    assert {version.role for _, version in parsed} == {Role.TEST if test else Role.OBSERVATION}
    assert not any(notice.degraded for notice, _ in parsed)
    events = [version.event_id for _, version in parsed]
    bursts = [event for event in dict.fromkeys(events) if "Fermi_" in event]
    assert [events.count(event) for event in bursts] == [4, 1]
    for notice, version in parsed:
        assert notice.time is not None
        if version.event_id == bursts[1]:
            assert (notice.time - TIME).total_seconds() == 1500.0
        elif notice.position is not None and notice.shape is not None:
            # The source lies in the map, and the position within some errors of it.
            away = float(separation(*notice.position, 150.0, 20.0))
            assert away < 8.0 + 4 * (notice.shape.semi_major + 3.0)
            assert 0 <= (notice.time - TIME).total_seconds() <= 900
