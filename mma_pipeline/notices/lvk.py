"""`igwn.gwalert`: JSON bytes, or an already decoded Avro record, to an `LvkNotice` and its versions.

All sound parts of a notice are used. Only a wrong superevent id or creation time refuses it; any other wrong part is absent,
and named in `LvkNotice.degraded`. Drift from the published schema
(igwn-gwalert-schema 1.3.0) is reported elsewhere.
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

from mma_pipeline.notices.degraded import Degraded
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import (
    amount_at,
    bytes_at,
    decode_notice,
    finite,
    kind_of,
    not_utf8,
    number_at,
    object_at,
    share,
    text_at,
    time_at,
)
from mma_pipeline.notices.key import DIGEST_LENGTH, EXTERNAL_SUFFIX, EventVersion, check_event_id
from mma_pipeline.notices.model import AlertType, ChirpMass, ExternalCoincidence, GwEvent, LvkNotice
from mma_pipeline.notices.text import REPLACEMENT, clean

_ALERT_TYPES = {t.name.replace("_", ""): t for t in AlertType}
#: Beginnings of known kinds, for spellings such as RETRACTED.
_STEMS = {"EARLY": AlertType.EARLY_WARNING, "PRELIM": AlertType.PRELIMINARY, "INITIAL": AlertType.INITIAL}
_STEMS |= {"UPDATE": AlertType.UPDATE, "RETRACT": AlertType.RETRACTION}
#: Replaces an unknown kind of notice: it informs about an event, and retracts nothing.
_UNKNOWN_TYPE = AlertType.UPDATE
#: Where the map of a notice is kept in its JSON form: (object, key).
_MAPS = (("event", "skymap"), ("external_coinc", "combined_skymap"))


def parse_json(data: bytes) -> LvkNotice:
    """Parse one notice as sent by GCN; raises NoticeError if it is not a JSON object or lacks id or creation time."""
    record, found = decode_notice(data), Degraded()
    if (problem := not_utf8(data)) is not None:
        found.note(problem)
    for container, key in _MAPS:
        inner = record.get(container)
        if isinstance(inner, dict) and inner.get(key) is not None:
            inner[key] = found.read(_decode_map, inner[key], f"{container}.{key}")
    return _notice(record, found)


def from_record(record: Mapping[str, Any]) -> LvkNotice:
    """Build a notice from a decoded record whose maps are bytes (an Avro record, or JSON after base64).

    Raises NoticeError if id or creation time is missing or invalid.
    """
    return _notice(clean(record), Degraded())


def _notice(record: Mapping[str, Any], found: Degraded) -> LvkNotice:
    superevent_id = check_event_id(record.get("superevent_id"))
    created = time_at(record, "time_created")
    alert_type = _alert_type(record.get("alert_type"), found)
    # A retraction in Avro carries an empty event where JSON has null.
    event = found.read(object_at, record, "event") or None
    external = found.read(object_at, record, "external_coinc") or None
    if record.get("event") is None and alert_type is not AlertType.RETRACTION:
        found.note("event is missing")
    return LvkNotice(
        superevent_id=superevent_id,
        alert_type=alert_type,
        time_created=created,
        urls=_urls(record, found),
        event=None if event is None else _event(event, found),
        external=None if external is None else _external(external, found),
        degraded=found.lines,
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
    """The versions of a notice: itself, and the combined map of an external coincidence.

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


def _alert_type(value: object, found: Degraded) -> AlertType:
    """The kind of notice; an unknown one is reported and becomes an Update, unless it begins like a known one."""
    plain = "".join(c for c in value.upper() if c.isalnum()) if isinstance(value, str) else ""
    if (exact := _ALERT_TYPES.get(plain)) is not None:
        return exact
    known = next((t for stem, t in _STEMS.items() if plain.startswith(stem)), _UNKNOWN_TYPE)
    names = ", ".join(t.name for t in AlertType)
    found.note(f"alert_type is {_brief(value)}, not one of {names}: read as {known.name}")
    return known


def _urls(record: Mapping[str, Any], found: Degraded) -> Mapping[str, str]:
    urls = found.read(object_at, record, "urls") or {}
    texts = {name: found.read(text_at, urls, name, f"urls.{name:.40}") for name in urls}
    return MappingProxyType({name: text for name, text in texts.items() if text is not None})


