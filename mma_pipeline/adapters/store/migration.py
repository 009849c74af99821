"""Moves objects from one store to another, and compares stores. Not here: showing progress (`cli.storage`).

Objects that exist with the same digest are skipped, so that an interrupted move continues where it was: there is no state
besides the stores themselves. A failed object is reported and does not stop the others.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mma_pipeline.adapters.errors import AdapterError, NotFoundError
from mma_pipeline.adapters.store.keys import check_key
from mma_pipeline.adapters.store.model import StoredObject
from mma_pipeline.adapters.store.store import Store, notes_that_fit

WORKERS = 16
IN_MEMORY_BYTES = 8 << 20
"""Larger objects pass through a temporary file: 16 workers hold at most 128 MiB."""
_SAMPLE = 100

_T = TypeVar("_T")


@dataclass(frozen=True)
class Outcome:
    """Outcome for one object.

    Attributes:
        key: which.
        size: bytes.
        moved: True if it was written, False if it was there already, or there is an error.
        unknown: True if it could be read, but no digest says whether it is what was written.
        error: why it failed, None if it did not.
    """

    key: str
    size: int
    moved: bool = False
    unknown: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Plan:
    """Work to do, from the listings of both stores.

    Attributes:
        todo: objects to move, or to compare object by object.
        done: objects that the listings already show to be equal.
        missing: keys of ``todo`` of which the destination has nothing.
        refused: objects whose names no other store can hold.
    """

    todo: tuple[StoredObject, ...]
    done: tuple[StoredObject, ...]
    missing: frozenset[str]
    refused: tuple[Outcome, ...]

    @property
    def size(self) -> int:
        """Bytes in ``todo``."""
        return sum(entry.size for entry in self.todo)


@dataclass
class Summary:
    """Counts of a move or a comparison; times in seconds, sizes in bytes."""

    moved: int = 0
    moved_bytes: int = 0
    same: int = 0
    unknown: int = 0
    seconds: float = 0.0
    failed: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one object."""
        if outcome.error is not None:
            self.failed.append(outcome)
        elif outcome.unknown:
            self.unknown += 1
        elif outcome.moved:
            self.moved += 1
            self.moved_bytes += outcome.size
        else:
            self.same += 1


def plan(source: Store, dest: Store, prefix: str = "", *, force: bool = False) -> Plan:
    """Compare two listings.

    Args:
        source, dest: from where to where.
        prefix: only keys with this prefix, e.g. ``fit/``.
        force: move everything again.

    Raises:
        AdapterError: a store cannot be listed.
    """
    there = {} if force else {entry.key: entry for entry in dest.ls(prefix)}
    todo: list[StoredObject] = []
    done: list[StoredObject] = []
    refused: list[Outcome] = []
    for entry in source.ls(prefix):
        try:
            check_key(entry.key)
        except AdapterError as error:
            refused.append(Outcome(entry.key, entry.size, error=str(error)))
            continue
        found = there.get(entry.key)
        (done if found is not None and _equal(entry, found) else todo).append(entry)
    missing = frozenset(entry.key for entry in todo if entry.key not in there and not force)
    return Plan(tuple(todo), tuple(done), missing, tuple(refused))


@dataclass(frozen=True)
class Sample:
    """Times for up to 100 objects of a plan, in seconds, with the same number of simultaneous transfers as the move.

    Attributes:
        files: how many could be read.
        read_s: to read them from the source.
        look_s: to look them up at the destination, a round trip each.
    """

    files: int
    read_s: float
    look_s: float

    def estimate(self, files: int) -> tuple[float, float] | None:
        """Seconds that reading and writing that many files takes; None if no file could be read.

        Nothing is written to find out: writing is taken to need a round trip to the destination, and as long as
        reading for the bytes.
        """
        if not self.files:
            return None
        share = files / self.files
        return self.read_s * share, (self.read_s + self.look_s) * share


