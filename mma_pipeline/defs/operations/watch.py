"""Checks that need access to brokers, store and queue: lag, GCN's heartbeat, credentials, and whether they answer.

The health sensor checks once a minute and keeps the result in its cursor. `mma doctor`, `mma metrics` and the UI read it
there, so they need no credentials. A credential's age counts from its first use here.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher

from mma_pipeline.adapters import task_queue
from mma_pipeline.adapters.errors import AdapterError, ConfigurationError, MissingTopicError, TransientError
from mma_pipeline.adapters.kafka.cursor import decode_offsets
from mma_pipeline.adapters.kafka.gcn import gcn_stream
from mma_pipeline.adapters.kafka.stream import StreamConfig
from mma_pipeline.adapters.kafka.watch import BrokerWatch, fingerprint
from mma_pipeline.adapters.store.probe import StoreProbe
from mma_pipeline.defs.alerts.streams import STREAMS, Stream, stream_config
from mma_pipeline.defs.operations.connections import unconnected
from mma_pipeline.settings import Settings

_log = logging.getLogger(__name__)

SENSOR = "pipeline_health_sensor"
HEARTBEAT = "gcn.heartbeat"
#: Seconds that the store may take to answer: a tick has 60 for everything.
STORE_S = 10.0


@dataclass(frozen=True, slots=True)
class StreamState:
    """State of one stream's broker; times in Unix seconds, None if unknown."""

    lag: int | None = None
    """Messages that wait to be read."""
    credential: str | None = None
    """Fingerprint of the credential; None if none is used."""
    since: float | None = None
    """When this credential was first used."""
    worked: float | None = None
    """When the broker last accepted it."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """A problem that lasts, as the health sensor remembers it from tick to tick."""

    kind: str
    text: str
    """As it was first seen."""
    event: str | None
    since: float
    """When it began, Unix seconds."""
    seen: float
    """When it was last seen, Unix seconds."""
    told: bool
    """Whether people were notified."""


@dataclass(frozen=True, slots=True)
class BrokerState:
    """State of brokers, store and problems at one moment."""

    at: float
    streams: Mapping[str, StreamState] = field(default_factory=dict)
    heartbeat: float | None = None
    """Broker's time of GCN's newest heartbeat, Unix seconds; None if GCN is not read or sent none."""
    trouble: str = ""
    """Digest of the kinds of problems when health was last reported."""
    reported: float = 0.0
    """When that was, Unix seconds."""
    store: str | None = None
    """Why the store cannot be used; None if it answers."""
    store_since: float | None = None
    """Since when it cannot be used, Unix seconds."""
    queue: str | None = None
    """Why the resident workers' queue cannot be used; None if it answers, or if there is none."""
    workers: int | None = None
    """Resident workers that answer; None if there is no queue, or if it cannot be used."""
    lasting: Mapping[str, Lasting] = field(default_factory=dict)
    """Problems by key."""
    unconnected: Mapping[str, str] = field(default_factory=dict)
    """Why streams that could be read are not, by name."""

    def to_json(self) -> str:
        """Text for a cursor."""
        return json.dumps(asdict(self), sort_keys=True)


def from_json(text: str | None) -> BrokerState | None:
    """The state in a cursor; None if there is none, or if another version of the code wrote it."""
    if not text:
        return None
    try:
        found = json.loads(text)
        streams = {str(name): StreamState(**seen) for name, seen in found.pop("streams").items()}
        lasting = {str(key): Lasting(**kept) for key, kept in found.pop("lasting", {}).items()}
        return BrokerState(**found, streams=streams, lasting=lasting)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def last_watched(instance: dg.DagsterInstance) -> BrokerState | None:
    """What the health sensor saw last; None if it never ran."""
    return max(
        (seen for text in cursors_of(instance, SENSOR) if (seen := from_json(text)) is not None),
        key=lambda seen: seen.at,
        default=None,
    )


