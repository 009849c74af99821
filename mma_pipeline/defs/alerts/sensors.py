"""One sensor per stream: it polls the resident consumer, archives the messages, and requests one run per new version.

The cursor holds the Kafka offsets and advances only when a tick succeeds, so a crash repeats messages but loses none. A
repeated message changes nothing in the archive, and its run key prevents a second run.
"""

from datetime import UTC, datetime

import dagster as dg

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.gaps import note_gaps
from mma_pipeline.adapters.archive.waiting import hold
from mma_pipeline.adapters.deadline import within
from mma_pipeline.adapters.errors import ConfigurationError, MissingTopicError, TransientError
from mma_pipeline.adapters.hopskotch.stream import fetch_offloaded, is_test
from mma_pipeline.adapters.kafka.cursor import Offsets, decode_offsets, decode_topic_ids, encode_offsets
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.kafka.reader import StreamReader
from mma_pipeline.adapters.kafka.stream import Batch
from mma_pipeline.defs.alerts.streams import NOT_CONNECTED, Broker, Stream
from mma_pipeline.defs.jobs import EVENT_TAG, Lane, alert_products, lane_tags, urgency
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource, KafkaResource
from mma_pipeline.notices.model import Role
from mma_pipeline.products.ingest import Quarantined, ingest, presentable, requests_of

#: Seconds that a tick waits for a first message. The daemon starts due sensors every 5 s, so this tick ends shortly before
#: the next one can start. Dagster allows a tick 60 s, some of which the first message needs.
POLL_S = 44.3
#: Seconds that all network waits of a tick may take together.
TICK_S = 54.0
#: Seconds of those for fetching all large messages, and for one of them. A message that takes longer waits in the archive,
#: and does not delay those behind it.
FETCH_S = 6.0
FETCH_EACH_S = 3.0
#: Greatest number of messages in one tick: decoding a map takes some 20 ms, so a tick takes seconds.
MAX_MESSAGES = 50


def stream_sensor(stream: Stream) -> dg.SensorDefinition:
    """The sensor of a stream."""

    @dg.sensor(
        name=stream.sensor_name,
        job=alert_products,
        minimum_interval_seconds=stream.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=stream.about if stream.core else f"{stream.about} Topic `{stream.topic}`.",
    )
    def _sensor(
        context: dg.SensorEvaluationContext, archive: ArchiveResource, kafka: KafkaResource
    ) -> dg.SensorResult | dg.SkipReason:
        try:
            reader = kafka.reader(stream)
        except ConfigurationError as error:
            return dg.SkipReason(str(error))
        if reader is None:
            if stream.core and not kafka.settings().notice_streams:
                return dg.SkipReason("every stream of notices is switched off (MMA_NOTICES_…)")
            return dg.SkipReason(NOT_CONNECTED[stream.broker])
        with within(TICK_S):
            return _tick(context, stream, archive, kafka, reader)

    return _sensor


def _tick(
    context: dg.SensorEvaluationContext,
    stream: Stream,
    archive: ArchiveResource,
    kafka: KafkaResource,
    reader: StreamReader,
) -> dg.SensorResult | dg.SkipReason:
    """Poll, archive, answer."""
    offsets = decode_offsets(context.cursor)
    try:
        batch = reader.poll(
            offsets,
            max_messages=MAX_MESSAGES,
            timeout_s=stream.wait_s or POLL_S,
            topic_ids=decode_topic_ids(context.cursor),
        )
    except MissingTopicError as error:
        if not stream.core and (offsets or not kafka.settings().kafka.bootstrap):
            raise
        # A private broker need not have every stream, and none need have every observatory's.
        return dg.SkipReason(f"nothing to read: {error}")
    # The cursor of the last tick is durable: commit it to the group, now that a broker answers.
    reader.commit(offsets)
    for problem in batch.problems:
        context.log.warning(f"broker: {problem}")
    opened = archive.open()
    report_gaps(context, opened, reader, batch)
    with_tests = kafka.settings().hopskotch.tests
    messages = _wanted(context, stream, batch, opened, with_tests=with_tests)
    outcomes = [(message, ingest(opened, message, stream.parser(message.topic))) for message in messages]
    requested = []
    quarantined = []
    for message, outcome in outcomes:
        if isinstance(outcome, Quarantined):
            context.log.warning(f"{message.coordinates} put in quarantine: {outcome.reason}")
            quarantined.append(outcome)
        else:
            requested += [(record, message) for record in requests_of(outcome)]
    return tick_result(stream, batch, offsets, requested, quarantined)