def sample(source: Store, dest: Store, work: Plan, workers: int = WORKERS) -> Sample:
    """Read up to 100 objects spread over the plan and look them up at the destination; writes nothing."""
    step = max(1, len(work.todo) // _SAMPLE)
    some = work.todo[::step][:_SAMPLE]

    def timed(ask: Callable[[StoredObject], object]) -> tuple[float, int]:
        def answered(entry: StoredObject) -> bool:
            try:
                ask(entry)
            except AdapterError:
                return False
            return True

        started = time.monotonic()
        count = sum(in_parallel(answered, some, workers))
        return time.monotonic() - started, count

    read_s, files = timed(lambda entry: source.verify(entry.key))
    return Sample(files, read_s, timed(lambda entry: dest.stat(entry.key))[0])


def migrate(source: Store, dest: Store, work: Plan, workers: int = WORKERS) -> Iterator[Outcome]:
    """Move the plan's objects in parallel, and yield each outcome when it is known.

    Each write is compared by the receiving server with its checksum; each read with the digest recorded with it.
    """
    yield from work.refused
    yield from in_parallel(lambda entry: _move(source, dest, entry, entry.key in work.missing), work.todo, workers)


def verify(store: Store, entries: Iterable[StoredObject], workers: int = WORKERS) -> Iterator[Outcome]:
    """Read objects completely and compare them with their recorded digests."""

    def read(entry: StoredObject) -> Outcome:
        try:
            return Outcome(entry.key, entry.size, unknown=not store.verify(entry.key))
        except AdapterError as error:
            return Outcome(entry.key, entry.size, error=str(error))

    yield from in_parallel(read, entries, workers)


def compare(one: Store, other: Store, prefix: str = "", workers: int = WORKERS) -> Iterator[Outcome]:
    """Compare two stores by digest: an error for each object that is missing on either side or differs."""
    work = plan(one, other, prefix)
    names = {entry.key for entry in (*work.todo, *work.done)}
    for extra in other.ls(prefix):
        if extra.key not in names:
            yield Outcome(extra.key, extra.size, error=f"only in {other.url()}")
    for entry in work.done:
        yield Outcome(entry.key, entry.size)

    def look(entry: StoredObject) -> Outcome:
        try:
            mine, theirs = one.stat(entry.key), other.stat(entry.key)
        except AdapterError as error:
            return Outcome(entry.key, entry.size, error=str(error))
        if mine is None or theirs is None:
            return Outcome(entry.key, entry.size, error=f"only in {(one if theirs is None else other).url()}")
        if not _equal(mine, theirs):
            return Outcome(entry.key, entry.size, error="the contents differ, or no digest confirms that they agree")
        return Outcome(entry.key, entry.size)

    yield from in_parallel(look, work.todo, workers)


def in_parallel(work: Callable[[StoredObject], _T], entries: Iterable[StoredObject], workers: int) -> Iterator[_T]:
    """Yield results as they come, with only a few entries waiting; stops soon when the caller does."""
    with ThreadPoolExecutor(workers, thread_name_prefix="store") as pool:
        waiting: set[Future[_T]] = set()
        try:
            for entry in entries:
                waiting.add(pool.submit(work, entry))
                while len(waiting) >= 2 * workers:
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in finished)
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        finally:
            for future in waiting:
                future.cancel()


def _move(source: Store, dest: Store, entry: StoredObject, missing: bool) -> Outcome:
    """Move one object unless the destination has it."""
    try:
        if not missing:
            mine, theirs = source.stat(entry.key), dest.stat(entry.key)
            if mine is not None and theirs is not None and _equal(mine, theirs):
                return Outcome(entry.key, entry.size)
        if entry.size <= IN_MEMORY_BYTES:
            found, data = source.read(entry.key)
            put = dest.put(
                entry.key, data, content_type=found.content_type, metadata=notes_that_fit(found), look=not missing
            )
        else:
            with tempfile.TemporaryDirectory(prefix="mma-migrate-") as folder:
                path = Path(folder, "object")
                found = source.get_file(entry.key, path)
                put = dest.put(
                    entry.key, path, content_type=found.content_type, metadata=notes_that_fit(found), look=not missing
                )
        if found.sha256 != put.sha256:
            return Outcome(entry.key, entry.size, error="the written bytes differ from those that were read")
    except NotFoundError:
        return Outcome(entry.key, entry.size, error="it vanished from the source during the move")
    except AdapterError as error:
        return Outcome(entry.key, entry.size, error=str(error))
    return Outcome(entry.key, put.size, moved=put.written)


def _equal(one: StoredObject, other: StoredObject) -> bool:
    """Whether two stores' digests show the same content; False also if they cannot be compared."""
    if one.size != other.size:
        return False
    if one.sha256 is not None and other.sha256 is not None:
        return one.sha256 == other.sha256
    return one.md5 is not None and one.md5 == other.md5
