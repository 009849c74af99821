"""Ids of events of other observatories: `{observatory}_{trigger}`, such as `Fermi_745121685`, and `TFermi_…` of a test.

An id becomes part of file names and partition keys, so each observatory's triggers have a pattern of their own, and nothing
else is accepted. No id holds a hyphen, which separates the parts of a partition key, and none is longer than the archive's
column of 32 characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType

from mma_pipeline.notices.errors import NoticeError

#: Observatory, as its events are named, to the pattern of its trigger after `plain_trigger`.
TRIGGERS = MappingProxyType(
    {
        # Seconds since 2001, or the burst number where a notice gives only that.
        "Fermi": r"(?:\d{9,10}|bn\d{9})",
        "FermiTarget": r"\d{9,15}",
        "Swift": r"\d{6,11}",
        # Run and event, or the name where a notice gives only that.
        "IceCube": r"(?:\d{5,7}_\d{1,10}(?:_\d{1,3})?|\d{6}[A-Z]{1,2})",
        "EP": r"\d{8,14}",
        "CHIME": r"\d{5,15}",
        "DSA110": r"\d{6}[a-z]{2,6}",
        "SuperK": r"SN_\d{4,8}_\d{4,8}",
        "MAXI": r"\d{6,12}",
        "KM3NeT": r"(?:\d{6}[A-Z]{1,3}|\d{1,12})",
        "SVOM": r"sb\d{8,12}",
        "BurstCube": r"\d{9}",
        "Glowbug": r"BUG\d{6}_\d{1,6}",
    }
)
#: Longest id, characters: the width of the archive's columns.
LONGEST = 32
TRIGGER_ID = re.compile("T?(?:" + "|".join(rf"{name}_{pattern}" for name, pattern in TRIGGERS.items()) + ")", re.ASCII)
_SEPARATORS = re.compile(r"[ .:/+\-]+")


def plain_trigger(text: str) -> str:
    """A trigger as its sender writes it, with underscores for separators: `SN.095001.000001` is `SN_095001_000001`."""
    return _SEPARATORS.sub("_", text.strip())


def trigger_of(observatory: str, text: str) -> str | None:
    """The trigger that a text names, as it stands in an event's id; None if the observatory has no such trigger."""
    plain = plain_trigger(text)
    return plain if re.fullmatch(TRIGGERS[observatory], plain, re.ASCII) else None


def trigger_event(observatory: str, trigger: str, *, test: bool) -> str:
    """The id of a trigger's event; raises NoticeError if it is no id."""
    event_id = f"{'T' if test else ''}{observatory}_{trigger}"
    if TRIGGER_ID.fullmatch(event_id) is None or len(event_id) > LONGEST:
        raise NoticeError(f"{event_id!r:.60} is not the id of a trigger of {observatory}")
    return event_id


def spelled_triggers(text: str) -> Iterator[str]:
    """Ways to spell a trigger's id that is written in whatever case: the observatory's own name, letters of the trigger large or small."""
    head, _, trigger = text.partition("_")
    for name in TRIGGERS:
        for own in (name, f"T{name}"):
            if head.casefold() == own.casefold():
                yield from (f"{own}_{part}" for part in (trigger, trigger.lower(), trigger.upper()))


def observatory_of(event_id: str) -> str | None:
    """The observatory of a trigger's event, such as `Fermi`; None for a superevent."""
    if TRIGGER_ID.fullmatch(event_id) is None:
        return None
    head = event_id.partition("_")[0]
    return head if head in TRIGGERS else head.removeprefix("T")
