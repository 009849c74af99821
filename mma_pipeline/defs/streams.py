"""The streams: which topic is read, and what turns its bytes into versions. A new stream is a parser and one line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mma_pipeline.adapters.settings import GCN_GWALERT

from .ingest import Parser, parse_alert


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
)
