"""`igwn.gwalert`: JSON bytes, or an already decoded Avro record, to an `LvkNotice` and its versions.

Tolerant where real alerts differ from the published schema (igwn-gwalert-schema 1.3.0), strict where a wrong
value would reach a file name, a number or a map. Drift from the schema is reported elsewhere, never fatal here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from .errors import NoticeError
from .fields import (
    bytes_at,
    decode_json,
    kind_of,
    number_at,
    numbers_at,
    object_at,
    series_at,
    text_at,
    time_at,
)
from .key import DIGEST_LENGTH, EXTERNAL_SUFFIX, EventVersion, check_event_id
from .model import AlertType, ChirpMass, ExternalCoincidence, GwEvent, LvkNotice

_ALERT_TYPES = {t.name.replace("_", ""): t for t in AlertType} | {t.name: t for t in AlertType}
#: Where the map of a notice is kept in its JSON form: (object, key).
_MAPS = (("event", "skymap"), ("external_coinc", "combined_skymap"))


def parse_json(data: bytes) -> LvkNotice:
    """Parse one notice as sent by GCN; raises NoticeError with the reason."""
    record = decode_json(data)
    for container, key in _MAPS:
        inner = record.get(container)
        if isinstance(inner, dict) and inner.get(key) is not None:
            inner[key] = _decode_map(inner[key], f"{container}.{key}")
    return from_record(record)


def from_record(record: Mapping[str, Any]) -> LvkNotice:
    """Build a notice from a decoded record whose maps are bytes (an Avro record, or JSON after base64).

    Raises NoticeError with the reason.
    """
    superevent_id = check_event_id(record.get("superevent_id"))
    kind = record.get("alert_type")
    alert_type = _ALERT_TYPES.get(kind.upper()) if isinstance(kind, str) else None
    if alert_type is None:
        raise NoticeError(f"alert_type is {kind!r:.60}, not one of {', '.join(t.name for t in AlertType)}")
    created = time_at(record, "time_created")
    # A retraction in Avro carries an empty event where JSON has null.
    event = object_at(record, "event") or None
    external = object_at(record, "external_coinc") or None
    if event is None and alert_type is not AlertType.RETRACTION:
        raise NoticeError(f"event is missing from a notice of type {alert_type.name}")
    urls = object_at(record, "urls") or {}
    return LvkNotice(
        superevent_id=superevent_id,
        alert_type=alert_type,
        time_created=created,
        urls=MappingProxyType({str(k): str(v) for k, v in urls.items()}),
        event=None if event is None else _event(event),
        external=None if external is None else _external(external),
    )


def to_record(notice: LvkNotice) -> dict[str, Any]:
    """The notice as the JSON object that GCN would send (maps in base64), for alerts received as Avro."""
    record: dict[str, Any] = {
        "alert_type": notice.alert_type.name.replace("_", ""),
        "time_created": _stamp(notice.time_created),
        "superevent_id": notice.superevent_id,
        "urls": dict(notice.urls),
        "event": None,
        "external_coinc": None,
    }
    if (event := notice.event) is not None:
        record["event"] = _facts_of_event(event) | {
            "skymap": None if event.skymap is None else base64.b64encode(event.skymap).decode()
        }
        if event.chirp_mass is not None:
            record["event"]["mchirp_source"] = {
                "bin_edges": list(event.chirp_mass.bin_edges),
                "probabilities": list(event.chirp_mass.probabilities),
            }
    if (external := notice.external) is not None:
        combined = external.combined_skymap
        record["external_coinc"] = _facts_of_external(external) | {
            "combined_skymap": None if combined is None else base64.b64encode(combined).decode()
        }
    return record


def versions_of(notice: LvkNotice) -> tuple[EventVersion, ...]:
    """The versions that a notice brings: itself, and beside it the combined map of an external coincidence.

    The digest covers the facts and maps that JSON and Avro both carry, so that the same alert from GCN and from
    SCiMMA is one version. URLs, chirp mass and unknown keys are left out: the Avro form may lack them.
    """
    event, external = notice.event, notice.external
    facts = {
        "superevent_id": notice.superevent_id,
        "alert_type": notice.alert_type.value,
        "time_created": _stamp(notice.time_created),
        "event": None if event is None else _facts_of_event(event) | {"skymap": _map_digest(event.skymap)},
        "external_coinc": None
        if external is None
        else _facts_of_external(external) | {"combined_skymap": _map_digest(external.combined_skymap)},
    }
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:DIGEST_LENGTH]
    created = notice.time_created.replace(microsecond=0)
    main = EventVersion(notice.superevent_id, created, notice.alert_type.value, digest)
    if external is None or external.combined_skymap is None:
        return (main,)
    return (main, replace(main, label=main.label + EXTERNAL_SUFFIX))


def map_of(notice: LvkNotice, version: EventVersion) -> bytes | None:
    """The map that belongs to a version: the combined one for `-ExtCoinc`, else the event's own; None if absent."""
    if version.is_external:
        return None if notice.external is None else notice.external.combined_skymap
    return None if notice.event is None else notice.event.skymap


