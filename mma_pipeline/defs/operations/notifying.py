"""Notifies people once when a problem begins and once when it is over, by comparison with the last tick.

The health sensor's cursor remembers problems that last. Messages go through the outbox under keys that a repeated tick
generates again, so that a crash between outbox and cursor notifies nobody twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby

from mma_pipeline.defs.operations.problems import PASSING, TOLD_WHERE_THEY_ARISE, Problem
from mma_pipeline.defs.operations.watch import Lasting
from mma_pipeline.notices.words import seconds

#: Seconds without a problem after which it counts as over, so that one that comes and goes is one problem.
QUIET_S = 300.0
#: Greatest number of problems of a kind that are reported one by one if they begin or end in one tick; more share a message.
MOST_SINGLE = 5

#: Takes a key, BEGAN or OVER, an event or None, and a text; returns whether anybody can be notified.
Tell = Callable[[str, str, str | None, str], bool]
BEGAN, OVER = "problem", "over"
#: Takes the place of the event in a message to people without one.
NO_EVENT = "no event"


def follow(before: Mapping[str, Lasting], problems: Iterable[Problem], now: datetime, tell: Tell) -> dict[str, Lasting]:
    """Report problems that began and that are over; returns those that last, by key.

    Kinds that may pass by themselves are reported when seen a second time, and forgotten if they are gone by then.
    """
    stamp = now.timestamp()
    seen = {problem.key: problem for problem in problems if problem.kind not in TOLD_WHERE_THEY_ARISE}
    lasting: dict[str, Lasting] = {}
    began, over = [], []
    for key, problem in seen.items():
        known = before.get(key)
        if known is not None:
            lasting[key] = replace(known, seen=stamp)
        else:
            since = stamp if problem.since is None else problem.since.timestamp()
            lasting[key] = Lasting(problem.kind.value, problem.text, problem.event, since, stamp, told=False)
        if not lasting[key].told and (known is not None or problem.kind not in PASSING):
            lasting[key] = replace(lasting[key], text=problem.text)
            began.append(key)
    for key, known in before.items():
        if key not in seen and known.told:
            if stamp - known.seen >= QUIET_S:
                over.append(key)
            else:
                lasting[key] = known
    for keys in _by_kind(began, lasting):
        texts = [_since(lasting[key]) for key in keys]
        if _notify(tell, BEGAN, keys, texts, lasting):
            lasting |= {key: replace(lasting[key], told=True) for key in keys}
    for keys in _by_kind(over, before):
        _notify(tell, OVER, keys, [_until(before[key]) for key in keys], before)
    return lasting


def _by_kind(keys: Iterable[str], known: Mapping[str, Lasting]) -> Iterable[list[str]]:
    """Groups of keys that share a message: single ones, or all of a kind if there are many."""
    for _, group in groupby(sorted(keys, key=lambda key: (known[key].kind, key)), lambda key: known[key].kind):
        together = list(group)
        if len(together) > MOST_SINGLE:
            yield together
        else:
            yield from ([key] for key in together)


def _notify(tell: Tell, what: str, keys: list[str], texts: list[str], known: Mapping[str, Lasting]) -> bool:
    first = known[keys[0]]
    if len(keys) == 1:
        return tell(f"{what}-{keys[0]}-{first.since:.0f}", what, first.event, texts[0])
    marks = [f"{key}-{known[key].since:.0f}" for key in keys]
    digest = hashlib.sha256("\n".join(marks).encode()).hexdigest()[:16]
    text = f"{len(keys)} of the kind {first.kind}, see mma doctor; the first: {texts[0]}"
    return tell(f"{what}-{first.kind}-{digest}", what, None, text)


def _since(known: Lasting) -> str:
    return f"{known.text} (since {_moment(known.since)})"


def _until(known: Lasting) -> str:
    lasted = seconds(max(known.seen - known.since, 0.0))
    return f"no longer seen since {_moment(known.seen)}, after {lasted}: {known.text}"


def _moment(stamp: float) -> str:
    return f"{datetime.fromtimestamp(stamp, UTC):%Y-%m-%d %H:%M} UTC"
