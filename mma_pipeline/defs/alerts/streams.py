"""The alert streams, each with its topic and parser. To add one, write a parser and add an entry here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mma_pipeline.adapters.hopskotch.stream import hop_stream
from mma_pipeline.adapters.kafka.avro import MAGIC
from mma_pipeline.adapters.kafka.gcn import gcn_stream
from mma_pipeline.adapters.kafka.stream import StreamConfig
from mma_pipeline.defs.neutrinos.compared_event import parse_neutrinos
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import decode_notice
from mma_pipeline.notices.icecube import from_record, is_icecube
from mma_pipeline.products.ingest import Parser, parse_alert, read_alert
from mma_pipeline.settings import Settings

GCN_GWALERT = "gcn-gwalert"


class Broker(StrEnum):
    """Whose broker a stream is read from."""

    GCN = "GCN"
    HOPSKOTCH = "Hopskotch"


@dataclass(frozen=True)
class Stream:
    """A topic and its parser."""

    name: str
    topic: str
    parse: Parser
    about: str
    broker: Broker = Broker.GCN
    wait_s: float | None = None
    """Seconds that a tick waits for a first message; None, for streams where seconds count, means as long as possible."""
    interval_s: int = 1
    """Least seconds between two ticks."""

    @property
    def sensor_name(self) -> str:
        """Name of the sensor that reads it."""
        return self.name.replace("-", "_") + "_sensor"


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
        interval_s=15,
    ),
)


def stream_config(settings: Settings, stream: Stream, name: str | None = None) -> StreamConfig | None:
    """How to read a stream, under its own name or another; None if it is not configured. Raises ConfigurationError."""
    if stream.broker is Broker.HOPSKOTCH:
        return hop_stream(settings.hop_broker, name or stream.name, stream.topic)
    return gcn_stream(settings.gcn_broker, name or stream.name, stream.topic)


@dataclass(frozen=True, slots=True)
class MessageSubject:
    """What a message says about itself."""

    event_id: str
    created: datetime
    """Creation time of the notice, UTC."""


def subject_of(body: bytes) -> MessageSubject | None:
    """Event and creation time of an alert (JSON, Avro) or neutrino notice; None if they cannot be read."""
    try:
        if not body.startswith(MAGIC) and is_icecube(record := decode_notice(body)):
            notice = from_record(record)
            return MessageSubject(notice.event_id, notice.alert_time)
        alert = read_alert(body)
        return MessageSubject(alert.superevent_id, alert.time_created)
    except NoticeError:
        return None


def stream_of(body: bytes) -> Stream:
    """The stream that a message belongs to according to its content; that of alerts unless it is a neutrino notice."""
    try:
        neutrinos = is_icecube(decode_notice(body))
    except NoticeError:
        neutrinos = False
    parse = parse_neutrinos if neutrinos else parse_alert
    return next(stream for stream in STREAMS if stream.parse is parse)
