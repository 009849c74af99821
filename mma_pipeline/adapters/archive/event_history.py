"""The order of an event's versions, by the times in the alerts and never by arrival.

Own versions are ordered by creation time; those created in the same second by kind, in the order in which kinds are sent,
then by digest. Combined maps of an external coincidence form a separate line that begins at the notice with the first of
them. Neutrino notices are in no line. A map that a notice names by its address follows directly on the notice.

Two rules for all users: which map is an event's newest (`newest_map`), and whether an event is retracted (`retraction_of`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mma_pipeline.adapters.archive.alerts import Archive, VersionRecord
from mma_pipeline.notices.model import AlertType

_KINDS = tuple(AlertType)


def chronological(records: Sequence[VersionRecord]) -> list[VersionRecord]:
    """Versions of one event, earliest first; a combined map directly after its own notice."""
    return sorted(records, key=_key)


def retraction_of(records: Sequence[VersionRecord]) -> VersionRecord | None:
    """The retraction among an event's versions, the earliest of several; None if the event was not retracted.

    It holds for every version of the event, including those created after it: a retraction is final.
    """
    return next((r for r in chronological(records) if r.version.is_retraction), None)


def newest_map(records: Iterable[VersionRecord], *, combined: bool) -> VersionRecord | None:
    """The version with the newest usable map of one event; None if no version has one.

    The newest is the last created of the event's own maps. A combined map of an external coincidence is only valid if the
    two sources are one, so it never replaces an own map; with `combined` it is used if there is no own map at all. A version
    whose map is missing or unusable is skipped, so the map before it is the newest. A retraction has no map and changes
    nothing here: see `retraction_of`.
    """
    mapped = chronological([r for r in records if r.has_map])
    own = [r for r in mapped if not r.version.is_external]
    chosen = own or (mapped if combined else [])
    return chosen[-1] if chosen else None


def withdrawn_by(archive: Archive, record: VersionRecord) -> VersionRecord | None:
    """The retraction of a version's event, from the archive; None if it was not retracted."""
    return retraction_of(archive.versions(record.version.event_id))


def version_before(records: Sequence[VersionRecord], record: VersionRecord) -> VersionRecord | None:
    """The version that a version is compared with, the one before that states facts; None for the first of its event.

    A retraction states none, so what follows it is compared with what stood before it. For a combined map the combined
    map before it; for the first of them the own version of the same notice.
    """
    line = _line(records, record)
    earlier = [r for r in line if _key(r) < _key(record) and _states_facts(r)]
    return earlier[-1] if earlier else None


def later_in_line(records: Sequence[VersionRecord], record: VersionRecord) -> list[VersionRecord]:
    """Later versions that replace a version: its own line, neutrino notices among themselves, the retraction."""
    own, external = record.version.alert_type is not None, record.version.is_external
    line = [r for r in records if (r.version.alert_type is not None, r.version.is_external) == (own, external)]
    retraction = retraction_of(records)
    if retraction is not None and retraction not in line:
        line.append(retraction)
    return [r for r in chronological(line) if _key(r) > _key(record)]


def map_before(records: Sequence[VersionRecord], record: VersionRecord) -> VersionRecord | None:
    """The newest earlier version in the same line that has a map, which need not be the one directly before."""
    earlier = [r for r in _line(records, record) if _key(r) < _key(record) and r.has_map]
    return earlier[-1] if earlier else None


def _states_facts(record: VersionRecord) -> bool:
    return not record.version.is_retraction and "time" in record.facts


def _line(records: Sequence[VersionRecord], record: VersionRecord) -> list[VersionRecord]:
    """Versions that a version can be compared with, earliest first."""
    own = [r for r in records if r.version.alert_type is not None]
    line = [r for r in own if r.version.is_external == record.version.is_external]
    if record.version.is_external and not any(_key(r) < _key(record) for r in line):
        line = [r for r in own if r.message_id == record.message_id]
    return chronological(line)


def _key(record: VersionRecord) -> tuple[object, ...]:
    version = record.version
    kind = -1 if version.alert_type is None else _KINDS.index(version.alert_type)
    # A fetched map is newer than the error circle of its own notice, as a combined map is than the notice's own.
    return (version.created, kind, version.is_external or version.is_fetched_map, version.digest)
