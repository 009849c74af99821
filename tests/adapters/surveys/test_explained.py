"""Why an alert in a live event's region is no candidate: said of every form, from row, quarantine, packet or what is left."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import fastavro
import numpy as np
import pytest

from mma_pipeline.adapters.archive.surveys import Beat, SurveyArchive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.adapters.surveys.packets import Formats
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.products.surveys.explaining import Explained, explain
from mma_pipeline.products.surveys.judging import judge
from mma_pipeline.products.surveys.unrecorded import Packets
from mma_pipeline.science.surveys.regions import LiveRegion, RegionIndex
from mma_pipeline.science.surveys.vetting import Thresholds
from tests.adapters.surveys.brokers import fink_of
from tests.adapters.surveys.oracle import ZTF, decoded, needs_packets, packet, schema_of
from tests.adapters.surveys.test_detection import message
from tests.adapters.surveys.test_packets import as_bare_avro, parquet
from tests.alerts import body
from tests.homes import Home

pytestmark = needs_packets
EVENT = "S240301a"


class Stream:
    """A reader's work for one event whose region is the whole sky, whose map is archived, and its broker."""

    def __init__(self, home: Home, t0: float) -> None:
        (record,) = home.receive(body(EVENT))
        sky = np.array([0]), np.array([12 << 58])
        self.archive, self.nights = home.archive, RecentNights(home.store)
        self.regions = RegionIndex([LiveRegion(EVENT, record.partition_key, t0, t0 + 30.0, *sky)])
        self.at_hand: dict[tuple[str, int, int], StreamMessage] = {}

    def take(self, *messages: StreamMessage) -> Any:
        """Judge messages, and make durable what they bring; they stay at the broker."""
        judged = judge(messages, Formats(), self.regions, Thresholds())
        beat = Beat("here:1", datetime.now(UTC))
        SurveyArchive(self.archive).record("survey", judged.kept, judged.unusable, judged.outcomes, beat)
        self.nights.write(judged.rows)
        self.at_hand |= {(one.topic, one.partition, one.offset): one for one in messages}
        return judged

    def said(self, name: str) -> list[Explained]:
        """What is said of an object."""
        packets = Packets(
            lambda places: {place: one for place, one in self.at_hand.items() if place[2] in places.get(place[:2], ())},
            Formats(),
        )
        return explain(name, self.archive, self.nights, self.regions, Thresholds(), packets)


def packed(data: bytes, **changes: Any) -> bytes:
    """A packet of the same schema, without forced photometry, with other values at its top."""
    reader = fastavro.reader(io.BytesIO(data))
    record = {**next(reader), "fp_hists": None, **changes}
    buffer = io.BytesIO()
    fastavro.writer(buffer, reader.writer_schema, [record])
    return buffer.getvalue()


