"""The identity of one version of one event, its Dagster partition key, and its file stem on the GWTM site.

The identity depends only on the alert: event, kind of notice, creation time and a digest of the content. It is independent
of arrival, counting and runs, so a replay in any order gives the same keys.

The Dagster UI shows the first twenty characters of a key in some places, and some ten of each end in its list of partitions. So both
tell the versions of one event apart: by the mark, a letter for the kind and the time of day, which stands behind the event and
again at the end, as in `S230518h-P133818-ed9ac15a64-20230518-Preliminary-P133818`. Where the event is too long for that, the mark
leads, the digest directly behind it, and the event ends the key, as in `I212124a30124e776-20240812-Initial-Fermi_745121685`. Only notices of one kind in the same second of a day can look alike,
where their digests begin alike, too. A version that was archived under the former form of key,
`S230518h-Preliminary-20230518T133818-ed9ac15a64`, keeps it, because files, runs and messages name it.

The stem `{graceid}-{Type}{n}` that the Treasure Map (GWTM) reads contains a count. The archive assigns the number once, when
a version is first recorded. A notice that arrives late gets the next free number, because files that observers have read must
keep their names, and because GWTM numbers its rows in the order of posting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.model import AlertType, Role, role_of
from mma_pipeline.notices.trigger_ids import TRIGGER_ID, spelled_triggers

#: Superevent ids of GraceDB: S real, MS mock, TS test, GW confirmed; letters count the day's events.
EVENT_ID = re.compile(r"(?:[MT]?S|GW)\d{6}[A-Za-z]{1,8}", re.ASCII)
#: The same or the id of another observatory's trigger, such as `Fermi_745121685`.
ANY_EVENT_ID = re.compile(rf"(?:{EVENT_ID.pattern}|{TRIGGER_ID.pattern})", re.ASCII)
ICECUBE_LABEL = "IceCube"
EXTERNAL_SUFFIX = "-ExtCoinc"
#: A map that a notice names by its address, fetched later: a version of its own beside the notice's.
FETCHED_SUFFIX = "-Map"
DIGEST_LENGTH = 10
_TYPES = "|".join(AlertType)
_LABEL = rf"(?:(?:{_TYPES})(?:{EXTERNAL_SUFFIX}|{FETCHED_SUFFIX})?|{ICECUBE_LABEL})"
#: Characters of a key that the Dagster UI shows.
SHOWN = 20
#: Letters of the mark; all other kinds have their first one.
_LETTERS = {ICECUBE_LABEL: "N"}
_SUFFIX_LETTERS = {EXTERNAL_SUFFIX: "X", FETCHED_SUFFIX: "M"}
_EVENT = rf"(?P<event>{ANY_EVENT_ID.pattern})"
_DIGEST = rf"(?P<digest>[0-9a-f]{{{DIGEST_LENGTH}}})"
_REST = rf"{_DIGEST}-(?P<day>\d{{8}})-(?P<label>{_LABEL})"
_KEY = re.compile(rf"{_EVENT}-[A-Z](?P<time>\d{{6}})-{_REST}-[A-Z]\d{{6}}", re.ASCII)
_LONG_KEY = re.compile(rf"[A-Z](?P<time>\d{{6}}){_REST}-{_EVENT}", re.ASCII)
_FORMER_KEY = re.compile(rf"{_EVENT}-(?P<label>{_LABEL})-(?P<day>\d{{8}})T(?P<time>\d{{6}})-{_DIGEST}", re.ASCII)
_EVENT_FIRST, _EVENT_LAST = (
    re.compile(pattern, re.ASCII | re.DOTALL)
    for pattern in (rf"{_EVENT}(?:-.*)?", rf"(?:[A-Z]\d{{6}}[0-9a-f]+|\d{{5,6}}[a-z]{{4}})-.*-{_EVENT}")
)
_STEM = re.compile(rf"(?P<event>{ANY_EVENT_ID.pattern})-(?P<label>{_LABEL})(?P<number>[1-9]\d{{0,5}})?", re.ASCII)
_TIME = "%Y%m%d%H%M%S"
_EXAMPLE = "S230518h-P133818-1a2b3c4d5e-20230518-Preliminary-P133818"


def check_event_id(value: object) -> str:
    """Return `value` if it is a superevent id; raises NoticeError otherwise (ids become file names)."""
    if not isinstance(value, str) or EVENT_ID.fullmatch(value) is None:
        shown = repr(value)[:60]
        raise NoticeError(f"superevent_id is {shown}, not an id such as S230518h, MS181101ab or TS240101a")
    return value


def check_any_event_id(value: object) -> str:
    """Return `value` if it is a superevent id or the id of another trigger; raises NoticeError otherwise."""
    if not isinstance(value, str) or ANY_EVENT_ID.fullmatch(value) is None:
        raise NoticeError(f"{value!r:.60} is not the id of an event, such as S230518h or Fermi_745121685")
    return value


def spelled_event_id(text: str) -> str:
    """The id of an event as its observatory spells it, from the same in whatever case; other text as it is.

    GraceDB counts a day's superevents with small letters, and those that are confirmed with large ones.
    """
    if re.fullmatch(EVENT_ID.pattern, text, re.ASCII | re.IGNORECASE):
        prefix, day, count = re.split(r"(\d+)", text.upper())
        return f"{prefix}{day}{count if prefix == 'GW' else count.lower()}"
    return next((way for way in (text, *spelled_triggers(text)) if TRIGGER_ID.fullmatch(way)), text)


def is_gravitational_wave(event_id: str) -> bool:
    """Whether an event's id is that of a superevent, and not of another observatory's trigger."""
    return EVENT_ID.fullmatch(event_id) is not None


def event_of_key(key: str) -> str | None:
    """The event of a partition, of a version or of a night; None if its key names none."""
    match = _EVENT_FIRST.fullmatch(key) or _EVENT_LAST.fullmatch(key)
    return None if match is None else match["event"]


@dataclass(frozen=True, slots=True, order=True)
class EventVersion:
    """One version of one event: the unit of a Dagster partition."""

    event_id: str
    created: datetime
    """Creation time of the notice, UTC, whole seconds."""
    label: str
    """Kind of notice: an `AlertType`, the same with `-ExtCoinc` or `-Map`, or `IceCube`."""
    digest: str
    """First ten hexadecimal digits of the SHA-256 of the content."""
    former_key: bool = field(default=False, compare=False)
    """Whether it was archived under the former form of key, and keeps it."""

    @property
    def partition_key(self) -> str:
        """Key such as `S230518h-P133818-1a2b3c4d5e-20230518-Preliminary-P133818`."""
        # strftime writes years before 1000 with fewer than four digits on Linux.
        day = f"{self.created.year:04d}{self.created:%m%d}"
        if self.former_key:
            return f"{self.event_id}-{self.label}-{day}T{self.created:%H%M%S}-{self.digest}"
        mark = f"{self._letter}{self.created:%H%M%S}"
        rest = f"{self.digest}-{day}-{self.label}"
        if len(self.event_id) + 1 + len(mark) <= SHOWN:
            return f"{self.event_id}-{mark}-{rest}-{mark}"
        # Some observatories send several notices of a kind within a second: digits of the digest are in sight.
        return f"{mark}{rest}-{self.event_id}"

    @property
    def possible_keys(self) -> tuple[str, str]:
        """Every key under which the version may be archived: one of today, and one of the former form."""
        return replace(self, former_key=False).partition_key, replace(self, former_key=True).partition_key

    @property
    def _letter(self) -> str:
        """The letter of the kind of notice in the mark."""
        _, hyphen, suffix = self.label.partition("-")
        return _SUFFIX_LETTERS[hyphen + suffix] if suffix else _LETTERS.get(self.label, self.label[0])

    @property
    def role(self) -> Role:
        """Observation or test, by the event's id."""
        return role_of(self.event_id)

    @property
    def is_external(self) -> bool:
        """Whether this is the combined map of an external coincidence."""
        return self.label.endswith(EXTERNAL_SUFFIX)

    @property
    def is_fetched_map(self) -> bool:
        """Whether this is the map that a notice named by its address."""
        return self.label.endswith(FETCHED_SUFFIX)

    @property
    def is_gravitational_wave(self) -> bool:
        """Whether the event is a superevent, and not another observatory's trigger."""
        return is_gravitational_wave(self.event_id)

    @property
    def alert_type(self) -> AlertType | None:
        """Kind of notice; None for IceCube's search for neutrinos from a superevent."""
        if self.label == ICECUBE_LABEL:
            return None
        return AlertType(self.label.removesuffix(EXTERNAL_SUFFIX).removesuffix(FETCHED_SUFFIX))

    @property
    def is_retraction(self) -> bool:
        """Whether this notice withdraws its event."""
        return self.alert_type is AlertType.RETRACTION

    @classmethod
    def from_partition_key(cls, key: str) -> EventVersion:
        """Parse a partition key of either form; raises NoticeError if it is malformed."""
        former = _FORMER_KEY.fullmatch(key)
        match = former or _KEY.fullmatch(key) or _LONG_KEY.fullmatch(key)
        if match is None:
            raise NoticeError(f"{key[:80]!r} is not a partition key such as {_EXAMPLE}")
        try:
            created = datetime.strptime(match["day"] + match["time"], _TIME).replace(tzinfo=UTC)
        except ValueError as error:
            raise NoticeError(f"{key!r} holds no valid time") from error
        version = cls(match["event"], created, match["label"], match["digest"], former_key=former is not None)
        # A version has one spelling: the letter of its label, in the place where it belongs.
        if version.partition_key != key:
            raise NoticeError(f"{key!r} is not spelled as {version.partition_key}")
        return version


@dataclass(frozen=True, slots=True)
class FileStem:
    """Name under which the GWTM site looks for the files of a version."""

    event_id: str
    label: str
    number: int
    """Zero-based count of the versions with this label; zero is omitted from the stem."""

    def __str__(self) -> str:
        return f"{self.event_id}-{self.label}{self.number or ''}"

    @classmethod
    def parse(cls, text: str) -> FileStem:
        """Parse `{graceid}-{Type}{n}`; raises NoticeError if it is malformed."""
        match = _STEM.fullmatch(text)
        if match is None:
            raise NoticeError(f"{text[:80]!r} is not a file stem such as S230518h-Preliminary1")
        return cls(match["event"], match["label"], int(match["number"] or 0))
