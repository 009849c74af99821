"""Fixtures of the graph's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from tests.defs.streaming import Streaming
from tests.homes import Home


@pytest.fixture
def streaming(home: Home) -> Iterator[Streaming]:
    """An empty home that reads from an embedded Kafka of its own."""
    with EmbeddedKafka() as kafka:
        yield Streaming(home, kafka)
