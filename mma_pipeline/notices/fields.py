"""Readers for decoded records: each returns a value of the kind asked for, or raises one clear `NoticeError`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.text import clean

#: A probability may exceed its bounds by this much, from rounding.
ROUNDING = 1e-6
#: Plausible years of alerts: event ids have two digits of the year, and the detectors are not older.
YEARS = range(2000, 2100)
#: Alerts nest three levels deep; the limit leaves room for future keys.
MAX_DEPTH = 32


#: The part of an ISO 8601 time after the date.
_TIME_OF_DAY = re.compile(r"[T ]\d", re.ASCII | re.IGNORECASE)
#: Greatest number of digits of a plausible integer; Python refuses to read thousands.
_MAX_DIGITS = 400


def decode_json(data: bytes) -> dict[str, Any]:
    """Decode one JSON object, its text cleaned; raises NoticeError for anything else, NaN and Infinity included (RFC 8259)."""
    return _decoded(_text(data), parse_constant=_refuse_constant)


def decode_notice(data: bytes) -> dict[str, Any]:
    """The same for a notice whose sound parts are used: one bad number or letter does not refuse the whole notice.

    NaN, Infinity and huge integers become floats that are not finite, which `finite` refuses in their place. Bytes that are
    not UTF-8 become replacement characters. Raises NoticeError for anything but a JSON object.
    """
    try:
        return _decoded(_text(data), parse_int=_integer)
    except UndecodableError as error:
        try:
            return _decoded(data.decode("utf-8", "replace"), parse_int=_integer)
        except NoticeError:
            raise error from None


class UndecodableError(NoticeError):
    """The bytes are not UTF-8 text."""


def not_utf8(data: bytes) -> str | None:
    """What is wrong with bytes that are not UTF-8 text; None if they are."""
    try:
        _text(data)
    except UndecodableError as error:
        return str(error)
    return None


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UndecodableError(f"the message is not UTF-8 text (byte {error.start})") from error


def _decoded(text: str, **options: Callable[[str], Any]) -> dict[str, Any]:
    if not text.strip():
        raise NoticeError("the message is empty")
    try:
        record = json.loads(text, **options)  # type: ignore[arg-type]  # each option is a function of a text
    except json.JSONDecodeError as error:
        raise NoticeError(f"the message is not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise NoticeError("the message is JSON nested too deeply") from error
    except NoticeError:
        raise
    except ValueError as error:
        # The remaining case: Python refuses to read integers of thousands of digits.
        raise NoticeError("the message holds a number with too many digits") from error
    if not isinstance(record, dict):
        raise NoticeError(f"the message is a JSON {kind_of(record)} where an object belongs")
    _check_depth(record)
    cleaned: dict[str, Any] = clean(record)
    return cleaned


def _integer(text: str) -> int | float:
    return int(text) if len(text) <= _MAX_DIGITS else float(text)


def _check_depth(record: object) -> None:
    """Raise NoticeError if objects and lists are nested deeper than any alert, before something recurses on them."""
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


def object_at(record: Mapping[str, Any], key: str, name: str | None = None) -> Mapping[str, Any] | None:
    """The object at `key`, None if absent or null; raises NoticeError for another kind."""
    value = record.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise NoticeError(f"{name or key} is a {kind_of(value)} where an object belongs")
    return value


def text_at(record: Mapping[str, Any], key: str, name: str | None = None) -> str | None:
    """The text at `key`, None if absent or null; raises NoticeError for another kind."""
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise NoticeError(f"{name or key} is a {kind_of(value)} where text belongs")
    return value


def bytes_at(record: Mapping[str, Any], key: str, name: str) -> bytes | None:
    """The bytes at `key`, None if absent, null or empty; raises NoticeError for another kind."""
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
    """The finite number at `key`, None if absent or null; raises NoticeError for another kind."""
    value = record.get(key)
    return None if value is None else finite(value, name)


def amount_at(record: Mapping[str, Any], key: str, name: str) -> float | None:
    """The number at `key`, zero or more, None if absent or null; raises NoticeError for another."""
    number = number_at(record, key, name)
    if number is not None and number < 0:
        raise NoticeError(f"{name} is {number!r}, which is below zero")
    return number


def share(value: object, name: str) -> float:
    """The value as a probability, which may miss 0 or 1 by rounding; raises NoticeError for another."""
    number = finite(value, name)
    if not -ROUNDING <= number <= 1 + ROUNDING:
        raise NoticeError(f"{name} is {number!r}, not a probability")
    return number


def time_at(record: Mapping[str, Any], key: str, name: str | None = None) -> datetime:
    """The ISO 8601 time at `key` in UTC (a time without zone is UTC).

    Raises NoticeError if it is not a time, only a date, or outside the years 2000 to 2099.
    """
    value, name = record.get(key), name or key
    if not isinstance(value, str):
        raise NoticeError(f"{name} is {'missing' if value is None else 'a ' + kind_of(value)}")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise NoticeError(f"{name} is {value!r:.60}, not an ISO 8601 time") from error
    if _TIME_OF_DAY.search(value) is None:
        raise NoticeError(f"{name} is {value!r:.60}, a date without a time of day")
    try:
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError as error:
        raise NoticeError(f"{name} is {value!r:.60}, outside the years 1 to 9999") from error
    if moment.year not in YEARS:
        raise NoticeError(f"{name} is {value!r:.60}, outside the years {YEARS[0]} to {YEARS[-1]}")
    return moment


def _refuse_constant(name: str) -> NoReturn:
    raise NoticeError(f"the message holds {name}, which is not a JSON number")


def kind_of(value: object) -> str:
    """The JSON name of a value's kind, for messages to people."""
    names = {dict: "object", list: "list", str: "text", bool: "boolean", int: "number", float: "number"}
    names[bytes] = "piece of binary data"
    return "null" if value is None else names.get(type(value), "value of another kind")