def report_gaps(context: dg.SensorEvaluationContext, archive: Archive, reader: StreamReader, batch: Batch) -> None:
    """Note in log and archive what was lost, before the cursor moves behind it: health reads it in the archive."""
    for gap in batch.gaps:
        context.log.error(f"messages lost: {gap}")
    config = reader.config
    lost = [(config.names.get(gap.topic, config.name), gap) for gap in batch.gaps]
    note_gaps(archive, lost, datetime.now(UTC))


def _wanted(
    context: dg.SensorEvaluationContext, stream: Stream, batch: Batch, archive: Archive, *, with_tests: bool
) -> list[StreamMessage]:
    """The messages of a batch; on Hopskotch those marked as tests only `with_tests`, and large ones fetched.

    A large one that cannot be fetched now waits in the archive for `large_messages_sensor`.
    """
    if stream.broker is not Broker.HOPSKOTCH:
        return list(batch.messages)
    wanted = []
    with within(FETCH_S):
        for message in batch.messages:
            if not with_tests and is_test(message):
                continue
            try:
                with within(FETCH_EACH_S):
                    wanted.append(fetch_offloaded(message))
            except TransientError as error:
                context.log.warning(f"{message.coordinates} is a large message and waits for its content: {error}")
                hold(archive, message, presentable(str(error)))
    return wanted


def tick_result(
    stream: Stream,
    batch: Batch,
    before: Offsets,
    requested: list[tuple[VersionRecord, StreamMessage]],
    quarantined: list[Quarantined],
) -> dg.SensorResult | dg.SkipReason:
    """Result of a tick: partitions, run requests, quarantine reports and the cursor."""
    if batch.offsets == before and not batch.gaps:
        complaint = f" ({'; '.join(batch.problems)})" if batch.problems else ""
        return dg.SkipReason(f"nothing new on {stream.name if stream.core else stream.topic}{complaint}")
    keys = [record.partition_key for record, _ in requested]
    return dg.SensorResult(
        run_requests=[run_request(record, message) for record, message in requested],
        dynamic_partitions_requests=[alert_versions.build_add_request(keys)] if keys else [],
        asset_events=[quarantine_event(entry) for entry in quarantined],
        cursor=encode_offsets(batch.offsets, batch.topic_ids),
    )


def quarantine_event(entry: Quarantined) -> dg.AssetMaterialization:
    """The report of a quarantined message on the `quarantine` asset."""
    message = entry.message
    return dg.AssetMaterialization(
        asset_key="quarantine",
        description=entry.reason,
        metadata={
            "reason": entry.reason,
            "stream": message.stream,
            "topic": message.topic,
            "partition": message.partition,
            "offset": message.offset,
            "received": message.received.isoformat(timespec="milliseconds"),
            "size (bytes)": len(message.body),
            "sha256": message.sha256,
            "archived message": entry.message_id,
            "begins with": dg.MetadataValue.text(repr(message.body[:200])),
        },
    )


def run_request(record: VersionRecord, message: StreamMessage) -> dg.RunRequest:
    """Request for the run that makes the products of a version, with the message that it came from."""
    real = record.version.role is Role.OBSERVATION
    return dg.RunRequest(
        run_key=record.partition_key,
        partition_key=record.partition_key,
        tags={
            **lane_tags(Lane.LIVE if real else Lane.MOCK, priority=urgency(record.version)),
            EVENT_TAG: record.version.event_id,
            "mma/message": message.coordinates[:200],
        },
    )
