"""Avro object container files, the form in which SCiMMA carries alerts (Apache Avro 1.11 specification)."""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from itertools import islice
from typing import Any

from mma_pipeline.notices.errors import NoticeError

MAGIC = b"Obj\x01"
#: What fastavro lets escape where its decoder stumbles: the message is damaged in every such case.
DAMAGE = (
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    AttributeError,
    StopIteration,
    RecursionError,
    MemoryError,
    zlib.error,
    struct.error,
    lzma.LZMAError,
)


def decode_avro(data: bytes) -> dict[str, Any]:
    """The one record of an Avro container file; raises NoticeError if it is damaged or holds another number."""
    import fastavro

    try:
        # Reading two records suffices to tell one from many; a damaged count could promise an endless number.
        records = list(islice(fastavro.reader(io.BytesIO(data)), 2))
    except DAMAGE as error:
        raise NoticeError("the message is not a readable Avro file: it is damaged or cut short") from error
    if len(records) != 1 or not isinstance(records[0], dict):
        raise NoticeError("the Avro file does not hold exactly one alert")
    return records[0]
