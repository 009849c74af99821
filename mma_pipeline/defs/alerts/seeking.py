"""Moves the sensor of a stream to another position, also while the daemon runs, and shows the position of each."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import dagster as dg

from mma_pipeline.adapters.errors import NotFoundError, TransientError
from mma_pipeline.adapters.kafka.cursor import Offsets, decode_offsets, encode_offsets
from mma_pipeline.adapters.kafka.stream import StreamConfig
from mma_pipeline.adapters.photometry.stream import DEFAULT_TOPIC, STREAM
from mma_pipeline.defs.alerts.streams import STREAMS, Stream, stream_config
from mma_pipeline.defs.candidates.sensors import decode_cursor, encode_cursor, photometry_sensor
from mma_pipeline.defs.resources import photometry_config
from mma_pipeline.settings import Settings

#: Seconds after a cursor was set in which a tick that began with the old cursor may not have recorded its start yet.
SETTLE_S = 2.0
#: Seconds that a running tick may take to end: Dagster allows 60.
TICK_S = 75.0
#: How often a cursor is set again after a running tick overwrote it.
TRIES = 5


@dataclass(frozen=True)
class SeekableStream:
    """A stream that a sensor reads."""

    name: str
    sensor_name: str
    topics: tuple[str, ...]
    alerts: Stream | None
    """None for photometry, whose cursor also counts versions."""

    def config(self, settings: Settings) -> StreamConfig | None:
        """How to read it; None if it is not connected. Raises ConfigurationError."""
        if self.alerts is None:
            return photometry_config(settings)
        return stream_config(settings, self.alerts, f"seek-{self.name}")

    def offsets(self, cursor: str | None) -> Offsets:
        """Next offsets to read according to a cursor; raises PermanentError for text that is not a cursor."""
        return decode_offsets(cursor) if self.alerts is not None else decode_cursor(cursor)[0]

    def moved(self, cursor: str | None, offsets: Offsets) -> str:
        """The cursor with other offsets; without the topics' identities, so that the current ones are taken."""
        return encode_offsets(offsets) if self.alerts is not None else encode_cursor(offsets, decode_cursor(cursor)[1])


def seekable_streams(settings: Settings) -> dict[str, SeekableStream]:
    """Every stream by name."""
    found = {s.name: SeekableStream(s.name, s.sensor_name, s.topics(settings), s) for s in STREAMS}
    named = settings.kilonova.topics or (DEFAULT_TOPIC,)
    return found | {STREAM: SeekableStream(STREAM, photometry_sensor.name, named, None)}


def cursor_of(instance: dg.DagsterInstance, sensor: str) -> str | None:
    """A sensor's cursor, None if it has none. Raises NotFoundError if Dagster does not know the sensor yet."""
    return next(iter(_states(instance, sensor))).instigator_data.cursor  # type: ignore[no-any-return]


def set_cursor(instance: dg.DagsterInstance, sensor: str, cursor: str) -> None:
    """Set a sensor's cursor for good, whether the daemon runs or not.

    A running tick restores the cursor that it began with, so the new one is then set once more. Raises NotFoundError if
    Dagster does not know the sensor yet, TransientError if a running tick does not end.
    """
    for _ in range(TRIES):
        for state in _states(instance, sensor):
            instance.update_instigator_state(state.with_data(state.instigator_data._replace(cursor=cursor)))
        if _kept(instance, sensor, cursor, time.time()):
            return
    raise TransientError(
        f"ticks of {sensor} restored its old cursor {TRIES} times: stop the sensor, seek, and start it again"
    )


def _kept(instance: dg.DagsterInstance, sensor: str, cursor: str, set_s: float) -> bool:
    """Wait until no tick can restore the cursor of before `set_s`; False if one did.

    Reads the sensor's state, which a tick writes together with the cursor when it begins and when it ends. The list of
    ticks is no use here: it shows a tick as ended before its cursor is written.
    """
    deadline = time.monotonic() + TICK_S
    while time.monotonic() < deadline:
        data = _states(instance, sensor)[0].instigator_data
        if data.cursor != cursor:
            return False
        began_s, ended_s = data.last_tick_start_timestamp or 0.0, data.last_tick_timestamp or 0.0
        if began_s > set_s or (began_s <= ended_s and time.time() > set_s + SETTLE_S):
            return True
        time.sleep(0.1)
    raise TransientError(
        f"the cursor of {sensor} is set, but a tick that was running has not ended and may restore the old one: "
        "see `mma stream`, and seek again if it does"
    )


def _states(instance: dg.DagsterInstance, sensor: str) -> list[Any]:
    """Dagster's states of a sensor, the running one first: a renamed code location leaves an old state behind."""
    found = [
        s for s in instance.all_instigator_state() if s.instigator_name == sensor and s.instigator_data is not None
    ]
    if not found:
        raise NotFoundError(f"Dagster has not run {sensor} yet: start the daemon once (`make dev`)")
    return sorted(found, key=lambda state: not state.is_running)
