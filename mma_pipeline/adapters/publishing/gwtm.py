"""Publishes to the Treasure Map (GWTM): query what it has, compare, send only what is missing.

The server inserts every row that it receives, and names the files of a row by counting the event's rows of its kind in the
order of `datecreated`. So row k of a kind must always be our version with number k: a version is posted only if GWTM has
exactly the rows before it, and an existing row is never posted again.

A locked server stores a posted row when the lock is released, minutes after we stopped waiting. So each post is recorded
before it is sent, and while the server may still be working, it is only queried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from mma_pipeline.adapters.archive.publications import Answer, Draft, Publication
from mma_pipeline.adapters.errors import (
    AdapterError,
    CredentialsError,
    PermanentError,
    TransientError,
    UncertainError,
    WaitingError,
)
from mma_pipeline.adapters.publishing import gwtm_candidates, gwtm_pointings
from mma_pipeline.adapters.publishing.gwtm_client import GwtmClient
from mma_pipeline.adapters.publishing.gwtm_fields import AlertRow, alert_row, galaxies_body
from mma_pipeline.adapters.publishing.model import Note
from mma_pipeline.notices.derived import DerivedAlert
from mma_pipeline.notices.model import Role, role_of

Stored = TypeVar("Stored")
ALERT, GALAXIES, ICECUBE = "alert", "galaxies", "icecube"
#: Key in a publication's progress: when its row was posted without a usable answer.
_POSTED = "posted"
#: Removal of what we posted of a mock event.
MOCK_REMOVAL = "mock_removal"
#: Ranking method of the galaxy lists (Arcavi et al. 2017, ApJL 848 L33).
REFERENCE = "https://ui.adsabs.harvard.edu/abs/2017ApJ...848L..33A/abstract"


@dataclass(slots=True)
class GwtmDestination:
    """The Treasure Map as a destination.

    Payloads: `alert` {alert, number, skymap_key, bare}, `galaxies` {alert, galaxies}, `icecube` {body}, `mock_removal` {}, `pointing`
    {fields, planned_time}, `pointing_cancellation` {fields}, `candidate` {fields}, `candidate_removal` {name}, where alert is the JSON of a `DerivedAlert`. An empty list of
    galaxies means the removal of our group's lists.

    Args:
        repeat_s: seconds before a post without an answer is repeated, longer than the server can take.
    """

    client: GwtmClient
    name: str = "gwtm"
    observing_run: str = "O4"
    groupname: str = "mma_pipeline"
    settle_s: float = 60.0
    repeat_s: float = 900.0
    per_minute: int | None = None

    def prepare(self, item: Publication) -> Mapping[str, Any]:  # noqa: ARG002 - the site itself is queried
        """Nothing, because the site can be queried."""
        return {}

    def preview(self, item: Draft) -> Mapping[str, Any]:
        """The endpoint and the body; sends no request."""
        if item.kind == ALERT:
            row = self._row(item.payload)
            return {"endpoint": "post_alert", "body": dict(row.fields), "notes": list(row.notes)}
        if item.kind == GALAXIES and not item.payload["galaxies"]:
            return {
                "endpoint": "remove_event_galaxies",
                "body": {"graceid": item.event_id, "groupname": self.groupname},
            }
        if item.kind == GALAXIES:
            return {"endpoint": "event_galaxies", "body": self._galaxies(item.payload)}
        if item.kind == MOCK_REMOVAL:
            return {"endpoint": "del_test_alerts", "body": {}}
        if item.kind in {gwtm_pointings.POINTING, gwtm_pointings.CANCELLATION}:
            posts = item.kind == gwtm_pointings.POINTING
            return {"endpoint": "pointings" if posts else "update_pointings", "body": item.payload["fields"]}
        if item.kind == gwtm_candidates.CANDIDATE:
            return {"endpoint": "candidate", "body": {"graceid": item.event_id, "candidate": item.payload["fields"]}}
        if item.kind == gwtm_candidates.REMOVAL:
            return {"endpoint": "candidate (DELETE)", "body": dict(item.payload)}
        return {"endpoint": "post_icecube_notice", "body": item.payload["body"]}

    def send(self, item: Publication, note: Note) -> Answer:
        """Publish one item; safe to repeat after any failure."""
        if item.kind == ALERT:
            return self._send_alert(item, note)
        if item.kind == GALAXIES:
            return self._send_galaxies(item, note)
        if item.kind == ICECUBE:
            # The site ignores a notice that it has, but while it is working it could store two.
            answer = self._post_once(item, note, lambda: self.client.post_icecube(item.payload["body"]))
            stored = answer["icecube_notice"]
            known = "id" not in stored
            events = len(answer.get("icecube_notice_events") or ())
            return Answer(f"icecube_notice {stored.get('id', 'known')}", {"events": events}, already_there=known)
        if item.kind == MOCK_REMOVAL:
            return self._remove_mock(item)
        if item.kind == gwtm_pointings.POINTING:
            return gwtm_pointings.send(
                self.client, item.event_id, item.payload, lambda post: self._post_once(item, note, post)
            )
        if item.kind == gwtm_pointings.CANCELLATION:
            return gwtm_pointings.cancel(self.client, item.event_id, item.payload["fields"])
        if item.kind == gwtm_candidates.CANDIDATE:
            fields = item.payload["fields"]
            return gwtm_candidates.send(
                self.client, item.event_id, fields, lambda post: self._post_once(item, note, post)
            )
        if item.kind == gwtm_candidates.REMOVAL:
            return gwtm_candidates.remove(self.client, item.event_id, item.payload["name"])
        raise PermanentError(f"GWTM does not accept {item.kind}")

    def _row(self, payload: Mapping[str, Any]) -> AlertRow:
        alert = DerivedAlert.from_json(payload["alert"])
        return alert_row(alert, observing_run=self.observing_run, skymap_key=payload.get("skymap_key"))

    def _galaxies(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        alert = DerivedAlert.from_json(payload["alert"])
        return galaxies_body(alert, payload["galaxies"], groupname=self.groupname, reference=REFERENCE)

    def _send_alert(self, item: Publication, note: Note) -> Answer:
        row = self._row(item.payload)
        fields, number = dict(row.fields), int(item.payload["number"])
        rows = self.client.alerts(fields["graceid"])
        same_kind = [r for r in rows if r.get("alert_type") == fields["alert_type"]]
        copies = copies_among(same_kind)
        if len(same_kind) > number and _same_version(same_kind[number], fields):
            found = same_kind[number]
            details = _details(found, row, number)
            return Answer(f"gw_alert {found['id']}", details, already_there=True, warning=copies)
        what = f"{fields['graceid']} {fields['alert_type']}"
        if copies is not None:
            raise PermanentError(f"{copies} Until then number {number} of {what} would have the wrong file names")
        if len(same_kind) > number:
            found = same_kind[number]
            raise PermanentError(
                f"GWTM has another alert (id {found.get('id')}, timesent {found.get('timesent')}) as number {number}"
                f" of {what}: ours would have the wrong file names"
            )
        if len(same_kind) < number:
            raise WaitingError(
                f"GWTM has {len(same_kind)} rows of {what}, this is number {number}: earlier ones must be posted first"
            )
        moment = _moment_before_retraction(rows, fields)
        body = fields | ({} if moment is None else {"datecreated": moment})
        stored = self._post_once(item, note, lambda: self.client.post_alert(body))
        details = _details(stored, row, number) | ({"bare": True} if item.payload.get("bare") else {})
        return Answer(f"gw_alert {stored['id']}", details)

    def _post_once(self, item: Publication, note: Note, post: Callable[[], Stored]) -> Stored:
        """Post what the site was just found to lack; the post is recorded before it is sent.

        Raises WaitingError while the server may still be working on an earlier post. The record is deleted if the post
        certainly failed, or if the server itself answered.
        """
        posted = item.progress.get(_POSTED)
        age = 0.0 if posted is None else (datetime.now(UTC) - _time(posted)).total_seconds()
        if posted is not None and age < self.repeat_s:
            raise WaitingError(
                f"posted {age:.0f} s ago without an answer, and not on the site yet: it may still appear, so the site is "
                f"queried again, and the post is repeated after {self.repeat_s:.0f} s"
            )
        note({_POSTED: datetime.now(UTC).isoformat()})
        try:
            return post()
        except AdapterError as error:
            if not isinstance(error, UncertainError) or error.settled:
                note({name: value for name, value in item.progress.items() if name != _POSTED})
            raise

    def _send_galaxies(self, item: Publication, note: Note) -> Answer:
        if not item.payload["galaxies"]:
            details = self._remove_lists(self.client.galaxies(item.event_id, self.groupname))
            return Answer("no list", {"galaxies": 0, **details}, already_there=not details["removed_lists"])
        body = self._galaxies(item.payload)
        if _later_retractions(self.client.alerts(body["graceid"]), body["timesent_stamp"]):
            return Answer("no list", {"galaxies": 0, "notes": ["the event is retracted"]}, already_there=True)
        lists = self.client.galaxies(body["graceid"], self.groupname)
        ours = next((listid for listid, entries in lists.items() if _same_list(entries, body["galaxies"])), None)
        posted = self._post_once(item, note, lambda: self.client.post_galaxies(body)) if ours is None else ours
        # The previous list is removed only after the new one is posted, so that observers always see one.
        details = self._remove_lists(listid for listid in lists if listid != posted)
        return Answer(f"list {posted}", {"galaxies": len(body["galaxies"]), **details}, already_there=ours is not None)

    def _remove_lists(self, listids: Iterable[int]) -> dict[str, list[int]]:
        """Remove lists of our group; those that another user posted under its name are not ours to remove."""
        removed, kept = [], []
        for listid in listids:
            try:
                self.client.remove_galaxies(listid)
                removed.append(listid)
            except CredentialsError:
                kept.append(listid)
        return {"removed_lists": removed, "lists_of_others": kept}

    def _remove_mock(self, item: Publication) -> Answer:
        """Remove our lists and candidates of a mock event, then its rows.

        They go first: the site removes a mock's rows but neither of those, which nobody would find again.
        """
        if role_of(item.event_id) is not Role.TEST:
            raise PermanentError(f"{item.event_id} is not a mock event, and only mock events are removed")
        details = self._remove_lists(self.client.galaxies(item.event_id, self.groupname))
        removed = gwtm_candidates.remove_all(self.client, item.event_id)
        if removed:
            details["candidates"] = removed
        rows = self.client.alerts(item.event_id)
        real = [row.get("id") for row in rows if row.get("role") != str(Role.TEST)]
        if real:
            raise PermanentError(
                f"GWTM has rows of {item.event_id} that are not tests (ids {real}): nothing is removed"
            )
        if rows:
            self.client.delete_test_alerts()
            left = len(self.client.alerts(item.event_id))
            if left:
                raise TransientError(f"GWTM still has {left} rows of {item.event_id} after del_test_alerts")
        already = not rows and not details["removed_lists"]
        return Answer("removed", {"rows": len(rows), **details}, already_there=already)


def copies_among(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Warning about rows of one kind that are copies of one version, with the remedy; None if there are none."""
    by_version: dict[Any, list[Any]] = {}
    for row in rows:
        if row.get("timesent"):
            by_version.setdefault(row["timesent"], []).append(row)
    found = [group for group in by_version.values() if len(group) > 1]
    if not found:
        return None
    said = []
    for group in found:
        first, *others = (row.get("id") for row in group)
        named = ", ".join(str(one) for one in others)
        said.append(
            f"rows {first}, {named} ({group[0].get('graceid')} {group[0].get('alert_type')}, timesent "
            f"{group[0]['timesent']}) are copies of one version: an administrator of the site must delete {named} from its "
            f"table gw_alert, because the API cannot"
        )
    return f"GWTM counts copies as versions: {'; '.join(said)}; then run mma publication retry --destination NAME."


