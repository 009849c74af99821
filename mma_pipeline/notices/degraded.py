"""Names the parts of a notice that cannot be used. They are absent from the parsed notice, which is used without them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.text import one_line

T = TypeVar("T")

#: Greatest number of lines; a message could have thousands.
MAX_LINES = 20
MAX_LENGTH = 200


class Degraded:
    """Collects one line for each part of a notice that could not be used."""

    def __init__(self) -> None:
        """Start without entries."""
        self._lines: dict[str, None] = {}

    def note(self, line: str) -> None:
        """Add what is wrong, such as `event.far is missing`."""
        self._lines.setdefault(one_line(line, MAX_LENGTH))

    def read(self, reader: Callable[..., T], *arguments: object) -> T | None:
        """The reader's result; None if it raises NoticeError, whose text is added."""
        try:
            return reader(*arguments)
        except NoticeError as error:
            self.note(str(error))
            return None

    @property
    def lines(self) -> tuple[str, ...]:
        """All entries in order, each once; a last line counts those beyond MAX_LINES."""
        return bounded(tuple(self._lines))


def bounded(lines: tuple[str, ...]) -> tuple[str, ...]:
    """At most MAX_LINES lines: the last one counts the rest."""
    if len(lines) <= MAX_LINES:
        return lines
    return (*lines[: MAX_LINES - 1], f"{len(lines) - MAX_LINES + 1} more parts are wrong")


def unusable_map(facts: Mapping[str, Any]) -> str | None:
    """Why the map that a notice states cannot be used, from the facts of its version; None where it can, or states none."""
    if facts.get("skymap_sha256") is not None:
        return None
    lines = (line for line in facts.get("degraded") or () if line.startswith(("event.skymap", "map: ")))
    return next(lines, None) or facts.get("no_map")
