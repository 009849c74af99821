"""Finds our mock events on the Treasure Map (GWTM) that are due for removal, and writes removals to the outbox.

The site promises that mocks are removed after 48 hours, and leaves this to whoever posts them. Its `del_test_alerts`
removes everybody's rows with role test, except MS181101ab and mocks of its yesterday, today and tomorrow. It leaves galaxy
lists, so ours are removed one by one (`gwtm`). The schedule is in `defs.publication.mock_removal`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from mma_pipeline.adapters.archive import Engine, outbox, reading, writing
from mma_pipeline.adapters.archive.publications import Draft
from mma_pipeline.adapters.publishing.gwtm import ALERT, MOCK_REMOVAL
from mma_pipeline.notices.model import Role, role_of

#: The sample event of LIGO/Virgo/KAGRA's user guide, which the site keeps.
_KEPT = "MS181101ab"
#: After this time from the beginning of the day in a mock's id, that day is before yesterday in every time zone.
_DAYS_OVER = timedelta(hours=60)
_DAY = re.compile(r"MS(\d{6})")


def due(engine: Engine, destination: str, now: datetime, hours: float) -> list[Draft]:
    """Removals that are due because the event's last row went out `hours` ago, and that were not requested yet.

    An event with open publications waits. One that got another row after its removal is removed again.
    """
    with reading(engine) as connection:
        known = outbox.keys(connection, destination, MOCK_REMOVAL)
        closed = outbox.closed_events(connection, destination, ALERT, now - timedelta(hours=hours))
    drafts = [
        Draft(destination, MOCK_REMOVAL, f"mock:{event_id}:{last}", event_id, {})
        for event_id, last in closed
        if _may_go(event_id, now)
    ]
    return [draft for draft in drafts if draft.dedupe_key not in known]


def ask(engine: Engine, drafts: list[Draft]) -> int:
    """Write removals to the outbox; returns how many are new."""
    now = datetime.now(UTC)
    with writing(engine) as connection:
        return sum(outbox.enqueue(connection, draft, now) for draft in drafts)


def _may_go(event_id: str, now: datetime) -> bool:
    """Whether an event is a mock or test one whose rows the site removes when asked."""
    if role_of(event_id) is not Role.TEST or event_id.startswith(_KEPT):
        return False
    found = _DAY.match(event_id)
    if found is None:
        return True
    try:
        day = datetime.strptime(found[1], "%y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return True
    return now - day >= _DAYS_OVER
