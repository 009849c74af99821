"""The alert streams, each with its topic and parser.

One sensor and one consumer read each entry here. Those that follow GCN's core schema share one, whatever their number
(`notices/gcn/streams.py`): to add one of them, declare it there. For another, write a parser and add an entry here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mma_pipeline.adapters.hopskotch.stream import hop_stream
from mma_pipeline.adapters.kafka.avro import MAGIC, decode_avro
from mma_pipeline.adapters.kafka.gcn import gcn_stream
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.kafka.stream import StreamConfig
from mma_pipeline.defs.neutrinos.compared_event import parse_neutrinos
from mma_pipeline.defs.ticks import every
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import decode_notice
from mma_pipeline.notices.gcn.notice import parse_core
from mma_pipeline.notices.gcn.streams import CORE_STREAMS, core_stream, stream_of_message
from mma_pipeline.notices.gcn.voevent import is_voevent, ivorn_of
from mma_pipeline.notices.icecube import from_record, is_icecube
from mma_pipeline.products.ingest import Parser, Versions, parse_alert, read_alert
from mma_pipeline.products.notices import core_parser
from mma_pipeline.settings import Settings

GCN_GWALERT = "gcn-gwalert"
NOTICES = "gcn-notices"


def parse_any_notice(body: bytes) -> Versions:
    """The versions of a notice whose stream only its content tells; raises NoticeError."""
    one = stream_of_message(body)
    if one is None:
        raise NoticeError("the message is a notice of no stream that is read")
    return core_parser(one)(body)


class Broker(StrEnum):
    """Whose broker a stream is read from."""

    GCN = "GCN"
    HOPSKOTCH = "Hopskotch"


#: What is said of a stream whose broker is not configured.
NOT_CONNECTED = {
    Broker.GCN: "not connected: set KAFKA_CLIENT_ID and KAFKA_CLIENT_SECRET (GCN client credentials), "
    "or MMA_KAFKA_BOOTSTRAP for a broker without authentication",
    Broker.HOPSKOTCH: "not connected: set HOP_USERNAME and HOP_PASSWORD, or MMA_HOP_STREAMS=true to use hop-client's "
    "auth.toml",
}


@dataclass(frozen=True)
class Stream:
    """A topic and its parser."""

    name: str
    topic: str
    parse: Parser
    about: str
    broker: Broker = Broker.GCN
    core: bool = False
    """Whether it stands for all streams of GCN's core schema that are switched on, each with its own topics and parser."""
    wait_s: float | None = None
    """Seconds that a tick waits for a first message; None, for streams where seconds count, means as long as possible."""
    interval_s: int = 1
    """Least seconds between two ticks."""

    @property
    def sensor_name(self) -> str:
        """Name of the sensor that reads it."""
        return self.name.replace("-", "_") + "_sensor"

    def topics(self, settings: Settings) -> tuple[str, ...]:
        """The topics that it reads."""
        return tuple(topic for one in settings.notice_streams for topic in one.topics) if self.core else (self.topic,)

    def parser(self, topic: str) -> Parser:
        """The parser of a topic's messages."""
        one = core_stream(topic) if self.core else None
        return self.parse if one is None else core_parser(one)


STREAMS = (
    Stream(
        GCN_GWALERT,
        "igwn.gwalert",
        parse_alert,
        "Gravitational-wave alerts of LIGO/Virgo/KAGRA, JSON, from NASA GCN Kafka.",
    ),
    Stream(
        "hop-gwalert",
        "igwn.gwalert",
        parse_alert,
        "The same alerts in Avro, from SCiMMA Hopskotch: whichever comes first starts the run.",
        Broker.HOPSKOTCH,
    ),
    Stream(
        "gcn-icecube",
        "gcn.notices.icecube.lvk_nu_track_search",
        parse_neutrinos,
        "IceCube's searches for neutrinos from gravitational-wave events, JSON, from NASA GCN Kafka.",
        # IceCube's search takes many minutes, and a waiting tick occupies a thread of the code server.
        wait_s=2.0,
        interval_s=every(15),
    ),
    Stream(
        NOTICES,
        # One of many: see `topics`.
        CORE_STREAMS[0].topics[0],
        parse_any_notice,
        "Notices of other observatories in GCN's core schema, from NASA GCN Kafka.",
        core=True,
        interval_s=1,
    ),
)
#: The names under which messages are archived, each with the entry whose sensor reads them.
READ_BY = {stream.name: stream for stream in STREAMS if not stream.core} | {
    one.name: stream for stream in STREAMS if stream.core for one in CORE_STREAMS
}


def parser_of(message: StreamMessage) -> Parser:
    """The parser of an archived message: its stream's, or chosen by content if that stream is no longer read."""
    stream = READ_BY.get(message.stream)
    if stream is None or (stream.core and core_stream(message.topic) is None):
        return parser_for(message.body)
    return stream.parser(message.topic)


def stream_config(settings: Settings, stream: Stream, name: str | None = None) -> StreamConfig | None:
    """How to read a stream, under its own name or another; None if it is not configured. Raises ConfigurationError."""
    if stream.broker is Broker.HOPSKOTCH:
        return hop_stream(settings.hop_broker, name or stream.name, stream.topic)
    if stream.core:
        names = {topic: one.name for one in settings.notice_streams for topic in one.topics}
        return gcn_stream(settings.gcn_broker, name or stream.name, *names, names=names) if names else None
    return gcn_stream(settings.gcn_broker, name or stream.name, stream.topic)


@dataclass(frozen=True, slots=True)
class MessageSubject:
    """What a message says about itself."""

    event_id: str
    created: datetime
    """Creation time of the notice, UTC."""


def subject_of(body: bytes) -> MessageSubject | None:
    """Event and creation time of an alert or notice of any stream; None if they cannot be read."""
    try:
        if (one := stream_of_message(body)) is not None:
            version = parse_core(one, body)[1]
            return MessageSubject(version.event_id, version.created)
        if not body.startswith(MAGIC) and is_icecube(record := decode_notice(body)):
            notice = from_record(record)
            return MessageSubject(notice.event_id, notice.alert_time)
        alert = read_alert(body)
        return MessageSubject(alert.superevent_id, alert.time_created)
    except NoticeError:
        return None


def check_form(body: bytes) -> None:
    """Raise NoticeError for bytes that are in none of the forms of alerts and notices: JSON, VOEvent, Avro."""
    if body.startswith(MAGIC):
        decode_avro(body)
    elif is_voevent(body):
        ivorn_of(body)
    else:
        decode_notice(body)


def topic_of(body: bytes) -> str:
    """The topic that a message belongs to according to its content."""
    one = stream_of_message(body)
    return stream_of(body).topic if one is None else one.topics[0]


def parser_for(body: bytes) -> Parser:
    """The parser that a message needs according to its content."""
    one = stream_of_message(body)
    return stream_of(body).parse if one is None else core_parser(one)


def stream_of(body: bytes) -> Stream:
    """The stream that a message belongs to according to its content; that of gravitational waves unless it is of another."""
    if stream_of_message(body) is not None:
        return next(stream for stream in STREAMS if stream.core)
    try:
        neutrinos = is_icecube(decode_notice(body))
    except NoticeError:
        neutrinos = False
    parse = parse_neutrinos if neutrinos else parse_alert
    return next(stream for stream in STREAMS if stream.parse is parse)
