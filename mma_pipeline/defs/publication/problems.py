"""Finders of problems with publication: versions that a check blocks, late ones, and those that went out bare."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from mma_pipeline.adapters.archive import blocks, decisions, outbox, reading
from mma_pipeline.adapters.archive.publications import Publication, State
from mma_pipeline.adapters.publishing.webhook import FAILURE
from mma_pipeline.defs.alerts.unfinished import lacking
from mma_pipeline.defs.operations.problems import Kind, Problem
from mma_pipeline.defs.publication.readiness import describe
from mma_pipeline.notices.model import Role, role_of

if TYPE_CHECKING:
    from mma_pipeline.defs.operations.finders import Situation

#: How long a version, or a publication of it, may wait before it counts as late: two attempts at its products, or a
#: receiver's outage of a few minutes, take less.
LATE = timedelta(minutes=15)


def blocked_publications(look: Situation) -> Iterator[Problem]:
    """Real versions that a check keeps from being published, until it passes or a person releases them."""
    with reading(look.archive.engine) as connection:
        held = blocks.blocks(connection, held=True)
        made = decisions.decided(connection, [block.partition_key for block in held])
    published = {key for key, bare in made.items() if not all(bare.values())}
    for block in held:
        if not _is_real(block.event_id) or block.partition_key in published:
            continue
        key = block.partition_key
        text = (
            f"{key} is not published, because it does not pass {'; '.join(map(describe, block.findings))}. "
            f"To publish it anyway: mma publication release {key} --reason WHY"
        )
        yield Problem(Kind.PUBLICATION_BLOCKED, text, key, block.event_id, block.since)


def late_publications(look: Situation) -> Iterator[Problem]:
    """Real versions without a decision, and waiting publications: a problem for each event and destination."""
    late: dict[tuple[str, str], list[tuple[datetime, str]]] = {}
    for destination, event_id, since, text in (*_undecided(look), *_unsent(look)):
        late.setdefault((event_id, destination), []).append((since, text))
    for (event_id, destination), found in sorted(late.items()):
        since, first = min(found)
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        text = f"{event_id} is not completely published to {destination}: {first}{more}; see mma explain {event_id}"
        yield Problem(Kind.PUBLICATION_LATE, text, f"{event_id}:{destination}", event_id, since + LATE)


def _undecided(look: Situation) -> Iterator[tuple[str, str, datetime, str]]:
    """Destination, event, beginning and cause for versions without a decision."""
    names = look.destinations
    recent = [found for found in look.recent if found.received < look.now - LATE]
    keys = [found.record.partition_key for found in recent if found.record.version.role is Role.OBSERVATION]
    if not names or not keys:
        return
    with reading(look.archive.engine) as connection:
        held = {block.partition_key for block in blocks.blocks(connection, held=True)}
        made = decisions.decided(connection, keys)
    for found in recent:
        key = found.record.partition_key
        if key not in keys or key in held:
            continue
        lacks = sorted(lacking(found, look.settings))
        words = (
            f"{key} waits for {', '.join(lacks)}"
            if lacks
            else f"{key} waits for its decision: see the runs of alert_products and publish_version"
        )
        for name in names:
            if name not in made.get(key, {}):
                yield name, found.record.version.event_id, found.received, words


def _unsent(look: Situation) -> Iterator[tuple[str, str, datetime, str]]:
    """The same for rows and messages that were enqueued but not delivered."""
    with reading(look.archive.engine) as connection:
        waiting: list[Publication] = [
            item
            for state in (State.PENDING, State.SENDING)
            for item in outbox.publications(connection, state=state)
            if item.created < look.now - LATE and item.kind != FAILURE and _is_real(item.event_id)
        ]
    for item in waiting:
        why = "its own decision" if item.provisional else item.error or "its turn"
        yield item.destination, item.event_id, item.created, f"{item.dedupe_key} waits for {why}"


def bare_messages(look: Situation) -> Iterator[Problem]:
    """Real versions that were published without their map's values, until they are completed."""
    with reading(look.archive.engine) as connection:
        sent = decisions.sent_bare(connection)
    for (key, event_id), group in groupby(sent, key=lambda one: (one.partition_key, one.event_id)):
        if not _is_real(event_id):
            continue
        there = list(group)
        names = ", ".join(one.destination for one in there)
        text = (
            f"{key} went to {names} without its map's values, because its products failed for good: see the failed runs "
            f"of alert_products; mma backfill {key} makes them again, and a second message follows"
        )
        yield Problem(Kind.PUBLISHED_BARE, text, key, event_id, min(one.since for one in there))


def _is_real(event_id: str) -> bool:
    return role_of(event_id) is Role.OBSERVATION