def _same_version(stored: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    """Whether a row is this version: created in the same second. Statistics may differ with the code that made them."""
    try:
        seconds = (_time(stored["timesent"]) - _time(fields["timesent"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return False
    return abs(seconds) < 1


def _moment_before_retraction(rows: Sequence[Mapping[str, Any]], fields: Mapping[str, Any]) -> str | None:
    """`datecreated` for a version that arrives after a later retraction; None in all other cases.

    The site shows the row with the latest `datecreated`, so a late preliminary would make a retracted
    event look valid. The time lies between the retraction and the row before it, so the order of its own kind stays.
    """
    later = _later_retractions(rows, fields["timesent"])
    if not later or fields["alert_type"] == "Retraction":
        return None
    end = _time(rows[later[0]]["datecreated"])
    start = _time(rows[later[0] - 1]["datecreated"]) if later[0] else end - timedelta(seconds=2)
    kind_after = any(r.get("alert_type") == fields["alert_type"] for r in rows[later[0] :])
    return None if kind_after or end <= start else (start + (end - start) / 2).isoformat(timespec="microseconds")


def _later_retractions(rows: Sequence[Mapping[str, Any]], timesent: str) -> list[int]:
    """Positions of an event's retractions that were created after a version."""
    return [
        index
        for index, row in enumerate(rows)
        if row.get("alert_type") == "Retraction" and row.get("timesent") and _time(row["timesent"]) > _time(timesent)
    ]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _same_list(entries: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> bool:
    if len(entries) != len(wanted):
        return False
    stored = sorted(entries, key=lambda entry: entry["rank"])
    return all(
        a["name"] == b["name"] and a["rank"] == b["rank"] and math.isclose(a["score"], b["score"], rel_tol=1e-9)
        for a, b in zip(stored, wanted, strict=True)
    )


def _details(stored: Mapping[str, Any], row: AlertRow, number: int) -> dict[str, Any]:
    """Details of a stored row to keep, and its differences from what we would send now."""
    differs = [
        name
        for name, value in row.fields.items()
        if isinstance(value, float)
        and isinstance(stored.get(name), int | float)
        and not math.isclose(value, stored[name], rel_tol=1e-9, abs_tol=1e-12)
    ]
    kept = ("id", "datecreated", "timesent", "alert_type", "skymap_fits_url")
    return {**{k: stored.get(k) for k in kept}, "number": number, "notes": list(row.notes), "differs": differs}
