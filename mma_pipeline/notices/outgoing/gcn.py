"""Derived alerts as unified notices of GCN: JSON made of the core schemas of nasa-gcn/gcn-schema (7.2.3).

GCN has no schema for other people's products of a gravitational-wave event. So ours (`schemas/gcn/derived-alert.schema.json`)
takes everything from the core schemas, and candidates and their photometry as BOOM's optical alerts have them
(`gcn/notices/boom/alert.schema.json`). Nothing else may be in a notice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any
from uuid import UUID

from mma_pipeline.notices.derived import SENDER_V2, CandidateScore, DerivedAlert, DerivedKind
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.times import datetime_of_mjd
from mma_pipeline.notices.words import area, probability, seconds

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

#: Labels of notices that announce an event; later ones are updates.
_FIRST = ("EarlyWarning", "Preliminary")
#: Names of the files with the map, the better first.
_MAPS = ("skymap", "flat_skymap")
_OWN = "derived-alert.schema.json"
#: The sum of class probabilities may differ from one by this, by rounding.
_ROUNDING = 1e-3


def unified(
    alert: DerivedAlert, points: Sequence[Mapping[str, Any]], published: datetime, identity: UUID
) -> dict[str, Any]:
    """The notice of an alert; raises NoticeError where it would not follow the schema.

    Args:
        alert: what is told.
        points: photometry of its candidate (`points_of`).
        published: time of the decision, UTC.
        identity: id of the message, by which it is withdrawn.
    """
    retracted = alert.kind is DerivedKind.RETRACTION
    label = "" if alert.version is None else alert.version.label
    found: dict[str, Any] = {
        "alert_datetime": _time(published),
        "alert_tense": "test" if alert.is_test else "current",
        "alert_type": "retraction" if retracted else "initial" if label.startswith(_FIRST) else "update",
        "mission": SENDER_V2,
        "id": str(identity),
        "event_name": alert.event_id,
        "ref_type": "GW",
        "ref_instrument": "LVK",
        "ref_ID": alert.event_id,
        "reference": _reference(alert),
        "additional_info": _words(alert),
    }
    if alert.candidate is not None:
        found["data"] = _data(alert, alert.candidate, points)
    elif not retracted:
        found |= {"messenger": "GW"} | _source(alert) | _place(alert)
    found = {name: value for name, value in found.items() if value not in (None, {}, "")}
    problem = next(iter(_validator().iter_errors(found)), None)
    if problem is not None:
        where = ".".join(map(str, problem.absolute_path))
        raise NoticeError(
            f"the unified notice does not follow its schema at {where or 'the top'}: {problem.message[:200]}"
        )
    return found


def _reference(alert: DerivedAlert) -> dict[str, str]:
    found = {} if alert.version is None else {"igwn.gwalert": alert.version.partition_key}
    if alert.retracts is not None:
        found["mma.derived-alert"] = alert.retracts
    if alert.coincidence is not None:
        found["coincident_event"] = alert.coincidence.other_version
    return found


def _source(alert: DerivedAlert) -> dict[str, Any]:
    event, pair = alert.event, alert.coincidence
    found: dict[str, Any] = {"far": None if pair is None else pair.far}
    if event is None:
        return found
    found["trigger_time"] = None if event.time is None else _time(event.time)
    if pair is None:
        found["far"] = event.far
    if abs(sum(event.classification.values()) - 1.0) <= _ROUNDING:
        # GCN wants classes that add up to one.
        found["classification"] = dict(event.classification)
        found["p_astro"] = 1.0 - event.classification["Terrestrial"] if "Terrestrial" in event.classification else None
    return found | {"properties": dict(event.properties)}


def _place(alert: DerivedAlert) -> dict[str, Any]:
    place, links = alert.localisation, {link.name: link.url for link in alert.products}
    found: dict[str, Any] = {"healpix_url": next((links[name] for name in _MAPS if name in links), None)}
    if place is not None:
        found |= {"ra": place.ra, "dec": place.dec}
        found |= {"luminosity_distance": place.distance_mean, "luminosity_distance_error": place.distance_std}
    return found


def _data(alert: DerivedAlert, candidate: CandidateScore, points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    target = {
        "event_name": [candidate.name, *candidate.aliases] if candidate.aliases else candidate.name,
        "ra": candidate.ra,
        "dec": candidate.dec,
        "classification_scores": {"kilonova": candidate.kilonova_probability, "other": candidate.other_probability},
        "gcn_crossmatch": [{"ref_type": "GW", "ref_instrument": "LVK", "ref_ID": alert.event_id}],
    }
    return {"targets": [target], "photometry": [_measured(candidate.name, point) for point in points]}


def _measured(name: str, point: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "event_name": name,
        "observation_start": _time(datetime_of_mjd(point["mjd"])),
        "telescope": point.get("telescope"),
        "instrument": point.get("instrument"),
        "filter": point["band"],
        "mag_system": "AB",
    }
    if point.get("upper_limit"):
        found["limiting_mag"] = point["magnitude"]
    else:
        found |= {"mag": point["magnitude"], "mag_error": point.get("error")}
    return {name: value for name, value in found.items() if value is not None}


def _words(alert: DerivedAlert) -> str:
    said = []
    if alert.reason is not None:
        said.append(alert.reason)
    place, pair, search, candidate = alert.localisation, alert.coincidence, alert.neutrinos, alert.candidate
    if place is not None and place.area_90 is not None:
        half = "" if place.area_50 is None else f" (50 %: {area(place.area_50)} deg2)"
        said.append(f"90 % credible area {area(place.area_90)} deg2{half}; ra and dec are the map's peak")
    if pair is not None:
        sign = "-" if pair.time_difference < 0 else ""
        said.append(
            f"pair with {pair.other_event} ({pair.search}), t_gw - t_other = {sign}{seconds(pair.time_difference)}"
        )
    if search is not None:
        said.append(f"{search.observatory} lists {search.count} coincident neutrinos for {search.reference}")
    if candidate is not None:
        said.append(
            f"probability of a kilonova with everything that is known {probability(candidate.best_probability)}"
        )
    return "; ".join(said)


def _time(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    folder = resources.files("mma_pipeline.notices").joinpath("schemas/gcn")
    schemas = {entry.name: json.loads(entry.read_text("utf-8")) for entry in folder.iterdir()}
    registry = Registry().with_resources((one["$id"], Resource.from_contents(one)) for one in schemas.values())
    return Draft202012Validator(schemas[_OWN], registry=registry)
