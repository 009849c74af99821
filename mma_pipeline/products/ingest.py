"""Takes a message into the archive: parses, validates and records it, or puts it in quarantine with the reason.

The sensors and `mma replay --direct` both use it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mma_pipeline.adapters.archive import Archive, Recorded, VersionRecord
from mma_pipeline.adapters.hopskotch.stream import is_test
from mma_pipeline.adapters.kafka.avro import MAGIC, decode_avro
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.notices import lvk
from mma_pipeline.notices.degraded import MAX_LENGTH, bounded
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.gcn import notice as core
from mma_pipeline.notices.gcn.streams import core_stream, stream_of_message
from mma_pipeline.notices.key import EventVersion, check_event_id
from mma_pipeline.notices.model import LvkNotice
from mma_pipeline.notices.salvage import event_named, is_rehearsal
from mma_pipeline.notices.text import one_line
from mma_pipeline.products.maps import map_problems
from mma_pipeline.products.maps import read_alert as read_alert

_log = logging.getLogger(__name__)

#: Greatest length of a reason in characters: one line, whatever the message contains.
MAX_REASON = 400
#: By which a notice may be made after the broker received it, for clocks that differ.
AHEAD = timedelta(days=1)

Facts = Mapping[str, Any]
#: The versions of a message, with facts as JSON values.
Versions = tuple[tuple[EventVersion, Facts], ...]
#: Parses the bytes of a message to its versions; raises NoticeError.
Parser = Callable[[bytes], Versions]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A quarantined message."""

    message_id: int
    message: StreamMessage
    reason: str


def ingest(archive: Archive, message: StreamMessage, parse: Parser) -> Recorded | Quarantined:
    """Archive one message; idempotent. Raises only failures of the archive itself (TransientError)."""
    found = read(message, parse)
    return quarantine_message(archive, message, found) if isinstance(found, str) else archive.record(message, found)


def read(message: StreamMessage, parse: Parser) -> Versions | str:
    """The versions of a message, or why it cannot be used; never raises, whatever the message contains."""
    try:
        found = parse(message.body)
        _check_times(message, found)
    except NoticeError as error:
        return presentable(str(error))
    except Exception:  # noqa: BLE001 - one message that nobody foresaw must not stop the stream behind it
        _log.exception("%s: the parser failed unexpectedly", message.coordinates)
        where = f"see the log, {message.coordinates}"
        return presentable(f"the parser failed unexpectedly ({where}): please report this message")
    return found


def _check_times(message: StreamMessage, versions: Versions) -> None:
    """Raise NoticeError for a version of the future: it would count as the newest of its event for ever."""
    # Our own clock may be wrong, and then no alert may be refused: without the broker's, nobody can tell.
    if message.broker_time is None:
        return
    now = max(datetime.now(UTC), message.broker_time)
    for version, _ in versions:
        if version.created > now + AHEAD:
            raise NoticeError(
                f"the notice says that it was made on {version.created:%Y-%m-%d %H:%M} UTC, "
                f"more than a day after it was sent ({now:%Y-%m-%d %H:%M} UTC)"
            )


def quarantine_message(archive: Archive, message: StreamMessage, reason: str) -> Quarantined:
    """Archive a message in quarantine, with its event if that can be determined."""
    reason = presentable(reason)
    event_id = _event_named(message)
    rehearsal = is_test(message) or is_rehearsal(message.body, event_id)
    _log.warning("%s put in quarantine: %s", message.coordinates, reason)
    message_id = archive.quarantine(message, reason, event_id=event_id, rehearsal=rehearsal)
    return Quarantined(message_id, message, reason)


def _event_named(message: StreamMessage) -> str | None:
    body = message.body
    stream = core_stream(message.topic) or stream_of_message(body)
    if stream is not None:
        # A search after another trigger names that one, which is not its own.
        return core.event_named(stream, body)
    if body.startswith(MAGIC):
        try:
            return check_event_id(decode_avro(body).get("superevent_id"))
        except NoticeError:
            pass  # damaged: search the readable part
    return event_named(body)


def presentable(reason: str) -> str:
    """A reason of bounded length, without control characters and lone surrogates, which databases and pages refuse."""
    return one_line(reason, MAX_REASON)


def parse_alert(body: bytes) -> tuple[tuple[EventVersion, Facts], ...]:
    """Versions and facts of an `igwn.gwalert` message; a map that cannot be read is left out and named.

    Raises NoticeError if the message does not identify its event and version.
    """
    notice = read_alert(body)
    return tuple((version, _facts(notice, version)) for version in lvk.versions_of(notice))


def _facts(notice: LvkNotice, version: EventVersion) -> dict[str, Any]:
    data, degraded = lvk.map_of(notice, version), notice.degraded
    if data is not None:
        name = "external_coinc.combined_skymap" if version.is_external else "event.skymap"
        usable, problems = map_problems(data)
        degraded += tuple(one_line(f"{name}: {problem}", MAX_LENGTH) for problem in problems)
        data = data if usable else None
    return alert_summary(notice, data, degraded)


def alert_summary(notice: LvkNotice, skymap: bytes | None, degraded: tuple[str, ...] = ()) -> dict[str, Any]:
    """Summary of a notice without maps, as JSON values, for lists, rules and pages.

    Args:
        notice: the notice.
        skymap: its map as sent; None without a usable map, so that no product of a map is expected.
        degraded: why parts are left out, one line each; the key is absent if nothing is left out.
    """
    event, external = notice.event, notice.external
    facts: dict[str, Any] = {
        "alert_type": notice.alert_type.value,
        "time_created": notice.time_created.isoformat(),
        "urls": dict(notice.urls),
        "skymap_sha256": None if skymap is None else hashlib.sha256(skymap).hexdigest(),
    }
    if event is not None:
        facts |= {
            "time": None if event.time is None else event.time.isoformat(),
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
        if event.chirp_mass is not None:
            facts["chirp_mass"] = {
                "bin_edges_msun": list(event.chirp_mass.bin_edges),
                "probabilities": list(event.chirp_mass.probabilities),
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
    if degraded:
        facts["degraded"] = list(bounded(degraded))
    return facts


def requests_of(recorded: Recorded) -> tuple[VersionRecord, ...]:
    """Versions that need a run because of this message: those that came first with it.

    After a crash the same message gives the same result; the run key then prevents a second run.
    """
    return recorded.owned
