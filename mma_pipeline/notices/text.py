"""Cleans text from outside: replaces what a database, terminal or page cannot hold.

Lone surrogates (JSON can spell them) cannot be encoded, and control characters steer terminals; line breaks and tabs stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
#: Replacement for a character that is not text.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean_text(text: str) -> str:
    """The text with every lone surrogate and control character replaced."""
    # A map in base64 is a megabyte of plain text.
    return text if text.isascii() and text.isprintable() else _UNFIT.sub(REPLACEMENT, text)


def clean(value: Any) -> Any:
    """A decoded value with all its text cleaned, names of objects included; other values as they are."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {clean_text(str(name)): clean(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [clean(inner) for inner in value]
    return value


def plain_number(value: float, digits: int) -> str:
    """A number to so many significant digits, or as it was written where that is shorter, as 5e-324 is."""
    return min(f"{value:.{digits}g}", repr(float(value)), key=len)


def one_line(text: str, longest: int) -> str:
    """Text for a person: one printable line of at most `longest` characters."""
    plain = "".join(c if c.isprintable() else REPLACEMENT for c in text)
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"
