"""Which of the streams that could be read are not, and which variables to set for them."""

from __future__ import annotations

from collections.abc import Collection

from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.photometry.stream import STREAM as PHOTOMETRY
from mma_pipeline.defs.alerts.streams import NOT_CONNECTED, STREAMS, stream_config
from mma_pipeline.defs.candidates.sensors import PHOTOMETRY_NOT_CONNECTED
from mma_pipeline.defs.resources import photometry_config
from mma_pipeline.settings import Settings

SURVEY = "survey"
#: Everything that may bring messages.
EVERY = frozenset({*(stream.name for stream in STREAMS), PHOTOMETRY, SURVEY})


def unconnected(settings: Settings) -> dict[str, str]:
    """Why each stream that is not read is not, by name; connected ones are absent."""
    found = {}
    for stream in STREAMS:
        try:
            config = stream_config(settings, stream)
        except ConfigurationError as error:
            found[stream.name] = f"not connected: {error}"
            continue
        if config is None:
            off = stream.core and not settings.notice_streams
            found[stream.name] = "switched off (MMA_NOTICES_…)" if off else NOT_CONNECTED[stream.broker]
    try:
        if photometry_config(settings) is None:
            found[PHOTOMETRY] = PHOTOMETRY_NOT_CONNECTED
    except ConfigurationError as error:
        found[PHOTOMETRY] = f"not connected: {error}"
    if not settings.survey_stream.topics:
        found[SURVEY] = "not connected: set MMA_SURVEY_TOPICS, and start mma survey read"
    return found


def is_deaf(without: Collection[str]) -> bool:
    """Whether no stream at all is left, of all those that are not connected."""
    return set(without) >= EVERY
