"""Finds the event in a message that cannot be parsed, and whether that event is a mock or test.

The bytes are searched, not decoded, so this works on messages that are damaged, cut short or of an unknown layout. The parsers never
use this; it names messages in quarantine for people.
"""

from __future__ import annotations

import re

from mma_pipeline.notices.key import EVENT_ID
from mma_pipeline.notices.model import Role, role_of

_ID = EVENT_ID.pattern.encode()
#: Patterns of an id in text, most reliable first. A bare word is not one: the base64 of a map may contain anything.
_PLACES = (
    re.compile(rb'"superevent_id"\s*:\s*"(' + _ID + rb')"'),
    re.compile(rb'"(?:ref_ID|gcn\.notices\.LVK\.alert)"\s*:\s*\[?\s*"(' + _ID + rb')["-]'),
    re.compile(rb"superevents/(" + _ID + rb')[/"]'),
    re.compile(rb'"(' + _ID + rb')"'),
)
#: In Avro a text follows its length, written as twice the number in one byte while it is short.
_AVRO_TEXT = re.compile(rb"([\x10-\x22])(?=(" + _ID + rb"))", re.DOTALL)
_REHEARSAL = re.compile(rb'"search"\s*:\s*"MDC"|"alert_tense"\s*:\s*"test"')


def event_named(data: bytes) -> str | None:
    """The superevent id in a message, JSON or uncompressed Avro, complete or not; None if none is found."""
    for place in _PLACES:
        found = place.findall(data)
        if found:
            return str(found[-1].decode("ascii"))  # JSON parsers use the last of two equal keys
    for match in _AVRO_TEXT.finditer(data):
        word = data[match.end() : match.end() + match[1][0] // 2]
        if EVENT_ID.fullmatch(word.decode("ascii", "replace")):
            return word.decode("ascii")
    return None


def is_rehearsal(data: bytes, event_id: str | None) -> bool:
    """Whether a message is recognisably a mock or a test; what cannot be told counts as real."""
    if event_id is not None:
        return role_of(event_id) is Role.TEST
    return _REHEARSAL.search(data) is not None
