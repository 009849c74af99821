"""A notice of GCN's core schema as frozen values, its version, and its summary for the archive.

All sound parts of a notice are used. Only the trigger and a time can refuse it: without them it is no version of an event.
Any other wrong part is absent, and named in `CoreNotice.degraded`.
Source: nasa-gcn/gcn-schema, gcn/notices/core (Alert, Event, DateTime, Localization, Statistics, Distance).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from mma_pipeline.notices.degraded import Degraded
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import (
    amount_at,
    decode_notice,
    finite,
    kind_of,
    not_utf8,
    object_at,
    share,
    text_at,
    time_at,
)
from mma_pipeline.notices.gcn.declaration import CoreStream
from mma_pipeline.notices.gcn.localisation import Shape, read_position, read_shape
from mma_pipeline.notices.key import DIGEST_LENGTH, EventVersion
from mma_pipeline.notices.model import AlertType
from mma_pipeline.notices.trigger_ids import trigger_event, trigger_of

_TYPES = {
    "initial": AlertType.INITIAL,
    # Another burst of a known source is a trigger of its own.
    "subsequent": AlertType.INITIAL,
    "update": AlertType.UPDATE,
    "retraction": AlertType.RETRACTION,
}
_TENSES = frozenset(("current", "test", "injection", "archival"))
_TESTS = frozenset(("test", "injection"))
#: Numbers of the core schema and of single missions that are shown as they are, by key, to our name with the unit.
_SIGNAL = {
    "rate_snr": "rate_snr",
    "image_snr": "image_snr",
    "snr": "snr",
    "rate_duration": "rate_duration_s",
    "image_duration": "image_duration_s",
    "net_count_rate": "net_count_rate_per_s",
    "t90": "t90_s",
    "dm": "dispersion_measure_pc_cm3",
    "nu_energy": "neutrino_energy_tev",
    "n_events": "neutrinos",
    "number_of_events": "neutrinos",
    "p_astro": "p_astro",
    "importance": "importance",
    "luminosity_distance": "luminosity_distance_mpc",
    "luminosity_distance_error": "luminosity_distance_error_mpc",
}
_WORDS = ("duration_class", "known_source", "follow_up_event", "follow_up_type", "slew_status", "subtype")
#: Longest text and address that are kept, characters; an address is kept in a column of 255.
_LONGEST, LONGEST_URL = 100, 255
_MOST_NAMES = 10
#: By which a notice may be older than what it tells of: clocks and time zones differ, also in published examples.
CLOCKS = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CoreNotice:
    """One notice."""

    stream: CoreStream
    event_id: str
    names: tuple[str, ...]
    """Every name of the trigger that the notice gives, as ids have it (`trigger_ids.trigger_of`), the event's own first."""
    alert_type: AlertType
    tense: str
    """`current`, `test`, `injection` or `archival`."""
    created: datetime
    """When the notice was made, UTC; the time of the trigger where it does not say."""
    time: datetime | None
    """Time of the trigger, UTC."""
    far: float | None
    """False alarm rate, Hz."""
    classification: Mapping[str, float]
    position: tuple[float, float] | None
    """RA and Dec, deg."""
    shape: Shape | None
    """Position with its error."""
    skymap: bytes | None
    """FITS file as sent inside the notice."""
    skymap_url: str | None
    """Address of the map."""
    signal: Mapping[str, float | str]
    """Further numbers and words, units in the names."""
    pipeline: str
    urls: Mapping[str, str]
    degraded: tuple[str, ...] = ()


def decode_core(stream: CoreStream, data: bytes) -> dict[str, Any]:
    """The record of a message; raises NoticeError if it is not one object, or an error text in place of a notice."""
    record = decode_notice(data) if stream.decode is None else stream.decode(data)
    if not record:
        raise NoticeError("the message is an empty object")
    return record


def parse_core(stream: CoreStream, data: bytes) -> tuple[CoreNotice, EventVersion]:
    """Parse one message of a stream; raises NoticeError if it names no trigger or no time."""
    record, found = decode_core(stream, data), Degraded()
    if stream.decode is None and (problem := not_utf8(data)) is not None:
        found.note(problem)
    notice = _notice(stream, record, found)
    return notice, _version(notice, record)


def _notice(stream: CoreStream, record: Mapping[str, Any], found: Degraded) -> CoreNotice:
    tense = _word(record.get("alert_tense"), "alert_tense", _TENSES, "current", found)
    event_id, names = _identity(stream, record, test=tense in _TESTS)
    time = found.read(_time, record, "trigger_time") or found.read(_time, record, "observation_start")
    created = found.read(_time, record, "alert_datetime") or time
    if created is None:
        raise NoticeError("; ".join(found.lines) or "neither alert_datetime nor trigger_time is given")
    if time is not None and time > created + CLOCKS:
        found.note(f"the trigger at {time:%Y-%m-%d %H:%M:%S} UTC would be after its notice: its time is not used")
        time = None
    kind = _TYPES[_word(record.get("alert_type"), "alert_type", frozenset(_TYPES), "initial", found)]
    withdrawn = kind is AlertType.RETRACTION
    return CoreNotice(
        stream=stream,
        event_id=event_id,
        names=names,
        alert_type=kind,
        tense=tense,
        created=created,
        time=time,
        far=found.read(amount_at, record, "far", "far"),
        classification=_classification(record, found),
        position=found.read(read_position, record),
        # A retraction's place, where it gives one, is that of what did not happen.
        shape=None if withdrawn else found.read(read_shape, record, stream.systematic(record)),
        skymap=None if withdrawn else found.read(_file, record),
        skymap_url=None if withdrawn else found.read(_url, record, stream),
        signal=_signal(record, found),
        pipeline=(found.read(text_at, record, "pipeline") or "")[:_LONGEST],
        urls=_urls(record),
        degraded=found.lines,
    )