def good(candidate: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Values of a detection against which nothing speaks, as far as the packet has them."""
    found = {
        "isdiffpos": "t", "jdstarthist": candidate["jd"], "sgscore1": 0.1, "drb": 0.99, "rb": 0.99, "ssdistnr": -999.0,
    }  # fmt: skip
    return {key: value for key, value in found.items() if key in candidate} | changes


def detections(candidate: dict[str, Any], days: Sequence[float]) -> list[dict[str, Any]]:
    """Earlier detections of a packet, so many days before the newest, as bright and as sure."""
    (first, *_) = [row for row in decoded(packet(f"ztf/{ZTF[0]}.avro"))["prv_candidates"] if row["magpsf"]]
    return [{**first, "jd": candidate["jd"] - n, "magpsf": 17.0, "sigmapsf": 0.02, "isdiffpos": "t"} for n in days]


def test_a_pair_of_finks(home: Home) -> None:
    """A pair states no brightness, and that is said; when ZTF's own alert of the detection comes, it is the candidate."""
    row = parquet("ztf/fink_grb.parquet")[0]
    stream = Stream(home, row["jd"] - 2400000.5 - 1.0)
    (pair,), key = as_bare_avro([{**row, "jdstarthist": row["jd"], "rb": 0.9}], "fink_grb")
    stream.take(replace(message(pair, 0), key=key, topic="fink_grb"))
    for at_hand in (True, False):
        if not at_hand:
            stream.at_hand.clear()
        (said,) = stream.said(row["objectId"])
        assert (said.event_id, said.verdict) == (EVENT, "dropped")
        assert said.why.startswith("no_light_curve: ")
    data = packet(f"ztf/{ZTF[0]}.avro")
    whole = {**decoded(data), "objectId": row["objectId"], "candid": row["candid"], "prv_candidates": None}
    place = {"jd": row["jd"], "ra": row["ztf_ra"], "dec": row["ztf_dec"], "candid": row["candid"]}
    whole["candidate"] = {**whole["candidate"], **good(whole["candidate"], **place, jdstarthist=row["jd"])}
    sent, key = fink_of(whole, schema_of(data))
    judged = stream.take(replace(message(sent, 1), key=key, topic="fink_alerts"))
    assert len(judged.kept) == 1
    assert {said.verdict for said in stream.said(row["objectId"])} == {"candidate"}


@pytest.mark.parametrize("form", ["ztf", "fink"])
@pytest.mark.parametrize("at_hand", [True, False])
def test_an_earlier_detection_in_the_light_curve(home: Home, form: str, at_hand: bool) -> None:
    """What only the packet's light curve shows is said with its number while the packet can be had, and guessed when it cannot."""
    data = packet(f"ztf/{ZTF[0]}.avro")
    record = decoded(data)
    now = mjd_of_datetime(datetime.now(UTC))
    # Seen an hour from now, so that the map was there when it came.
    moved = {**record["candidate"], "jd": now + 1 / 24 + 2400000.5}
    changes = good(moved, jd=moved["jd"], jdstarthist=moved["jd"])
    stream = Stream(home, now - 1.0)
    history = detections(moved, [3.0])
    if form == "ztf":
        sent = message(packed(data, candidate={**moved, **changes}, prv_candidates=history), 0)
    else:
        whole = {**record, "candidate": {**moved, **changes}, "prv_candidates": history, "fp_hists": None}
        bare, key = fink_of(whole, schema_of(data))
        sent = replace(message(bare, 0), key=key)
    (outcome,) = stream.take(sent).outcomes
    assert outcome.dropped == ("earlier",)
    if not at_hand:
        stream.at_hand.clear()
    (said,) = stream.said(record["objectId"])
    assert said.verdict == "dropped"
    # Three days before a detection that is 25 hours after the event.
    words = "earlier: first detected 1.96 days before the event" if at_hand else "earlier, most likely: "
    assert said.why.startswith(words)


def test_what_the_quarantine_has(home: Home) -> None:
    """An alert whose packet was refused has the reason of the quarantine."""
    data = packet(f"ztf/{ZTF[0]}.avro")
    candidate = decoded(data)["candidate"]
    stream = Stream(home, candidate["jd"] - 2400000.5 - 1.0)
    sent = message(packed(data, candidate={**candidate, **good(candidate)}, prv_candidates=None), 0)
    stream.nights.write(judge([sent], Formats(), stream.regions, Thresholds()).rows)
    beat = Beat("here:1", datetime.now(UTC))
    SurveyArchive(stream.archive).record("survey", [], [(sent, "cut short")], [], beat)
    SurveyArchive(stream.archive).beat("survey", [(sent.topic, sent.partition)], beat)
    (said,) = stream.said(decoded(data)["objectId"])
    assert (said.verdict, said.why) == ("quarantined", "its packet cannot be used: cut short")


def test_a_map_that_came_later(home: Home) -> None:
    """An alert that a reader took before the event's map was there waits for the sensor's look at the kept nights."""
    data = packet(f"ztf/{ZTF[0]}.avro")
    candidate = decoded(data)["candidate"]
    stream = Stream(home, candidate["jd"] - 2400000.5 - 1.0)
    sent = message(packed(data, candidate={**candidate, **good(candidate)}, prv_candidates=None), 0)
    stream.nights.write(judge([sent], Formats(), RegionIndex(), Thresholds()).rows)
    (said,) = stream.said(decoded(data)["objectId"])
    assert said.verdict == "not recorded"
    assert said.why.startswith("nothing in its row speaks against it, but the event's map came")
    stream.at_hand["ztf", 0, 0] = sent
    (said,) = stream.said(decoded(data)["objectId"])
    assert said.why.startswith("nothing in its packet speaks against it, but the event's map came")
