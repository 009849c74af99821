"""From a message to the archive: parsed, validated and recorded, or put in quarantine with the reason.

Used by the sensors and by `mma replay --direct`, so that there is one way in.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mma_pipeline.adapters.archive import Archive, Recorded, VersionRecord
from mma_pipeline.adapters.avro import MAGIC, decode_avro
from mma_pipeline.adapters.hop_stream import is_test
from mma_pipeline.adapters.message import StreamMessage
from mma_pipeline.notices import lvk
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.key import EventVersion, check_event_id
from mma_pipeline.notices.model import LvkNotice
from mma_pipeline.notices.salvage import event_named, is_rehearsal

_log = logging.getLogger(__name__)

#: Characters of a reason: one line for a person, whatever the message holds.
MAX_REASON = 400
#: A map of an alert is refused when it is larger than this once decompressed: the largest real ones are 13 MB, and
#: what a few kilobytes of gzip can grow to must not take the memory of the stream's reader.
MAX_MAP_BYTES = 200_000_000

Facts = Mapping[str, Any]
#: The versions that a message brings, with facts in JSON values.
Versions = tuple[tuple[EventVersion, Facts], ...]
#: Bytes to the versions they bring; raises NoticeError or SkyMapError.
Parser = Callable[[bytes], Versions]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A message that was put aside."""

    message_id: int
    message: StreamMessage
    reason: str


def ingest(archive: Archive, message: StreamMessage, parse: Parser) -> Recorded | Quarantined:
    """Archive one message; idempotent. Only trouble with the archive itself is raised (TransientError)."""
    found = read(message, parse)
    return put_aside(archive, message, found) if isinstance(found, str) else archive.record(message, found)


def read(message: StreamMessage, parse: Parser) -> Versions | str:
    """The versions that a message brings, or why it cannot be used; nothing is raised whatever it holds."""
    from mma_pipeline.science.skymap import SkyMapError

    try:
        return parse(message.body)
    except (NoticeError, SkyMapError) as error:
        return presentable(str(error))
    except Exception:  # noqa: BLE001 - one message that nobody foresaw must not stop the stream behind it
        _log.exception("%s: the parser failed in an unforeseen way", message.coordinates)
        where = f"see the log, {message.coordinates}"
        return presentable(f"the parser failed in an unforeseen way ({where}): please report this message")


def put_aside(archive: Archive, message: StreamMessage, reason: str) -> Quarantined:
    """Archive a message in quarantine, with the event that it speaks of where that can still be told."""
    reason = presentable(reason)
    event_id = _event_named(message.body)
    rehearsal = is_test(message) or is_rehearsal(message.body, event_id)
    _log.warning("%s put in quarantine: %s", message.coordinates, reason)
    message_id = archive.quarantine(message, reason, event_id=event_id, rehearsal=rehearsal)
    return Quarantined(message_id, message, reason)


def _event_named(body: bytes) -> str | None:
    if body.startswith(MAGIC):
        try:
            return check_event_id(decode_avro(body).get("superevent_id"))
        except NoticeError:
            pass  # damaged: what is left is searched
    return event_named(body)


def presentable(reason: str) -> str:
    """A reason of bounded length without control characters and lone surrogates, which databases and pages refuse."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in reason)
    return plain if len(plain) <= MAX_REASON else plain[: MAX_REASON - 1] + "…"


def read_alert(body: bytes) -> LvkNotice:
    """An `igwn.gwalert` message, JSON or Avro, told apart by its first bytes; raises NoticeError."""
    return lvk.from_record(decode_avro(body)) if body.startswith(MAGIC) else lvk.parse_json(body)


def parse_alert(body: bytes) -> tuple[tuple[EventVersion, Facts], ...]:
    """Versions and facts of an `igwn.gwalert` message whose maps are proved readable.

    Raises NoticeError or SkyMapError.
    """
    notice = read_alert(body)
    found = []
    for version in lvk.versions_of(notice):
        data = lvk.map_of(notice, version)
        if data is not None:
            _check_map(data, version)
        found.append((version, facts_of(notice, data)))
    return tuple(found)


def facts_of(notice: LvkNotice, skymap: bytes | None) -> dict[str, Any]:
    """What a notice says, without maps, as JSON values: what lists, rules and pages need."""
    event, external = notice.event, notice.external
    facts: dict[str, Any] = {
        "alert_type": notice.alert_type.value,
        "time_created": notice.time_created.isoformat(),
        "urls": dict(notice.urls),
        "skymap_sha256": None if skymap is None else hashlib.sha256(skymap).hexdigest(),
    }
    if event is not None:
        facts |= {
            "time": event.time.isoformat(),
            "far_hz": event.far,
            "significant": event.significant,
            "instruments": list(event.instruments),
            "group": event.group,
            "pipeline": event.pipeline,
            "search": event.search,
            "classification": dict(event.classification),
            "properties": dict(event.properties),
            "duration_s": event.duration,
            "central_frequency_hz": event.central_frequency,
        }
    if external is not None:
        facts["external"] = {
            "gcn_notice_id": external.gcn_notice_id,
            "ivorn": external.ivorn,
            "observatory": external.observatory,
            "search": external.search,
            "time_difference_s": external.time_difference,
            "time_coincidence_far_hz": external.time_coincidence_far,
            "time_sky_position_coincidence_far_hz": external.time_sky_position_coincidence_far,
        }
    return facts


def requests_of(recorded: Recorded) -> tuple[VersionRecord, ...]:
    """Versions that need a run because of this message: those it was the first to bring.

    Asked again after a crash, the same message gives the same answer; the run key then keeps the run single.
    """
    return recorded.owned


def _check_map(data: bytes, version: EventVersion) -> None:
    from mma_pipeline.science.fitstable import gunzip
    from mma_pipeline.science.skymap import SkyMapError, decode_skymap

    try:
        decode_skymap(gunzip(data, MAX_MAP_BYTES))
    except SkyMapError as error:
        raise NoticeError(f"the map of {version.event_id} {version.label} cannot be used: {error}") from error
