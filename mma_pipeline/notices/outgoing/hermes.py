"""Derived alerts about candidates as Hermes messages (LCOGT/hermes, `hermes/serializers.py`), as its own form sends them.

Hermes takes messages from public Hopskotch topics. Its form sends {title, topic, submitter, authors, message_text, data} with
targets and photometry in `data`; keys of `data` that it does not know pass through, so that the score goes with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mma_pipeline.notices.derived import SENDER_V2, CandidateScore, DerivedAlert, DerivedKind
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.times import datetime_of_mjd
from mma_pipeline.notices.words import probability


def hermes_message(alert: DerivedAlert, points: Sequence[Mapping[str, Any]], topic: str) -> dict[str, Any]:
    """The message of a candidate, or of the withdrawal of one; raises NoticeError for any other alert.

    Args:
        alert: what is told.
        points: photometry of the candidate (`points_of`); Hermes needs a telescope or an instrument for each.
        topic: name of the Hopskotch topic.
    """
    if alert.kind is DerivedKind.RETRACTION and alert.retracts is not None:
        title = f"{alert.event_id}: withdrawal of an earlier message"
        references = [{"source": "hop_uuid", "citation": alert.retracts}]
        return _message(alert, topic, title, alert.reason or "", {"references": references})
    if alert.candidate is None:
        raise NoticeError(f"a Hermes message tells of candidates, not of a {alert.kind}")
    found = alert.candidate
    title = f"{alert.event_id}: candidate {found.name}, kilonova probability {probability(found.best_probability)}"
    text = (
        f"{found.name} is a candidate for the optical counterpart of {alert.event_id}. Its light curve gives a probability"
        f" of {probability(found.kilonova_probability)} of being a kilonova; with everything that is known it is"
        f" {probability(found.best_probability)}. Made automatically by {SENDER_V2}."
    )
    data = {
        "targets": [_target(found)],
        "photometry": [row for point in points if (row := _row(found.name, point)) is not None],
        "kilonova": alert.to_json()["candidate"],
    }
    return _message(alert, topic, title, text, data)


def _message(alert: DerivedAlert, topic: str, title: str, text: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": f"TEST: {title}" if alert.is_test else title,
        "topic": topic,
        "submitter": SENDER_V2,
        "authors": "",
        "message_text": f"THIS IS A TEST. {text}" if alert.is_test else text,
        "data": {"event_id": alert.event_id, **data},
    }


def _target(candidate: CandidateScore) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": candidate.name,
        # Hermes keeps them as text, and takes the number zero for nothing.
        "ra": repr(candidate.ra),
        "dec": repr(candidate.dec),
        "redshift": candidate.redshift,
        "host_name": None if candidate.host is None else candidate.host.name,
        "aliases": list(candidate.aliases) or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _row(name: str, point: Mapping[str, Any]) -> dict[str, Any] | None:
    if not (point.get("telescope") or point.get("instrument")):
        return None
    # A form of date that every reader takes: no offset, which Hermes would keep as text.
    when = datetime_of_mjd(point["mjd"]).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    found = {
        "target_name": name,
        "date_obs": when,
        "telescope": point.get("telescope"),
        "instrument": point.get("instrument"),
        "bandpass": point["band"],
    }
    if point.get("upper_limit"):
        found |= {"limiting_brightness": point["magnitude"], "limiting_brightness_unit": "AB mag"}
    else:
        found |= {"brightness": point["magnitude"], "brightness_error": point.get("error"), "brightness_unit": "AB mag"}
    return {key: value for key, value in found.items() if value is not None}
