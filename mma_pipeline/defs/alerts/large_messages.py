"""Fetches large messages whose content could not be fetched when their address arrived, until it succeeds.

The sensor of a stream tries once, for some seconds, so that a server that does not answer cannot delay the messages behind
it. A message that it cannot fetch waits in the archive. This sensor tries again at growing intervals, and requests the runs
that the stream's sensor would have requested.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.waiting import held, settle
from mma_pipeline.adapters.deadline import within
from mma_pipeline.adapters.errors import OutOfTimeError, TransientError
from mma_pipeline.adapters.hopskotch.stream import fetch_offloaded
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.defs.alerts.sensors import quarantine_event, run_request
from mma_pipeline.defs.alerts.streams import READ_BY, parser_of
from mma_pipeline.defs.jobs import alert_products
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource
from mma_pipeline.defs.ticks import every
from mma_pipeline.products.ingest import Quarantined, ingest, presentable, requests_of

#: Seconds that all fetches of one tick of this sensor may take together, and one of them.
TICK_S = 45.0
EACH_S = 22.0
#: How long a message may wait before the pipeline gives up on it.
GIVE_UP = timedelta(days=3)
#: Pause after the first failure, doubled by each further one, and the longest; seconds.
FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 1800.0


@dataclass(frozen=True)
class FetchAttempts:
    """Attempts to fetch a message that waits."""

    attempts: int = 0
    next: float = 0.0
    """When to try again, Unix seconds."""

    def failed(self, now: float) -> "FetchAttempts":
        """The same after one more failure."""
        pause = min(FIRST_PAUSE_S * 2**self.attempts, LONGEST_PAUSE_S)
        return FetchAttempts(self.attempts + 1, now + pause)


@dg.sensor(
    name="large_messages_sensor",
    job=alert_products,
    minimum_interval_seconds=every(10),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fetches large messages whose server did not answer when their address came.",
)
def large_messages_sensor(
    context: dg.SensorEvaluationContext, archive: ArchiveResource
) -> dg.SensorResult | dg.SkipReason:
    """One tick: try each due message once, the longest due first."""
    opened, now = archive.open(), datetime.now(UTC)
    kept = json.loads(context.cursor) if context.cursor else {"tried": {}, "fetched": []}
    # The runs of the last tick became durable together with the cursor that names its messages: these no longer wait.
    for message_id in kept["fetched"]:
        settle(opened, message_id, None)
    tried = {int(message_id): FetchAttempts(**entry) for message_id, entry in kept["tried"].items()}
    waiting = held(opened, now - GIVE_UP - timedelta(days=1))
    if not waiting and not kept["fetched"]:
        return dg.SkipReason("no large message waits for its content")
    tried = {message_id: tried.get(message_id, FetchAttempts()) for message_id, _ in waiting}
    due = sorted((tried[one[0]].next, *one) for one in waiting if tried[one[0]].next <= now.timestamp())
    requests: dict[str, dg.RunRequest] = {}
    quarantined: list[Quarantined] = []
    fetched = []
    with within(TICK_S):
        for _, message_id, message in due:
            try:
                with within(EACH_S):
                    full = fetch_offloaded(message)
            except OutOfTimeError:
                break  # the rest stays due for the next tick
            except TransientError as error:
                context.log.warning(f"{message.coordinates}: {error}")
                tried[message_id] = tried[message_id].failed(datetime.now(UTC).timestamp())
                if now - message.received > GIVE_UP:
                    reason = f"given up after {GIVE_UP.days} days: {presentable(str(error))}"
                    settle(opened, message_id, reason)
                    quarantined.append(Quarantined(message_id, message, reason))
                continue
            outcome = _ingested(opened, message_id, message, full)
            if isinstance(outcome, Quarantined):
                quarantined.append(outcome)
            else:
                requests |= outcome
            if full is not message:
                fetched.append(message_id)
    left = {str(one): asdict(tried[one]) for one, _ in waiting if one not in fetched}
    return dg.SensorResult(
        run_requests=list(requests.values()),
        dynamic_partitions_requests=[alert_versions.build_add_request(list(requests))] if requests else [],
        asset_events=[quarantine_event(entry) for entry in quarantined],
        cursor=json.dumps({"tried": left, "fetched": fetched}, sort_keys=True),
    )


def _ingested(
    archive: Archive, message_id: int, message: StreamMessage, full: StreamMessage
) -> dict[str, dg.RunRequest] | Quarantined:
    """Archive a fetched message as its stream's sensor does; returns the runs to request, by partition."""
    if full is message or message.stream not in READ_BY:
        reason = "the content of this large message cannot be fetched (see the log): only its address is archived"
        settle(archive, message_id, reason)
        return Quarantined(message_id, message, reason)
    outcome = ingest(archive, full, parser_of(full))
    if isinstance(outcome, Quarantined):
        return outcome
    return {record.partition_key: run_request(record, full) for record in requests_of(outcome)}
