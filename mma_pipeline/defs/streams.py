"""The streams: which topic is read, and what turns its bytes into versions. A new stream is a parser and one line."""

from __future__ import annotations

from dataclasses import dataclass

from mma_pipeline.adapters.settings import GCN_GWALERT

from .ingest import Parser, parse_alert


@dataclass(frozen=True)
class Stream:
    """A topic and its parser."""

    name: str
    topic: str
    parse: Parser
    about: str

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
)
