"""Avro object container files, the form in which SCiMMA carries alerts (Apache Avro 1.11 specification)."""

from __future__ import annotations

import io
from typing import Any

from mma_pipeline.notices.errors import NoticeError

MAGIC = b"Obj\x01"


def decode_avro(data: bytes) -> dict[str, Any]:
    """The one record of an Avro container file; raises NoticeError where it is damaged or holds another number."""
    import fastavro

    try:
        records = list(fastavro.reader(io.BytesIO(data)))
    # fastavro lets whatever its decoder stumbles over escape: the message is damaged in every such case.
    except (
        ValueError,
        EOFError,
        KeyError,
        IndexError,
        TypeError,
        OverflowError,
        AttributeError,
        StopIteration,
    ) as error:
        raise NoticeError(f"the message is not a readable Avro file: {type(error).__name__}") from error
    if len(records) != 1 or not isinstance(records[0], dict):
        raise NoticeError(f"the Avro file holds {len(records)} records where one alert belongs")
    return records[0]
