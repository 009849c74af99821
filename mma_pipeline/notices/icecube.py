"""`gcn.notices.icecube.lvk_nu_track_search`: JSON bytes to an `IceCubeNotice` and its version.

Both the schema of today (`localization` with ra_dec_error, a number or a list) and the one before it (ra, dec and
ra_uncertainty, a number or a list, in `localization` or beside it) are read, and position_a_error, as later core schemas
call the radius. A notice without coincident events is a result too: an upper limit. Only the identity of the notice, the event
and its own time, can refuse it; any other part that is wrong is absent, and named in `IceCubeNotice.degraded`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mma_pipeline.notices.degraded import Degraded
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import decode_notice, finite, kind_of, not_utf8, number_at, object_at, share, time_at
from mma_pipeline.notices.key import DIGEST_LENGTH, ICECUBE_LABEL, EventVersion, check_event_id

#: Keys that distinguish a notice of this stream from one of `igwn.gwalert`.
_OWN_KEYS = frozenset({"ref_ID", "reference", "n_events_coincident", "coincident_events"})
_REFERENCE = "gcn.notices.LVK.alert"
#: A window of two weeks has a few tens of coincident tracks; a longer list is damaged.
MAX_NEUTRINOS = 1000


@dataclass(frozen=True, slots=True)
class Direction:
    """A direction on the sky."""

    ra: float
    """Right ascension, deg."""
    dec: float
    """Declination, deg."""


@dataclass(frozen=True, slots=True)
class Neutrino:
    """One track in spatial and temporal coincidence with the event."""

    time_offset: float | None
    """Neutrino minus event time, s."""
    direction: Direction | None
    """Best fit; None if the notice gives none."""
    radius: float | None
    """Radius of the error circle, deg; the largest where several are given."""
    containment: float | None
    """Probability inside the circle, 0 to 1."""
    systematic_included: bool | None
    pval_generic: float | None
    """P-value of the generic search for this track, 0 to 1, not corrected for trials."""
    pval_bayesian: float | None
    """P-value of the Bayesian search for this track, 0 to 1, not corrected for trials."""
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IceCubeNotice:
    """One search of IceCube for neutrinos from a gravitational-wave event."""

    event_id: str
    """Superevent."""
    reference: str
    """LVK alert whose map was used, such as `S230914ak-2-Preliminary`; the event's id where the notice names none."""
    alert_time: datetime
    """When the notice was made, UTC."""
    trigger_time: datetime | None
    """Time of the gravitational-wave event, UTC."""
    observation_start: datetime | None
    observation_stop: datetime | None
    pval_generic: float | None
    """P-value of the generic search, 0 to 1, not corrected for trials."""
    pval_bayesian: float | None
    """P-value of the Bayesian search, 0 to 1, not corrected for trials."""
    neutrinos: tuple[Neutrino, ...]
    """Empty for an upper limit."""
    most_probable: Direction | None
    flux_sensitivity: tuple[float, float] | None
    """Time-integrated E² dN/dE over the 90 % region, least and greatest, GeV cm⁻²."""
    energy_range: tuple[float, float] | None
    """GeV."""
    degraded: tuple[str, ...] = ()
    """Why parts are absent, one line each; not part of the identity."""

    @property
    def window_s(self) -> float | None:
        """Length of the time window searched, s."""
        if self.observation_start is None or self.observation_stop is None:
            return None
        return (self.observation_stop - self.observation_start).total_seconds()

    @property
    def window(self) -> tuple[float, float] | None:
        """Seconds searched before and after the event; None if the notice does not tell, or the event lies outside."""
        if self.trigger_time is None or self.observation_start is None or self.observation_stop is None:
            return None
        before = (self.trigger_time - self.observation_start).total_seconds()
        after = (self.observation_stop - self.trigger_time).total_seconds()
        return (before, after) if before >= 0 and after >= 0 and before + after > 0 else None


def parse_json(data: bytes) -> IceCubeNotice:
    """Parse one notice as sent by GCN; raises NoticeError if it is not a JSON object or lacks event or time."""
    found = Degraded()
    if (problem := not_utf8(data)) is not None:
        found.note(problem)
    return _notice(decode_notice(data), found)


def is_icecube(record: Mapping[str, Any]) -> bool:
    """Whether a decoded message looks like one of this stream, even if it is malformed."""
    return "superevent_id" not in record and not _OWN_KEYS.isdisjoint(record)


def from_record(record: Mapping[str, Any]) -> IceCubeNotice:
    """Build a notice from a decoded record; raises NoticeError if it names no event or has no time."""
    return _notice(record, Degraded())


