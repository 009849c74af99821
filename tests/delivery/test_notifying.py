"""People get one message when a problem begins and one when it is over, whatever happens between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mma_pipeline.defs.operations.notifying import BEGAN, MOST_SINGLE, OVER, QUIET_S, follow
from mma_pipeline.defs.operations.problems import Kind, Problem
from mma_pipeline.defs.operations.watch import Lasting

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
AWAY = Problem(Kind.STORE_AWAY, "the store is away")


class People:
    """Who is told, and what was said, by key."""

    def __init__(self, *, there: bool = True) -> None:
        self.there = there
        self.said: dict[str, tuple[str, str | None, str]] = {}
        self.lasting: dict[str, Lasting] = {}
        self.now = NOW

    def tell(self, key: str, what: str, event: str | None, text: str) -> bool:
        """As the outbox does: what has a known key is not said again."""
        if self.there:
            self.said.setdefault(key, (what, event, text))
        return self.there

    def look(self, *problems: Problem, after: timedelta = MINUTE) -> list[str]:
        """One look later; returns what was said of it."""
        before = set(self.said)
        self.now += after
        self.lasting = follow(self.lasting, problems, self.now, self.tell)
        return [f"{what}: {text}" for key, (what, _, text) in self.said.items() if key not in before]


def test_what_lasts_is_told_once_and_ends_once() -> None:
    """Begin at the second look, with the time of the first; nothing while it lasts; the end once, with its length."""
    people = People()
    assert people.look(AWAY) == []
    assert people.look(AWAY) == ["problem: the store is away (since 2026-01-01 00:01 UTC)"]
    for _ in range(20):
        assert people.look(AWAY) == []
    assert people.look() == []
    over = people.look(after=timedelta(seconds=QUIET_S))
    assert over == ["over: no longer seen since 2026-01-01 00:22 UTC, after 21 min: the store is away"]
    assert people.look() == []
    assert people.lasting == {}


def test_a_blip_is_no_message() -> None:
    """What is gone at the next look is told to nobody."""
    people = People()
    assert [people.look(AWAY), people.look(), people.look(after=timedelta(days=1))] == [[], [], []]


def test_what_comes_and_goes_is_one_problem() -> None:
    """Flapping within the quiet time is neither an end nor a new beginning; after an end it is new."""
    people = People()
    people.look(AWAY)
    assert len(people.look(AWAY)) == 1
    for _ in range(30):
        assert people.look() == people.look(AWAY) == []
    assert len(people.look(after=timedelta(seconds=QUIET_S))) == 1
    people.look(AWAY)
    assert len(people.look(AWAY)) == 1


def test_facts_are_told_at_once() -> None:
    """A message that cannot be used does not pass by itself: the first look tells it, with its event."""
    people = People()
    problem = Problem(Kind.QUARANTINE, "an alert cannot be used", "7", "S240301b", NOW)
    assert people.look(problem) == ["problem: an alert cannot be used (since 2026-01-01 00:00 UTC)"]
    ((what, event, _),) = people.said.values()
    assert (what, event) == (BEGAN, "S240301b")


def test_a_repeated_tick_tells_nobody_twice() -> None:
    """A crash between message and cursor repeats the look from the same state, later: the keys are the same."""
    people = People()
    people.look(AWAY)
    kept, moment = dict(people.lasting), people.now
    people.look(AWAY)
    people.lasting, people.now = kept, moment + 2 * MINUTE
    assert people.look(AWAY) == []
    kept, moment = dict(people.lasting), people.now
    people.look(after=timedelta(seconds=QUIET_S))
    people.lasting, people.now = kept, moment + 2 * MINUTE
    assert people.look(after=timedelta(seconds=QUIET_S)) == []
    assert [what for what, _, _ in people.said.values()] == [BEGAN, OVER]


def test_a_flood_is_one_message() -> None:
    """Many problems of a kind that begin or end together are one message each; few are told one by one."""
    people = People()
    flood = [Problem(Kind.QUARANTINE, f"alert {n}", str(n), f"S24010{n}a", NOW) for n in range(MOST_SINGLE + 1)]
    (said,) = people.look(*flood)
    assert said.startswith(f"problem: {MOST_SINGLE + 1} of the kind quarantine")
    (said,) = people.look(after=timedelta(seconds=QUIET_S))
    assert said.startswith(f"over: {MOST_SINGLE + 1} of the kind quarantine")
    assert len(People().look(*flood[:-1])) == MOST_SINGLE


def test_who_comes_later_hears_what_still_lasts() -> None:
    """Without a webhook nothing counts as told; one that is set up later is told of what lasts, and of no old end."""
    people = People(there=False)
    people.look(AWAY)
    people.look(AWAY)
    people.there = True
    assert people.look(AWAY) == ["problem: the store is away (since 2026-01-01 00:01 UTC)"]
    alone = People(there=False)
    alone.look(AWAY)
    alone.look(AWAY)
    alone.there = True
    assert alone.look(after=timedelta(days=1)) == []


def test_what_is_told_where_it_arises_is_not_told_here() -> None:
    """Failed publications and runs have their own messages."""
    people = People()
    problem = Problem(Kind.RUN_FAILED, "a run failed")
    assert people.look(problem) == people.look(problem) == []