def _version(notice: CoreNotice, record: Mapping[str, Any]) -> EventVersion:
    """Event, kind, creation time, and a digest of the content whatever its layout."""
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:DIGEST_LENGTH]
    created = notice.created.astimezone(UTC).replace(microsecond=0)
    return EventVersion(notice.event_id, created, notice.alert_type.value, digest)


def event_named(stream: CoreStream, data: bytes) -> str | None:
    """The event of a message that cannot be used, for people; None if it does not say."""
    try:
        record = decode_core(stream, data)
        return _identity(stream, record, test=str(record.get("alert_tense")) in _TESTS)[0]
    except NoticeError:
        return None


def _identity(stream: CoreStream, record: Mapping[str, Any], *, test: bool) -> tuple[str, tuple[str, ...]]:
    """The event, and every name that the notice gives its trigger."""
    named = {key: _names(record.get(key)) for key in {*stream.identity, *stream.aliases}}
    for key in stream.identity:
        for text in named[key]:
            trigger = trigger_of(stream.observatory, _own(stream, text))
            if trigger is not None:
                event_id = trigger_event(stream.observatory, trigger, test=test)
                # Other numbers, such as a running one, may be those of other triggers too.
                others = (trigger_of(stream.observatory, _own(stream, t)) for key in stream.aliases for t in named[key])
                return event_id, tuple(dict.fromkeys((trigger, *(name for name in others if name is not None))))
    given = ", ".join(repr(text)[:40] for key in stream.identity for text in named[key])
    keys = " or ".join(stream.identity)
    raise NoticeError(
        f"{keys} names no trigger of {stream.instrument}: {given}"
        if given
        else f"{keys} is missing: no trigger is named"
    )


def _own(stream: CoreStream, text: str) -> str:
    """A trigger's name without the observatory's in front: `KM3-240901A` and `IceCube-230416A`."""
    for prefix in ("KM3-", f"{stream.observatory}-"):
        text = text.strip().removeprefix(prefix)
    return text


def _names(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    texts = (str(v) for v in values[:_MOST_NAMES] if isinstance(v, str | int) and not isinstance(v, bool))
    return tuple(text[:_LONGEST] for text in texts if text.strip())


def _word(value: object, name: str, known: frozenset[str], usual: str, found: Degraded) -> str:
    """One of a few words; the usual one if absent, and reported if it is none of them. An unknown kind informs."""
    if value is None:
        return usual
    text = value.strip().lower() if isinstance(value, str) else ""
    if text in known:
        return text
    read = "update" if name == "alert_type" else usual
    found.note(f"{name} is {value!r:.40}, not one of {', '.join(sorted(known))}: read as {read}")
    return read


def _time(record: Mapping[str, Any], key: str) -> datetime | None:
    return None if record.get(key) is None else time_at(record, key)


def _classification(record: Mapping[str, Any], found: Degraded) -> Mapping[str, float]:
    values = found.read(object_at, record, "classification") or {}
    read = {
        name[:40]: found.read(share, v, f"classification.{name:.40}") for name, v in values.items() if v is not None
    }
    return MappingProxyType({name: value for name, value in read.items() if value is not None})


def _file(record: Mapping[str, Any]) -> bytes | None:
    value = record.get("healpix_file")
    if value in (None, ""):
        return None
    if not isinstance(value, str):
        raise NoticeError(f"healpix_file is a {kind_of(value)} where base64 text belongs")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoticeError(f"healpix_file is not base64: {error}") from error


def _url(record: Mapping[str, Any], stream: CoreStream) -> str | None:
    """The map's address by TLS, if it is on one of the stream's servers; raises NoticeError for what is no address."""
    value = text_at(record, "healpix_url")
    if not value:
        return None
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise NoticeError(f"healpix_url is {value!r:.60}, not an address") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or len(value) > LONGEST_URL:
        raise NoticeError(f"healpix_url is {value!r:.60}, not an address of at most {LONGEST_URL} characters")
    if parts.hostname not in stream.hosts or port not in (None, 80, 443):
        raise NoticeError(f"healpix_url is on {parts.hostname[:60]}, from where no map of this stream is fetched")
    # The address of a server alone, as some examples have it, names no file.
    if not parts.path.strip("/"):
        return None
    # These servers all speak TLS, whatever their notices say, and clusters let nothing else out.
    return parts._replace(scheme="https", netloc=parts.hostname).geturl()


def _signal(record: Mapping[str, Any], found: Degraded) -> Mapping[str, float | str]:
    read: dict[str, float | str] = {}
    for key, name in _SIGNAL.items():
        if record.get(key) is not None and (number := found.read(finite, record[key], key)) is not None:
            read[name] = number
    for key in _WORDS:
        if (text := found.read(text_at, record, key)) is not None:
            read[key] = text[:_LONGEST]
    return MappingProxyType(read)


def _urls(record: Mapping[str, Any]) -> Mapping[str, str]:
    names = ("light_curve_url", "data_archive_page", "healpix_url")
    return MappingProxyType(
        {n.removesuffix("_url"): str(record[n])[:500] for n in names if isinstance(record.get(n), str)}
    )