def _notice(record: Mapping[str, Any], found: Degraded) -> IceCubeNotice:
    event_id, alert_time = _event_id(record), time_at(record, "alert_datetime")
    sensitivity = found.read(object_at, record, "neutrino_flux_sensitivity_range") or {}
    direction = found.read(object_at, record, "most_probable_direction") or {}
    return IceCubeNotice(
        event_id=event_id,
        reference=found.read(_reference, record) or event_id,
        alert_time=alert_time,
        trigger_time=found.read(_time, record, "trigger_time"),
        observation_start=found.read(_time, record, "observation_start"),
        observation_stop=found.read(_time, record, "observation_stop"),
        pval_generic=found.read(_probability, record, "pval_generic"),
        pval_bayesian=found.read(_probability, record, "pval_bayesian"),
        neutrinos=_neutrinos(record.get("coincident_events"), found),
        most_probable=found.read(_direction, direction, "most_probable_direction"),
        flux_sensitivity=found.read(_range, sensitivity, "flux_sensitivity"),
        energy_range=found.read(_range, sensitivity, "sensitive_energy_range"),
        degraded=found.lines,
    )


def version_of(notice: IceCubeNotice, data: bytes) -> EventVersion:
    """Identity of the notice: event, label `IceCube`, its time, and a digest of the content whatever its layout."""
    canonical = json.dumps(decode_notice(data), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:DIGEST_LENGTH]
    created = notice.alert_time.astimezone(UTC).replace(microsecond=0)
    return EventVersion(notice.event_id, created, ICECUBE_LABEL, digest)


def _event_id(record: Mapping[str, Any]) -> str:
    value = record.get("ref_ID")
    if value is None:
        value = _reference(record).partition("-")[0]
    elif isinstance(value, list) and len(value) == 1:
        value = value[0]
    return check_event_id(value)


def _reference(record: Mapping[str, Any]) -> str:
    reference = object_at(record, "reference")
    value = None if reference is None else reference.get(_REFERENCE)
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise NoticeError(f"reference.{_REFERENCE} is {kind_of(value)}: it must name the LVK alert")
    return str(value)


def _neutrinos(events: object, found: Degraded) -> tuple[Neutrino, ...]:
    """The usable tracks, each without its wrong parts."""
    if events is None:
        return ()
    if not isinstance(events, list):
        found.note(f"coincident_events is a {kind_of(events)} where a list belongs")
        return ()
    if len(events) > MAX_NEUTRINOS:
        found.note(f"coincident_events has {len(events)} entries: only the first {MAX_NEUTRINOS} are read")
    read = (_neutrino(event, f"coincident_events[{i}]", found) for i, event in enumerate(events[:MAX_NEUTRINOS]))
    return tuple(neutrino for neutrino in read if neutrino is not None)


def _neutrino(event: object, name: str, found: Degraded) -> Neutrino | None:
    if not isinstance(event, Mapping):
        found.note(f"{name} is a {kind_of(event)} where an object belongs")
        return None
    where = found.read(object_at, event, "localization", f"{name}.localization")
    # The previous schema had the position beside the other values.
    where = event if where is None else where
    systematic = where.get("systematic_included")
    ids = event.get("id")
    return Neutrino(
        time_offset=found.read(number_at, event, "event_dt", f"{name}.event_dt"),
        direction=found.read(_direction, where, name),
        radius=found.read(_radius, where, name),
        containment=found.read(_probability, where, "containment_probability", name),
        systematic_included=systematic if isinstance(systematic, bool) else None,
        pval_generic=found.read(_probability, event, "event_pval_generic", name),
        pval_bayesian=found.read(_probability, event, "event_pval_bayesian", name),
        ids=tuple(str(i)[:100] for i in ids) if isinstance(ids, list) else (str(ids)[:100],) if ids else (),
    )


def _direction(record: Mapping[str, Any], name: str) -> Direction | None:
    ra, dec = number_at(record, "ra", f"{name}.ra"), number_at(record, "dec", f"{name}.dec")
    if ra is None or dec is None:
        return None
    if not -90 <= dec <= 90:
        raise NoticeError(f"{name}.dec is {dec}, not a declination in degrees")
    turned = ra % 360.0
    return Direction(0.0 if turned == 360.0 else turned, dec)  # -1e-20 % 360 is 360


def _radius(record: Mapping[str, Any], name: str) -> float | None:
    for key in ("ra_dec_error", "ra_uncertainty", "position_a_error"):
        value = record.get(key)
        if value is None or value == []:
            continue
        values = value if isinstance(value, list) else [value]
        sizes = [finite(v, f"{name}.{key}") for v in values if v is not None]
        if any(size <= 0 or size > 180 for size in sizes):
            raise NoticeError(f"{name}.{key} is {value!r:.60}, not an angle in degrees")
        if sizes:
            return max(sizes)
    return None


def _probability(record: Mapping[str, Any], key: str, name: str | None = None) -> float | None:
    value = record.get(key)
    if value in (None, "null"):  # text was sent for a while
        return None
    return min(max(share(value, f"{name}.{key}" if name else key), 0.0), 1.0)


def _time(record: Mapping[str, Any], key: str) -> datetime | None:
    return None if record.get(key) is None else time_at(record, key)


def _range(record: Mapping[str, Any], key: str) -> tuple[float, float] | None:
    values = record.get(key)
    if not isinstance(values, list) or len(values) != 2:
        return None
    low, high = (finite(v, key) for v in values)
    return low, high
