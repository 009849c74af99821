"""A new map against what was seen before it: the kept nights say which alerts lie in it, the broker gives their packets.

A merger precedes its notice, and a first map its correction. What the broker does not keep any more is taken from the row
of the kept nights alone: one measurement, without the light curve that the packet had.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mma_pipeline.adapters.archive.surveys import Beat, Kept, SurveyArchive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.adapters.surveys.packets import Formats
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.message import encode
from mma_pipeline.notices.photometry.survey_points import measurements
from mma_pipeline.notices.surveys import AlertHead, FluxPoint, PacketFacts, SurveyAlert
from mma_pipeline.products.survey_regions import search_kept
from mma_pipeline.products.surveys.judging import judge
from mma_pipeline.science.surveys.regions import LiveRegion, RegionIndex
from mma_pipeline.science.surveys.vetting import Thresholds

#: Messages by topic, partition and offset, those that can still be had.
Fetch = Callable[[Mapping[tuple[str, int], Sequence[int]]], Mapping[tuple[str, int, int], StreamMessage]]
#: Packets that are fetched and recorded together.
_TOGETHER = 500


@dataclass(frozen=True, slots=True)
class LookedBack:
    """What a look at the kept nights found for one map."""

    inside: int
    """Alerts in the region since the event."""
    candidates: int
    """Alerts that may be the counterpart, as their rows say."""
    fetched: int
    """Of those that were not recorded for the event yet, alerts whose packet the broker still had."""
    kept: int
    """Alerts that were recorded now."""

    def __str__(self) -> str:
        return (
            f"{self.inside} alerts of the kept nights lie in the region, {self.candidates} may be the counterpart, "
            f"{self.fetched} packets were still to be had, {self.kept} were recorded"
        )


def look_back(
    archive: SurveyArchive,
    nights: RecentNights,
    region: LiveRegion,
    limits: Thresholds,
    *,
    stream: str,
    formats: Formats,
    fetch: Fetch,
) -> LookedBack:
    """Find what the kept nights hold for a region, and record it; the same look again changes nothing."""
    found = search_kept(nights, region, limits)
    rows = _new(found.candidates.to_pylist(), archive, region.event_id)
    fetched = kept = 0
    for start in range(0, len(rows), _TOGETHER):
        some = rows[start : start + _TOGETHER]
        wanted: dict[tuple[str, int], list[int]] = defaultdict(list)
        for row in some:
            if ":" not in row["topic"]:  # no topic of Kafka's: a replay's
                wanted[row["topic"], row["partition"]].append(row["offset"])
        packets = fetch(wanted) if wanted else {}
        judged = judge(list(packets.values()), formats, RegionIndex([region]), limits)
        rest = [row for row in some if (row["topic"], row["partition"], row["offset"]) not in packets]
        recorded = [*judged.kept, *(one for row in rest if (one := _of_row(row, stream, region.event_id)) is not None)]
        archive.record(stream, recorded, [], [], Beat("look back", datetime.now(UTC)))
        fetched += len(packets)
        kept += len(recorded)
    return LookedBack(found.inside, found.candidates.num_rows, fetched, kept)


def _new(rows: list[dict[str, Any]], archive: SurveyArchive, event_id: str) -> list[dict[str, Any]]:
    """Rows that no reader has recorded for the event: most have been where only the map is new."""
    known = {(one.candidate, one.night) for one in archive.candidates(event_id=event_id)}
    wanted: dict[tuple[str, int], list[int]] = defaultdict(list)
    for row in rows:
        wanted[row["topic"], row["partition"]].append(row["offset"])
    there = archive.archived(wanted)
    return [
        row
        for row in rows
        if (row["object_id"], math.floor(row["mjd"])) not in known
        or (row["topic"], row["partition"], row["offset"]) not in there
    ]


def _of_row(row: Mapping[str, Any], stream: str, event_id: str) -> Kept | None:
    """What a row alone says, as a photometry message of ours at the packet's place; None where it says no brightness."""
    head = AlertHead(row["survey"], row["object_id"], row["alert_id"], row["ra"], row["dec"], row["mjd"])
    if row["band"] is None or row["flux_njy"] is None:
        return None
    point = FluxPoint(row["mjd"], row["band"], row["flux_njy"], row["flux_error_njy"], row["limit_mag"], "alert")
    alert = SurveyAlert(head, (point,), PacketFacts(redshift=row["redshift"]), "kept row", head.survey)
    try:
        notice = measurements(alert)
    except NoticeError:
        return None
    body = encode(notice.measurements)
    # No time of its own: the same row again is the same message.
    message = StreamMessage(
        stream, row["topic"], row["partition"], row["offset"], body, None, (), None, datetime.now(UTC)
    )
    return Kept(message, notice, ((event_id, math.floor(head.mjd)),))
