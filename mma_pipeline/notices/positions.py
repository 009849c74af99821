"""Angles as sources write them: degrees, text of degrees, sexagesimal text."""

from __future__ import annotations

import re

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import finite

_SEXAGESIMAL = re.compile(r"([+-]?)(\d{1,3})[:hd° ]\s*(\d{1,2})[:m' ]\s*(\d{1,2}(?:\.\d*)?)[s\"]?", re.ASCII)


def angle(value: object, name: str, *, hours: bool) -> float:
    """An angle in degrees from a number, its text, or `hh:mm:ss.s` / `±dd:mm:ss.s`.

    `hours` says that a sexagesimal text counts hours. Raises NoticeError for anything else.
    """
    if not isinstance(value, str):
        return finite(value, name)
    text = value.strip()
    match = _SEXAGESIMAL.fullmatch(text)
    if match is not None:
        sign, first, minutes, seconds = match.groups()
        if int(minutes) >= 60 or float(seconds) >= 60:
            raise NoticeError(f"{name} is {text[:40]!r}: minutes and seconds end at 60")
        size = int(first) + int(minutes) / 60 + float(seconds) / 3600
        # The sign is read from the text: -00:30:00 is south of the equator.
        return (-size if sign == "-" else size) * (15.0 if hours else 1.0)
    try:
        return finite(float(text), name)
    except ValueError as error:
        raise NoticeError(f"{name} is {text[:40]!r}, not an angle") from error
