"""BOOM's JSON messages: its filters' alerts, and the notice `gcn.notices.boom.alert` (nasa-gcn/gcn-schema).

A filter's alert has fluxes with the AB magnitude of one unit beside each (8.9: Jy) and JD in UTC. The notice is about
objects that BOOM matched to an event; its photometry is in AB magnitudes and may be of other telescopes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from mma_pipeline.adapters.surveys.values import (
    by_time,
    details_of,
    flux_of_magnitude,
    frozen,
    head_of,
    identifier,
    limit_of_error,
    magnitude,
    mjd_of_jd,
    name_of,
    njy,
    number,
    row_mjd,
    rows,
    section,
)
from mma_pipeline.adapters.surveys.ztf import first_detection
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.brightness import check_system
from mma_pipeline.notices.surveys import AlertHead, CatalogMatch, FluxPoint, Origin, PacketFacts, Survey, SurveyAlert
from mma_pipeline.notices.times import mjd_of

_ZTF_NAME = re.compile(r"ZTF\d\d[a-z]{7,8}")
#: BOOM's words for where a point comes from; anything else is a detection.
_FORCED = ("forcedphot", "forced", "fp")


def is_alert(record: Mapping[str, Any]) -> bool:
    """Whether a JSON object is an alert of one of BOOM's filters."""
    return {"candid", "objectId", "filters", "photometry"} <= set(record)


def head(record: Mapping[str, Any]) -> AlertHead:
    """Object, position and time; raises NoticeError."""
    survey = _survey(str(record.get("survey") or ""), str(record.get("objectId")))
    alert_id = identifier(record.get("candid"))
    return head_of(survey, _name(record), alert_id, record.get("ra"), record.get("dec"), mjd_of_jd(record.get("jd")))


def alert(record: Mapping[str, Any], schema: str, broker: str) -> SurveyAlert:
    """The whole alert; raises NoticeError where the head is wrong."""
    found = head(record)
    points = by_time(p for p in (_point(row, found.mjd) for row in rows(record.get("photometry"))) if p is not None)
    details: dict[str, float | str | bool] = {}
    for passed in rows(record.get("filters")):
        notes = _notes(passed.get("annotations"))
        details |= details_of(notes, notes, f"filter {passed.get('filter_name') or passed.get('filter_id')}/")
    for score in rows(record.get("classifications")):
        value = number(score.get("score"))
        if value is not None:
            details[f"classifier/{score.get('classifier')}"] = value
    trigger = next((p for p in points if p.origin == "alert"), None)
    facts = PacketFacts(
        is_negative=trigger is not None and trigger.flux_njy is not None and trigger.flux_njy < 0,
        first_mjd=first_detection(points),
        details=frozen(details),
    )
    return SurveyAlert(found, points, facts, schema, broker)


def _notes(value: object) -> Mapping[str, Any]:
    """A filter's annotations, which come as JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def _name(record: Mapping[str, Any]) -> str | None:
    value = record.get("objectId")
    return value if isinstance(value, str) else identifier(value)


def _survey(said: str, name: str) -> Survey:
    if said.lower() in ("ztf", "lsst"):
        return "ztf" if said.lower() == "ztf" else "lsst"
    if _ZTF_NAME.fullmatch(name):
        return "ztf"
    if name.isdigit():
        return "lsst"
    raise NoticeError(f"the object {name[:40]!r} is neither ZTF's nor Rubin's")


def _point(row: Mapping[str, Any], triggered: float) -> FluxPoint | None:
    band, zero_point, mjd = name_of(row.get("band")), magnitude(row.get("zero_point")), row_mjd(row.get("jd"))
    flux, error = number(row.get("flux")), number(row.get("flux_err"))
    if band is None or zero_point is None or mjd is None:
        return None
    unit = njy(zero_point)
    error = None if error is None or error <= 0 else error * unit
    if flux is None:
        limit = limit_of_error(error)
        return None if limit is None else FluxPoint(mjd, band, None, None, limit, "limit")
    origin: Origin = "alert" if abs(mjd - triggered) < 1e-6 else "previous"
    if str(row.get("origin")).lower() in _FORCED:
        origin = "forced"
    return FluxPoint(mjd, band, flux * unit, error, None, origin)


def is_notice(record: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a `gcn.notices.boom.alert`."""
    named = record.get("mission") == "Boom" or "/notices/boom/" in str(record.get("$schema"))
    return named and isinstance(record.get("data"), Mapping)


def targets_of(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The objects of a notice."""
    return rows(section(record, "data").get("targets"))


def notice_head(record: Mapping[str, Any]) -> AlertHead:
    """Object, position and time of the newest detection of a notice of one object; raises NoticeError."""
    return notice_alert(record, "", "").head


def notice_alert(record: Mapping[str, Any], schema: str, broker: str) -> SurveyAlert:
    """A notice of one object; raises NoticeError where it is about several, which `notice_alerts` reads."""
    found = notice_alerts(record, schema, broker)
    if len(found) != 1:
        raise NoticeError(f"the notice is about {len(found)} objects: send it to the stream of photometry")
    return found[0]


def notice_alerts(record: Mapping[str, Any], schema: str, broker: str) -> list[SurveyAlert]:
    """Every object of a notice; raises NoticeError for one that is wrong, or without any."""
    photometry = rows(section(record, "data").get("photometry"))
    found = [_of_target(target, photometry, schema, broker) for target in targets_of(record)]
    if not found:
        raise NoticeError("the notice names no object")
    return found


def _of_target(target: Mapping[str, Any], photometry: list[Mapping[str, Any]], schema: str, broker: str) -> SurveyAlert:
    name = _target_name(target)
    mine = (row for row in photometry if _target_name(row) == name)
    points = by_time(p for p in map(_notice_point, mine) if p is not None)
    survey = _survey("", str(name))
    # Times of other telescopes say nothing of the survey's alert, unless there is nothing else.
    own = [p for p in points if p.flux_njy is not None and p.band.startswith(survey)]
    newest = next(reversed(own), next(reversed(points), None))
    if newest is None:
        raise NoticeError(f"the notice has no photometry of {str(name)[:40]}")
    found = head_of(survey, name, f"{name}@{newest.mjd:.6f}", target.get("ra"), target.get("dec"), newest.mjd)
    scores = section(target, "classification_scores")
    matches = tuple(
        CatalogMatch(f"{m.get('ref_type')} {m.get('ref_instrument')}", name_of(m.get("ref_ID")), None)
        for m in rows(target.get("gcn_crossmatch"))
    )
    facts = PacketFacts(
        first_mjd=first_detection(points),
        redshift=number(target.get("redshift")),
        matches=matches,
        details=frozen(details_of(scores, scores, "classification/")),
    )
    return SurveyAlert(found, points, facts, schema, broker)


def _target_name(row: Mapping[str, Any]) -> object:
    name = row.get("event_name")
    return name[0] if isinstance(name, list) and name else name


def _notice_point(row: Mapping[str, Any]) -> FluxPoint | None:
    band, measured, limit = name_of(row.get("filter")), magnitude(row.get("mag")), magnitude(row.get("limiting_mag"))
    try:
        check_system(row.get("mag_system"))
        mjd = mjd_of(row.get("observation_start"))
    except NoticeError:
        return None
    if band is None:
        return None
    if measured is None:
        return None if limit is None else FluxPoint(mjd, band, None, None, limit, "limit")
    flux, error = flux_of_magnitude(measured, number(row.get("mag_error")), negative=False)
    return FluxPoint(mjd, band, flux, error, limit, "previous")