def watch(instance: dg.DagsterInstance, settings: Settings, before: BrokerState | None, now: datetime) -> BrokerState:
    """Check the store and every configured stream; values that could not be read are left out."""
    stamp = now.timestamp()
    store = _asked_store(settings)
    known = {} if before is None else before.streams
    streams: dict[str, StreamState] = {}
    for stream in STREAMS:
        config = _config(settings, stream)
        if config is not None:
            cursor = next(iter(cursors_of(instance, stream.sensor_name)), None)
            state, lags = _seen(config, cursor, known.get(stream.name, StreamState()), stamp)
            streams |= {stream.name: state, **{name: StreamState(lag) for name, lag in lags.items()}}
    heartbeat = _heartbeat(settings, before)
    trouble = store if isinstance(store, str) else store.answer(STORE_S)
    since = stamp if before is None or before.store_since is None else before.store_since
    lasting = {} if before is None else before.lasting
    queue, workers = queue_of(instance)
    return BrokerState(
        stamp,
        streams,
        heartbeat,
        store=trouble,
        store_since=None if trouble is None else since,
        queue=queue,
        workers=workers,
        lasting=lasting,
        unconnected=unconnected(settings),
    )


def queue_of(instance: dg.DagsterInstance) -> tuple[str | None, int | None]:
    """Why the resident workers' queue cannot be used, and how many workers answer; None where there is nothing to say."""
    launcher = instance.run_launcher
    if not isinstance(launcher, CeleryRunLauncher) or not getattr(launcher, "needs_workers", True):
        return None, None
    try:
        return None, len(task_queue.look(launcher.celery, launcher.default_queue).workers)
    except TransientError as error:
        return str(error), None


def _asked_store(settings: Settings) -> StoreProbe | str:
    """The store's answer, requested while the brokers are checked; or why its address cannot be used."""
    try:
        url, credentials = settings.store_url, settings.store.credentials
    except ConfigurationError as error:
        return str(error)
    with _lock:
        look = _stores.setdefault(url, StoreProbe(url, credentials))
    look.ask()
    return look


def _config(settings: Settings, stream: Stream) -> StreamConfig | None:
    try:
        return stream_config(settings, stream, f"watch-{stream.name}")
    except ConfigurationError:
        return None  # the stream's own sensor reports what is wrong


def _seen(
    config: StreamConfig, cursor: str | None, before: StreamState, now: float
) -> tuple[StreamState, dict[str, int]]:
    """The state of a stream, and the lag of each stream that its reader counts separately and the broker has."""
    lag, own = None, Counter[str]()
    try:
        lags, missing = _resident(config).lags(decode_offsets(cursor))
        # A private broker need not have every topic, and none need have those of every observatory.
        lag = sum(lags.values()) if lags or not missing else None
        for topic, waiting in lags.items():
            if topic in config.names:
                own[config.names[topic]] += waiting
    except AdapterError as error:
        _log.warning("%s", error)
    mark = fingerprint(config)
    if mark is None:
        return StreamState(lag), dict(own)
    same = before.credential == mark
    since = before.since if same and before.since is not None else now
    return StreamState(lag, mark, since, now if lag is not None else before.worked if same else None), dict(own)


def _heartbeat(settings: Settings, before: BrokerState | None) -> float | None:
    last = None if before is None else before.heartbeat
    try:
        config = gcn_stream(settings.gcn_broker, "watch-heartbeat", HEARTBEAT)
        newest = None if config is None else _resident(config).newest()
    except MissingTopicError:
        return None
    except AdapterError as error:
        _log.warning("%s", error)
        return last
    if config is None:
        return None
    return last if newest is None else newest.timestamp()


def cursors_of(instance: dg.DagsterInstance, sensor: str) -> list[str | None]:
    """Cursors kept for a sensor, that of the running one first."""
    states = [state for state in instance.all_instigator_state() if state.instigator_name == sensor]
    states.sort(key=lambda state: not state.is_running)
    return [getattr(state.instigator_data, "cursor", None) for state in states]


_stores: dict[str, StoreProbe] = {}
_watches: dict[str, BrokerWatch] = {}
_lock = threading.Lock()


def _resident(config: StreamConfig) -> BrokerWatch:
    """The process's only watch of a stream; a changed setting replaces it."""
    with _lock:
        known = _watches.get(config.name)
        if known is not None and known.config == config:
            return known
        if known is not None:
            known.close()
        _watches[config.name] = BrokerWatch(config)
        return _watches[config.name]