def _event(record: Mapping[str, Any]) -> GwEvent:
    chirp = object_at(record, "mchirp_source") or None
    significant = record.get("significant")
    if significant is not None and not isinstance(significant, bool):
        raise NoticeError(f"event.significant is {significant!r:.40}, not true or false")
    instruments = record.get("instruments") or []
    if isinstance(instruments, str) or not isinstance(instruments, Sequence):
        raise NoticeError(f"event.instruments is a {kind_of(instruments)} where a list belongs")
    far = number_at(record, "far", "event.far")
    if far is None:
        raise NoticeError("event.far is missing")
    return GwEvent(
        time=time_at(record, "time", "event.time"),
        far=far,
        significant=significant,
        instruments=tuple(str(name) for name in instruments),
        group=text_at(record, "group") or "",
        pipeline=text_at(record, "pipeline") or "",
        search=text_at(record, "search"),
        classification=numbers_at(record, "classification"),
        properties=numbers_at(record, "properties"),
        duration=number_at(record, "duration", "event.duration"),
        central_frequency=number_at(record, "central_frequency", "event.central_frequency"),
        chirp_mass=None
        if chirp is None
        else ChirpMass(series_at(chirp, "bin_edges"), series_at(chirp, "probabilities")),
        skymap=bytes_at(record, "skymap", "event.skymap"),
    )


def _external(record: Mapping[str, Any]) -> ExternalCoincidence:
    notice_id = record.get("gcn_notice_id")
    if isinstance(notice_id, bool) or not isinstance(notice_id, int | str):
        raise NoticeError(f"external_coinc.gcn_notice_id is {notice_id!r:.40}, not a number or text")
    where = "external_coinc."
    return ExternalCoincidence(
        gcn_notice_id=str(notice_id),
        ivorn=text_at(record, "ivorn"),
        observatory=text_at(record, "observatory") or "",
        search=text_at(record, "search"),
        time_difference=number_at(record, "time_difference", where + "time_difference"),
        time_coincidence_far=number_at(record, "time_coincidence_far", where + "time_coincidence_far"),
        time_sky_position_coincidence_far=number_at(
            record, "time_sky_position_coincidence_far", where + "time_sky_position_coincidence_far"
        ),
        combined_skymap=bytes_at(record, "combined_skymap", where + "combined_skymap"),
    )


def _facts_of_event(event: GwEvent) -> dict[str, Any]:
    return {
        "time": _stamp(event.time),
        "far": event.far,
        "significant": event.significant,
        "instruments": list(event.instruments),
        "group": event.group,
        "pipeline": event.pipeline,
        "search": event.search,
        "classification": dict(event.classification),
        "properties": dict(event.properties),
        "duration": event.duration,
        "central_frequency": event.central_frequency,
    }


def _facts_of_external(external: ExternalCoincidence) -> dict[str, Any]:
    return {
        "gcn_notice_id": external.gcn_notice_id,
        "ivorn": external.ivorn,
        "observatory": external.observatory,
        "search": external.search,
        "time_difference": external.time_difference,
        "time_coincidence_far": external.time_coincidence_far,
        "time_sky_position_coincidence_far": external.time_sky_position_coincidence_far,
    }


def _map_digest(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()


def _stamp(moment: datetime) -> str:
    millis = moment.microsecond // 1000
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds" if millis else "seconds")
    return f"{text}Z"


def _decode_map(value: object, name: str) -> bytes:
    if not isinstance(value, str):
        raise NoticeError(f"{name} is a {kind_of(value)} where base64 text belongs")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoticeError(f"{name} is not base64: {error}") from error
