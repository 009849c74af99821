"""Who finds problems: one function per kind of trouble, from Dagster's instance and the archive alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from mma_pipeline.adapters.archive import Archive

from .problems import Problem
from .watch import Watched


@dataclass(frozen=True, slots=True)
class Look:
    """Everything that a finder may look at."""

    instance: dg.DagsterInstance
    archive: Archive
    now: datetime
    watched: Watched | None
    """What the health sensor saw last; None where it never looked."""


Finder = Callable[[Look], Iterable[Problem]]


FINDERS: tuple[Finder, ...] = ()


def find(look: Look) -> tuple[Problem, ...]:
    """All problems that the finders see; raises TransientError where the archive does not answer."""
    return tuple(problem for finder in FINDERS for problem in finder(look))
