"""Why an alert in a live event's region was not recorded although its row in the kept nights says nothing against it.

A row has no light curve, and some messages state no brightness. So the quarantine is asked, then the packet itself, where
the broker still has it. Not here: what rows say by themselves, and what was recorded (`explaining`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.surveys import SurveyArchive
from mma_pipeline.adapters.errors import TransientError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.surveys.packets import Format, Formats
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.survey_points import measurements
from mma_pipeline.notices.surveys import PacketFacts, SurveyAlert
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.notices.words import figure
from mma_pipeline.products.surveys.judging import NO_LIGHT_CURVE
from mma_pipeline.products.surveys.looking_back import Fetch
from mma_pipeline.science.surveys.regions import LiveRegion
from mma_pipeline.science.surveys.vetting import Reason, Thresholds, detected_before, vet

Row = Mapping[str, Any]
_Place = tuple[str, int, int]
_NO_BRIGHTNESS = (
    f"{NO_LIGHT_CURVE}: its message states a place and a time, but no brightness, as Fink's pairs do; "
    "the survey's own alert of the detection makes a candidate"
)


@dataclass(frozen=True)
class Packets:
    """Where packets are had again."""

    fetch: Fetch
    formats: Formats


class Unrecorded:
    """What speaks against some alerts, in words."""

    def __init__(self, archive: Archive, limits: Thresholds, packets: Packets, rows: Iterable[Row]) -> None:
        """Look up what the quarantine and the broker have of these rows of the kept nights."""
        self._archive, self._limits, self._formats = archive, limits, packets.formats
        wanted: dict[tuple[str, int], list[int]] = defaultdict(list)
        for row in rows:
            wanted[row["topic"], row["partition"]].append(row["offset"])
        self._refused = SurveyArchive(archive).refused(wanted) if wanted else {}
        # A replay's topic has a colon, which no topic of Kafka's has.
        left = {
            place: [n for n in offsets if (*place, n) not in self._refused]
            for place, offsets in wanted.items()
            if ":" not in place[0]
        }
        left = {place: offsets for place, offsets in left.items() if offsets}
        self._packets = packets.fetch(left) if left else {}

    def why(self, row: Row, region: LiveRegion) -> tuple[str, str]:
        """The verdict on an alert (`dropped`, `quarantined` or `not recorded`), and why it is no candidate of the region's event."""
        place: _Place = row["topic"], row["partition"], row["offset"]
        if place in self._refused:
            return "quarantined", f"its packet cannot be used: {self._refused[place]}"
        read = self._read(self._packets.get(place))
        if isinstance(read, str):
            return "quarantined", f"its packet cannot be used: {read}"
        if read is not None and (against := self._against(*read, region)) is not None:
            return against
        if row["flux_njy"] is None:
            return "dropped", _NO_BRIGHTNESS
        record = self._archive.version(region.version)
        came = mjd_of_datetime(self._archive.origin(record.message_id).received)
        if read is None and came <= row["mjd"]:
            return "dropped", (
                f"{Reason.EARLIER}, most likely: nothing in its row speaks against it, and the event's map was there before it; "
                "so the light curve of its packet did, which cannot be had any more"
            )
        speaks = "nothing in its row" if read is None else "nothing in its packet"
        return "not recorded", (
            f"{speaks} speaks against it, but the event's map came {figure(24 * (came - row['mjd']))} h after it: "
            "`survey_sensor` looks such alerts up, and leaves out those whose packets show an earlier detection"
        )

    def _read(self, message: StreamMessage | None) -> tuple[Format, SurveyAlert] | str | None:
        """A packet; why it cannot be used; None where it, or its schema, cannot be had now."""
        if message is None:
            return None
        try:
            kind = self._formats.format_of(message.body, key=message.key)
            return kind, kind.alert(message.body)
        except TransientError:
            return None
        except NoticeError as error:
            return str(error)

    def _against(self, kind: Format, alert: SurveyAlert, region: LiveRegion) -> tuple[str, str] | None:
        """What speaks against a packet, in the order in which `judging` asks; None where nothing does."""
        reason = vet(alert.head.survey, alert.facts, alert.points, region.t0_mjd, self._limits)
        if reason is not None:
            first = detected_before(alert.points, alert.facts.first_mjd, region.t0_mjd, self._limits)
            return "dropped", in_words(reason, replace(alert.facts, first_mjd=first), region.t0_mjd)
        if not kind.form.measured:
            return "dropped", _NO_BRIGHTNESS
        try:
            measurements(alert)
        except NoticeError as error:
            return "quarantined", f"its packet cannot be used: {error}"
        return None


def in_words(reason: Reason, facts: PacketFacts, t0_mjd: float) -> str:
    """A reason with the number behind it; `t0_mjd` is the time of the event, MJD in days."""
    if reason is Reason.STAR and facts.star_score is not None:
        where = "" if facts.star_distance_arcsec is None else f" at {figure(facts.star_distance_arcsec)} arcsec"
        return f"{reason}: score {figure(facts.star_score)}{where}"
    if reason is Reason.BOGUS and facts.real_bogus is not None:
        return f"{reason}: score {figure(facts.real_bogus)}"
    near = facts.solar_system
    if reason is Reason.SOLAR_SYSTEM and near is not None and near.distance_arcsec is not None:
        return f"solar system: a known object at {figure(near.distance_arcsec)} arcsec"
    if reason is Reason.EARLIER and facts.first_mjd is not None:
        return f"{reason}: first detected {figure(t0_mjd - facts.first_mjd)} days before the event"
    return str(reason.value)
