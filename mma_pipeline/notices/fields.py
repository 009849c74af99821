"""Readers for decoded records: each returns a value of the kind asked for, or raises one clear `NoticeError`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NoReturn

from .errors import NoticeError

#: Alerts nest three levels deep; more is left for keys that may come.
MAX_DEPTH = 32


def decode_json(data: bytes) -> dict[str, Any]:
    """Decode one JSON object; raises NoticeError for anything else, NaN and Infinity included (RFC 8259)."""
    if not data.strip():
        raise NoticeError("the message is empty")
    try:
        record = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise NoticeError(f"the message is not UTF-8 text (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise NoticeError(f"the message is not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise NoticeError("the message is JSON nested too deeply") from error
    except NoticeError:
        raise
    except ValueError as error:
        # The one left: Python refuses to read integers of thousands of digits.
        raise NoticeError("the message holds a number with too many digits") from error
    if not isinstance(record, dict):
        raise NoticeError(f"the message is a JSON {kind_of(record)} where an object belongs")
    _check_depth(record)
    return record


def _check_depth(record: object) -> None:
    """Raise NoticeError where objects and lists are nested deeper than any alert, before something recurses on them."""
    level: list[object] = [record]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise NoticeError(f"the message is JSON nested deeper than {MAX_DEPTH} levels")


def object_at(record: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    """The object at `key`, None where absent or null; raises NoticeError for another kind."""
    value = record.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise NoticeError(f"{key} is a {kind_of(value)} where an object belongs")
    return value


def text_at(record: Mapping[str, Any], key: str) -> str | None:
    """The text at `key`, None where absent or null; raises NoticeError for another kind."""
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise NoticeError(f"{key} is a {kind_of(value)} where text belongs")
    return value


def bytes_at(record: Mapping[str, Any], key: str, name: str) -> bytes | None:
    """The bytes at `key`, None where absent, null or empty; raises NoticeError for another kind."""
    value = record.get(key)
    if value is not None and not isinstance(value, bytes):
        raise NoticeError(f"{name} is a {kind_of(value)} where a map belongs")
    return value or None


def finite(value: object, name: str) -> float:
    """The value as a finite float; raises NoticeError for NaN, infinities, booleans and other kinds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NoticeError(f"{name} is a {kind_of(value)} where a number belongs")
    try:
        number = float(value)
    except OverflowError as error:
        raise NoticeError(f"{name} is too large for a number") from error
    if not math.isfinite(number):
        raise NoticeError(f"{name} is not a finite number")
    return number


def number_at(record: Mapping[str, Any], key: str, name: str) -> float | None:
    """The finite number at `key`, None where absent or null; raises NoticeError for another kind."""
    value = record.get(key)
    return None if value is None else finite(value, name)


def numbers_at(record: Mapping[str, Any], key: str) -> Mapping[str, float]:
    """The map of names to finite numbers at `key`, empty where absent; null entries are left out."""
    values = object_at(record, key) or {}
    return MappingProxyType({str(k): finite(v, f"{key}.{str(k)!r:.42}") for k, v in values.items() if v is not None})


def series_at(record: Mapping[str, Any], key: str) -> tuple[float, ...]:
    """The list of finite numbers at `key`; raises NoticeError where it is no list."""
    values = record.get(key)
    if not isinstance(values, list | tuple):
        raise NoticeError(f"mchirp_source.{key} is a {kind_of(values)} where a list belongs")
    return tuple(finite(value, f"mchirp_source.{key}") for value in values)


def time_at(record: Mapping[str, Any], key: str, name: str | None = None) -> datetime:
    """The ISO 8601 time at `key` in UTC (a time without zone is UTC); raises NoticeError where it is none."""
    value = record.get(key)
    if not isinstance(value, str):
        raise NoticeError(f"{name or key} is {'missing' if value is None else 'a ' + kind_of(value)}")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise NoticeError(f"{name or key} is {value!r:.60}, not an ISO 8601 time") from error
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError as error:
        raise NoticeError(f"{name or key} is {value!r:.60}, outside the years 1 to 9999") from error


def _refuse_constant(name: str) -> NoReturn:
    raise NoticeError(f"the message holds {name}, which is not a JSON number")


def kind_of(value: object) -> str:
    """The JSON name of a value's kind, for messages to people."""
    names = {dict: "object", list: "list", str: "text", bool: "boolean", int: "number", float: "number"}
    names[bytes] = "piece of binary data"
    return "null" if value is None else names.get(type(value), "value of another kind")
