"""Avro packets: where their one record begins, and how to read only its leading fields.

Avro is read from front to back, so position and time, which every survey puts in front, need a decoder for the writer's
schema cut off behind them: nothing of the light curve and of the image stamps is touched. Container files carry their
schema with them, 20 kB that are the same from packet to packet and are compared, not parsed.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mma_pipeline.adapters.kafka.avro import DAMAGE
from mma_pipeline.notices.errors import NoticeError

Schema = Mapping[str, Any]
#: Bytes of a container's sync marker.
_SYNC = 16
DAMAGED = "the packet is damaged or cut short"


class Reader:
    """Decodes records of one writer's schema."""

    def __init__(self, schema: Schema, leading: Sequence[str]) -> None:
        """Prepare both decoders. `leading`: dotted names of the fields that `lead` must give.

        Raises NoticeError where the schema cannot be parsed or lacks one of them.
        """
        import fastavro

        try:
            self._whole = fastavro.parse_schema(_plain(schema), _write_hint=True)
            self._lead = fastavro.parse_schema(leading_part(_plain(schema), leading), _write_hint=True)
        except (*DAMAGE, fastavro.schema.SchemaParseException, fastavro.schema.UnknownType) as error:
            raise NoticeError(f"the packet's schema cannot be used: {type(error).__name__} {error}") from error
        self._decode = fastavro.schemaless_reader

    def lead(self, body: bytes, start: int) -> dict[str, Any]:
        """The record up to its last leading field; raises NoticeError where it is damaged."""
        stream = io.BytesIO(body)
        stream.seek(start)
        try:
            record = self._decode(stream, self._lead, None)
        except DAMAGE as error:
            raise NoticeError(DAMAGED) from error
        return record if isinstance(record, dict) else {}

    def whole(self, body: bytes, start: int, end: int) -> dict[str, Any]:
        """The whole record, which must fill the bytes from `start` to `end`; raises NoticeError."""
        stream = io.BytesIO(body)
        stream.seek(start)
        try:
            record = self._decode(stream, self._whole, None)
        except DAMAGE as error:
            raise NoticeError(DAMAGED) from error
        if stream.tell() != end or not isinstance(record, dict):
            raise NoticeError("the packet does not follow its schema: its record ends elsewhere")
        return record


class Tail:
    """Reads a record from one of its fields on, without what stands before: a light curve that only a decoder can step over.

    The field is a record that begins with a number which the caller knows. Its bytes are looked for from the end of the packet,
    and what is decoded from there counts only if it fills the packet exactly and holds the number again.
    """

    def __init__(self, schema: Schema, field: str) -> None:
        """Raises NoticeError where the schema has no such field, or refers to types that are defined before it."""
        import fastavro

        fields = [f for f in _plain(schema).get("fields", ()) if isinstance(f, Mapping)]
        names = [f["name"] for f in fields]
        if field not in names:
            raise NoticeError(f"the packet's schema has no {field}")
        rest = fields[names.index(field) :]
        self._field = field
        self._mark, self._number = _beginning(rest[0]["type"])
        try:
            self._schema = fastavro.parse_schema({**_plain(schema), "fields": rest}, _write_hint=True)
        except (*DAMAGE, fastavro.schema.SchemaParseException, fastavro.schema.UnknownType) as error:
            raise NoticeError(f"the packet's schema cannot be read from {field} on: {type(error).__name__}") from error
        self._decode = fastavro.schemaless_reader

    def read(self, body: bytes, start: int, end: int, number: int) -> dict[str, Any] | None:
        """The record from its field on; None where that is not found, or is not what it seems."""
        place = body.rfind(self._mark + of_long(number), start, end)
        if place < 0:
            return None
        stream = io.BytesIO(body)
        stream.seek(place)
        try:
            record = self._decode(stream, self._schema, None)
        except DAMAGE:
            return None
        if stream.tell() != end or not isinstance(record, dict):
            return None
        inner = record.get(self._field)
        return record if isinstance(inner, dict) and inner.get(self._number) == number else None


def _beginning(kind: Any) -> tuple[bytes, str]:
    """How a field begins that is a record, or null or one: the bytes before its first number, and the number's name; raises NoticeError."""
    branches = kind if isinstance(kind, list) else [kind]
    for place, branch in enumerate(branches):
        if isinstance(branch, Mapping) and branch.get("type") == "record" and branch.get("fields"):
            first = branch["fields"][0]
            if first.get("type") == "long":
                return (of_long(place) if isinstance(kind, list) else b""), str(first["name"])
    raise NoticeError("the field is no record that begins with a number")


@dataclass(frozen=True, slots=True)
class Container:
    """The beginning of container files of one schema, from magic to the last of the metadata."""

    header: bytes
    plain: bool
    """Whether the records are not compressed."""

    def span(self, body: bytes) -> tuple[int, int]:
        """Where the one record of a file begins and ends; raises NoticeError where the file is cut short or holds others."""
        place = len(self.header)
        sync = body[place : place + _SYNC]
        try:
            count, place = _long(body, place + _SYNC)
            size, place = _long(body, place)
        except IndexError as error:
            raise NoticeError(DAMAGED) from error
        end = place + size
        if count != 1 or (size >= 0 and body[end : end + _SYNC] == sync and len(body) > end + _SYNC):
            raise NoticeError("the file does not hold exactly one alert")
        if size < 0 or end + _SYNC != len(body) or body[end:] != sync:
            raise NoticeError(DAMAGED)
        return place, end


def open_container(body: bytes) -> tuple[Container, Schema]:
    """The beginning of a container file and its schema; raises NoticeError where it is none."""
    import fastavro

    stream = io.BytesIO(body)
    try:
        reader = fastavro.reader(stream)
        schema, codec = reader.writer_schema, reader.codec
    except DAMAGE as error:
        raise NoticeError(DAMAGED) from error
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise NoticeError("the file does not hold records")
    return Container(body[: stream.tell() - _SYNC], codec == "null"), schema


def leading_part(schema: Any, paths: Sequence[str]) -> Any:
    """A record's schema cut off behind the last of the fields named by dotted paths, within the last record too.

    What was written with the whole schema begins as what this one reads. Raises NoticeError where a field is missing.
    """
    if not paths:
        return schema
    if isinstance(schema, list):
        return [leading_part(branch, paths) if isinstance(branch, dict) else branch for branch in schema]
    names = [field["name"] for field in schema.get("fields", ())]
    missing = sorted({path.split(".")[0] for path in paths} - set(names))
    if missing:
        raise NoticeError(f"the packet's schema has no {', '.join(missing)}")
    last = max(names.index(path.split(".")[0]) for path in paths)
    fields = [dict(field) for field in schema["fields"][: last + 1]]
    inner = [path.split(".", 1)[1] for path in paths if path.startswith(f"{names[last]}.")]
    if inner:
        fields[last]["type"] = leading_part(fields[last]["type"], inner)
    return {**schema, "fields": fields}


def _plain(schema: Any) -> Any:
    """A copy without what fastavro notes in a schema that it has parsed."""
    found = copy.deepcopy(dict(schema))
    for key in ("__fastavro_parsed__", "__named_schemas"):
        found.pop(key, None)
    return found


def of_long(value: int) -> bytes:
    """An Avro long: zigzag, seven bits a byte."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _long(body: bytes, place: int) -> tuple[int, int]:
    """An Avro long (zigzag, seven bits a byte) and the place behind it; raises IndexError at the end of the bytes."""
    shift, value = 0, 0
    while True:
        byte = body[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), place
        shift += 7
        if shift > 63:
            raise IndexError("a long of more than ten bytes")