def _event(record: Mapping[str, Any], found: Degraded) -> GwEvent:
    significant = record.get("significant")
    if significant is not None and not isinstance(significant, bool):
        found.note(f"event.significant is {_brief(significant)}, not true or false")
        significant = None
    if record.get("far") is None:
        found.note("event.far is missing")
    return GwEvent(
        time=found.read(time_at, record, "time", "event.time"),
        far=found.read(amount_at, record, "far", "event.far"),
        significant=significant,
        instruments=_instruments(record.get("instruments"), found),
        group=_text(record, "group", "event", found) or "",
        pipeline=_text(record, "pipeline", "event", found) or "",
        search=_text(record, "search", "event", found),
        classification=_shares(record, "classification", found),
        properties=_shares(record, "properties", found),
        duration=found.read(amount_at, record, "duration", "event.duration"),
        central_frequency=found.read(amount_at, record, "central_frequency", "event.central_frequency"),
        chirp_mass=found.read(_chirp_mass, record),
        skymap=found.read(bytes_at, record, "skymap", "event.skymap"),
    )


def _instruments(value: object, found: Degraded) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        found.note(f"event.instruments is a {kind_of(value)} where a list belongs")
        return ()
    for name in value:
        if not isinstance(name, str):
            found.note(f"event.instruments holds a {kind_of(name)} where text belongs")
    return tuple(name for name in value if isinstance(name, str))


def _text(record: Mapping[str, Any], key: str, container: str, found: Degraded) -> str | None:
    text = found.read(text_at, record, key, f"{container}.{key}")
    if text is not None and REPLACEMENT in text:
        found.note(f"{container}.{key} holds characters that are not text: they are replaced")
    return text


def _shares(record: Mapping[str, Any], key: str, found: Degraded) -> Mapping[str, float]:
    """The probabilities at `key` by name, without null entries and wrong ones; the latter are reported."""
    values = found.read(object_at, record, key, f"event.{key}") or {}
    read = {name: found.read(share, v, f"event.{key}.{name:.40}") for name, v in values.items() if v is not None}
    return MappingProxyType({name: value for name, value in read.items() if value is not None})


def _chirp_mass(record: Mapping[str, Any]) -> ChirpMass | None:
    histogram = object_at(record, "mchirp_source", "event.mchirp_source")
    if not histogram:
        return None
    edges, probabilities = (_series(histogram, key) for key in ("bin_edges", "probabilities"))
    if len(edges) != len(probabilities) + 1:
        raise NoticeError(f"event.mchirp_source has {len(edges)} edges for {len(probabilities)} bins")
    return ChirpMass(edges, probabilities)


def _series(record: Mapping[str, Any], key: str) -> tuple[float, ...]:
    values, name = record.get(key), f"event.mchirp_source.{key}"
    if not isinstance(values, list | tuple):
        raise NoticeError(f"{name} is a {kind_of(values)} where a list belongs")
    return tuple(finite(value, name) for value in values)


def _external(record: Mapping[str, Any], found: Degraded) -> ExternalCoincidence:
    where = "external_coinc"
    notice_id = record.get("gcn_notice_id")
    if isinstance(notice_id, bool) or not isinstance(notice_id, int | str):
        found.note(
            f"{where}.gcn_notice_id is {'missing' if notice_id is None else _brief(notice_id) + ', not a number or text'}"
        )
        notice_id = None
    difference = found.read(number_at, record, "time_difference", f"{where}.time_difference")
    in_time, in_both = (
        found.read(amount_at, record, key, f"{where}.{key}")
        for key in ("time_coincidence_far", "time_sky_position_coincidence_far")
    )
    return ExternalCoincidence(
        gcn_notice_id=None if notice_id is None else str(notice_id),
        ivorn=_text(record, "ivorn", where, found),
        observatory=_text(record, "observatory", where, found) or "",
        search=_text(record, "search", where, found),
        time_difference=difference,
        time_coincidence_far=in_time,
        time_sky_position_coincidence_far=in_both,
        combined_skymap=found.read(bytes_at, record, "combined_skymap", f"{where}.combined_skymap"),
    )


def _brief(value: object) -> str:
    """A value for people: its text, or its kind if it is not a scalar."""
    return f"{value!r:.40}" if isinstance(value, str | int | float) else f"a {kind_of(value)}"


def _facts_of_event(event: GwEvent) -> dict[str, Any]:
    return {
        "time": None if event.time is None else _stamp(event.time),
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
