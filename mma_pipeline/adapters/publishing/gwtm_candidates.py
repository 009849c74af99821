"""Candidates on the Treasure Map (GWTM): posted once per event, found among its rows by name, removed when the event is retracted.

The site shows a candidate with its discovery, which later nights do not change, so the row stays as first posted. It finds no
duplicates by itself: its rows are read before each post, and one of that name, whoever posted it, is enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from typing import Any

from mma_pipeline.adapters.archive.publications import Answer, Draft
from mma_pipeline.adapters.errors import WaitingError
from mma_pipeline.adapters.publishing.gwtm_client import GwtmClient
from mma_pipeline.adapters.publishing.gwtm_pointings import BANDS
from mma_pipeline.notices.derived import DerivedAlert
from mma_pipeline.notices.times import datetime_of_mjd

#: Kinds of publications: a candidate, and the removal of one that we posted.
CANDIDATE, REMOVAL = "candidate", "candidate_removal"
_TNS = re.compile(r"(?:AT|SN) ?(\d{4}[A-Za-z]{1,7})", re.ASCII)


def draft(destination: str, alert: DerivedAlert, points: Sequence[Mapping[str, Any]]) -> Draft | None:
    """The publication of a candidate, with its first detection among the points; None where nothing is detected."""
    found = alert.candidate
    first = next((point for point in points if not point.get("upper_limit")), None)
    if found is None or first is None:
        return None
    names = [match[1] for name in (found.name, *found.aliases) if (match := _TNS.fullmatch(name))]
    host = found.host
    fields = {
        "candidate_name": found.name,
        "tns_name": next(iter(names), None),
        "ra": found.ra,
        "dec": found.dec,
        # The site drops an offset.
        "discovery_date": datetime_of_mjd(first["mjd"]).astimezone(UTC).replace(tzinfo=None).isoformat(),
        "discovery_magnitude": first["magnitude"],
        "magnitude_unit": "ab_mag",
        "magnitude_bandpass": first["band"] if first["band"] in BANDS else "other",
        "associated_galaxy": None if host is None else host.name,
        "associated_galaxy_redshift": None if host is None else found.redshift,
        "associated_galaxy_distance": None if host is None else host.distance,
    }
    payload = {"fields": {name: value for name, value in fields.items() if value is not None}}
    partition = None if alert.version is None else alert.version.partition_key
    return Draft(destination, CANDIDATE, key_of(alert.event_id, found.name), alert.event_id, payload, partition)


def key_of(event_id: str, name: str) -> str:
    """Key of a candidate's publication."""
    return f"candidate:{event_id}:{name}"


def send(
    client: GwtmClient, event_id: str, fields: Mapping[str, Any], post_once: Callable[[Callable[[], int]], int]
) -> Answer:
    """Post a candidate unless the site has it; raises WaitingError as long as it does not know the event."""
    rows = client.alerts(event_id)
    if not rows:
        raise WaitingError(f"GWTM has no row of {event_id} yet: its candidates must wait")
    if any(row.get("alert_type") == "Retraction" for row in rows):
        return Answer("no row", {"notes": ["the event is retracted"]}, already_there=True)
    known = _named(client, event_id, str(fields["candidate_name"]))
    if known:
        return Answer(f"candidate {known[0]['id']}", {"submitterid": known[0].get("submitterid")}, already_there=True)
    return Answer(f"candidate {post_once(lambda: client.post_candidate(event_id, fields))}")


def remove(client: GwtmClient, event_id: str, name: str) -> Answer:
    """Remove a candidate of ours; the site keeps those of others."""
    removed = client.remove_candidates([row["id"] for row in _named(client, event_id, name)])
    return Answer("removed", {"removed": removed}, already_there=not removed)


def remove_all(client: GwtmClient, event_id: str) -> list[int]:
    """Remove all candidates of ours of an event; returns their ids."""
    return client.remove_candidates([row["id"] for row in client.candidates(event_id)])


def _named(client: GwtmClient, event_id: str, name: str) -> list[dict[str, Any]]:
    return [row for row in client.candidates(event_id) if row.get("candidate_name") == name]
